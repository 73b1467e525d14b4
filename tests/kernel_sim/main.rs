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
#[allow(dead_code)]
#[path = "../common/process.rs"]
mod process;
mod sim;

mod daemon;
mod disks;
mod hostile;
mod loss;

const TARGET: &str = "iqn.2026-11.test.sim:disk";
