//! What a disk keeps: sparse chunks, and what they would be after a power cut.
//!
//! ```text
//!   chunks   64 KiB index → bytes as they read now; a chunk that is not there reads as zero
//!   dirty    64 KiB index → bytes as they are on stable storage, and which sectors differ
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Bytes of a chunk.
const CHUNK: u64 = 64 * 1024;

/// Bytes of a sector, the grain of what is volatile: a chunk has 128 of them, the bits of a `u128`.
const SECTOR: u64 = 512;

type Chunk = Box<[u8]>;

/// A chunk with sectors that are not on stable storage.
#[derive(Debug)]
struct Dirty {
    /// The chunk on stable storage; `None` reads as zero.
    durable: Option<Chunk>,
    /// Which sectors were written since, from the least significant bit.
    sectors: u128,
}

/// The content of a disk. Offsets and lengths are in bytes, multiples of the block.
#[derive(Debug, Default)]
pub(crate) struct Store {
    chunks: HashMap<u64, Chunk>,
    dirty: HashMap<u64, Dirty>,
}

/// A range cut at the borders of chunks: index, first byte within it, length.
fn pieces(offset: u64, len: u64) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset.saturating_add(len);
    let mut at = offset;
    std::iter::from_fn(move || {
        let within = at % CHUNK;
        let len = (CHUNK - within).min(end - at);
        let piece = (at / CHUNK, within as usize, len as usize);
        at += len;
        (len > 0).then_some(piece)
    })
}

/// The bits of the sectors that `len` bytes from `from` touch.
fn sector_bits(from: usize, len: usize) -> u128 {
    let first = from as u64 / SECTOR;
    let count = (from + len) as u64 - first * SECTOR;
    let count = count.div_ceil(SECTOR);
    if count >= 128 { u128::MAX } else { ((1u128 << count) - 1) << first }
}

fn empty_chunk() -> Chunk {
    vec![0; CHUNK as usize].into_boxed_slice()
}

impl Store {
    /// Appends what is there to `out`.
    pub(crate) fn append_to(&self, offset: u64, len: u64, out: &mut Vec<u8>) {
        for (index, from, len) in pieces(offset, len) {
            match self.chunks.get(&index) {
                Some(chunk) => out.extend_from_slice(&chunk[from..from + len]),
                None => out.resize(out.len() + len, 0),
            }
        }
    }

    /// Writes `data`; if `durable`, to stable storage at once.
    pub(crate) fn write(&mut self, offset: u64, mut data: &[u8], durable: bool) {
        for (index, from, len) in pieces(offset, data.len() as u64) {
            let (piece, rest) = data.split_at(len);
            self.change(index, from, len, durable, |chunk| chunk.copy_from_slice(piece));
            data = rest;
        }
    }

    /// Makes a range read as zero and frees the chunks that lie within it.
    pub(crate) fn zero(&mut self, offset: u64, len: u64, durable: bool) {
        let end = offset.saturating_add(len);
        // A range of terabytes touches few chunks that exist.
        let mut touched: Vec<u64> =
            self.chunks.keys().copied().filter(|index| index * CHUNK < end && (index + 1) * CHUNK > offset).collect();
        touched.sort_unstable();
        for index in touched {
            let from = offset.saturating_sub(index * CHUNK) as usize;
            let to = (end - index * CHUNK).min(CHUNK) as usize;
            self.change(index, from, to - from, durable, |chunk| chunk.fill(0));
            if to - from == CHUNK as usize {
                self.chunks.remove(&index);
            }
        }
    }

    /// Changes a piece of a chunk and keeps account of what is on stable storage.
    fn change(&mut self, index: u64, from: usize, len: usize, durable: bool, with: impl FnOnce(&mut [u8])) {
        let chunk = match self.chunks.entry(index) {
            Entry::Occupied(there) => {
                let chunk = there.into_mut();
                if !durable {
                    let dirty =
                        self.dirty.entry(index).or_insert_with(|| Dirty { durable: Some(chunk.clone()), sectors: 0 });
                    dirty.sectors |= sector_bits(from, len);
                }
                chunk
            }
            Entry::Vacant(missing) => {
                if !durable {
                    let dirty = self.dirty.entry(index).or_insert(Dirty { durable: None, sectors: 0 });
                    dirty.sectors |= sector_bits(from, len);
                }
                missing.insert(empty_chunk())
            }
        };
        let piece = &mut chunk[from..from + len];
        with(piece);
        if durable && let Entry::Occupied(mut entry) = self.dirty.entry(index) {
            let dirty = entry.get_mut();
            dirty.durable.get_or_insert_with(empty_chunk)[from..from + len].copy_from_slice(piece);
            dirty.sectors &= !sector_bits(from, len);
            if dirty.sectors == 0 {
                entry.remove();
            }
        }
    }

    /// Brings a range to stable storage.
    pub(crate) fn sync(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        let chunks = &self.chunks;
        self.dirty.retain(|index, dirty| {
            let base = index * CHUNK;
            if base >= end || base + CHUNK <= offset {
                return true;
            }
            let from = offset.saturating_sub(base) as usize;
            let to = (end - base).min(CHUNK) as usize;
            dirty.sectors &= !sector_bits(from, to - from);
            let durable = dirty.durable.get_or_insert_with(empty_chunk);
            match chunks.get(index) {
                Some(chunk) => durable[from..to].copy_from_slice(&chunk[from..to]),
                None => durable[from..to].fill(0),
            }
            dirty.sectors != 0
        });
    }

