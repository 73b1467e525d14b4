//! How long the end of the daemon takes, and how long whoever ends it waits: each longer than what it waits for.

use std::fs;

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The number that a file has after that text.
fn number(path: &str, after: &str) -> u64 {
    let text = text(path);
    let (_, rest) = text.split_once(after).unwrap_or_else(|| panic!("{path} has no {after}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|error| panic!("{path}, {after}: {error}"))
}

#[test]
fn everybody_who_ends_the_daemon_waits_until_it_has_let_go_of_its_disks_and_logged_out() {
    const END: &str = "src/daemon/end.rs";
    let disks = number(END, "DISKS_LIMIT: Duration = Duration::from_secs(");
    let all = number(END, "END_TIMEOUT: Duration = Duration::from_secs(");
    assert!(disks < all, "exports and logouts have time after the disks: {disks}, {all}");
    for (who, path, after) in [
        ("launchd", "packaging/launchd/org.iscsid.iscsid.plist", "<key>ExitTimeOut</key>\n\t<integer>"),
        ("launchd, by the formula,", "packaging/homebrew/iscsid.rb", "stop_timeout "),
        ("systemd", "packaging/systemd/iscsid.service", "TimeoutStopSec="),
    ] {
        let waits = number(path, after);
        // Not by a second: a process on its way out still has files and threads to close.
        assert!(waits >= all + 5, "{who} kills after {waits} s, and the daemon takes up to {all} s");
    }
}
