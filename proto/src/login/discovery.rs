//! The answer to SendTargets=All: targets and their portals (RFC 7143 appendix C).
//!
//! ```text
//!   TargetName=iqn.2001-04.com.example:disk1
//!   TargetAddress=192.0.2.1:3260,1
//!   TargetAddress=[2001:db8::1]:3260,1
//!   TargetName=iqn.2001-04.com.example:disk2        no address: the portal that was asked
//! ```

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::error::PeerMisbehaved;
use crate::keys::TextReader;
use crate::names::{IscsiName, NameError, PortalError, TargetAddress, parse_target_address};

/// A target that a portal named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredTarget {
    /// Its name.
    pub name: IscsiName,
    /// Its portals, each once; none means the portal that was asked.
    pub addresses: Vec<TargetAddress>,
}

/// Why an answer to SendTargets is of no use; displays as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The text is malformed, or an address comes before the first name.
    Text(PeerMisbehaved),
    /// A target's name is malformed.
    Name(NameError),
    /// A target's address is malformed.
    Address(PortalError),
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscoveryError::Text(how) => write!(f, "the portal's list of targets is malformed: {how}"),
            DiscoveryError::Name(error) => write!(f, "the portal names a target that cannot be: {error}"),
            DiscoveryError::Address(error) => write!(f, "the portal names an address that cannot be: {error}"),
        }
    }
}

impl core::error::Error for DiscoveryError {}

/// Reads the whole answer to SendTargets, put together from all its PDUs. A target that is named
/// twice is one with the portals of both; keys other than TargetName and TargetAddress are skipped.
///
/// # Errors
/// [`DiscoveryError`] says what is malformed.
pub fn parse_send_targets(text: &[u8]) -> Result<Vec<DiscoveredTarget>, DiscoveryError> {
    let mut targets: Vec<DiscoveredTarget> = Vec::new();
    let mut index: BTreeMap<IscsiName, usize> = BTreeMap::new();
    let mut current = None;
    for pair in TextReader::new(text) {
        let pair = pair.map_err(DiscoveryError::Text)?;
        match pair.key {
            "TargetName" => {
                let name = IscsiName::parse(pair.value).map_err(DiscoveryError::Name)?;
                current = Some(*index.entry(name).or_insert_with_key(|name| {
                    targets.push(DiscoveredTarget { name: name.clone(), addresses: Vec::new() });
                    targets.len() - 1
                }));
            }
            "TargetAddress" => {
                let target = current.and_then(|at| targets.get_mut(at)).ok_or_else(|| {
                    let wrong = "it comes before the first TargetName (RFC 7143 appendix C)";
                    DiscoveryError::Text(PeerMisbehaved::key("TargetAddress", wrong))
                })?;
                let address = parse_target_address(pair.value).map_err(DiscoveryError::Address)?;
                if !target.addresses.contains(&address) {
                    target.addresses.push(address);
                }
            }
            _ => {}
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec;

    fn shown(text: &[u8]) -> Vec<(String, Vec<String>)> {
        let targets = parse_send_targets(text).expect("a list of targets");
        let addresses = |t: &DiscoveredTarget| t.addresses.iter().map(ToString::to_string).collect();
        targets.iter().map(|t| (t.name.to_string(), addresses(t))).collect()
    }

    // check: discovery-ipv6
    #[test]
    fn targets_come_with_all_their_portals() {
        let text = b"TargetName=iqn.2001-04.com.example:a\0TargetAddress=192.0.2.1:3260,1\0\
            TargetAddress=[2001:db8::1]:3261,2\0TargetName=eui.02004567a425678d\0TargetAddress=nas.example,1\0";
        assert_eq!(
            shown(text),
            [
                ("iqn.2001-04.com.example:a".into(), vec!["192.0.2.1:3260,1".into(), "[2001:db8::1]:3261,2".into()]),
                ("eui.02004567a425678d".into(), vec!["nas.example:3260,1".into()]),
            ]
        );
    }

    // check: discovery-no-address
    #[test]
    fn a_target_without_an_address_is_where_we_asked() {
        assert_eq!(shown(b"TargetName=iqn.2001-04.com.example:a\0"), [("iqn.2001-04.com.example:a".into(), vec![])]);
        assert_eq!(shown(b""), []);
    }

    #[test]
    fn a_target_named_twice_is_one() {
        let text = b"TargetName=iqn.2001-04.com.example:a\0TargetAddress=192.0.2.1,1\0TargetAddress=192.0.2.1:3260,1\0\
            TargetName=IQN.2001-04.com.example:A\0TargetAddress=192.0.2.2,1\0";
        let addresses = vec!["192.0.2.1:3260,1".into(), "192.0.2.2:3260,1".into()];
        assert_eq!(shown(text), [("iqn.2001-04.com.example:a".into(), addresses)]);
    }

    #[test]
    fn thousands_of_targets_are_read() {
        let text: String = (0..5000).map(|n| format!("TargetName=iqn.2001-04.com.example:d{n}\0")).collect();
        assert_eq!(shown(text.as_bytes()).len(), 5000);
    }

    // check: discovery-malformed
    #[test]
    fn a_malformed_list_is_told() {
        for (text, says) in [
            (&b"TargetAddress=192.0.2.1,1\0"[..], "before the first TargetName"),
            (b"TargetName=../../etc\0", "is not an iSCSI name"),
            (b"TargetName=iqn.2001-04.com.example:a\0TargetAddress=2001:db8::1,1\0", "put an IPv6 address in brackets"),
            (b"TargetName=iqn.2001-04.com.example:a", "does not end"),
        ] {
            let error = parse_send_targets(text).expect_err("an error").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
