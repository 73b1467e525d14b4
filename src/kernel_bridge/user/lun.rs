//! A unit: block operations in, SCSI commands out.
//!
//! ```text
//!   doubt ──► commands wait ── verify: the same disk ──► trust ──► commands go
//!                                 └── another, or none ──► refuse ──► commands fail
//! ```
//! A unit is in doubt after its connection was replaced, and when the target says that its units have
//! changed: what is at its number now may be another disk, which must not be written to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use iscsi_proto::ids::Lun;
use iscsi_proto::scsi::cdb;
use iscsi_proto::session::Data;
use tokio::runtime::Handle as Runtime;

use super::Handle;
use super::identity::{Identity, Likeness, Size};
use super::request::{Inbox, Payload, Request, Work};
use super::scan::Found;
use crate::block::{Block, Geometry, Io, IoError, Op, Pool};

/// How a unit wants things done, as its scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel_bridge) struct Ways {
    /// It has FUA (DPOFUA of its mode parameters).
    pub(in crate::kernel_bridge) fua: bool,
    /// Freed blocks read as zero (LBPRZ).
    pub(in crate::kernel_bridge) unmapped_reads_zero: bool,
    /// WRITE SAME may free blocks (LBPWS).
    pub(in crate::kernel_bridge) write_same_frees: bool,
    /// How to free blocks.
    pub(in crate::kernel_bridge) unmap: UnmapWay,
}

/// How a unit frees blocks (SBC-4 §4.7.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel_bridge) enum UnmapWay {
    /// It does not.
    None,
    /// UNMAP (LBPU).
    Unmap,
    /// WRITE SAME (16) with the UNMAP bit (LBPWS).
    WriteSame,
}

/// A disk that a scan has found.
#[derive(Debug)]
pub(in crate::kernel_bridge) struct Unit {
    lun: Lun,
    inbox: Arc<Inbox>,
    pool: Pool,
    /// Where the driver runs.
    lane: Runtime,
    shape: RwLock<(Geometry, Ways)>,
    identity: RwLock<Identity>,
    /// 16-byte reads and writes are refused.
    ten_only: AtomicBool,
    gone: AtomicBool,
    /// How often it was put in doubt.
    doubts: AtomicU64,
    /// Which of the doubts is looked into: all, where it is the last.
    settled: AtomicU64,
    refused: AtomicBool,
    /// The connection was lost since it was last trusted.
    unwatched: AtomicBool,
}

/// Whether commands may go to a unit now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel_bridge) enum Pass {
    Open,
    /// It is being looked at.
    Waits,
    /// It is another disk now, or was gone for too long.
    Refused,
}

impl Unit {
    /// A disk at that address, as a scan found it; `None` for what is no disk, or not ready.
    pub(super) fn new(session: &Handle, found: &Found) -> Option<Unit> {
        let geometry = found.info.geometry?;
        Some(Unit {
            lun: found.info.lun,
            inbox: session.inbox.clone(),
            pool: session.pool.clone(),
            lane: session.lane.clone(),
            shape: RwLock::new((geometry, found.ways)),
            identity: RwLock::new(Identity::of(&found.info)?),
            ten_only: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            doubts: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            unwatched: AtomicBool::new(false),
        })
    }

    /// Whether what was found at its address is the disk it was.
    pub(super) fn likeness(&self, found: &Found) -> Likeness {
        let size = if self.unwatched.load(Ordering::Acquire) { Size::Must } else { Size::May };
        self.identity.read().unwrap_or_else(PoisonError::into_inner).likeness(&found.info, size)
    }

    /// What is at its number may be another disk: no command goes there until that is looked into.
    /// With [`Size::Must`] nobody has watched it.
    pub(in crate::kernel_bridge) fn doubt(&self, size: Size) {
        if size == Size::Must {
            self.unwatched.store(true, Ordering::Release);
        }
        self.doubts.fetch_add(1, Ordering::AcqRel);
        // A refusal is looked into again as well.
        self.refused.store(false, Ordering::Release);
    }

