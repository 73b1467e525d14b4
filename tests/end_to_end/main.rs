//! The built binary through its promised interfaces, against targets nobody here wrote.
//!
//! ```text
//!   tgtd, istgt ◄── iSCSI ── iscsid ◄── control socket ── iscsictl
//!                              └── nbd.sock ◄── nbdcopy, nbdinfo, fio      loop device ◄── mkfs, mount
//! ```
//! A test that needs what this machine lacks says so and is listed by `make test`; with `CI` set it fails.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../targets/mod.rs"]
mod targets;

mod activation;
mod attach;
mod bench;
mod conduct;
mod discovery;
mod dissection;
mod doctor;
mod durability;
mod exports;
mod few_descriptors;
mod file_system;
mod harness;
mod hostile_clients;
mod hostile_words;
mod integrity;
mod iscsi_osx;
mod life;
mod login;
mod nfs;
mod recovery;
mod segments;
mod units;
mod wrong_input;
