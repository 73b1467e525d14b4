//! What travels over the control socket.

use serde::{Deserialize, Serialize};

use super::bench::BenchProgress;
use super::failure::Failure;
use super::reply::Reply;

/// Version of this vocabulary. Both faces are one binary; it differs only across an upgrade.
pub const VERSION: u32 = 3;

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
    /// How far a benchmark is: only for [`Request::Bench`](super::Request::Bench), any number of them.
    Bench(BenchProgress),
    /// The beginning of an answer that is a list too long for one frame: its other items follow, in further such frames
    /// and at last in the answer.
    Part(Reply),
    /// The answer; the last frame for a request.
    Reply(Result<Reply, Failure>),
}
