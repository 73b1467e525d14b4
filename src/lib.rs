//! The modules of iscsid, so that tests can link them.

pub mod block;
pub mod cli;
mod clients;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod export;
pub mod ipc;
pub mod kernel_bridge;
pub mod load;
mod login;
pub mod options;
mod printable;
pub mod quirks;
mod regular_file;
pub mod selftest;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trust;
mod usage;
