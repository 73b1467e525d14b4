//! A logical unit: what it is, what it can do, and whether commands may go to it.

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::failures::Failures;
use super::features::Features;
use super::gate::Gate;
use super::habits::{Flush, Habits, Lesson, Zeroes};
use super::identity::{Identity, Likeness};
use super::info::{UnitInfo, unit_name};
use crate::block::Geometry;
use crate::quirks::{Quirk, Seen};

/// What a unit is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// What the exports see of it.
    pub(crate) geometry: Geometry,
    /// What commands for it may ask for.
    pub(crate) features: Features,
    /// What its answers have taught.
    pub(crate) habits: Habits,
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
    failures: Failures,
    /// Its size when it last refused blocks that it has by that size.
    belied: Mutex<Option<u64>>,
}

impl Unit {
    /// A disk as a scan found it at a target; `None` if the unit is no disk, or is not ready.
    pub(crate) fn new(target: &str, info: &UnitInfo, features: Features) -> Option<Unit> {
        Some(Unit {
            name: unit_name(target, info.lun),
            shape: RwLock::new(Shape { geometry: info.geometry?, features, habits: Habits::default() }),
            identity: RwLock::new(Identity::of(info)?),
            gate: Gate::default(),
            seen: Seen::default(),
            failures: Failures::default(),
            belied: Mutex::default(),
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

    /// What of its I/O has failed.
    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
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
        let (slow_zeroes, habits) = (shape.geometry.slow_zeroes, shape.habits);
        *shape = Shape { geometry: Geometry { slow_zeroes, ..geometry }, features, habits };
        drop(shape);
        self.identity.write().unwrap_or_else(PoisonError::into_inner).resized(geometry.blocks);
    }

    /// Whether it has those blocks, by the size that it has told.
    pub(crate) fn has(&self, lba: u64, blocks: u32) -> bool {
        lba.checked_add(blocks.into()).is_some_and(|end| end <= self.read_shape().geometry.blocks)
    }

    /// It has refused those blocks as beyond its end. Whether its size is to be asked for again: it has them by the
    /// size that it has told, and has not done so before with that size.
    pub(crate) fn belies_its_size(&self, lba: u64, blocks: u32) -> bool {
        let told = self.read_shape().geometry.blocks;
        self.has(lba, blocks) && self.belied.lock().unwrap_or_else(PoisonError::into_inner).replace(told) != Some(told)
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

    /// One of its answers has told that about it: commands go that way from now on.
    pub(crate) fn learn(&self, lesson: Lesson) {
        let mut shape = self.write_shape();
        let habits = shape.habits.with(lesson);
        let is_new = habits != shape.habits;
        shape.habits = habits;
        shape.geometry.slow_zeroes = habits.zeroes == Zeroes::Written;
        drop(shape);
        if !is_new {
            return;
        }
        let quirk = match lesson {
            Lesson::Ten => Quirk::RefusesReadWrite16,
            Lesson::WithoutFua => Quirk::RefusesFua,
            Lesson::Shorter(blocks) => {
                let detail = format!("more than {blocks} blocks");
                return self.shows(Quirk::RefusesLongTransfers, &detail);
            }
            Lesson::Zeroes(Zeroes::Written) => Quirk::RefusesWriteSame,
            Lesson::Zeroes(Zeroes::Freed | Zeroes::Kept) => Quirk::RefusesWriteSameUnmap,
            Lesson::NoUnmap => Quirk::RefusesUnmap,
            Lesson::Flush(Flush::Nothing) => Quirk::KnowsNoSynchronizeCache,
            Lesson::Flush(Flush::Sixteen | Flush::Ten { .. }) => Quirk::RefusesSynchronizeCache16,
        };
        self.shows(quirk, "");
    }
}
