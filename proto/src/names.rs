//! Names of iSCSI nodes and addresses of portals, as people and targets write them.
//!
//! ```text
//!   iqn.2001-04.com.example:disk1          iqn. date . reversed domain [: anything]
//!   eui.02004567a425678d                   eui. 16 hexadecimal digits (EUI-64)
//!   naa.52004567ba64678d                   naa. 16 or 32 hexadecimal digits
//!
//!   192.0.2.1   192.0.2.1:3261   [2001:db8::1]   [2001:db8::1]:3261   nas.example:3260     a portal
//!   192.0.2.1:3260,1                                                                       TargetAddress
//! ```
//! (RFC 7143 §4.2.7, §13.8)

mod target;

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

pub use target::TargetName;

/// The longest iSCSI name, in bytes (RFC 7143 §4.2.7.1).
pub const MAX_NAME: usize = 223;

/// The port of a portal that names none (RFC 7143 §4.2.7, IANA).
pub const DEFAULT_PORT: u16 = 3260;

/// An iSCSI node's name, normalised: lower case, nothing in it but letters, digits, `.`, `-`, `:`
/// (and `_`, which RFC 3722 forbids and targets use nevertheless) after a known prefix.
///
/// Two names are equal if their normalised forms are (§4.2.7.1: names are case-insensitive).
/// Letters outside ASCII are lower-cased, but not otherwise folded as RFC 3722 has it (no NFKC).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IscsiName(Spelled);

impl IscsiName {
    /// Checks and normalises a name.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it and how it should look.
    pub fn parse(text: &str) -> Result<IscsiName, NameError> {
        let fail = |problem| NameError { name: printable(text), problem };
        let normal = normalised(text).map_err(fail)?;
        match normal.split_once('.') {
            Some(("iqn", rest)) => check_iqn(rest),
            Some(("eui", digits)) => check_hex(digits, &[16], NameProblem::Eui),
            Some(("naa", digits)) => check_hex(digits, &[16, 32], NameProblem::Naa),
            None if normal.is_empty() => Err(NameProblem::Empty),
            _ => Err(NameProblem::Prefix),
        }
        .map_err(fail)?;
        Ok(IscsiName(Spelled { normal, written: text.to_owned() }))
    }

    /// The normalised name: what to compare, store under and show.
    pub fn as_str(&self) -> &str {
        &self.0.normal
    }

    /// The name in the spelling it came in: what to call a target by, since there are targets that
    /// compare names byte by byte and have capitals in them.
    pub fn as_written(&self) -> &str {
        &self.0.written
    }
}

/// The text in lower case, if it has the length and the characters of a name.
fn normalised(text: &str) -> Result<String, NameProblem> {
    if text.len() > MAX_NAME {
        return Err(NameProblem::TooLong);
    }
    let normal: String = text.chars().flat_map(char::to_lowercase).collect();
    if normal.len() > MAX_NAME {
        return Err(NameProblem::TooLong);
    }
    match normal.chars().find(|&c| !(c.is_alphanumeric() || matches!(c, '.' | '-' | ':' | '_'))) {
        Some(bad) => Err(NameProblem::Character(bad)),
        None => Ok(normal),
    }
}

fn check_hex(digits: &str, lengths: &[usize], problem: NameProblem) -> Result<(), NameProblem> {
    match lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(problem),
    }
}

/// `yyyy-mm.reversed.domain[:anything]` (§4.2.7.4).
fn check_iqn(rest: &str) -> Result<(), NameProblem> {
    let (authority, unique) = match rest.split_once(':') {
        Some((authority, unique)) => (authority, Some(unique)),
        None => (rest, None),
    };
    let (date, domain) = authority.split_once('.').unwrap_or((authority, ""));
    let date_is_one = match date.as_bytes() {
        [y @ .., b'-', m1, m2] if y.len() == 4 && y.iter().all(u8::is_ascii_digit) => {
            matches!((m1, m2), (b'0', b'1'..=b'9') | (b'1', b'0'..=b'2'))
        }
        _ => false,
    };
    if !date_is_one {
        return Err(NameProblem::Date);
    }
    let label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    if !domain.split('.').all(label) {
        return Err(NameProblem::Domain);
    }
    match unique {
        Some("") => Err(NameProblem::NothingAfterColon),
        _ => Ok(()),
    }
}

