//! A unit that takes operations, and the way to run a single one.

use tokio::runtime::Handle as Runtime;

use super::completion::{Completions, Done};
use super::error::IoError;
use super::geometry::Geometry;
use super::io::{Io, Op};
use super::pool::{Buffer, Pool};

/// A unit that takes operations.
pub trait Block: Send + Sync + 'static {
    /// What it is like. May change when the target says so; a changed size holds for later requests.
    fn geometry(&self) -> Geometry;

    /// Takes all of `batch`, in order. Each is answered through its completion, in any order; what
    /// cannot be done is answered with an error, never dropped silently. Does not block.
    fn submit(&self, batch: &mut Vec<Io>);

    /// The pool to take buffers from.
    fn pool(&self) -> &Pool;

    /// The thread on which the unit's operations are driven, if it is always the same: a task that uses the
    /// unit much runs best there, too. It must not block.
    fn lane(&self) -> Option<Runtime> {
        None
    }
}

/// Runs a single operation and waits for it, for callers that do one thing at a time.
pub async fn run(
    unit: &dyn Block,
    op: Op,
    lba: u64,
    blocks: u32,
    buffer: Option<Buffer>,
) -> Result<Option<Buffer>, IoError> {
    let completions = Completions::new();
    unit.submit(&mut vec![Io { op, lba, blocks, buffer, completion: completions.completion(0) }]);
    let mut done = Vec::with_capacity(1);
    completions.wait(&mut done).await;
    match done.pop() {
        Some(Done { result, buffer, .. }) => result.map(|()| buffer),
        None => Err(IoError::Aborted),
    }
}

/// Reads the first block and forgets what is in it: whether the unit answers.
///
/// # Errors
/// What the unit answers.
pub async fn read_first_block(unit: &dyn Block) -> Result<(), IoError> {
    let length = unit.geometry().block_size as usize;
    let buffer = match unit.pool().try_get(length) {
        Some(buffer) => buffer,
        None => unit.pool().get(length).await,
    };
    run(unit, Op::Read, 0, 1, Some(buffer)).await.map(drop)
}
