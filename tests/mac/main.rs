//! The Mac's way to attach, as a whole: the daemon calls the tools of a Mac, which have their effects in the Linux kernel of
//! a QEMU guest; `make test-mac` runs it.
//!
//! ```text
//!   iscsid ──► hdiutil, diskutil, mount_nfs … of tests/fake_mac ──► words of targets/mac/mac.sh in the guest
//!     ▲ ▲                                                             ext4 ── loop ── NFS client ══ 10.0.2.2
//!     │ └───────────────────────── NFS ═══ 127.0.0.1 ════════════════════════════════════════════════╝
//!     └── iSCSI ──► tgt: where it is looked at what became of it all
//! ```
//! With `ISCSID_UNDER_TEST` the daemon is the Mac's own program. Without the guest each test lists itself as skipped.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other end-to-end tests")]
mod common;
mod finder;
#[path = "../targets/guest.rs"]
#[allow(dead_code, reason = "shared with the tests against LIO")]
mod guest;
mod habits;
mod mac;
mod nas;
mod restarts;
mod stage;
#[path = "../targets/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other end-to-end tests")]
mod targets;
mod units;