impl FromStr for IscsiName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<IscsiName, NameError> {
        IscsiName::parse(text)
    }
}

impl fmt::Display for IscsiName {
    /// The normalised name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.normal)
    }
}

impl AsRef<str> for IscsiName {
    fn as_ref(&self) -> &str {
        &self.0.normal
    }
}

/// A name in both forms: as it came in, and normalised. The normalised one alone is compared.
#[derive(Debug, Clone)]
struct Spelled {
    normal: String,
    written: String,
}

impl PartialEq for Spelled {
    fn eq(&self, other: &Spelled) -> bool {
        self.normal == other.normal
    }
}

impl Eq for Spelled {}

impl PartialOrd for Spelled {
    fn partial_cmp(&self, other: &Spelled) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Spelled {
    fn cmp(&self, other: &Spelled) -> Ordering {
        self.normal.cmp(&other.normal)
    }
}

impl Hash for Spelled {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal.hash(state);
    }
}

/// Why a text is not an iSCSI name; displays as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    name: String,
    problem: NameProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameProblem {
    TooLong,
    Character(char),
    Prefix,
    Date,
    Domain,
    NothingAfterColon,
    Eui,
    Naa,
    Empty,
    Beginning,
    Dots,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not an iSCSI name: ", self.name)?;
        match self.problem {
            NameProblem::TooLong => write!(f, "it is longer than {MAX_NAME} bytes, shorten it"),
            NameProblem::Character(c) => {
                write!(f, "it contains {c:?}, use only letters, digits, '.', '-' and ':'")
            }
            NameProblem::Prefix => f.write_str(
                "it starts with none of 'iqn.', 'eui.' and 'naa.', write it like iqn.2001-04.com.example:disk1",
            ),
            NameProblem::Date => {
                f.write_str("after 'iqn.' comes a year and a month, write it like iqn.2001-04.com.example:disk1")
            }
            NameProblem::Domain => {
                f.write_str("after the date comes a reversed domain name, write it like iqn.2001-04.com.example:disk1")
            }
            NameProblem::NothingAfterColon => f.write_str("nothing follows the colon, name something or leave it out"),
            NameProblem::Eui => f.write_str("after 'eui.' come exactly 16 hexadecimal digits"),
            NameProblem::Naa => f.write_str("after 'naa.' come exactly 16 or 32 hexadecimal digits"),
            NameProblem::Empty => f.write_str("it is empty, write one like iqn.2001-04.com.example:disk1"),
            NameProblem::Beginning => f.write_str("it begins with neither a letter nor a digit"),
            NameProblem::Dots => f.write_str("it contains '..', which is a path's"),
        }
    }
}

impl core::error::Error for NameError {}

/// What somebody wrote, fit for a message: control characters escaped, cut to a length.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// Where a portal listens: a host and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortalAddress {
    /// An IPv4 address, an IPv6 address without brackets (perhaps with `%zone`), or a DNS name in
    /// lower case.
    pub host: String,
    /// TCP port, not 0.
    pub port: u16,
}

