//! A disk of the exports: block operations in, requests for its unit out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iscsi_proto::ids::Lun;
use iscsi_proto::scsi::cdb;
use iscsi_proto::session::Data;
use tokio::runtime::Handle as Runtime;

use super::features::Unmap;
use super::logical_unit::{Shape, Unit, flush, read_or_write};
use super::request::{Inbox, Payload, Request, Work};
use crate::block::{Block, Geometry, Io, IoError, Op, Pool};

/// A unit, and how its commands reach it.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// Its address.
    pub(crate) lun: Lun,
    /// What it is.
    pub(crate) unit: Arc<Unit>,
    /// Where its session takes commands.
    pub(crate) inbox: Arc<Inbox>,
    /// Its session's buffers.
    pub(crate) pool: Pool,
    /// Where the driver of its session runs.
    pub(crate) lane: Runtime,
}

/// The disks of a session, for all who have to do with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disks(Arc<Mutex<BTreeMap<Lun, Disk>>>);

impl Disks {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<Lun, Disk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// The command for an operation; what cannot be done is handed back with the reason.
    fn request(&self, io: Io, Shape { geometry, features }: &Shape) -> Result<Request, (Io, IoError)> {
        if let Err(error) = check(&io, geometry) {
            return Err((io, error));
        }
        let Io { op, lba, blocks, buffer, completion } = io;
        let mut then_flush = false;
        let len = blocks.saturating_mul(geometry.block_size);
        let (cdb, data, payload) = match (op, buffer) {
            (Op::Read | Op::Write { .. }, Some(buffer)) => {
                // Without a volatile cache every write is on stable storage when it completes.
                let wanted = matches!(op, Op::Write { fua: true }) && geometry.write_cache;
                then_flush = wanted && !features.fua;
                let Some(cdb) = read_or_write(op, lba, blocks, wanted && features.fua, features.commands) else {
                    let io = Io { op, lba, blocks, buffer: Some(buffer), completion };
                    return Err((io, IoError::OutOfRange));
                };
                let data = if op == Op::Read { Data::In(len) } else { Data::Out(len) };
                (cdb, data, Payload::Buffer(buffer))
            }
            (Op::Unmap, _) if features.unmap == Unmap::Command => {
                let list = cdb::unmap_one(lba, blocks).to_vec();
                (cdb::unmap(list.len() as u16).padded(), Data::Out(list.len() as u32), Payload::Bytes(list))
            }
            (Op::Unmap | Op::WriteZeroes { .. }, _) => {
                let free = match op {
                    Op::WriteZeroes { unmap, .. } => unmap && features.unmapped_reads_zero && features.write_same_frees,
                    _ => true,
                };
                then_flush = matches!(op, Op::WriteZeroes { fua: true, .. }) && geometry.write_cache;
                let block = vec![0; geometry.block_size as usize];
                let cdb = cdb::write_same_16(lba, blocks, free, false).padded();
                (cdb, Data::Out(geometry.block_size), Payload::Bytes(block))
            }
            (Op::Flush | Op::Read | Op::Write { .. }, _) => (flush(), Data::None, Payload::None),
        };
        let work = Work::Block { unit: self.unit.clone(), op, lba, blocks, then_flush, completion };
        Ok(Request::new(self.lun, cdb, data, payload, work))
    }
}

impl Block for Disk {
    fn geometry(&self) -> Geometry {
        self.unit.shape().geometry
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        let shape = self.unit.shape();
        let gone = self.unit.gate().is_retired();
        let requests = batch.drain(..).filter_map(|io| {
            let refused = if gone { Err((io, IoError::Offline)) } else { self.request(io, &shape) };
            refused.map_err(|(io, error)| io.completion.finish(Err(error), io.buffer)).ok()
        });
        self.inbox.put(requests);
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn lane(&self) -> Option<Runtime> {
        Some(self.lane.clone())
    }
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
