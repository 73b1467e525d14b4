//! What may be asked of a unit as bytes, cut into pieces.

use super::writing::{Cutting, Writing};
use super::{Answer, Bytes, Gathered, Request, Work};
use crate::block::IoError;
use crate::export::split::{BlockRange, transfer_limit};

impl<A: Answer> Bytes<A> {
    /// Reads `length` bytes from `offset`. Waits for buffers: not to be called from a task.
    pub(crate) fn read(&self, offset: u64, length: usize, answer: A) {
        self.wait(self.read_soon(offset, length, answer));
    }

    /// As [`read`](Bytes::read), for tasks: comes back when all of it is on its way. Dropped before, it
    /// is answered [`IoError::Aborted`].
    pub(crate) async fn read_soon(&self, offset: u64, length: usize, answer: A) {
        let geometry = match self.check(offset, length as u64) {
            Ok(geometry) => geometry,
            Err(error) => return answer.failed(error),
        };
        if length == 0 {
            return answer.data(&[]);
        }
        let size = u64::from(geometry.block_size);
        let skip = (offset % size) as usize;
        let mut range =
            BlockRange { lba: offset / size, blocks: (offset + length as u64).div_ceil(size) - offset / size };
        let in_one = range.blocks <= u64::from(transfer_limit(&geometry));
        let read = if in_one { Gathered::Nothing } else { Gathered::Parts(vec![0; length]) };
        let cutting = self.begin(answer, read);
        let (mut skip, mut to) = (skip, 0);
        while let Some(run) = range.take(transfer_limit(&geometry)) {
            let bytes = run.blocks as usize * size as usize;
            let part = (bytes - skip).min(length - to);
            let Some(buffer) = self.buffer(bytes).await else { return cutting.give_up(IoError::Offline) };
            let blocks = BlockRange { lba: run.lba, blocks: u64::from(run.blocks) };
            self.put(cutting.request, blocks, Work::Read { buffer: Some(buffer), skip, length: part, to });
            to += part;
            skip = 0;
        }
        cutting.complete();
    }

    /// Writes `data` at `offset`; with `fua` it is on stable storage when it is done. Waits for
    /// buffers: not to be called from a task.
    pub(crate) fn write(&self, offset: u64, data: &[u8], fua: bool, answer: A) {
        let geometry = match self.check_write(offset, data.len() as u64) {
            Ok(geometry) => geometry,
            Err(error) => return answer.failed(error),
        };
        if data.is_empty() {
            return answer.done();
        }
        let cutting = self.begin(answer, Gathered::Nothing);
        let writing = Writing::new(cutting, geometry, offset, data.len(), fua);
        self.wait(writing.copy_from(data)).complete();
    }

    /// Begins a write of `length` bytes at `offset`, which come piece by piece, for tasks.
    ///
    /// # Errors
    /// Why it cannot be, and `answer` back.
    pub(crate) fn begin_write(
        &self,
        offset: u64,
        length: usize,
        fua: bool,
        answer: A,
    ) -> Result<Writing<'_, A>, (A, IoError)> {
        match self.check_write(offset, length as u64) {
            Ok(geometry) => {
                let cutting = self.begin(answer, Gathered::Nothing);
                Ok(Writing::new(cutting, geometry, offset, length, fua))
            }
            Err(error) => Err((answer, error)),
        }
    }

    /// Makes `length` bytes from `offset` read as zero; with `unmap` the unit may free the blocks.
    /// Waits for buffers where half a block is concerned: not to be called from a task.
    pub(crate) fn zero(&self, offset: u64, length: u64, unmap: bool, answer: A) {
        let geometry = match self.check_write(offset, length) {
            Ok(geometry) => geometry,
            Err(error) => return answer.failed(error),
        };
        if geometry.max_zero_blocks == 0 || (unmap && geometry.max_unmap_blocks == 0) {
            return answer.failed(IoError::Unsupported);
        }
        if length == 0 {
            return answer.done();
        }
        let size = u64::from(geometry.block_size);
        let cutting = self.begin(answer, Gathered::Nothing);
        let end = offset + length;
        let (first, last) = (offset.div_ceil(size), end / size);
        let zeroes = vec![0; geometry.block_size as usize];
        let zeroes = |length: u64| zeroes.get(..length as usize).unwrap_or_default();
        let write = |cutting, offset, data: &[u8]| {
            let writing = Writing::new(cutting, geometry, offset, data.len(), false);
            self.wait(writing.copy_from(data))
        };
        if first > last {
            return write(cutting, offset, zeroes(length)).complete();
        }
        let cutting = write(cutting, offset, zeroes(first * size - offset));
        let rest = BlockRange { lba: first, blocks: last - first };
        if rest.blocks > 0 {
            self.put(cutting.request, rest, Work::Zero { rest, under_way: 0, unmap });
        }
        write(cutting, last * size, zeroes(end - last * size)).complete();
    }

    /// Brings everything that was answered before onto stable storage.
    pub(crate) fn flush(&self, answer: A) {
        if let Err(error) = self.check(0, 0) {
            return answer.failed(error);
        }
        let cutting = self.begin(answer, Gathered::Nothing);
        self.put(cutting.request, BlockRange { lba: 0, blocks: 0 }, Work::Flush);
        cutting.complete();
    }

    fn begin(&self, answer: A, read: Gathered) -> Cutting<'_, A> {
        let request = Request { answer: Some(answer), left: 1, error: None, read };
        Cutting::new(self, self.shared.lock().requests.insert(request))
    }
}
