//! A logical unit: what it is like and what it keeps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use iscsi_proto::scsi::Sense;
use iscsi_proto::scsi::vpd::BlockLimits;

use crate::store::Store;

/// What a unit is like. The default is a writable disk with a volatile write cache that knows FUA
/// and no thin provisioning.
#[derive(Debug, Clone)]
pub struct SimDisk {
    pub(crate) blocks: u64,
    pub(crate) block_size: u32,
    pub(crate) physical_exponent: u8,
    pub(crate) device_type: u8,
    pub(crate) qualifier: u8,
    pub(crate) administrative: bool,
    pub(crate) read_only: bool,
    pub(crate) write_cache: bool,
    pub(crate) fua: bool,
    pub(crate) thin: bool,
    pub(crate) only_short_commands: bool,
    pub(crate) null: bool,
    pub(crate) limits: Option<BlockLimits>,
    pub(crate) rotation: u16,
    pub(crate) vendor: String,
    pub(crate) product: String,
    pub(crate) revision: String,
    pub(crate) serial: Option<String>,
    pub(crate) naa: Option<[u8; 16]>,
    pub(crate) descriptor_sense: bool,
    /// Operation codes that it refuses, and with what.
    pub(crate) refused: Vec<(u8, Sense)>,
    pub(crate) refused_unmap_bit: Option<Sense>,
    /// The most blocks of a read or write, not told.
    pub(crate) longest: Option<u32>,
    pub(crate) whole_granules: bool,
    pub(crate) short_counts: bool,
}

impl SimDisk {
    /// A disk of `blocks` blocks (at least 1) of `block_size` bytes (a power of two from 512 to
    /// 65536). It takes memory for what is written to it only.
    pub fn new(blocks: u64, block_size: u32) -> SimDisk {
        assert!(block_size.is_power_of_two() && (512..=65_536).contains(&block_size), "no block size: {block_size}");
        assert!(blocks > 0 && blocks.checked_mul(u64::from(block_size)).is_some(), "no size: {blocks} blocks");
        SimDisk {
            blocks,
            block_size,
            physical_exponent: 0,
            device_type: 0,
            qualifier: 0,
            administrative: false,
            read_only: false,
            write_cache: true,
            fua: true,
            thin: false,
            only_short_commands: false,
            null: false,
            limits: None,
            rotation: 1,
            vendor: "SIM".into(),
            product: "SIM DISK".into(),
            revision: "1".into(),
            serial: None,
            naa: None,
            descriptor_sense: false,
            refused: Vec::new(),
            refused_unmap_bit: None,
            longest: None,
            whole_granules: false,
            short_counts: false,
        }
    }

    /// A unit of another device type (0 to 31), such as 0x0c: it knows INQUIRY, REPORT LUNS, TEST
    /// UNIT READY and REQUEST SENSE only.
    pub fn not_a_disk(device_type: u8) -> SimDisk {
        SimDisk { device_type, ..SimDisk::new(1, 512) }
    }

    /// The unit of a conglomerate that administers the others (SAM-5 §4.7.6): a disk by its device type, but without a
    /// medium. It knows INQUIRY, REPORT LUNS, TEST UNIT READY and REQUEST SENSE only.
    pub fn administrative() -> SimDisk {
        SimDisk { administrative: true, ..SimDisk::new(1, 512) }
    }

    /// The peripheral qualifier of its INQUIRY data, 0 to 7: 1 says that nothing is connected at this address, 3 that
    /// nothing can be (SPC-5 table 146).
    #[must_use]
    pub fn peripheral_qualifier(self, qualifier: u8) -> SimDisk {
        SimDisk { qualifier, ..self }
    }

    /// What every answer to INQUIRY begins with.
    pub(crate) fn peripheral(&self) -> u8 {
        self.qualifier << 5 | self.device_type
    }

    /// Two to this power logical blocks are a physical one, 0 to 15.
    #[must_use]
    pub fn physical_exponent(self, physical_exponent: u8) -> SimDisk {
        SimDisk { physical_exponent, ..self }
    }

    /// Refuses writes.
    #[must_use]
    pub fn read_only(self) -> SimDisk {
        SimDisk { read_only: true, ..self }
    }

    /// Whether writes complete before they are on stable storage (WCE).
    #[must_use]
    pub fn write_cache(self, write_cache: bool) -> SimDisk {
        SimDisk { write_cache, ..self }
    }

    /// Refuses the FUA bit and says so in its mode parameters.
    #[must_use]
    pub fn without_fua(self) -> SimDisk {
        SimDisk { fua: false, ..self }
    }

