//! The initiator's name where the user gave none: made once per machine, and kept.

use super::check;
use crate::ipc::{ExitCode, Failure};

/// The naming authority: the first part of every name made here.
const AUTHORITY: &str = "iqn.2026-11.org.iscsid";

/// `iqn.2026-11.org.iscsid:<host>.<eight random hexadecimal digits>`. The host is for people; the
/// digits are for targets, because two initiators of one name knock each other out, and hosts are
/// called `localhost` and are cloned.
pub(super) fn make() -> Result<String, Failure> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| {
        Failure::new(ExitCode::Internal, format!("the system gives no random numbers for an initiator name: {error}"))
    })?;
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_default();
    Ok(from(&host, u32::from_be_bytes(random)))
}

/// Whether a name was made here: nobody has chosen it.
pub(super) fn is_made(name: &str) -> bool {
    name.is_empty() || name.strip_prefix(AUTHORITY).is_some_and(|rest| rest.starts_with(':'))
}

fn from(host: &str, random: u32) -> String {
    /// Enough to recognise the machine, and far from the 223 bytes of a name.
    const LONGEST: usize = 63;

    let label = host.split('.').next().unwrap_or_default();
    let plain: String =
        label.to_ascii_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(LONGEST).collect();
    let plain = plain.trim_matches('-');
    let name = if plain.is_empty() {
        format!("{AUTHORITY}:{random:08x}")
    } else {
        format!("{AUTHORITY}:{plain}.{random:08x}")
    };
    debug_assert!(check::name(&name).is_ok(), "{name}");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_valid_name_whatever_the_host_is_called() {
        for host in ["", "localhost", "Jo's MacBook Pro.local", "-a-", "ü", "a_b.example.org", &"x".repeat(255)] {
            let name = from(host, 0xbeef);
            assert_eq!(check::name(&name).expect("valid").as_str(), name);
            assert!(name.ends_with("0000beef"), "{name}");
        }
        assert_eq!(from("Jos-Mac.local", 1), "iqn.2026-11.org.iscsid:jos-mac.00000001");
    }
}