impl PortalAddress {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; without a port it is [`DEFAULT_PORT`].
    ///
    /// # Errors
    /// [`PortalError`] says what is wrong with it and how it should look.
    pub fn parse(text: &str) -> Result<PortalAddress, PortalError> {
        let fail = |problem| PortalError { portal: printable(text), problem };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or_else(|| fail(PortalProblem::Bracket))?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(fail(PortalProblem::Bracket)),
            };
            (ipv6(inside).ok_or_else(|| fail(PortalProblem::Ipv6))?, port)
        } else {
            let (host, port) = match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    let bare = ipv6(text).is_some();
                    return Err(fail(if bare { PortalProblem::BareIpv6 } else { PortalProblem::Port }));
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (ipv4_or_name(host).map_err(fail)?, port)
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => decimal(digits).filter(|&port| port != 0).ok_or_else(|| fail(PortalProblem::Port))?,
        };
        Ok(PortalAddress { host, port })
    }

    /// Whether the host is an IPv6 address, to be written in brackets.
    pub fn is_ipv6(&self) -> bool {
        self.host.contains(':')
    }
}

fn ipv6(text: &str) -> Option<String> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let mut host = alloc::format!("{}", Ipv6Addr::from_str(address).ok()?);
    if let Some(zone) = zone {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if zone.is_empty() || zone.len() > 32 || !zone.bytes().all(plain) {
            return None;
        }
        host.push('%');
        host.push_str(zone);
    }
    Some(host)
}

fn ipv4_or_name(host: &str) -> Result<String, PortalProblem> {
    if Ipv4Addr::from_str(host).is_ok() {
        return Ok(host.to_owned());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let mut labels = name.split('.');
    if labels.clone().next_back().is_some_and(is_number) {
        // RFC 1123 §2.1: the last label of a name is no number, so this was meant as an address. Resolvers go by the old forms
        // `127.1` and `0x7f000001` still; who reads them does not see where they lead.
        return Err(PortalProblem::Ipv4);
    }
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    match name.len() <= 253 && labels.all(label) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(PortalProblem::Host),
    }
}

/// Whether a label of a host is a number to those who know the old forms of addresses, `inet_aton`'s.
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// A number of plain decimal digits: no sign, no space.
fn decimal(digits: &str) -> Option<u16> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl FromStr for PortalAddress {
    type Err = PortalError;

    fn from_str(text: &str) -> Result<PortalAddress, PortalError> {
        PortalAddress::parse(text)
    }
}

impl fmt::Display for PortalAddress {
    /// `host:port`, an IPv6 host in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_ipv6() {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why a text is not a portal's address; displays as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalError {
    portal: String,
    problem: PortalProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PortalProblem {
    Bracket,
    BareIpv6,
    Ipv6,
    Ipv4,
    Host,
    Port,
    GroupTag,
}

impl fmt::Display for PortalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a portal: ", self.portal)?;
        match self.problem {
            PortalProblem::Bracket => {
                f.write_str("the brackets are wrong, write an IPv6 address like [2001:db8::1]:3260")
            }
            PortalProblem::BareIpv6 => write!(f, "put an IPv6 address in brackets, like [{}]", self.portal),
            PortalProblem::Ipv6 => {
                f.write_str("there is no IPv6 address in the brackets, write it like [2001:db8::1]:3260")
            }
            PortalProblem::Ipv4 => f.write_str("an IPv4 address has four numbers up to 255, like 192.0.2.1:3260"),
            PortalProblem::Host => {
                f.write_str("the host is neither an address nor a DNS name, write it like nas.example:3260")
            }
            PortalProblem::Port => f.write_str("the port after the colon is not a number from 1 to 65535"),
            PortalProblem::GroupTag => {
                f.write_str("the portal group tag after the comma is not a number from 0 to 65535")
            }
        }
    }
}

impl core::error::Error for PortalError {}

/// The value of a TargetAddress key: a portal and the portal group it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetAddress {
    /// Where it listens.
    pub portal: PortalAddress,
    /// Its portal group; a redirection names none (§13.8).
    pub group_tag: Option<u16>,
}

impl fmt::Display for TargetAddress {
    /// `host:port[,group-tag]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group_tag {
            Some(tag) => write!(f, "{},{tag}", self.portal),
            None => write!(f, "{}", self.portal),
        }
    }
}

