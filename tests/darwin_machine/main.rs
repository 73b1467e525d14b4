//! The Mac's own program, and the Mac around it: it sleeps and wakes, its network changes, its keychain refuses,
//! launchd hands sockets over, the kernel extension is loaded.
//!
//! ```text
//!   a scenario ── machrun --machine DIR WORD ──► the calls that macOS makes ──► iscsid, the Mach-O
//!              ◄── DIR/log: what it did towards the machine ───────────────────┘   └── iSCSI ──► a target
//! ```
//! `tests/darwin/run machine` builds the program and runs these. With another program under test there is nothing to
//! run.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other end-to-end tests")]
mod common;
mod mac;
#[path = "../darwin/signature.rs"]
mod signature;

mod ends;
mod extension;
mod keychain;
mod launchd;
mod network;
mod objects;
mod sleep;

use sim_target::{Builder, SimDisk, SimTarget};

use crate::common::Daemon;

const TARGET: &str = "iqn.2026-11.test.mac:disk";

/// A target with one disk, whose write cache is on.
fn target() -> Builder {
    SimTarget::builder(TARGET).lun(0, SimDisk::new(8192, 512).write_cache(true))
}

fn started(builder: Builder) -> SimTarget {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(builder.own_thread().start()).expect("a target")
}

/// Logs in, without a disk attached to this machine.
fn log_in(daemon: &Daemon, target: &SimTarget) {
    let disks = daemon.log_in(TARGET, &target.address().to_string());
    assert_eq!(disks.len(), 1, "{disks:?}");
}
