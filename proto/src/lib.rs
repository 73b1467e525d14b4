//! A sans-IO iSCSI initiator (RFC 7143).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod connection;
pub mod digest;
pub mod error;
pub mod handoff;
pub mod ids;
#[cfg(feature = "login")]
pub mod keys;
pub mod names;
pub mod pdu;
mod receive;
pub mod recovery;
mod rx;
pub mod scsi;
pub mod session;
pub mod sn;
mod task;
pub mod time;
pub mod tmf;
mod transfer;
mod transmit;
mod tx;
mod window;
