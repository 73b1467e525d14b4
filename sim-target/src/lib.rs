//! A scriptable in-memory iSCSI target: for tests, for the self-test and for benches.
//!
//! ```text
//!   SimTarget::builder(name).lun(0, SimDisk::new(blocks, block_size)).start()
//!        │ on_command, unit_attention, ping, power_cut …      │ commands, violations, volatile_bytes …
//!        ▼                                                    ▲
//!   Shared ── Event ──► Session (one per connection) ── records, complaints
//!                       Inbox → login | command, talk → execute → Outbox
//! ```
//! It looks at everything an initiator sends as strictly as RFC 7143 allows and keeps what is wrong
//! in [`SimTarget::violations`]; a test ends by asserting that there is none. Text keys, CHAP, CDBs
//! and parameter data are read and written here on their own, so that a mistake of the initiator's
//! codecs does not cancel itself out; headers are the wire structs of `iscsi_proto::pdu`.
//!
//! Content is sparse and knows what is on stable storage: [`SimTarget::volatile_bytes`] says what a
//! power cut would lose, [`SimTarget::power_cut`] loses it.
//!
//! ErrorRecoveryLevel 0, one connection per session. [`proxy`] stands between target and initiator and
//! changes how bytes arrive.
#![forbid(unsafe_code)]

mod agreed;
mod builder;
mod chap;
mod command;
mod connection;
mod control;
mod decode;
mod disk;
mod event;
mod execute;
mod hasty;
mod header;
mod inbox;
mod lock;
mod login;
mod outbox;
pub mod proxy;
mod script;
mod sense;
mod session;
mod shared;
mod store;
mod talk;
mod target;
mod task;
mod text;

pub use agreed::Agreed;
pub use builder::{Builder, DigestPolicy, Negotiation};
pub use chap::{Chap, NoChoice};
pub use disk::SimDisk;
pub use script::{Action, Command, Hold, LoginAction, LoginAttempt, LoginRecord, Tmf, TmfAction, Twist};
pub use shared::SessionInfo;
pub use target::{Counters, SimTarget};
