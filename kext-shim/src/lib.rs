//! The protocol core as a kernel's C++ sees it: data and named calls, in one direction only.
//!
//! ```text
//!   IscsiHBA, IscsiSession, IscsiSocket (C++)
//!        │ iscsi_session_*: integers, lengths, pointers that are valid for the call     calls, abi
//!        ▼
//!   engine: commands, what waits, escalation by task management, counters                engine/
//!        │
//!   iscsi-proto: the session of RFC 7143
//!        │ IOMallocAligned, IOFreeAligned, panic; memcpy and the like                    memory, panicking
//!        ▼
//!   the kernel
//! ```
//! No function pointer crosses the border, in either direction: rustc does not sign pointers on arm64e, and a
//! core without I/O has nothing to call. Who calls holds the session's lock: nothing here is called twice at
//! the same time for one session, and nothing here waits.
//!
//! Everything that comes over the border is checked: pointers for null and alignment, lengths, every
//! enumeration; a session by a mark in its first bytes. What cannot be checked (that a pointer leads to memory of
//! that length) stands in [`calls`], function by function.
//!
//! # What is allocated when
//! [`iscsi_session_create`](calls::iscsi_session_create) allocates the tables of a session, all at once, and says
//! so if there is no memory for them. Afterwards no command allocates, whether it succeeds or fails with sense data
//! in a PDU that arrives in one piece. What still does, most of it because its size is the target's choice:
//!
//! | when | how much | bounded by |
//! |---|---|---|
//! | a PDU with a data segment for the core (sense, ping, asynchronous message) arrives in pieces | its data segment | MaxRecvDataSegmentLength that we declared |
//! | the target pings with data, and wants them back | that data | 1 MiB in all |
//! | an asynchronous message carries sense data | that data | as the first |
//! | the first unit is fenced | 2 KiB | 256 units |
//! | more events than tasks at once (asynchronous messages) | 48 bytes each | the bytes of one call of `iscsi_session_received` |
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;

#[allow(non_camel_case_types, reason = "names of C")]
pub mod abi;
#[allow(unsafe_code, non_camel_case_types, reason = "pointers of the other side, and its names")]
pub mod calls;
#[allow(unsafe_code, reason = "one instruction that the language has no word for here")]
pub mod digest;
mod engine;
#[cfg(all(feature = "kernel", not(test)))]
#[allow(unsafe_code, reason = "the kernel's allocator")]
mod memory;
#[cfg(all(feature = "kernel", not(test)))]
#[allow(unsafe_code, reason = "the kernel's panic")]
mod panicking;
mod sentence;
