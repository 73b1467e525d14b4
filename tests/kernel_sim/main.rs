//! The kernel extension's own sources, executed: the harness of `kext-shim/harness` plays the kernel.
//!
//! ```text
//!   a scenario ── user client's calls ──► iscsi-kernel-sim ── TCP ──► a target
//!              ── NBD: the disks ───────►
//! ```
//! `make test-kext` builds it with the address and undefined behaviour sanitizers and runs these, and again with the
//! thread sanitizer. `ISCSI_KERNEL_SIM` names another binary; `ISCSI_KERNEL_SIM_SEED` how the stream is cut.
//!
//! Every scenario ends with the extension unloaded: a lock, an object, a byte, a socket that is left behind fails it.

#![cfg(target_os = "linux")]

mod client;
#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other end-to-end tests")]
mod common;
mod sim;
#[path = "../targets/mod.rs"]
#[allow(dead_code, reason = "shared with the other end-to-end tests")]
mod targets;

mod cost;
mod daemon;
mod disks;
mod fence;
mod hostile;
mod loss;
mod real;
mod tasks;

const TARGET: &str = "iqn.2026-11.test.sim:disk";
