//! A logical unit: what it is, what it can do, and whether commands may go to it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use iscsi_proto::scsi::cdb;

use super::features::{Commands, Features};
use super::gate::Gate;
use super::identity::{Identity, Likeness};
use super::info::{UnitInfo, unit_name};
use crate::block::{Geometry, Op};
use crate::quirks::{Quirk, Seen};

/// What a unit is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// What the exports see of it.
    pub(crate) geometry: Geometry,
    /// How commands for it are built.
    pub(crate) features: Features,
}

/// A disk that a scan has found.
#[derive(Debug)]
pub(crate) struct Unit {
    /// As in the registry, for the log.
    name: String,
    shape: RwLock<Shape>,
    identity: RwLock<Identity>,
    gate: Gate,
    /// What it does otherwise than others.
    seen: Seen,
}

impl Unit {
    /// A disk as a scan found it at a target; `None` if the unit is no disk, or is not ready.
    pub(crate) fn new(target: &str, info: &UnitInfo, features: Features) -> Option<Unit> {
        Some(Unit {
            name: unit_name(target, info.lun),
            shape: RwLock::new(Shape { geometry: info.geometry?, features }),
            identity: RwLock::new(Identity::of(info)?),
            gate: Gate::default(),
            seen: Seen::default(),
        })
    }

    /// Whether commands may go to it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What it does otherwise than others.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// It shows a quirk: `detail` says what exactly.
    pub(crate) fn shows(&self, quirk: Quirk, detail: &str) {
        self.seen.note(&self.name, quirk, detail);
    }

    /// Whether what was found at its address is the disk that it was.
    pub(crate) fn likeness(&self, now: &UnitInfo) -> Likeness {
        let size = self.gate.size();
        self.identity.read().unwrap_or_else(PoisonError::into_inner).likeness(now, size)
    }

    /// Another scan has found it, perhaps with another size. What its answers have taught us stays.
    pub(crate) fn reshape(&self, geometry: Geometry, features: Features) {
        let mut shape = self.write_shape();
        let commands = shape.features.commands;
        *shape = Shape { geometry, features: Features { commands, ..features } };
        drop(shape);
        self.identity.write().unwrap_or_else(PoisonError::into_inner).resized(geometry.blocks);
    }

    /// What it is like now.
    pub(crate) fn shape(&self) -> Shape {
        *self.read_shape()
    }

    fn read_shape(&self) -> RwLockReadGuard<'_, Shape> {
        self.shape.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_shape(&self) -> RwLockWriteGuard<'_, Shape> {
        self.shape.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same operation with a shorter command, if `refused` was a 16-byte one and it fits; from now
    /// on all reads and writes go that way.
    pub(crate) fn without_16(&self, refused: &[u8; 16], op: Op, lba: u64, blocks: u32) -> Option<[u8; 16]> {
        match refused[0] {
            cdb::opcode::READ_16 | cdb::opcode::WRITE_16 => {
                let fua = refused[1] & 0x08 != 0;
                let shorter = read_or_write(op, lba, blocks, fua, Commands::Ten)?;
                self.write_shape().features.commands = Commands::Ten;
                self.shows(Quirk::RefusesReadWrite16, "");
                Some(shorter)
            }
            cdb::opcode::SYNCHRONIZE_CACHE_16 => {
                self.shows(Quirk::RefusesSynchronizeCache16, "");
                cdb::synchronize_cache_10(0, 0).map(|cdb| cdb.padded())
            }
            _ => None,
        }
    }
}

/// SYNCHRONIZE CACHE of everything: LBA 0 and 0 blocks mean the whole unit (SBC-4 §5.34). Both forms are
/// optional. The sixteen-byte one goes first, as with reads and writes; a unit that does not know it gets the
/// ten-byte one ([`Unit::without_16`]), and a unit that knows neither has nothing to synchronize.
pub(crate) fn flush() -> [u8; 16] {
    cdb::synchronize_cache_16(0, 0).padded()
}

/// READ or WRITE, in the form that the unit takes; `None` where that form cannot address the blocks.
pub(crate) fn read_or_write(op: Op, lba: u64, blocks: u32, fua: bool, commands: Commands) -> Option<[u8; 16]> {
    let cdb = match (op, commands) {
        (Op::Read, Commands::Sixteen) => cdb::read_16(lba, blocks, fua),
        (Op::Read, Commands::Ten) => cdb::read_10(lba, blocks, fua)?,
        (_, Commands::Sixteen) => cdb::write_16(lba, blocks, fua),
        (_, Commands::Ten) => cdb::write_10(lba, blocks, fua)?,
    };
    Some(cdb.padded())
}
