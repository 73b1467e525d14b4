//! What a name, an address, a key or a secret must look like, in one place for the file and the
//! command line. An error is a clause: what is wrong and how it should be.

use std::ops::RangeInclusive;

use iscsi_proto::keys::{Choices, Key, Rule, Scope, TABLE, Value};
use iscsi_proto::names::{IscsiName, PortalAddress, TargetName};

use super::lenient::truth;
use super::settings::{ALGORITHMS, Timer};
use crate::ipc::{ExitCode, Failure};

/// Lengths of a CHAP secret, in bytes: at least 96 bits where there is no IPsec (RFC 7143 §12.1.3).
pub const SECRET_BYTES: RangeInclusive<usize> = 12..=128;

/// The longest alias or CHAP name, in bytes (RFC 7143 §6.1: text values).
const MAX_TEXT: usize = 255;

/// The longest name of a network interface, in bytes: `IFNAMSIZ` less its NUL.
const MAX_INTERFACE: usize = 15;

/// A name of ours.
pub(super) fn name(text: &str) -> Result<IscsiName, String> {
    IscsiName::parse(text.trim()).map_err(|error| error.to_string())
}

/// A target's name: an iSCSI name, or another that a target has.
pub(super) fn target_name(text: &str) -> Result<TargetName, String> {
    TargetName::parse(text.trim()).map_err(|error| error.to_string())
}

/// `host[:port]`, as typed.
pub(super) fn portal(text: &str) -> Result<PortalAddress, String> {
    PortalAddress::parse(text.trim()).map_err(|error| error.to_string())
}

/// A portal as the file has it: an address, IPv6 with or without brackets, and a port. Who writes the port behind the
/// address, as on the command line, is understood, as long as it is written once.
pub(super) fn address(text: &str, port: Option<u16>) -> Result<PortalAddress, String> {
    let text = text.trim();
    let with_port = match text.strip_prefix('[') {
        Some(rest) => rest.contains("]:"),
        None => text.matches(':').count() == 1,
    };
    let parsed = if with_port {
        PortalAddress::parse(text)
    } else {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        PortalAddress::parse(&if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() })
    };
    let parsed = parsed.map_err(|error| error.to_string())?;
    match port {
        Some(port) if with_port && port != parsed.port => Err(format!(
            "has the port {}, and Port is {port}; write `{}` for the address, and the port once",
            parsed.port, parsed.host
        )),
        None => Ok(parsed),
        Some(port) => Ok(PortalAddress { port, ..parsed }),
    }
}

/// The name of a network interface; `default` and nothing mean any. Whether it is there is the
/// daemon's to see.
pub(super) fn interface(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() || text == "default" {
        return Ok(None);
    }
    let fits = text.len() <= MAX_INTERFACE && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if fits {
        Ok(Some(text.to_owned()))
    } else {
        Err(format!("`{}` is not the name of an interface, such as `en0` or `eth0`", text.escape_debug()))
    }
}

/// An alias or a CHAP name.
pub(super) fn text(what: &str, text: &str) -> Result<String, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("the {what} is {} bytes long; at most {MAX_TEXT} are allowed", text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(format!("the {what} contains the control character {}", bad.escape_debug())),
        None => Ok(text.to_owned()),
    }
}

/// A timer and its value.
pub(super) fn timer(name: &str, seconds: u32) -> Result<Timer, String> {
    let Some(timer) = Timer::named(name) else {
        let names: Vec<&str> = Timer::ALL.into_iter().map(Timer::name).collect();
        return Err(format!("there is no timer `{}`; the timers are {}", name.escape_debug(), names.join(", ")));
    };
    let range = timer.range();
    if range.contains(&seconds) {
        Ok(timer)
    } else {
        Err(format!("{} is {seconds}; it may be {} to {} seconds", timer.name(), range.start(), range.end()))
    }
}