/// Reads a TargetAddress, `host[:port][,group-tag]` (RFC 7143 §13.8).
///
/// # Errors
/// [`PortalError`] says which part is malformed.
pub fn parse_target_address(text: &str) -> Result<TargetAddress, PortalError> {
    let (portal, tag) = match text.split_once(',') {
        Some((portal, tag)) => (portal, Some(tag)),
        None => (text, None),
    };
    let group_tag = match tag {
        Some(digits) => {
            let problem = PortalProblem::GroupTag;
            Some(decimal(digits).ok_or_else(|| PortalError { portal: printable(text), problem })?)
        }
        None => None,
    };
    Ok(TargetAddress { portal: PortalAddress::parse(portal)?, group_tag })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    // check: name-form
    #[test]
    fn names_that_other_initiators_rejected_are_names() {
        for name in [
            "iqn.2001-04.com.example",
            "iqn.2001-04.com.example:disk1",
            "iqn.2001-04.a.b:c",
            "iqn.1993-08.org.debian:01:a7b-c",
            "iqn.2005-10.org.freenas.ctl:back-up.2",
            "iqn.2015-01.com.my-host.x-y:z",
            "iqn.2001-04.com.example:with_underscore",
            "iqn.2001-04.com.example:größe",
            "eui.02004567a425678d",
            "naa.52004567ba64678d",
            "naa.62004567ba64678d0123456789abcdef",
        ] {
            assert_eq!(IscsiName::parse(name).map(|n| n.to_string()).as_deref(), Ok(name));
        }
    }

    // check: name-normalised
    #[test]
    fn a_name_is_compared_in_lower_case_and_keeps_its_spelling() {
        let mixed = IscsiName::parse("IQN.2000-01.com.example:NAS.Target-1").expect("a name");
        assert_eq!(mixed.as_str(), "iqn.2000-01.com.example:nas.target-1");
        assert_eq!(mixed.as_written(), "IQN.2000-01.com.example:NAS.Target-1");
        assert_eq!(Ok(mixed), "iqn.2000-01.com.example:nas.target-1".parse());
    }

    // check: name-form, name-not-raw
    #[test]
    fn what_is_not_a_name_is_told_in_one_sentence() {
        let long = format!("iqn.2001-04.com.example:{}", "x".repeat(200));
        for (text, says) in [
            ("", "it is empty"),
            ("disk1", "starts with none of"),
            ("iqn", "starts with none of"),
            ("iqn.", "a year and a month"),
            ("iqn.2001.com.example", "a year and a month"),
            ("iqn.2001-13.com.example", "a year and a month"),
            ("iqn.2001-00.com.example", "a year and a month"),
            ("iqn.01-04.com.example", "a year and a month"),
            ("iqn.2001-04", "reversed domain"),
            ("iqn.2001-04.", "reversed domain"),
            ("iqn.2001-04.com..example", "reversed domain"),
            ("iqn.2001-04:disk", "reversed domain"),
            ("iqn.2001-04.com.example:", "nothing follows the colon"),
            ("iqn.2001-04.com.example:a b", "contains ' '"),
            ("iqn.2001-04.com.example:../etc", "contains '/'"),
            ("iqn.2001-04.com.example:$(x)", "contains '$'"),
            ("iqn.2001-04.com.example:a\0", "contains '\\0'"),
            ("iqn.2001-04.com.example:a\u{202e}", "contains '\\u{202e}'"),
            ("iqn.2001-04.com.example:%n", "contains '%'"),
            (long.as_str(), "longer than 223 bytes"),
            ("eui.02004567a425678", "16 hexadecimal"),
            ("eui.02004567a425678g", "16 hexadecimal"),
            ("naa.52004567ba64678d01", "16 or 32"),
        ] {
            let error = IscsiName::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text:?}: {error}");
            assert!(!error.contains(['\n', '\0']), "{error:?}");
        }
    }

    // check: text-value-length
    #[test]
    fn a_name_of_223_bytes_is_the_longest() {
        let head = "iqn.2001-04.com.example:";
        let longest = format!("{head}{}", "x".repeat(MAX_NAME - head.len()));
        assert!(IscsiName::parse(&longest).is_ok());
        assert!(IscsiName::parse(&format!("{longest}x")).is_err());
    }

    // check: redirect-followed, discovery-ipv6
    #[test]
    fn portals_are_read_in_every_spelling() {
        for (text, host, port, shown) in [
            ("192.0.2.1", "192.0.2.1", 3260, "192.0.2.1:3260"),
            ("192.0.2.1:860", "192.0.2.1", 860, "192.0.2.1:860"),
            ("[2001:DB8::1]", "2001:db8::1", 3260, "[2001:db8::1]:3260"),
            ("[::1]:13260", "::1", 13260, "[::1]:13260"),
            ("[fe80::1%en0]:3260", "fe80::1%en0", 3260, "[fe80::1%en0]:3260"),
            ("NAS.example.", "nas.example", 3260, "nas.example:3260"),
            ("localhost:65535", "localhost", 65535, "localhost:65535"),
            ("3com.example", "3com.example", 3260, "3com.example:3260"),
            ("0xnas", "0xnas", 3260, "0xnas:3260"),
            ("0x7f.example", "0x7f.example", 3260, "0x7f.example:3260"),
        ] {
            let portal = PortalAddress::parse(text).expect(text);
            assert_eq!((portal.host.as_str(), portal.port), (host, port), "{text}");
            assert_eq!(portal.to_string(), shown);
            assert_eq!(shown.parse(), Ok(portal), "what is shown can be read again");
        }
    }

    // check: redirect-nowhere
    #[test]
    fn what_is_not_a_portal_is_told_in_one_sentence() {
        for (text, says) in [
            ("", "neither an address nor a DNS name"),
            (":3260", "neither an address nor a DNS name"),
            ("a b", "neither an address nor a DNS name"),
            ("-x.example", "neither an address nor a DNS name"),
            ("http://nas", "port after the colon"),
            ("nas:", "port after the colon"),
            ("nas:0", "port after the colon"),
            ("nas:65536", "port after the colon"),
            ("nas:+1", "port after the colon"),
            ("nas:1:2", "port after the colon"),
            ("192.0.2.256", "four numbers"),
            ("192.0.2", "four numbers"),
            ("127.1", "four numbers"),
            ("2130706433:3260", "four numbers"),
            ("0x7f000001", "four numbers"),
            ("0X7F.0x1", "four numbers"),
            ("017700000001", "four numbers"),
            ("127.0.0.0x1.:3260", "four numbers"),
            ("nas.0x", "four numbers"),
            ("2001:db8::1", "like [2001:db8::1]"),
            ("[2001:db8::1", "brackets are wrong"),
            ("[2001:db8::1]3260", "brackets are wrong"),
            ("[nas]:3260", "no IPv6 address in the brackets"),
            ("[fe80::1%]:3260", "no IPv6 address in the brackets"),
        ] {
            let error = PortalAddress::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    // check: redirect-followed
    #[test]
    fn target_addresses_carry_a_group_tag_or_none() {
        let with = parse_target_address("[2001:db8::1]:3260,7").expect("an address");
        assert_eq!((with.portal.host.as_str(), with.group_tag), ("2001:db8::1", Some(7)));
        assert_eq!(with.to_string(), "[2001:db8::1]:3260,7");
        let without = parse_target_address("nas.example").expect("an address");
        assert_eq!((without.portal.port, without.group_tag), (3260, None));
        for bad in ["nas,", "nas,x", "nas,65536", "nas,1,2", ",1"] {
            assert!(parse_target_address(bad).is_err(), "{bad}");
        }
    }
}
