//! A request on its way into pieces; a write that is cut as its bytes come.
//!
//! ```text
//!   next ──► Filling: a buffer ── the caller fills it ──► put ──► under way
//! ```

use super::{Answer, Bytes, Work};
use crate::block::{Buffer, Geometry, IoError};
use crate::export::split::{BlockRange, transfer_limit};

/// A request whose pieces are being cut. Dropped before they all are, it fails.
pub(crate) struct Cutting<'a, A: Answer> {
    bytes: &'a Bytes<A>,
    pub(super) request: usize,
    failed: Option<IoError>,
}

impl<'a, A: Answer> Cutting<'a, A> {
    /// Of a request that has just been taken up.
    pub(super) fn new(bytes: &'a Bytes<A>, request: usize) -> Cutting<'a, A> {
        Cutting { bytes, request, failed: Some(IoError::Aborted) }
    }

    /// All pieces are cut.
    pub(crate) fn complete(mut self) {
        if self.failed == Some(IoError::Aborted) {
            self.failed = None;
        }
    }

    /// No further piece can be cut.
    pub(super) fn give_up(mut self, why: IoError) {
        self.failed = Some(why);
    }
}

impl<A: Answer> Drop for Cutting<'_, A> {
    fn drop(&mut self) {
        self.bytes.all_cut(self.request, self.failed);
    }
}

/// A write whose bytes arrive piece by piece. Dropped before the last of them, it fails with
/// [`IoError::Aborted`]; what has been put is written all the same.
pub(crate) struct Writing<'a, A: Answer> {
    cutting: Cutting<'a, A>,
    geometry: Geometry,
    offset: u64,
    left: usize,
    fua: bool,
}

/// A piece of a [`Writing`], to be filled.
pub(crate) struct Filling {
    buffer: Buffer,
    /// Where a block begins of which only a part is written, and that part.
    patch: Option<(usize, Box<[u8]>)>,
}

impl Filling {
    /// Where the bytes go, all of them.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        match &mut self.patch {
            Some((_, bytes)) => bytes,
            None => &mut self.buffer,
        }
    }
}

impl<A: Answer> Writing<'_, A> {
    /// The next piece, as soon as there is a buffer for it; `None` when there is nothing more to write,
    /// or nowhere to write to any more.
    pub(crate) async fn next(&mut self) -> Option<Filling> {
        if self.left == 0 || self.cutting.failed == Some(IoError::Offline) {
            return None;
        }
        let size = self.geometry.block_size as usize;
        let at = (self.offset % size as u64) as usize;
        let whole = if at == 0 { self.left / size } else { 0 };
        let (length, patch) = match whole {
            0 => (size, Some((at, vec![0; self.left.min(size - at)].into_boxed_slice()))),
            whole => (whole.min(transfer_limit(&self.geometry) as usize) * size, None),
        };
        let Some(buffer) = self.cutting.bytes.buffer(length).await else {
            self.cutting.failed = Some(IoError::Offline);
            return None;
        };
        Some(Filling { buffer, patch })
    }

    /// The last piece that [`next`](Writing::next) gave, filled.
    pub(crate) fn put(&mut self, filling: Filling) {
        let size = u64::from(self.geometry.block_size);
        let Filling { buffer, patch } = filling;
        let length = patch.as_ref().map_or(buffer.len(), |(_, bytes)| bytes.len());
        let blocks = BlockRange { lba: self.offset / size, blocks: buffer.len() as u64 / size };
        let (buffer, fua) = (Some(buffer), self.fua);
        let work = match patch {
            Some((at, bytes)) => Work::Patch { buffer, at, bytes, patched: false, fua },
            None => Work::Write { buffer, fua },
        };
        self.cutting.bytes.put(self.cutting.request, blocks, work);
        self.offset += length as u64;
        self.left = self.left.saturating_sub(length);
    }

    /// All bytes have come.
    pub(crate) fn complete(self) {
        if self.left == 0 {
            self.cutting.complete();
        }
    }
}

impl<'a, A: Answer> Writing<'a, A> {
    /// A write of `length` bytes at `offset`, which is a request already.
    pub(super) fn new(
        cutting: Cutting<'a, A>,
        geometry: Geometry,
        offset: u64,
        length: usize,
        fua: bool,
    ) -> Writing<'a, A> {
        Writing { cutting, geometry, offset, left: length, fua }
    }

    /// Cuts all of it, from what is there.
    pub(crate) async fn copy_from(mut self, mut data: &[u8]) -> Cutting<'a, A> {
        while let Some(mut filling) = self.next().await {
            let bytes = filling.bytes();
            let Some((now, later)) = data.split_at_checked(bytes.len()) else { break };
            bytes.copy_from_slice(now);
            data = later;
            self.put(filling);
        }
        self.cutting
    }
}
