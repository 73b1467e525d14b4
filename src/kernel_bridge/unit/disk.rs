//! A disk of the exports: block operations in, requests for its unit out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iscsi_proto::ids::Lun;
use tokio::runtime::Handle as Runtime;

use super::logical_unit::{Shape, Unit};
use super::request::{Inbox, Request};
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
    /// The request for an operation; what is not to be issued is handed back with its result.
    fn request(&self, io: Io, shape: &Shape) -> Result<Request, (Io, Result<(), IoError>)> {
        if let Err(error) = check(&io, &shape.geometry) {
            return Err((io, Err(error)));
        }
        // It is a hint, and the unit does not take it.
        if io.op == Op::Unmap && shape.habits.refuses_unmap {
            return Err((io, Ok(())));
        }
        Request::block(self.lun, &self.unit, shape, io).map_err(|(io, error)| (io, Err(error)))
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
            let request = if gone { Err((io, Err(IoError::Offline))) } else { self.request(io, &shape) };
            request.map_err(|(io, result)| io.completion.finish(result, io.buffer)).ok()
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
