//! A load keeps a number of operations under way on a unit, for a time, and measures them.
//!
//! ```text
//!   places ── where next ──► slot { buffer, started } ── Io ──► Block::submit
//!     ▲                         ▲                                    │
//!     └── what is there now ────┴── latency ◄── stamp: compare ◄── Completions
//! ```
//! It knows a unit by the trait [`Block`] and nothing else of the daemon. An operation has a slot from its
//! submission to its completion, and a slot keeps its buffer: in steady state nothing is allocated. Every
//! future here may be dropped; [`Load::drain`] then waits for the operations under way.

mod places;
mod stamp;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hdrhistogram::Histogram;

use self::places::Places;
pub use self::stamp::Found;
use self::stamp::Stamp;
use crate::block::{Block, Buffer, Completions, Done, Io, IoError, Op, Pool};

/// The longest latency that is recorded, in nanoseconds; longer ones count as this.
const SLOWEST: u64 = 600_000_000_000;

/// Memory that was read into is given back at once from this length on, in bytes: what is in the cache is used again.
const LONG: u32 = 16 << 10;

/// Significant decimal digits of a latency.
const DIGITS: u8 = 3;

/// What share of the operations writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// None.
    Reads,
    /// All.
    Writes,
    /// Each one with a probability of a half.
    Half,
}

/// What to do to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// Reads or writes.
    pub mix: Mix,
    /// Anywhere on the unit; else from its beginning to its end, again and again.
    pub random: bool,
    /// Length of an operation, in bytes: a multiple of the unit's block, at most its `max_transfer`.
    pub length: u32,
    /// Operations under way at a time, at least 1.
    pub depth: usize,
    /// Every block that is written says where, when and by which run, and is compared. The load then keeps to
    /// the first 2^20 operations' worth of the unit, and never has two operations under way in one place.
    pub verify: bool,
    /// What the data and the places are made from.
    pub seed: u64,
}

/// Why a job cannot be done on a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The length is no multiple of the block, in bytes.
    NotBlocks {
        /// Length of an operation.
        length: u32,
        /// The unit's block.
        block_size: u32,
    },
    /// The length is above what one operation may have, in bytes.
    TooLong {
        /// Length of an operation.
        length: u32,
        /// The unit's limit.
        max_transfer: u32,
    },
    /// The unit has not as many places as operations are to be under way.
    TooSmall {
        /// How many places there are.
        places: u64,
        /// How many are needed.
        needed: u64,
    },
    /// The unit does not take writes.
    ReadOnly,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::NotBlocks { length, block_size } => {
                write!(f, "{length} bytes are no multiple of the unit's block of {block_size} bytes")
            }
            Misfit::TooLong { length, max_transfer } => {
                write!(f, "{length} bytes are more than the {max_transfer} that one operation on the unit may move")
            }
            Misfit::TooSmall { places, needed } => {
                write!(f, "the unit has room for {places} operations of that length side by side, not for {needed}")
            }
            Misfit::ReadOnly => f.write_str("the unit is read-only"),
        }
    }
}

impl std::error::Error for Misfit {}