    /// Knows UNMAP and the UNMAP bit of WRITE SAME, and reads zero afterwards.
    #[must_use]
    pub fn thin(self) -> SimDisk {
        SimDisk { thin: true, ..self }
    }

    /// Refuses commands of 16 bytes.
    #[must_use]
    pub fn only_short_commands(self) -> SimDisk {
        SimDisk { only_short_commands: true, ..self }
    }

    /// Answers reads from a constant buffer and forgets writes.
    #[must_use]
    pub fn null(self) -> SimDisk {
        SimDisk { null: true, ..self }
    }

    /// Says and enforces these limits. Without, and not thin, there is no such page.
    #[must_use]
    pub fn limits(self, limits: BlockLimits) -> SimDisk {
        SimDisk { limits: Some(limits), ..self }
    }

    /// Medium rotation rate: 0 not told, 1 solid state (the default), else revolutions per minute.
    #[must_use]
    pub fn rotation(self, rotation: u16) -> SimDisk {
        SimDisk { rotation, ..self }
    }

    /// Vendor, product and revision: the first 8, 16 and 4 bytes are told.
    #[must_use]
    pub fn names(self, vendor: &str, product: &str, revision: &str) -> SimDisk {
        SimDisk { vendor: vendor.into(), product: product.into(), revision: revision.into(), ..self }
    }

    /// The serial number; one is made up of the target's name and the unit's number otherwise.
    #[must_use]
    pub fn serial(self, serial: &str) -> SimDisk {
        SimDisk { serial: Some(serial.into()), ..self }
    }

    /// The NAA designator; one is made up otherwise.
    #[must_use]
    pub fn naa(self, naa: [u8; 16]) -> SimDisk {
        SimDisk { naa: Some(naa), ..self }
    }

    /// Gives sense data in descriptor format.
    #[must_use]
    pub fn descriptor_sense(self) -> SimDisk {
        SimDisk { descriptor_sense: true, ..self }
    }

    /// Refuses commands with that operation code, whatever it says of itself.
    #[must_use]
    pub fn refuses(mut self, opcode: u8, sense: Sense) -> SimDisk {
        self.refused.push((opcode, sense));
        self
    }

    /// Refuses WRITE SAME with the UNMAP bit, which it says that it takes, and takes it without.
    #[must_use]
    pub fn refuses_unmap_bit(self, sense: Sense) -> SimDisk {
        SimDisk { refused_unmap_bit: Some(sense), ..self }
    }

    /// Refuses reads and writes of more blocks than that, which it does not tell.
    #[must_use]
    pub fn longest_transfer(self, blocks: u32) -> SimDisk {
        SimDisk { longest: Some(blocks), ..self }
    }

    /// Does nothing to what is no whole granule of a WRITE SAME with the UNMAP bit, and says GOOD.
    #[must_use]
    pub fn only_whole_granules(self) -> SimDisk {
        SimDisk { whole_granules: true, ..self }
    }

    /// Keeps 16 bits of the number of blocks of a WRITE SAME (16): 65536 are none, which is all up to the end.
    #[must_use]
    pub fn short_counts(self) -> SimDisk {
        SimDisk { short_counts: true, ..self }
    }

    /// The limits it enforces; zeroes where there are none.
    pub(crate) fn effective_limits(&self) -> BlockLimits {
        self.limits.unwrap_or(if self.thin {
            BlockLimits {
                max_unmap_blocks: u32::MAX,
                max_unmap_descriptors: 64,
                unmap_granularity: 1,
                ..BlockLimits::default()
            }
        } else {
            BlockLimits::default()
        })
    }
}

/// A unit of a running target.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) disk: SimDisk,
    blocks: AtomicU64,
    write_protected: AtomicBool,
    store: Mutex<Store>,
    /// What a null disk reads.
    pub(crate) constant: Bytes,
}

/// Longest piece of a null disk's data that goes out in one Data-In without a copy.
pub(crate) const CONSTANT: usize = 256 * 1024;

impl Unit {
    pub(crate) fn new(disk: SimDisk) -> Unit {
        let constant = if disk.null { Bytes::from(vec![0x5a; CONSTANT]) } else { Bytes::new() };
        Unit {
            blocks: AtomicU64::new(disk.blocks),
            write_protected: AtomicBool::new(disk.read_only),
            store: Mutex::default(),
            constant,
            disk,
        }
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    pub(crate) fn resize(&self, blocks: u64) {
        self.blocks.store(blocks, Ordering::Relaxed);
    }

    pub(crate) fn is_write_protected(&self) -> bool {
        self.write_protected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_write_protected(&self, protected: bool) {
        self.write_protected.store(protected, Ordering::Relaxed);
    }

    pub(crate) fn block_size(&self) -> u64 {
        u64::from(self.disk.block_size)
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
