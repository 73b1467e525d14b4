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
//! A list that does not fit one frame comes in several, [`Frame::Part`] and at last the reply.
//!
//! Frames are a 32-bit big-endian length (at most [`MAX_FRAME`]) and that many bytes of JSON.
//! Any local user may read. Only root and the daemon's own user may change something, by the credentials of
//! the accepted socket.

mod bench;
mod changes;
mod failure;
mod frame;
mod import;
mod reply;
mod request;

pub use self::bench::{
    BenchPhase, BenchProgress, BenchReport, Latency, MAX_BENCH_DEPTH, MAX_BENCH_SECONDS, Rw, Workload,
};
pub use self::changes::{ChapChanges, DiscoveryChanges, FlushPolicy, InitiatorChanges, Secret, TargetChanges};
pub use self::failure::{ExitCode, Failure};
pub use self::frame::{Frame, Hello, MAX_FRAME, MAX_REQUEST, VERSION};
pub use self::import::{Import, Imported, ImportedPortal, ImportedTarget};
pub use self::reply::{
    Chap, Discovered, Discovery, DiscoveryPortal, FailedIo, Initiator, LostDisk, Lun, LunState, Origin, Portal,
    Recovery, Reply, Session, SessionDetails, SessionState, SessionStats, Stats, Target, TargetDetails,
};
pub use self::request::{Request, Which};
