//! The disk as the user kernel offers it to the exports: blocks in, completions out.
//!
//! ```text
//!   export ── Io { op, lba, blocks, buffer, completion } ──► Block::submit ──► lun, driver
//!   export ◄── Done { token, result, buffer } ── Completions ◄── Completion::finish
//! ```
//! An exporter keeps one [`Completions`] per connection and as many [`Io`]s under way as it likes;
//! batches go in by one call and come out by one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::runtime::Handle as Runtime;
use tokio::sync::{Notify, watch};

use super::claims::Claims;
pub use super::claims::{Claim, Use};
pub use super::pool::{Buffer, MAX_BUFFER, Pool};

/// What an exporter must know of a unit. Lengths are in bytes unless they say blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Logical block: 512 or 4096 (any power of two from 512 to 64 KiB).
    pub block_size: u32,
    /// How many logical blocks there are.
    pub blocks: u64,
    /// Physical block: a multiple of the logical one.
    pub physical_block_size: u32,
    /// The longest read or write of one [`Io`], a multiple of the block, at most [`MAX_BUFFER`].
    pub max_transfer: u32,
    /// What the unit likes best, a multiple of the block; `max_transfer` where it does not say.
    pub optimal_transfer: u32,
    /// The longest [`Op::Unmap`] or [`Op::WriteZeroes`] of one [`Io`], in blocks; 0 where the unit
    /// cannot do either (then zeroes are written).
    pub max_unmap_blocks: u32,
    /// As above, for [`Op::WriteZeroes`].
    pub max_zero_blocks: u32,
    /// Writes are refused.
    pub read_only: bool,
    /// The unit has a volatile write cache: a flush means something.
    pub write_cache: bool,
    /// It is a spinning disk.
    pub rotational: bool,
}

impl Geometry {
    /// Size of the unit, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size as u64)
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Fill the buffer.
    Read,
    /// Write the buffer.
    Write {
        /// It is on stable storage when it completes.
        fua: bool,
    },
    /// All completed writes are on stable storage when it completes. `lba` and `blocks` are 0.
    Flush,
    /// The blocks are not needed any more; what they read as afterwards is the unit's choice.
    Unmap,
    /// The blocks read as zero afterwards.
    WriteZeroes {
        /// It is on stable storage when it completes.
        fua: bool,
        /// The unit may free the blocks.
        unmap: bool,
    },
}

/// One operation on a unit.
#[derive(Debug)]
pub struct Io {
    /// What to do.
    pub op: Op,
    /// First block.
    pub lba: u64,
    /// How many, 1 up to the geometry's limit for the operation (`max_transfer`, `max_unmap_blocks`,
    /// `max_zero_blocks`); 0 for a flush.
    pub blocks: u32,
    /// For reads and writes: exactly `blocks` × block size bytes.
    pub buffer: Option<Buffer>,
    /// Where the result goes.
    pub completion: Completion,
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoError {
    /// The request is outside the unit.
    OutOfRange,
    /// The unit is read-only.
    ReadOnly,
    /// The unit cannot do that.
    Unsupported,
    /// The request does not fit the geometry: a bug of the exporter.
    Invalid,
    /// The unit has no space left (thin provisioning).
    NoSpace,
    /// Another initiator has reserved the unit.
    ReservationConflict,
    /// The target answered with an error: sense key, ASC, ASCQ (0, 0, 0 where it gave none).
    Target {
        /// Sense key.
        key: u8,
        /// Additional sense code.
        asc: u8,
        /// Its qualifier.
        ascq: u8,
    },
    /// The unit is not there (any more), or not for too long.
    Offline,
    /// The unit did not answer, whatever was tried.
    TimedOut,
    /// The operation was dropped without an answer.
    Aborted,
}

impl IoError {
    /// The errno for the operating system and for NBD.
    pub const fn errno(self) -> i32 {
        use nix::libc;
        match self {
            IoError::OutOfRange | IoError::Invalid => libc::EINVAL,
            IoError::ReadOnly => libc::EPERM,
            IoError::Unsupported => libc::EOPNOTSUPP,
            IoError::NoSpace => libc::ENOSPC,
            IoError::ReservationConflict
            | IoError::Target { .. }
            | IoError::Offline
            | IoError::TimedOut
            | IoError::Aborted => libc::EIO,
        }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoError::OutOfRange => f.write_str("beyond the end of the unit"),
            IoError::ReadOnly => f.write_str("the unit is read-only"),
            IoError::Unsupported => f.write_str("the unit cannot do that"),
            IoError::Invalid => f.write_str("the request does not fit the unit's block size or limits"),
            IoError::NoSpace => f.write_str("the unit has no space left"),
            IoError::ReservationConflict => f.write_str("another initiator has reserved the unit"),
            IoError::Target { key, asc, ascq } => {
                write!(f, "the target answered with sense {key:x}/{asc:02x}/{ascq:02x}")
            }
            IoError::Offline => f.write_str("the unit is offline"),
            IoError::TimedOut => f.write_str("the unit did not answer in time"),
            IoError::Aborted => f.write_str("the operation was aborted"),
        }
    }
}

impl std::error::Error for IoError {}

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

/// An operation's result.
#[derive(Debug)]
pub struct Done {
    /// The one given to [`Completions::completion`].
    pub token: u64,
    /// What became of it.
    pub result: Result<(), IoError>,
    /// The buffer that came with the operation.
    pub buffer: Option<Buffer>,
}

