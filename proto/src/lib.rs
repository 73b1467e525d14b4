//! A sans-IO iSCSI initiator (RFC 7143): it decides, the driver does.
//!
//! ```text
//!   login, keys (feature)    the login phase: bytes in, bytes out, a Handoff at the end
//!      │ Handoff
//!      ▼
//!   session                  the full-feature phase: commands in, bytes out, bytes in, results out
//!      │                       escalation, reissue: what drivers do where a command gets no answer
//!   scsi                     what a disk is asked, and how its answers are read
//!      │
//!   pdu, digest              48 bytes at a time
//!   sn, ids, names, time, error     the words all of them share
//! ```
//! The crate has no socket, no clock and no randomness: time is an argument, entropy is an argument,
//! buffers belong to the caller. It never panics on what a target sends, and allocates per session, not
//! per command. It runs in a daemon and in a kernel.
//!
//! # A run loop
//!
//! One read, over anything that reads and writes:
//!
//! ```
//! use std::io::{self, Read, Write};
//!
//! use iscsi_proto::digest::SoftCrc32c;
//! use iscsi_proto::handoff::Handoff;
//! use iscsi_proto::ids::Lun;
//! use iscsi_proto::pdu::TaskAttribute;
//! use iscsi_proto::scsi::cdb;
//! use iscsi_proto::session::*;
//! use iscsi_proto::time::Instant;
//!
//! /// Reads 8 blocks of 512 bytes from block 0 of unit 0 over a connection that has logged in.
//! fn read(mut socket: impl Read + Write, handoff: &Handoff, now: impl Fn() -> Instant) -> io::Result<Vec<u8>> {
//!     let config = SessionConfig { depth: 1, pings: PingTimers { interval: None, timeout: None } };
//!     let mut session: Session<SoftCrc32c> =
//!         Session::from_handoff(handoff, config, now()).map_err(io::Error::other)?;
//!     let mut buffer = vec![0; 4096];
//!     let command = Command {
//!         lun: Lun(0),
//!         cdb: cdb::read_16(0, 8, false).padded(),
//!         attribute: TaskAttribute::Simple,
//!         data: Data::In(4096),
//!     };
//!     session.submit(command).map_err(io::Error::other)?;
//!     let (mut head, mut scratch) = (Head::default(), Vec::new());
//!     loop {
//!         while let Some(transmit) = session.poll_transmit(&mut head) {
//!             socket.write_all(head.bytes())?;
//!             match transmit.payload {
//!                 Payload::None => {}
//!                 Payload::Core(bytes) => socket.write_all(bytes)?,
//!                 Payload::Task { .. } => unreachable!("a read sends no data"),
//!             }
//!         }
//!         match session.rx_plan() {
//!             RxPlan::Stop => return Err(io::ErrorKind::UnexpectedEof.into()),
//!             RxPlan::Place { offset, len, .. } => {
//!                 let place = &mut buffer[offset as usize..][..len as usize];
//!                 socket.read_exact(place)?;
//!                 session.rx_placed(now(), place).map_err(io::Error::other)?;
//!             }
//!             RxPlan::Scratch { need } => {
//!                 let have = scratch.len();
//!                 scratch.resize(need.max(have), 0);
//!                 socket.read_exact(&mut scratch[have..])?;
//!                 let used = session.rx_scratch(now(), &scratch).map_err(io::Error::other)?;
//!                 scratch.drain(..used);
//!             }
//!         }
//!         while let Some(event) = session.poll_event() {
//!             if let Event::TaskDone { itt, result } = event {
//!                 buffer.truncate(result.transferred as usize);
//!                 session.retire(itt).map_err(io::Error::other)?;
//!                 return Ok(buffer);
//!             }
//!         }
//!     }
//! }
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;

mod connection;
pub mod digest;
pub mod error;
pub mod escalation;
pub mod handoff;
pub mod ids;
#[cfg(feature = "login")]
pub mod keys;
#[cfg(feature = "login")]
pub mod login;
pub mod names;
pub mod pdu;
mod receive;
pub mod reissue;
mod rx;
pub mod scsi;
pub mod session;
pub mod sn;
mod task;
mod text;
pub mod time;
pub mod tmf;
mod transfer;
mod transmit;
mod tx;
mod window;
