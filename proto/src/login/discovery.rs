//! The answer to SendTargets=All: targets and their portals (RFC 7143 appendix C).
//!
//! ```text
//!   TargetName=iqn.2001-04.com.example:disk1
//!   TargetAddress=192.0.2.1:3260,1
//!   TargetAddress=[2001:db8::1]:3260,1
//!   TargetName=iqn.2001-04.com.example:disk2        no address: the portal that was asked
//! ```
//! One bad record does not spoil the list. One with a bad key is left out. A bad address is left out, and leaves the target its others; a bad name is left out
//! with the addresses behind it. A list is as long as its portal likes: what is beyond the limits here is left out too.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::error::PeerMisbehaved;
use crate::keys::{RawPair, RawReader, is_terminated};
use crate::names::{NameError, PortalError, TargetAddress, TargetName, parse_target_address, printable};

/// The most targets of a list that are taken.
pub const MAX_TARGETS: usize = 1024;

/// The most addresses of a target that are taken.
pub const MAX_ADDRESSES: usize = 64;

/// The most addresses of a list that are taken.
pub const MAX_ADDRESSES_IN_ALL: usize = 2048;

/// The most records that are named as left out; the others are counted.
const MAX_NAMED: usize = 16;

/// A target that a portal named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredTarget {
    /// Its name.
    pub name: TargetName,
    /// Its portals, each once; none means the portal that was asked.
    pub addresses: Vec<TargetAddress>,
    /// None of its addresses was left out.
    pub whole: bool,
}

/// A list of targets, as far as it can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetList {
    /// The targets, each once.
    pub targets: Vec<DiscoveredTarget>,
    /// What was left out: the first of it.
    pub left_out: Vec<LeftOut>,
    /// How much more was left out.
    pub more_left_out: usize,
    /// The text lacks its last zero byte (§6.1): more may have been to come.
    pub unterminated: bool,
}

impl TargetList {
    /// Whether nothing was left out or may be missing: only then is a target gone that is not in it.
    pub fn is_whole(&self) -> bool {
        self.left_out.is_empty() && !self.unterminated
    }

    /// Notes what is not used.
    pub fn leave_out(&mut self, what: LeftOut) {
        if self.left_out.len() < MAX_NAMED {
            self.left_out.push(what);
        } else {
            self.more_left_out = self.more_left_out.saturating_add(1);
        }
    }
}

/// A record that was left out, and why; displays as one sentence, with nothing in it that a terminal acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOut {
    /// A name that is none. The addresses behind it belong to nobody.
    Name(NameError),
    /// An address that is none, of that target.
    Address(TargetName, PortalError),
    /// An address that cannot be meant, of that target.
    Unusable {
        /// Whose it is.
        target: TargetName,
        /// As it came.
        address: TargetAddress,
        /// A clause.
        why: &'static str,
    },
    /// A target of whose addresses none is left.
    Nowhere(TargetName),
    /// A key that is none, or a value that is no text, of that target where one was named before.
    Value {
        /// Whose it is.
        target: Option<TargetName>,
        /// What it is, as it came, escaped and perhaps cut.
        shown: String,
        /// What is wrong with it.
        wrong: PeerMisbehaved,
    },
    /// An address before the first name.
    Unowned(String),
    /// Targets beyond [`MAX_TARGETS`].
    TooManyTargets,
    /// Addresses of that target beyond [`MAX_ADDRESSES`].
    TooManyAddresses(TargetName),
    /// Addresses beyond [`MAX_ADDRESSES_IN_ALL`].
    TooManyInAll,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::Name(error) => write!(f, "a target is left out: {error}"),
            LeftOut::Address(target, error) => write!(f, "an address of {target} is left out: {error}"),
            LeftOut::Unusable { target, address, why } => {
                write!(f, "the address {address} of {target} is left out: {why}")
            }
            LeftOut::Nowhere(target) => write!(f, "{target} is left out: none of its addresses can be used"),
            LeftOut::Value { target: None, shown, wrong } => write!(f, "'{shown}' is left out: {wrong}"),
            LeftOut::Value { target: Some(target), shown, wrong } => {
                write!(f, "'{shown}' of {target} is left out: {wrong}")
            }
            LeftOut::Unowned(shown) => {
                write!(f, "the address '{shown}' is left out: no target is named before it (RFC 7143 appendix C)")
            }
            LeftOut::TooManyTargets => write!(f, "the targets after the first {MAX_TARGETS} are left out"),
            LeftOut::TooManyAddresses(target) => {
                write!(f, "the addresses of {target} after the first {MAX_ADDRESSES} are left out")
            }
            LeftOut::TooManyInAll => write!(f, "the addresses after the first {MAX_ADDRESSES_IN_ALL} are left out"),
        }
    }
}

