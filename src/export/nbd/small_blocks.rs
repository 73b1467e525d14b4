//! A unit of large blocks as one of 512 bytes, for clients that were not told how large its blocks are.
//!
//! ```text
//!   transmission ── Io of 512-byte blocks ──► SmallBlocks ──► Bytes: read, patch, write ──► Block
//! ```
//! A client that does not ask for block sizes keeps to multiples of 512 bytes ("Block size constraints" of the
//! protocol). All of them that use a unit go through one [`SmallBlocks`]: what one patches, another does not undo. It is
//! there as long as one of them is, or an operation of one that is gone: such a write may come late, and what comes
//! after it in the same block has to wait for it.
//! Clients that were told, and the unit's disk, write whole blocks beside it: who shares a unit with them has to agree
//! with them on who writes where, in blocks of the unit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::block::{Block, Buffer, Completion, Geometry, Io, IoError, MAX_BUFFER, Op, Pool, UnitName};
use crate::export::bytes::{Answer, Bytes};

/// What clients may count on that are told nothing.
const SMALL: u32 = 512;

/// Bytes of buffers for the large blocks. Clients hold buffers of the unit's own pool while they wait for these, which
/// wait for the unit alone.
const BUDGET: usize = 4 * MAX_BUFFER;

/// The units that are used in small blocks now.
#[derive(Default)]
pub(super) struct SmallUnits {
    units: Mutex<BTreeMap<UnitName, Weak<SmallBlocks>>>,
}

impl SmallUnits {
    /// `unit`, whose name that is, in blocks that any client may count on.
    pub(super) fn of(&self, name: &str, unit: Arc<dyn Block>) -> Arc<dyn Block> {
        if unit.geometry().block_size <= SMALL {
            return unit;
        }
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        units.retain(|_, small| small.strong_count() > 0);
        let present = units.get(name).and_then(Weak::upgrade);
        // Another session's unit may have its name by now.
        if let Some(small) = present.filter(|small| Arc::ptr_eq(&small.unit, &unit)) {
            return small;
        }
        let small = SmallBlocks::start(unit);
        units.insert(name.to_owned(), Arc::downgrade(&small));
        small
    }
}

/// What a unit of these blocks is like in small ones. It neither frees blocks nor makes zeroes: both would have to be
/// patched at their ends.
pub(super) fn in_small_blocks(geometry: &Geometry) -> Geometry {
    if geometry.block_size <= SMALL {
        return *geometry;
    }
    Geometry {
        block_size: SMALL,
        blocks: geometry.bytes() / u64::from(SMALL),
        max_unmap_blocks: 0,
        max_zero_blocks: 0,
        ..*geometry
    }
}

struct SmallBlocks {
    unit: Arc<dyn Block>,
    queue: mpsc::UnboundedSender<Order>,
    this: Weak<SmallBlocks>,
}

/// An operation, and what it goes through: that stays until the operation has ended.
struct Order {
    io: Io,
    through: Arc<SmallBlocks>,
}

impl SmallBlocks {
    fn start(unit: Arc<dyn Block>) -> Arc<SmallBlocks> {
        // As many as its clients have under way, and they are bounded.
        let (queue, arrived) = mpsc::unbounded_channel();
        let runtime = Handle::current();
        let bytes = Bytes::new(Arc::new(Pooled { unit: unit.clone(), pool: Pool::new(BUDGET) }), &runtime);
        unit.lane().unwrap_or(runtime).spawn(carry_out(arrived, bytes));
        Arc::new_cyclic(|this| SmallBlocks { unit, queue, this: this.clone() })
    }
}

impl Block for SmallBlocks {
    fn geometry(&self) -> Geometry {
        in_small_blocks(&self.unit.geometry())
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        // Whoever calls this holds it.
        let Some(this) = self.this.upgrade() else { return };
        for io in batch.drain(..) {
            if let Err(mpsc::error::SendError(Order { io, .. })) = self.queue.send(Order { io, through: this.clone() })
            {
                io.completion.finish(Err(IoError::Offline), io.buffer);
            }
        }
    }

    fn pool(&self) -> &Pool {
        self.unit.pool()
    }

    fn lane(&self) -> Option<Handle> {
        self.unit.lane()
    }
}

/// The unit with buffers of its own.
struct Pooled {
    unit: Arc<dyn Block>,
    pool: Pool,
}

impl Block for Pooled {
    fn geometry(&self) -> Geometry {
        self.unit.geometry()
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        self.unit.submit(batch);
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn lane(&self) -> Option<Handle> {
        self.unit.lane()
    }
}

/// Begins operations in the order in which they arrive, until nobody is left to send any.
async fn carry_out(mut arrived: mpsc::UnboundedReceiver<Order>, bytes: Bytes<Reply>) {
    while let Some(Order { io, through }) = arrived.recv().await {
        let Io { op, lba, blocks, buffer, completion } = io;
        let offset = lba.saturating_mul(SMALL.into());
        let length = blocks as usize * SMALL as usize;
        match (op, buffer) {
            (Op::Read, Some(buffer)) if buffer.len() == length => {
                bytes.read_soon(offset, length, Reply { completion, buffer: Some(buffer), _through: through }).await;
            }
            (Op::Write { fua }, Some(buffer)) if buffer.len() == length => {
                let reply = Reply { completion, buffer: None, _through: through };
                match bytes.begin_write(offset, length, fua, reply) {
                    Ok(writing) => writing.copy_from(&buffer).await.complete(),
                    Err((reply, error)) => reply.failed(error),
                }
            }
            (Op::Flush, buffer) => bytes.flush(Reply { completion, buffer, _through: through }),
            (Op::Unmap | Op::WriteZeroes { .. }, buffer) => completion.finish(Err(IoError::Unsupported), buffer),
            (Op::Read | Op::Write { .. }, buffer) => completion.finish(Err(IoError::Invalid), buffer),
        }
    }
}

/// Who is answered, and the buffer that comes back.
struct Reply {
    completion: Completion,
    buffer: Option<Buffer>,
    _through: Arc<SmallBlocks>,
}

impl Answer for Reply {
    fn data(self, data: &[u8]) {
        let Reply { completion, mut buffer, _through } = self;
        let result = match &mut buffer {
            Some(buffer) if buffer.len() == data.len() => {
                buffer.copy_from_slice(data);
                Ok(())
            }
            _ => Err(IoError::Invalid),
        };
        completion.finish(result, buffer);
    }

    fn done(self) {
        self.completion.finish(Ok(()), self.buffer);
    }

    fn failed(self, error: IoError) {
        self.completion.finish(Err(error), self.buffer);
    }
}