    /// How often it was put in doubt so far, to be given to [`trust`](Unit::trust) by whoever looks now.
    pub(in crate::kernel_bridge) fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    /// It is the disk it was, as seen after that doubt; whether there is no newer one.
    pub(in crate::kernel_bridge) fn trust(&self, doubt: u64) -> bool {
        self.refused.store(false, Ordering::Release);
        self.settle(doubt);
        let open = self.pass() == Pass::Open;
        if open {
            self.unwatched.store(false, Ordering::Release);
        }
        open
    }

    /// That doubt is looked into, for good or bad.
    pub(in crate::kernel_bridge) fn settle(&self, doubt: u64) {
        // Never back: a scan may come with what it knew before a later look.
        self.settled.fetch_max(doubt, Ordering::AcqRel);
    }

    /// Whether a doubt is not looked into yet.
    pub(in crate::kernel_bridge) fn in_doubt(&self) -> bool {
        !self.gone.load(Ordering::Acquire) && self.settled.load(Ordering::Acquire) != self.doubts()
    }

    /// Commands fail, until it is trusted again.
    pub(in crate::kernel_bridge) fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    /// Whether commands may go to it.
    pub(in crate::kernel_bridge) fn pass(&self) -> Pass {
        if self.refused.load(Ordering::Acquire) || self.gone.load(Ordering::Acquire) {
            Pass::Refused
        } else if self.in_doubt() {
            Pass::Waits
        } else {
            Pass::Open
        }
    }

    /// Another scan has found it, perhaps with another size.
    pub(in crate::kernel_bridge) fn reshape(&self, geometry: Geometry, ways: Ways) {
        *self.shape.write().unwrap_or_else(PoisonError::into_inner) = (geometry, ways);
        self.identity.write().unwrap_or_else(PoisonError::into_inner).resized(geometry.blocks);
    }

    /// It is not on the target any more: whoever still holds it gets [`IoError::Offline`].
    pub(in crate::kernel_bridge) fn retire(&self) {
        self.gone.store(true, Ordering::Release);
    }