/// Why an answer to SendTargets is of no use at all; displays as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The text is no text of pairs.
    Text(PeerMisbehaved),
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscoveryError::Text(how) => write!(f, "the portal's list of targets is malformed: {how}"),
        }
    }
}

impl core::error::Error for DiscoveryError {}

/// Reads the whole answer to SendTargets, put together from all its PDUs. A target that is named
/// twice is one with the portals of both; keys other than TargetName and TargetAddress are skipped.
///
/// # Errors
/// [`DiscoveryError`]: the text is none of `key=value` pairs.
pub fn parse_send_targets(text: &[u8]) -> Result<TargetList, DiscoveryError> {
    let mut reading = Reading::default();
    reading.list.unterminated = !is_terminated(text);
    for pair in RawReader::new(text) {
        let pair = pair.map_err(DiscoveryError::Text)?;
        match pair.key() {
            Ok(key @ "TargetName") => reading.name(key, &pair),
            Ok(key @ "TargetAddress") => reading.address(key, &pair),
            Ok(_) => {}
            // None of the two keys that count here: whose the next address is stays.
            Err(wrong) => reading.list.leave_out(LeftOut::Value { target: None, shown: shown(pair.raw_key), wrong }),
        }
    }
    Ok(reading.end())
}

/// Whose the next address is.
#[derive(Debug, Default, Clone, Copy)]
enum Owner {
    /// No target has been named.
    #[default]
    Nobody,
    /// One that was left out.
    LeftOut,
    /// The target at that place of the list.
    Target(usize),
}

/// A list of which a part has been read.
#[derive(Debug, Default)]
struct Reading {
    list: TargetList,
    /// The targets' places, and the addresses each has.
    index: BTreeMap<TargetName, usize>,
    addresses: Vec<BTreeSet<TargetAddress>>,
    in_all: usize,
    owner: Owner,
    /// What is said once.
    too_many_targets: bool,
    too_many_in_all: bool,
}

impl Reading {
    fn name(&mut self, key: &str, pair: &RawPair<'_>) {
        self.owner = Owner::LeftOut;
        let text = match pair.value_of(key) {
            Ok(text) => text,
            Err(wrong) => return self.list.leave_out(LeftOut::Value { target: None, shown: shown(pair.raw), wrong }),
        };
        let name = match TargetName::parse(text) {
            Ok(name) => name,
            Err(error) => return self.list.leave_out(LeftOut::Name(error)),
        };
        if let Some(&at) = self.index.get(&name) {
            self.owner = Owner::Target(at);
            return;
        }
        if self.list.targets.len() >= MAX_TARGETS {
            if !core::mem::replace(&mut self.too_many_targets, true) {
                self.list.leave_out(LeftOut::TooManyTargets);
            }
            return;
        }
        let at = self.list.targets.len();
        self.index.insert(name.clone(), at);
        self.addresses.push(BTreeSet::new());
        self.list.targets.push(DiscoveredTarget { name, addresses: Vec::new(), whole: true });
        self.owner = Owner::Target(at);
    }

