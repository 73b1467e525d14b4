//! A sans-IO iSCSI initiator (RFC 7143).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod digest;
pub mod error;
pub mod handoff;
pub mod ids;
pub mod names;
pub mod pdu;
pub mod scsi;
pub mod sn;
pub mod time;
