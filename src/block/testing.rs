//! A disk in memory for tests of the exports: answers from a task of its own, out of order, records
//! what it was asked, fails or waits where a test says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::{Block, Geometry, Io, IoError, Op, Pool};

/// What a test may set before the disk starts.
pub struct Plan {
    /// What the disk says of itself.
    pub geometry: Geometry,
    /// Budget of its pool, in bytes.
    pub pool: usize,
    /// Answer each batch from its end.
    pub reorder: bool,
}

impl Plan {
    /// A disk of so many bytes that can do everything.
    pub fn of_bytes(bytes: u64) -> Plan {
        Plan {
            geometry: Geometry {
                block_size: 512,
                blocks: bytes / 512,
                physical_block_size: 4096,
                max_transfer: 256 << 10,
                optimal_transfer: 256 << 10,
                max_unmap_blocks: 8192,
                max_zero_blocks: 8192,
                read_only: false,
                write_cache: true,
                rotational: false,
                slow_zeroes: false,
            },
            pool: 64 << 20,
            reorder: true,
        }
    }
}

/// The disk.
pub struct RamDisk {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Io>,
}

struct Shared {
    geometry: Geometry,
    pool: Pool,
    bytes: Mutex<Vec<u8>>,
    asked: Mutex<Vec<(Op, u64, u32)>>,
    bad_block: Mutex<Option<(u64, IoError)>>,
    hold: watch::Sender<bool>,
    slow_zeroes: AtomicBool,
    longest: AtomicU64,
    waiting: AtomicU64,
}

impl RamDisk {
    /// Starts one on the current runtime.
    pub fn start(plan: Plan) -> Arc<RamDisk> {
        let (queue, mut arrived) = mpsc::unbounded_channel::<Io>();
        let shared = Arc::new(Shared {
            geometry: plan.geometry,
            pool: Pool::new(plan.pool),
            bytes: Mutex::new(vec![0; plan.geometry.bytes() as usize]),
            asked: Mutex::default(),
            bad_block: Mutex::default(),
            hold: watch::Sender::new(false),
            slow_zeroes: AtomicBool::new(plan.geometry.slow_zeroes),
            longest: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        });
        let disk = Arc::new(RamDisk { shared: shared.clone(), queue });
        tokio::spawn(async move {
            let mut batch = Vec::new();
            let mut held = shared.hold.subscribe();
            while arrived.recv_many(&mut batch, 64).await > 0 {
                if held.wait_for(|held| !held).await.is_err() {
                    return;
                }
                while arrived.try_recv().map(|io| batch.push(io)).is_ok() {}
                if plan.reorder {
                    batch.reverse();
                }
                batch.drain(..).for_each(|io| shared.perform(io));
            }
        });
        disk
    }

    /// What it was asked so far, in the order it was done, reads and writes included.
    pub fn asked(&self) -> Vec<(Op, u64, u32)> {
        lock(&self.shared.asked).clone()
    }

    /// How many operations it was asked that `which` holds for.
    pub fn count(&self, which: impl Fn(Op) -> bool) -> usize {
        lock(&self.shared.asked).iter().filter(|(op, ..)| which(*op)).count()
    }

    /// Everything on it.
    pub fn content(&self) -> Vec<u8> {
        lock(&self.shared.bytes).clone()
    }

    /// Puts `bytes` at `offset`, past all operations.
    pub fn put(&self, offset: usize, bytes: &[u8]) {
        lock(&self.shared.bytes)[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Every operation on that block fails from now on.
    pub fn break_block(&self, lba: u64, error: IoError) {
        *lock(&self.shared.bad_block) = Some((lba, error));
    }

    /// Nothing is answered while it is held.
    pub fn hold(&self, hold: bool) {
        self.shared.hold.send_replace(hold);
    }

    /// It has turned out to be slow with zeroes.
    pub fn become_slow_with_zeroes(&self) {
        self.shared.slow_zeroes.store(true, Ordering::Relaxed);
    }

    /// How many operations it has taken and not answered.
    pub fn waiting(&self) -> u64 {
        self.shared.waiting.load(Ordering::Acquire)
    }

    /// The longest read or write so far, in bytes.
    pub fn longest(&self) -> u64 {
        self.shared.longest.load(Ordering::Relaxed)
    }
}

impl Block for RamDisk {
    fn geometry(&self) -> Geometry {
        Geometry { slow_zeroes: self.shared.slow_zeroes.load(Ordering::Relaxed), ..self.shared.geometry }
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        self.shared.waiting.fetch_add(batch.len() as u64, Ordering::AcqRel);
        for io in batch.drain(..) {
            if let Err(refused) = self.queue.send(io) {
                refused.0.completion.finish(Err(IoError::Offline), refused.0.buffer);
            }
        }
    }

    fn pool(&self) -> &Pool {
        &self.shared.pool
    }
}

impl Shared {
    fn perform(&self, mut io: Io) {
        let mut asked = lock(&self.asked);
        if asked.len() < 1 << 16 {
            asked.push((io.op, io.lba, io.blocks));
        }
        drop(asked);
        let result = self.try_perform(&mut io);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        io.completion.finish(result, io.buffer);
    }

    fn try_perform(&self, io: &mut Io) -> Result<(), IoError> {
        let size = self.geometry.block_size as usize;
        let end = io.lba + u64::from(io.blocks);
        if let Some((bad, error)) = *lock(&self.bad_block)
            && (io.lba..end).contains(&bad)
        {
            return Err(error);
        }
        if end > self.geometry.blocks {
            return Err(IoError::OutOfRange);
        }
        let limit = match io.op {
            Op::Read | Op::Write { .. } => self.geometry.max_transfer / self.geometry.block_size,
            Op::Flush => 0,
            Op::Unmap => self.geometry.max_unmap_blocks,
            Op::WriteZeroes { .. } => self.geometry.max_zero_blocks,
        };
        if io.blocks > limit || (io.blocks == 0) != (io.op == Op::Flush) {
            return Err(IoError::Invalid);
        }
        if self.geometry.read_only && !matches!(io.op, Op::Read | Op::Flush) {
            return Err(IoError::ReadOnly);
        }
        let range = io.lba as usize * size..end as usize * size;
        let mut bytes = lock(&self.bytes);
        let here = &mut bytes[range];
        match (io.op, io.buffer.as_deref_mut()) {
            (Op::Read, Some(buffer)) if buffer.len() == here.len() => buffer.copy_from_slice(here),
            (Op::Write { .. }, Some(buffer)) if buffer.len() == here.len() => here.copy_from_slice(buffer),
            (Op::Read | Op::Write { .. }, _) => return Err(IoError::Invalid),
            (Op::Flush, _) => {}
            // What unmapped blocks read as is the unit's choice: this one makes it visible.
            (Op::Unmap, _) => here.fill(0xdd),
            (Op::WriteZeroes { .. }, _) => here.fill(0),
        }
        if matches!(io.op, Op::Read | Op::Write { .. }) {
            self.longest.fetch_max(here.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