    fn address(&mut self, key: &str, pair: &RawPair<'_>) {
        let at = match self.owner {
            Owner::Target(at) => at,
            Owner::LeftOut => return,
            Owner::Nobody => return self.list.leave_out(LeftOut::Unowned(shown(pair.raw))),
        };
        let (Some(target), Some(known)) = (self.list.targets.get_mut(at), self.addresses.get_mut(at)) else { return };
        let left_out = match pair.value_of(key).map(parse_target_address) {
            Err(wrong) => LeftOut::Value { target: Some(target.name.clone()), shown: shown(pair.raw), wrong },
            Ok(Err(error)) => LeftOut::Address(target.name.clone(), error),
            Ok(Ok(address)) if known.contains(&address) => return,
            Ok(Ok(_)) if known.len() >= MAX_ADDRESSES => {
                // Said with the first of them.
                if !core::mem::replace(&mut target.whole, false) {
                    return;
                }
                LeftOut::TooManyAddresses(target.name.clone())
            }
            Ok(Ok(_)) if self.in_all >= MAX_ADDRESSES_IN_ALL => {
                target.whole = false;
                if core::mem::replace(&mut self.too_many_in_all, true) {
                    return;
                }
                LeftOut::TooManyInAll
            }
            Ok(Ok(address)) => {
                known.insert(address.clone());
                target.addresses.push(address);
                self.in_all = self.in_all.saturating_add(1);
                return;
            }
        };
        target.whole = false;
        self.list.leave_out(left_out);
    }

    /// A target of whose addresses none can be used is nowhere; it is not where we asked, or it would have said so.
    fn end(mut self) -> TargetList {
        let targets = core::mem::take(&mut self.list.targets);
        for target in targets {
            if target.addresses.is_empty() && !target.whole {
                self.list.leave_out(LeftOut::Nowhere(target.name));
            } else {
                self.list.targets.push(target);
            }
        }
        if let Some(last) = self.list.targets.last_mut().filter(|_| self.list.unterminated) {
            last.whole = false;
        }
        self.list
    }
}