/// The CHAP algorithms of those names, in the same order.
pub(super) fn algorithms(names: &[String]) -> Result<Vec<String>, String> {
    let mut known: Vec<String> = Vec::new();
    for name in names {
        let Some(algorithm) = ALGORITHMS.into_iter().find(|algorithm| algorithm.eq_ignore_ascii_case(name)) else {
            let all = ALGORITHMS.join(", ");
            return Err(format!("`{}` is not a CHAP algorithm; there are {all}", name.escape_debug()));
        };
        if known.iter().any(|there| there == algorithm) {
            return Err(format!("the CHAP algorithm {algorithm} is there twice"));
        }
        known.push(algorithm.to_owned());
    }
    if known.is_empty() { Err("no CHAP algorithm is left to offer".to_owned()) } else { Ok(known) }
}

/// A key that can be configured; upper and lower case are the same here.
pub(super) fn key(name: &str) -> Result<Key, String> {
    let mut configurable = TABLE.iter().filter(|row| row.offered.is_some());
    match configurable.find(|row| row.name.eq_ignore_ascii_case(name)) {
        Some(row) => Ok(row.key),
        None => Key::configurable(name).map_err(|error| error.to_string()),
    }
}

/// A value of a key of RFC 7143 in the standard's own spelling: what people write for yes and no, and without the
/// spaces that they put around a value and after a comma.
pub(super) fn meant(key: Key, typed: &str) -> String {
    let flag = key.row().is_some_and(|row| matches!(row.rule, Rule::And | Rule::Or));
    match truth(typed).filter(|_| flag) {
        Some(true) => "Yes".to_owned(),
        Some(false) => "No".to_owned(),
        None => typed.split(',').map(str::trim).collect::<Vec<_>>().join(","),
    }
}

/// Chooses a value to offer, as a user types it. After an error, `keys` is not for use.
///
/// # Errors
/// A sentence, [`ExitCode::Usage`], for a value that is not one of the key, or would have no effect.
pub fn choose(keys: &mut Choices, key: Key, typed: &str) -> Result<Value, Failure> {
    let value = keys.set(key, &meant(key, typed)).map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))?;
    match keys.without_effect().find(|choice| choice.key == key) {
        None => Ok(value),
        Some(choice) => Err(Failure::new(ExitCode::Usage, choice.to_string())),
    }
}

/// Whether a key's scope is the connection (RFC 7143 §13); the others belong to the session.
pub(super) fn is_of_connection(key: Key) -> bool {
    key.row().is_some_and(|row| row.scope == Scope::Connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, port: Option<u16>) -> Result<String, String> {
        address(text, port).map(|address| format!("{} {}", address.host, address.port))
    }

    // check: portal-port-in-address
    #[test]
    fn the_address_of_a_portal_in_the_file_may_have_its_port_behind_it_once() {
        for (text, port, meant) in [
            ("192.0.2.1", None, "192.0.2.1 3260"),
            ("192.0.2.1", Some(13260), "192.0.2.1 13260"),
            ("192.0.2.1:13260", None, "192.0.2.1 13260"),
            ("192.0.2.1:13260", Some(13260), "192.0.2.1 13260"),
            ("nas.example:13260", None, "nas.example 13260"),
            ("2001:db8::1", None, "2001:db8::1 3260"),
            ("[2001:db8::1]", Some(1), "2001:db8::1 1"),
            ("[2001:db8::1]:13260", None, "2001:db8::1 13260"),
            (" [fe80::1%eth0]:13260 ", Some(13260), "fe80::1%eth0 13260"),
            // An address of eight groups, and no port.
            ("2001:db8:0:0:0:0:0:13260", None, "not an address"),
        ] {
            match meant {
                "not an address" => assert!(read(text, port).is_err(), "{text}"),
                _ => assert_eq!(read(text, port).as_deref(), Ok(meant), "{text}"),
            }
        }
        let twice = "has the port 13260, and Port is 3260; write `192.0.2.1` for the address, and the port once";
        assert_eq!(read("192.0.2.1:13260", Some(3260)), Err(twice.to_owned()));
        for wrong in ["192.0.2.1:0", "192.0.2.1:99999", "192.0.2.1:", "[::1]x", "[::1]:", ":3260"] {
            assert!(read(wrong, None).is_err_and(|why| why.contains("portal")), "{wrong}");
        }
    }
}
