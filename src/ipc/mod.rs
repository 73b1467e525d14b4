//! The vocabulary between the two faces: what `iscsictl` asks and what `iscsid` answers.
//!
//! ```text
//!   cli                               daemon
//!    │ ── Hello { version } ───────────► │   first frame; another version is answered by an error
//!    │ ── Request ─────────────────────► │   any number, one at a time
//!    │ ◄── Progress* ─ Reply ─────────── │
//! ```
//! A client that hangs up does not take back what it asked for, but for a benchmark, which ends.
//!
//! Frames are a 32-bit big-endian length (at most [`MAX_FRAME`]) and that many bytes of JSON.
//! Any local user may read. Only root and the daemon's own user may change something, by the credentials of
//! the accepted socket.

mod bench;
mod import;
mod reply;
mod request;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::bench::{
    BenchPhase, BenchProgress, BenchReport, Latency, MAX_BENCH_DEPTH, MAX_BENCH_SECONDS, Rw, Workload,
};
pub use self::import::{Import, Imported, ImportedPortal, ImportedTarget};
pub use self::reply::{
    Chap, Discovered, Discovery, DiscoveryPortal, Initiator, Lun, Origin, Portal, Reply, Session, SessionDetails,
    SessionState, Stats, Target, TargetDetails,
};
pub use self::request::{
    ChapChanges, DiscoveryChanges, FlushPolicy, InitiatorChanges, Request, Secret, TargetChanges, Which,
};

/// Version of this vocabulary. Both faces are one binary; it differs only across an upgrade.
pub const VERSION: u32 = 1;

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// The longest frame of a client, in bytes: many clients may each send most of one.
pub const MAX_REQUEST: usize = 64 << 10;

/// The first frame of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
}

/// What the daemon sends back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// A sentence to show while the client waits; any number of them.
    Progress(String),
    /// How far a benchmark is: only for [`Request::Bench`], any number of them.
    Bench(BenchProgress),
    /// The answer; the last frame for a request.
    Reply(Result<Reply, Failure>),
}

/// A refusal or failure: an exit code and a sentence that names what failed, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How the command exits.
    pub code: ExitCode,
    /// The sentence, for standard error.
    pub message: String,
}

impl Failure {
    /// A failure of that kind.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Exit codes, from sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// The command line, or an argument on it, is wrong.
    Usage = 64,
    /// Data is wrong: names something that is not there or is there twice.
    Data = 65,
    /// The host is unknown or does not answer.
    NoHost = 68,
    /// The daemon, or the target, is not there.
    Unavailable = 69,
    /// A bug of ours.
    Internal = 70,
    /// Busy now; may work later.
    TryAgain = 75,
    /// The other side does not speak iSCSI, or speaks it wrongly.
    Protocol = 76,
    /// Not permitted: not root, or refused by the target.
    NotPermitted = 77,
    /// The configuration is wrong.
    Configuration = 78,
}