/// What ends a run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An operation failed.
    Io {
        /// It was a write.
        write: bool,
        /// Its first block.
        lba: u64,
        /// Why.
        error: IoError,
    },
    /// A block does not hold what was written to it.
    Mismatch {
        /// The block.
        lba: u64,
        /// What it holds.
        found: Found,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Io { write, lba, error } => {
                let what = if *write { "write to" } else { "read of" };
                write!(f, "a {what} block {lba} failed: {error}")
            }
            Fault::Mismatch { lba, found } => {
                write!(f, "block {lba} does not hold what was written to it: {found}")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// How far a load is, for its observers.
#[derive(Debug, Default)]
pub struct Meter {
    measured: AtomicU64,
    compared: AtomicU64,
    to_compare: AtomicU64,
    ended: AtomicBool,
}

impl Meter {
    /// Operations of [`Load::run`] that have completed.
    pub fn measured(&self) -> u64 {
        self.measured.load(Relaxed)
    }

    /// Has [`Load::run`] begin nothing more, as if its time were over.
    pub fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    /// Whether somebody had it end.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Operations of [`Load::compare`] that have completed, and how many there will be.
    pub fn compared(&self) -> (u64, u64) {
        (self.compared.load(Relaxed), self.to_compare.load(Relaxed))
    }
}

/// What a run has measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Operations that have completed.
    pub operations: u64,
    /// From the first submission to the last completion.
    pub elapsed: Duration,
    /// Latency that half of the operations did not exceed.
    pub p50: Duration,
    /// That 99 of 100 did not exceed.
    pub p99: Duration,
    /// That 999 of 1000 did not exceed.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

/// A load on a unit.
pub struct Load {
    unit: Arc<dyn Block>,
    job: Job,
    /// Blocks of an operation.
    blocks: u32,
    slots: Vec<Slot>,
    /// Slots without an operation.
    idle: Vec<usize>,
    batch: Vec<Io>,
    completions: Arc<Completions>,
    done: Vec<Done>,
    places: Places,
    rng: Rng,
    stamp: Stamp,
    phase: Phase,
    latency: Histogram<u64>,
    elapsed: Duration,
    meter: Arc<Meter>,
}

struct Slot {
    started: Instant,
    place: u64,
    write: bool,
    /// The number of the write that the place holds, or will; 0 where that is not known.
    number: u32,
    buffer: Option<Buffer>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until then.
    Measuring(Instant),
    /// From that place on.
    Comparing(u64),
    /// What is under way is waited for.
    Ending,
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("job", &self.job).field("open", &self.open()).finish_non_exhaustive()
    }
}

impl Load {
    /// A load that has not begun.
    ///
    /// # Errors
    /// Why the unit does not take it.
    pub fn new(unit: Arc<dyn Block>, job: Job) -> Result<Load, Misfit> {
        let geometry = unit.geometry();
        let Job { mix, random, length, depth, verify, seed } = job;
        let block_size = geometry.block_size.max(1);
        if length == 0 || !length.is_multiple_of(block_size) {
            return Err(Misfit::NotBlocks { length, block_size });
        }
        if length > geometry.max_transfer {
            return Err(Misfit::TooLong { length, max_transfer: geometry.max_transfer });
        }
        if geometry.read_only && mix != Mix::Reads {
            return Err(Misfit::ReadOnly);
        }
        let blocks = length / block_size;
        let places = geometry.blocks / u64::from(blocks);
        // A load that compares must know the content of a place: each has one operation at a time.
        let needed = if verify { depth as u64 } else { 1 };
        if places < needed {
            return Err(Misfit::TooSmall { places, needed });
        }
        let mut rng = Rng::with_seed(seed);
        let now = Instant::now();
        let slot = || Slot { started: now, place: 0, write: false, number: 0, buffer: None };
        let latency = Histogram::new_with_bounds(1, SLOWEST, DIGITS).expect("constant bounds, two decades apart");
        Ok(Load {
            unit,
            job,
            blocks,
            slots: std::iter::repeat_with(slot).take(depth).collect(),
            idle: (0..depth).rev().collect(),
            batch: Vec::with_capacity(depth),
            completions: Completions::new(),
            done: Vec::with_capacity(depth),
            places: Places::new(places, random, verify),
            stamp: Stamp::new(rng.u64(..), block_size as usize),
            rng,
            phase: Phase::Ending,
            latency,
            elapsed: Duration::ZERO,
            meter: Arc::default(),
        })
    }

    /// What it holds of its unit's pool, once it is prepared, in bytes.
    pub fn footprint(&self) -> usize {
        self.job.depth.saturating_mul(Pool::footprint(self.job.length as usize))
    }

    /// How far it is; may be kept and read from anywhere.
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// Takes its buffers, as soon as the pool has them.
    pub async fn prepare(&mut self) {
        for slot in &mut self.slots {
            if slot.buffer.is_none() {
                let mut buffer = self.unit.pool().get(self.job.length as usize).await;
                if self.job.mix != Mix::Reads {
                    // Random data: a target can neither compress nor deduplicate it.
                    self.rng.fill(&mut buffer);
                }
                slot.buffer = Some(buffer);
            }
        }
    }

    /// Measures for `span`; what is under way then is waited for, and counts.
    ///
    /// # Errors
    /// The first thing that went wrong. Other operations may be under way still.
    pub async fn run(&mut self, span: Duration) -> Result<(), Fault> {
        let started = Instant::now();
        self.phase = Phase::Measuring(started + span);
        let ended = self.rounds().await?;
        self.elapsed = ended.duration_since(started);
        Ok(())
    }

    /// Reads back everything that was written, and compares; how many blocks that is. Only for a job that is to
    /// be verified.
    ///
    /// # Errors
    /// The first block that holds something else, or could not be read.
    pub async fn compare(&mut self) -> Result<u64, Fault> {
        let places = self.places.written();
        self.meter.to_compare.store(places, Relaxed);
        self.phase = Phase::Comparing(0);
        self.rounds().await?;
        Ok(places.saturating_mul(u64::from(self.blocks)))
    }

    /// Waits for the operations under way, also for those that fail, and begins no others.
    pub async fn drain(&mut self) {
        self.phase = Phase::Ending;
        while self.open() > 0 {
            self.completions.wait(&mut self.done).await;
            // The run has ended already: its result is known.
            let _ = self.collect(Instant::now());
        }
    }

    /// What [`run`](Load::run) has measured.
    pub fn measured(&self) -> Measured {
        let quantile = |q| Duration::from_nanos(self.latency.value_at_quantile(q));
        Measured {
            operations: self.latency.len(),
            elapsed: self.elapsed,
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Duration::from_nanos(self.latency.max()),
        }
    }

    /// Operations under way.
    fn open(&self) -> usize {
        self.slots.len() - self.idle.len()
    }

    /// Keeps the slots busy until there is nothing more to do; when the last operation completed.
    async fn rounds(&mut self) -> Result<Instant, Fault> {
        let mut now = Instant::now();
        while self.issue(now) {
            self.completions.wait(&mut self.done).await;
            now = Instant::now();
            self.collect(now)?;
            // Where results come at once, other tasks would never run.
            tokio::task::coop::consume_budget().await;
        }
        Ok(now)
    }

    /// Where the next operation goes, and whether it writes; `None` when there is nothing more to begin.
    fn next(&mut self, now: Instant) -> Option<(u64, bool)> {
        match self.phase {
            Phase::Measuring(until) if now < until && !self.meter.is_ended() => {
                let write = match self.job.mix {
                    Mix::Reads => false,
                    Mix::Writes => true,
                    Mix::Half => self.rng.bool(),
                };
                Some((self.places.next(&mut self.rng), write))
            }
            Phase::Comparing(from) => {
                let place = self.places.written_from(from)?;
                self.phase = Phase::Comparing(place + 1);
                Some((place, false))
            }
            Phase::Measuring(_) | Phase::Ending => None,
        }
    }

    /// Begins what there is to begin; whether anything is under way.
    fn issue(&mut self, now: Instant) -> bool {
        while let Some(&index) = self.idle.last() {
            // A slot without a buffer was not prepared: there is nothing to do.
            let Some(mut buffer) = self.slots[index].buffer.take() else { break };
            let Some((place, write)) = self.next(now) else {
                self.slots[index].buffer = Some(buffer);
                break;
            };
            self.idle.pop();
            let lba = place * u64::from(self.blocks);
            let number = self.places.begin(place, write);
            if write && self.job.verify {
                self.stamp.put(&mut buffer, lba, number);
            }
            self.slots[index] = Slot { started: now, place, write, number, buffer: None };
            let op = if write { Op::Write { fua: false } } else { Op::Read };
            let completion = self.completions.completion(index as u64);
            self.batch.push(Io { op, lba, blocks: self.blocks, buffer: Some(buffer), completion });
        }
        if !self.batch.is_empty() {
            self.unit.submit(&mut self.batch);
        }
        self.open() > 0
    }

    /// Takes what has completed back into its slots; the first thing that was wrong with it.
    fn collect(&mut self, now: Instant) -> Result<(), Fault> {
        let mut result = Ok(());
        let mut batch = std::mem::take(&mut self.done);
        for done in batch.drain(..) {
            result = result.and(self.collect_one(done, now));
        }
        self.done = batch;
        result
    }

    fn collect_one(&mut self, done: Done, now: Instant) -> Result<(), Fault> {
        let Done { token, result, buffer } = done;
        let index = token as usize;
        let slot = &mut self.slots[index];
        let Slot { started, place, write, number, .. } = *slot;
        slot.buffer = buffer;
        if self.job.mix == Mix::Reads
            && self.job.length >= LONG
            && let Some(buffer) = &mut slot.buffer
        {
            // As an export does that has answered.
            buffer.release();
        }
        self.idle.push(index);
        self.places.end(place);
        let lba = place * u64::from(self.blocks);
        result.map_err(|error| Fault::Io { write, lba, error })?;
        let count = match self.phase {
            Phase::Measuring(_) => {
                let nanoseconds = u64::try_from(now.duration_since(started).as_nanos()).unwrap_or(SLOWEST);
                self.latency.saturating_record(nanoseconds.max(1));
                &self.meter.measured
            }
            Phase::Comparing(_) => &self.meter.compared,
            Phase::Ending => return Ok(()),
        };
        // There is one writer.
        count.store(count.load(Relaxed) + 1, Relaxed);
        match &slot.buffer {
            Some(buffer) if !write && number > 0 => {
                let compared = self.stamp.check(buffer, lba, number);
                compared.map_err(|(lba, found)| Fault::Mismatch { lba, found })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
