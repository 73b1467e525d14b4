//! The target, tried by a client that does what a test tells it, wrong things included, and by
//! libiscsi.

mod client;
mod disks;
mod faults;
mod flow;
mod libiscsi;
mod login;
mod proxy;
#[path = "../../../src/testing.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests of iscsid use more of it")]
mod testing;