/// A value as it came, fit for a message.
fn shown(raw: &[u8]) -> String {
    const LONGEST: usize = 80;
    match str::from_utf8(raw) {
        Ok(text) => printable(text),
        Err(_) => raw.get(..LONGEST).unwrap_or(raw).escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn list(text: &[u8]) -> TargetList {
        parse_send_targets(text).expect("a list of targets")
    }

    fn targets(list: &TargetList) -> Vec<(String, Vec<String>)> {
        let addresses = |t: &DiscoveredTarget| t.addresses.iter().map(ToString::to_string).collect();
        list.targets.iter().map(|t| (t.name.to_string(), addresses(t))).collect()
    }

    /// The targets of a list without a fault.
    fn shown(text: &[u8]) -> Vec<(String, Vec<String>)> {
        let list = list(text);
        assert!(list.is_whole(), "{list:?}");
        targets(&list)
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

    // check: discovery-bad-record
    #[test]
    fn one_bad_record_is_left_out_and_named_and_the_others_stay() {
        let good = "TargetAddress=192.0.2.1:3260,1\0";
        let long = "x".repeat(224);
        let over = format!("TargetAddress={}:3260,1\0", "x".repeat(300));
        for (bad, says) in [
            ("TargetName=\0", "'' is not an iSCSI name: it is empty"),
            ("TargetName=../../etc\0", "'../../etc' is not"),
            ("TargetName=a b\0", "contains ' '"),
            ("TargetName=a\x1b[2J\0", "'a\\u{1b}[2J' is left out"),
            (&format!("TargetName={long}\0"), "longer than 223 bytes"),
            (&format!("TargetName={long}{long}\0"), "too long"),
            ("TargetAddress=:3260,1\0", "':3260' is not a portal"),
            ("TargetAddress=fe80::1:3260,1\0", "'fe80::1:3260' is not a portal"),
            ("TargetAddress=192.0.2.1:0,1\0", "'192.0.2.1:0' is not a portal"),
            ("TargetAddress=192.0.2.1:3260,70000\0", "portal group tag"),
            ("TargetAddress=192.0.2.1:3260,-1\0", "portal group tag"),
            ("TargetAddress=\0", "'' is not a portal"),
            ("TargetAddress=192.0.2.256,1\0", "four numbers"),
            ("TargetAddress=[2001:db8::1:3260,1\0", "brackets are wrong"),
            ("TargetAddress=nas\r\nforged,1\0", "'nas\\r\\nforged,1' of"),
            (&over, "too long"),
        ] {
            // The bad record is a target of its own, then one of two addresses of a target, then the first record of all.
            let name = "TargetName=iqn.2001-04.com.example:";
            let of_its_own =
                if bad.starts_with("TargetName") { "" } else { "TargetName=iqn.2001-04.com.example:bad\0" };
            let text = format!("{name}a\0{good}{of_its_own}{bad}{name}c\0{good}");
            let read = list(text.as_bytes());
            let here = |suffix: &str, addresses: &[&str]| {
                let addresses = addresses.iter().map(|&address| address.to_string()).collect();
                (format!("iqn.2001-04.com.example:{suffix}"), addresses)
            };
            let one = ["192.0.2.1:3260,1"];
            assert_eq!(targets(&read), [here("a", &one), here("c", &one)], "{bad:?}");
            let sentences: Vec<String> = read.left_out.iter().map(ToString::to_string).collect();
            assert!(sentences[0].contains(says), "{bad:?}: {sentences:?}");
            assert!(sentences.iter().all(|sentence| !sentence.contains(char::is_control)), "{sentences:?}");
            if bad.starts_with("TargetAddress") {
                let text = format!("{name}a\0{bad}{good}");
                let read = list(text.as_bytes());
                assert_eq!((targets(&read), read.left_out.len()), (vec![here("a", &one)], 1), "{bad:?}");
                assert!(!read.targets[0].whole);
                let text = format!("{bad}{name}a\0{good}");
                let read = list(text.as_bytes());
                assert_eq!((targets(&read), read.left_out.len()), (vec![here("a", &one)], 1), "{bad:?}");
                assert!(read.targets[0].whole);
                assert!(read.left_out[0].to_string().contains("no target is named before"), "{:?}", read.left_out);
            } else {
                // A bad name takes its own addresses with it: they do not fall to the target before.
                let text = format!("{name}a\0{good}{bad}TargetAddress=198.51.100.1,1\0");
                let read = list(text.as_bytes());
                assert_eq!((targets(&read), read.left_out.len()), (vec![here("a", &one)], 1), "{bad:?}");
            }
        }
    }

    // check: discovery-bad-record
    #[test]
    fn bytes_that_are_no_text_are_left_out_and_escaped() {
        let text = b"TargetName=a\xff\x1b\0TargetAddress=192.0.2.1,1\0TargetName=iqn.2001-04.com.example:b\0\
            TargetAddress=\xc0\x80\0TargetAddress=192.0.2.2,1\0";
        let read = list(text);
        assert_eq!(targets(&read), [("iqn.2001-04.com.example:b".into(), vec!["192.0.2.2:3260,1".into()])]);
        let sentences: Vec<String> = read.left_out.iter().map(ToString::to_string).collect();
        assert!(sentences[0].contains(r"'a\xff\x1b' is left out"), "{sentences:?}");
        assert!(sentences[1].contains(r"'\xc0\x80' of iqn.2001-04.com.example:b"), "{sentences:?}");
    }

    // check: name-of-a-target
    #[test]
    fn names_that_are_no_iscsi_names_are_taken() {
        let text = b"TargetName=Target-911data\0TargetAddress=192.0.2.1,1\0TargetName=iqn.com.example-10\0";
        let read = list(text);
        assert!(read.is_whole() && read.targets.iter().all(|target| target.name.irregular().is_some()));
        assert_eq!(read.targets[0].name.as_written(), "Target-911data");
    }

    // check: discovery-bounded
    #[test]
    fn a_list_is_cut_at_its_limits_and_that_is_said_once() {
        let name = |n: usize| format!("TargetName=iqn.2001-04.com.example:d{n}\0");
        let text: String = (0..5000).map(|n| name(n) + "TargetAddress=192.0.2.1,1\0").collect();
        let read = list(text.as_bytes());
        assert_eq!((read.targets.len(), read.left_out.as_slice()), (MAX_TARGETS, &[LeftOut::TooManyTargets][..]));
        assert_eq!(read.more_left_out, 0);

        let addresses: String = (1..=5000).map(|n| format!("TargetAddress=192.0.2.1:{n},1\0")).collect();
        let read = list(format!("{}{addresses}{}", name(0), name(1)).as_bytes());
        let target = read.targets[0].name.clone();
        assert_eq!((read.targets.len(), read.targets[0].addresses.len()), (2, MAX_ADDRESSES));
        assert_eq!(read.left_out, [LeftOut::TooManyAddresses(target)]);

        let addresses: String = (1..=MAX_ADDRESSES).map(|n| format!("TargetAddress=192.0.2.1:{n},1\0")).collect();
        let text: String = (0..100).map(|n| name(n) + &addresses).collect();
        let read = list(text.as_bytes());
        assert_eq!(read.targets.iter().map(|target| target.addresses.len()).sum::<usize>(), MAX_ADDRESSES_IN_ALL);
        assert_eq!(read.left_out[0], LeftOut::TooManyInAll);

        let text: String = (0..5000).map(|_| "TargetName=a b\0").collect();
        let read = list(text.as_bytes());
        assert_eq!((read.left_out.len(), read.more_left_out), (MAX_NAMED, 5000 - MAX_NAMED));
    }

    // check: discovery-last-zero
    #[test]
    fn a_list_without_its_last_zero_byte_is_taken_and_removes_nothing() {
        let (a, b) = (
            "TargetName=iqn.2001-04.com.example:a\0TargetAddress=192.0.2.1,1\0",
            "TargetName=iqn.2001-04.com.example:b",
        );
        for (last, addresses) in [("", vec![]), ("\0TargetAddress=192.0.2.2,1", vec!["192.0.2.2:3260,1".into()])] {
            let read = list(format!("{a}{b}{last}").as_bytes());
            let whole = read.targets.iter().map(|target| target.whole).collect::<Vec<_>>();
            assert_eq!((read.unterminated, read.is_whole(), read.left_out.len()), (true, false, 0));
            assert_eq!(targets(&read)[1], ("iqn.2001-04.com.example:b".into(), addresses));
            assert_eq!(whole, [true, false], "what was known of the last one stays");
        }
    }

    // check: discovery-bad-record
    #[test]
    fn a_record_whose_key_is_none_is_left_out_alone() {
        let long = format!("{}=x\0", "K".repeat(64));
        for (bad, says) in [
            (&b"Caf\xe9=x\0"[..], r"'Caf\xe9' is left out"),
            (long.as_bytes(), "longer than 63 bytes"),
            (b"=x\0", "'' is left out"),
            (b"A key\x1b=x\0", r"'A key\u{1b}' is left out"),
        ] {
            for at in 0..3 {
                let mut records = vec![&b"TargetName=iqn.2001-04.com.example:a\0"[..], b"TargetAddress=192.0.2.1,1\0"];
                records.insert(at, bad);
                let read = list(&records.concat());
                let expected = [("iqn.2001-04.com.example:a".into(), vec!["192.0.2.1:3260,1".into()])];
                assert_eq!((targets(&read), read.left_out.len()), (expected.to_vec(), 1), "{:?}", bad.escape_ascii());
                assert!(read.left_out[0].to_string().contains(says), "{:?}", read.left_out);
                assert!(!read.is_whole());
            }
        }
    }

    // check: discovery-malformed
    #[test]
    fn a_text_of_no_pairs_is_refused_as_a_whole() {
        for (text, says) in [
            (&b"iqn.2001-04.com.example:a"[..], "without '='"),
            (b"TargetName=iqn.2001-04.com.example:a\0nonsense\0", "without '='"),
            (b"HTTP/1.1 200 OK\r\n\0", "without '='"),
        ] {
            let error = parse_send_targets(text).expect_err("an error").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
