//! The built binary against LIO, the target most people have; `make test-lio` runs it.
//!
//! ```text
//!   QEMU guest: Linux, LIO ◄── iSCSI ── iscsid ◄── control socket ── iscsictl
//!         ▲                               └── nbd.sock ◄── nbdcopy, nbdinfo, fio
//!         └── what the target has, what becomes of it
//! ```
//! Without the guest each test lists itself as skipped. What LIO cannot do is left to the other targets: it never
//! redirects a login.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other end-to-end tests")]
mod common;
#[path = "../targets/guest.rs"]
mod guest;
#[path = "../targets/lio.rs"]
mod lio;
#[path = "../targets/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only what a target shall be is needed of them")]
mod targets;

mod chap;
mod data;
mod discovery;
mod login;
mod loss;
mod units;

/// The SHA-256 of a file of this machine, in hexadecimal.
fn sha256(file: &str) -> String {
    use sha2::Digest;
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a session with a target has counted.
fn counters(daemon: &common::Daemon, lio: &lio::Lio) -> iscsid::ipc::SessionStats {
    let stats: Vec<iscsid::ipc::Stats> = daemon.ctl_json(&["stats", &lio.iqn]);
    stats.into_iter().next().unwrap_or_else(|| panic!("no counters of {}", lio.iqn)).counters
}