    fn shape(&self) -> (Geometry, Ways) {
        *self.shape.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same operation with a shorter command, if `refused` was a 16-byte one and it fits; from now
    /// on all reads and writes go that way.
    pub(in crate::kernel_bridge) fn without_16(
        &self,
        refused: &[u8; 16],
        op: Op,
        lba: u64,
        blocks: u32,
    ) -> Option<[u8; 16]> {
        match refused[0] {
            cdb::opcode::READ_16 | cdb::opcode::WRITE_16 => {
                let fua = refused[1] & 0x08 != 0;
                let shorter = read_or_write(op, lba, blocks, fua, true)?;
                self.ten_only.store(true, Ordering::Relaxed);
                Some(shorter)
            }
            cdb::opcode::SYNCHRONIZE_CACHE_16 => cdb::synchronize_cache_10(0, 0).map(|cdb| cdb.padded()),
            _ => None,
        }
    }

    /// The command for an operation; what cannot be done is handed back with the reason.
    fn request(self: &Arc<Self>, io: Io, geometry: &Geometry, ways: Ways) -> Result<Request, (Io, IoError)> {
        if let Err(error) = check(&io, geometry) {
            return Err((io, error));
        }
        let Io { op, lba, blocks, buffer, completion } = io;
        let ten = self.ten_only.load(Ordering::Relaxed);
        let mut then_flush = false;
        let len = blocks.saturating_mul(geometry.block_size);
        let (cdb, data, payload) = match (op, buffer) {
            (Op::Read | Op::Write { .. }, Some(buffer)) => {
                // Without a volatile cache every write is on stable storage when it completes.
                let wanted = matches!(op, Op::Write { fua: true }) && geometry.write_cache;
                then_flush = wanted && !ways.fua;
                let Some(cdb) = read_or_write(op, lba, blocks, wanted && ways.fua, ten) else {
                    let io = Io { op, lba, blocks, buffer: Some(buffer), completion };
                    return Err((io, IoError::OutOfRange));
                };
                let data = if op == Op::Read { Data::In(len) } else { Data::Out(len) };
                (cdb, data, Payload::Buffer(buffer))
            }
            (Op::Unmap, _) if ways.unmap == UnmapWay::Unmap => {
                let list = cdb::unmap_one(lba, blocks).to_vec();
                (cdb::unmap(list.len() as u16).padded(), Data::Out(list.len() as u32), Payload::Bytes(list))
            }
            (Op::Unmap | Op::WriteZeroes { .. }, _) => {
                let free = match op {
                    Op::WriteZeroes { unmap, .. } => unmap && ways.unmapped_reads_zero && ways.write_same_frees,
                    _ => true,
                };
                then_flush = matches!(op, Op::WriteZeroes { fua: true, .. }) && geometry.write_cache;
                let block = vec![0; geometry.block_size as usize];
                let cdb = cdb::write_same_16(lba, blocks, free, false).padded();
                (cdb, Data::Out(geometry.block_size), Payload::Bytes(block))
            }
            (Op::Flush | Op::Read | Op::Write { .. }, _) => (flush(), Data::None, Payload::None),
        };
        let work = Work::Block { unit: self.clone(), op, lba, blocks, then_flush, completion };
        Ok(Request::new(self.lun, cdb, data, payload, work))
    }
}

/// SYNCHRONIZE CACHE of everything. The ten-byte form is mandatory wherever there is one, and its
/// "LBA 0, 0 blocks" means the whole unit (SBC-4 §5.26).
pub(in crate::kernel_bridge) fn flush() -> [u8; 16] {
    cdb::synchronize_cache_16(0, 0).padded()
}

fn read_or_write(op: Op, lba: u64, blocks: u32, fua: bool, ten: bool) -> Option<[u8; 16]> {
    let cdb = match (op, ten) {
        (Op::Read, false) => cdb::read_16(lba, blocks, fua),
        (Op::Read, true) => cdb::read_10(lba, blocks, fua)?,
        (_, false) => cdb::write_16(lba, blocks, fua),
        (_, true) => cdb::write_10(lba, blocks, fua)?,
    };
    Some(cdb.padded())
}

/// Whether an operation fits the unit.
fn check(io: &Io, geometry: &Geometry) -> Result<(), IoError> {
    let limit = match io.op {
        Op::Read | Op::Write { .. } => geometry.max_transfer / geometry.block_size,
        Op::Flush => return Ok(()),
        Op::Unmap => geometry.max_unmap_blocks,
        Op::WriteZeroes { .. } => geometry.max_zero_blocks,
    };
    if io.op != Op::Read && geometry.read_only {
        return Err(IoError::ReadOnly);
    }
    if limit == 0 {
        return Err(IoError::Unsupported);
    }
    if io.blocks == 0 || io.blocks > limit {
        return Err(IoError::Invalid);
    }
    if io.lba.checked_add(u64::from(io.blocks)).is_none_or(|end| end > geometry.blocks) {
        return Err(IoError::OutOfRange);
    }
    if matches!(io.op, Op::Read | Op::Write { .. }) {
        let len = u64::from(io.blocks) * u64::from(geometry.block_size);
        if io.buffer.as_ref().is_none_or(|buffer| buffer.len() as u64 != len) {
            return Err(IoError::Invalid);
        }
    }
    Ok(())
}

/// What the exports hold: the unit, and how to reach itself.
#[derive(Debug, Clone)]
pub(in crate::kernel_bridge) struct Disk(pub(in crate::kernel_bridge) Arc<Unit>);

/// The disks of a session, for all who have to do with them.
#[derive(Debug, Clone, Default)]
pub(in crate::kernel_bridge) struct Disks(Arc<Mutex<BTreeMap<Lun, Disk>>>);

impl Disks {
    pub(in crate::kernel_bridge) fn lock(&self) -> MutexGuard<'_, BTreeMap<Lun, Disk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block for Disk {
    fn geometry(&self) -> Geometry {
        self.0.shape().0
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        let (geometry, ways) = self.0.shape();
        let gone = self.0.gone.load(Ordering::Acquire);
        let requests = batch.drain(..).filter_map(|io| {
            let refused = if gone { Err((io, IoError::Offline)) } else { self.0.request(io, &geometry, ways) };
            refused.map_err(|(io, error)| io.completion.finish(Err(error), io.buffer)).ok()
        });
        self.0.inbox.put(requests);
    }

    fn pool(&self) -> &Pool {
        &self.0.pool
    }

    fn lane(&self) -> Option<Runtime> {
        Some(self.0.lane.clone())
    }
}
