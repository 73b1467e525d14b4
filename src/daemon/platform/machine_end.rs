//! Whether the machine ends, asked by a daemon that is told to end.
//!
//! A job of launchd gets SIGTERM either way, when it alone is ended and when the machine is, and IOKit tells only kernel
//! extensions that the machine ends (xnu, iokit/Kernel/IOPMrootDomain.cpp). What tells is the sysctl kern.willshutdown, which
//! launchd sets first. Systemd ends what hangs on our disks before it ends us.

use crate::export::attach::{MacTools, sysctl};

/// Whether this machine is being switched off or restarted. Stand-ins for its tools are asked first, where there are some.
pub(crate) async fn machine_ends(tools: &MacTools) -> bool {
    match sysctl(tools, "kern.willshutdown").await {
        Some(value) => value == "1",
        None => this_machine_ends(),
    }
}

#[cfg(target_os = "macos")]
use super::macos_sys::will_shut_down as this_machine_ends;

#[cfg(not(target_os = "macos"))]
const fn this_machine_ends() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn stand_ins_say_whether_the_machine_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let tools = MacTools::in_directory(dir.path());
        assert!(!machine_ends(&tools).await, "without one, the machine goes on");
        let sysctl = dir.path().join("sysctl");
        for (said, ends) in [("1", true), ("0", false)] {
            std::fs::write(&sysctl, format!("#!/bin/sh\n[ \"$*\" = '-n kern.willshutdown' ] && echo {said}\n"))
                .expect("a script");
            std::fs::set_permissions(&sysctl, std::fs::Permissions::from_mode(0o755)).expect("a script to run");
            assert_eq!(machine_ends(&tools).await, ends, "{said}");
        }
    }
}