/// Where the results of one exporter's connection arrive.
#[derive(Debug, Default)]
pub struct Completions {
    done: Mutex<Vec<Done>>,
    arrived: Notify,
}

impl Completions {
    /// An empty queue.
    pub fn new() -> Arc<Completions> {
        Arc::new(Completions::default())
    }

    /// The promise for one operation, known by `token`.
    pub fn completion(self: &Arc<Self>, token: u64) -> Completion {
        Completion { queue: Some(self.clone()), token }
    }

    /// Moves everything that has arrived to the end of `out`; waits until there is something.
    /// May be cancelled and called again without loss.
    pub async fn wait(&self, out: &mut Vec<Done>) {
        while !self.take(out) {
            self.arrived.notified().await;
        }
    }

    /// Moves everything that has arrived to the end of `out` and says whether there was anything.
    pub fn take(&self, out: &mut Vec<Done>) -> bool {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let any = !done.is_empty();
        out.append(&mut done);
        any
    }

    fn push(&self, done: impl IntoIterator<Item = Done>) {
        let was_empty = {
            let mut queue = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = queue.is_empty();
            queue.extend(done);
            was_empty
        };
        if was_empty {
            self.arrived.notify_one();
        }
    }
}

/// Results on their way: those of one round go to whoever waits in one piece, under one lock and with one
/// wake-up for each [`Completions`].
#[derive(Debug, Default)]
pub(in crate::kernel_bridge) struct Finished {
    queue: Option<Arc<Completions>>,
    done: Vec<Done>,
}

impl Finished {
    /// Answers an operation and gives its buffer back, at the next [`send`](Finished::send).
    pub(in crate::kernel_bridge) fn add(
        &mut self,
        mut completion: Completion,
        result: Result<(), IoError>,
        buffer: Option<Buffer>,
    ) {
        let Some(queue) = completion.queue.take() else { return };
        if !self.queue.as_ref().is_some_and(|current| Arc::ptr_eq(current, &queue)) {
            self.send();
            self.queue = Some(queue);
        }
        self.done.push(Done { token: completion.token, result, buffer });
    }

    /// Lets go of everything.
    pub(in crate::kernel_bridge) fn send(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.push(self.done.drain(..));
        }
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        self.send();
    }
}

/// The promise to answer one operation. One that is dropped answers [`IoError::Aborted`].
#[derive(Debug)]
pub struct Completion {
    queue: Option<Arc<Completions>>,
    token: u64,
}

impl Completion {
    /// Answers and gives the buffer back.
    pub fn finish(mut self, result: Result<(), IoError>, buffer: Option<Buffer>) {
        if let Some(queue) = self.queue.take() {
            queue.push([Done { token: self.token, result, buffer }]);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.push([Done { token: self.token, result: Err(IoError::Aborted), buffer: None }]);
        }
    }
}

/// Runs a single operation and waits for it: for those who do one thing at a time.
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

/// A unit's name among all: `<target name>/<lun>`, which is its NBD export name.
pub type UnitName = String;

/// The units that are there now. Whoever exports them looks here; whoever waits for one to come or
/// go subscribes.
pub struct Registry {
    units: RwLock<BTreeMap<UnitName, Arc<dyn Block>>>,
    claims: Arc<Claims>,
    changed: watch::Sender<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { units: RwLock::default(), claims: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl Registry {
    /// The unit of that name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Block>> {
        self.units.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<(UnitName, Arc<dyn Block>)> {
        let units = self.units.read().unwrap_or_else(PoisonError::into_inner);
        units.iter().map(|(name, unit)| (name.clone(), unit.clone())).collect()
    }

    /// Puts a unit in, or another one in its place.
    pub fn insert(&self, name: UnitName, unit: Arc<dyn Block>) {
        self.units.write().unwrap_or_else(PoisonError::into_inner).insert(name, unit);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Takes a unit out. Exports that still hold it get [`IoError::Offline`] from it.
    pub fn remove(&self, name: &str) -> Option<Arc<dyn Block>> {
        let gone = self.units.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.changed.send_modify(|version| *version += 1);
        gone
    }

    /// Notes that a unit of that name is used so, until the claim is dropped.
    ///
    /// # Errors
    /// The use that does not go together with it.
    pub fn claim(&self, name: &str, wanted: Use) -> Result<Claim, Use> {
        self.claims.claim(name, wanted)
    }

    /// Whether a unit of that name is used so now.
    pub fn is_claimed(&self, name: &str, how: Use) -> bool {
        self.claims.is(name, how)
    }

    /// Changes its value whenever a unit comes or goes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_forgotten_operation_is_answered() {
        let completions = Completions::new();
        drop(completions.completion(7));
        let mut done = Vec::new();
        completions.wait(&mut done).await;
        assert_eq!((done[0].token, done[0].result), (7, Err(IoError::Aborted)));
    }

    #[tokio::test]
    async fn results_come_out_in_one_batch() {
        let completions = Completions::new();
        for token in 0..3 {
            completions.completion(token).finish(Ok(()), None);
        }
        let mut done = Vec::new();
        completions.wait(&mut done).await;
        assert_eq!(done.iter().map(|done| done.token).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(!completions.take(&mut done));
    }
}