    /// Goes back to what is on stable storage.
    pub(crate) fn power_cut(&mut self) {
        for (index, dirty) in self.dirty.drain() {
            match dirty.durable {
                Some(chunk) => self.chunks.insert(index, chunk),
                None => self.chunks.remove(&index),
            };
        }
    }

    /// How many bytes a power cut would lose.
    pub(crate) fn volatile_bytes(&self) -> u64 {
        self.dirty.values().map(|dirty| u64::from(dirty.sectors.count_ones()) * SECTOR).sum()
    }

    /// Whether a sector begins with these bytes, at most a sector of them: as it reads now, and as it would after a power cut.
    pub(crate) fn has_sector(&self, beginning: &[u8]) -> (bool, bool) {
        let has = |chunk: &Chunk| chunk.chunks_exact(SECTOR as usize).any(|sector| sector.starts_with(beginning));
        let stable = self.dirty.values().filter_map(|dirty| dirty.durable.as_ref()).any(has)
            || self.chunks.iter().any(|(index, chunk)| !self.dirty.contains_key(index) && has(chunk));
        (self.chunks.values().any(has), stable)
    }

    /// How many bytes of memory the content takes.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.chunks.len() as u64 * CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(store: &Store, offset: u64, len: u64) -> Vec<u8> {
        let mut out = Vec::new();
        store.append_to(offset, len, &mut out);
        out
    }

    #[test]
    fn a_write_across_chunks_reads_back_and_the_rest_is_zero() {
        let mut store = Store::default();
        let data: Vec<u8> = (0..3 * CHUNK as usize).map(|n| n as u8 | 1).collect();
        store.write(CHUNK - 512, &data, false);
        assert_eq!(read(&store, CHUNK - 512, data.len() as u64), data);
        assert_eq!(read(&store, 0, 512), [0; 512]);
        assert_eq!(store.volatile_bytes(), data.len() as u64);
        assert_eq!(store.allocated_bytes(), 4 * CHUNK);
    }

    #[test]
    fn the_last_bytes_of_the_address_space_can_be_written() {
        let mut store = Store::default();
        let last = u64::MAX - 4095;
        store.write(last, &[7; 512], false);
        assert_eq!(read(&store, last, 512), [7; 512]);
    }

    #[test]
    fn a_power_cut_loses_what_was_not_synchronised() {
        let mut store = Store::default();
        store.write(0, &[1; 1024], false);
        store.sync(0, u64::MAX);
        assert_eq!(store.volatile_bytes(), 0);
        store.write(512, &[2; 512], false);
        store.write(CHUNK, &[3; 512], false);
        store.power_cut();
        assert_eq!(read(&store, 0, 1024), [1; 1024]);
        assert_eq!(read(&store, CHUNK, 512), [0; 512]);
    }

    #[test]
    fn a_sector_is_found_by_its_beginning_and_is_known_to_be_stable_or_not() {
        let mut store = Store::default();
        assert_eq!(store.has_sector(&[9; 16]), (false, false));
        store.write(CHUNK + 512, &[9; 512], false);
        assert_eq!(store.has_sector(&[9; 16]), (true, false));
        store.sync(0, u64::MAX);
        assert_eq!(store.has_sector(&[9; 16]), (true, true));
        store.write(CHUNK + 512, &[8; 512], false);
        assert_eq!((store.has_sector(&[9; 16]), store.has_sector(&[8; 16])), ((false, true), (true, false)));
        store.zero(CHUNK, CHUNK, false);
        assert_eq!((store.has_sector(&[9; 16]), store.has_sector(&[8; 16])), ((false, true), (false, false)));
    }

    #[test]
    fn a_durable_write_survives_beside_a_volatile_one() {
        let mut store = Store::default();
        store.write(0, &[1; 512], false);
        store.write(512, &[2; 512], true);
        assert_eq!(store.volatile_bytes(), 512);
        store.power_cut();
        assert_eq!(read(&store, 0, 512), [0; 512]);
        assert_eq!(read(&store, 512, 512), [2; 512]);
    }

    #[test]
    fn a_synchronised_range_leaves_the_rest_volatile() {
        let mut store = Store::default();
        store.write(0, &[1; 4096], false);
        store.sync(1024, 1024);
        assert_eq!(store.volatile_bytes(), 3072);
        store.power_cut();
        let expected = [[0; 1024], [1; 1024], [0; 1024], [0; 1024]].concat();
        assert_eq!(read(&store, 0, 4096), expected);
    }

    #[test]
    fn zeroes_free_whole_chunks_and_a_power_cut_brings_them_back() {
        let mut store = Store::default();
        store.write(0, &vec![5; 3 * CHUNK as usize], true);
        store.zero(512, 1 << 50, false);
        assert_eq!(store.allocated_bytes(), CHUNK);
        assert_eq!(read(&store, 0, 1024), [[5; 512], [0; 512]].concat());
        store.power_cut();
        assert_eq!(read(&store, 0, 3 * CHUNK), vec![5; 3 * CHUNK as usize]);
    }
}
