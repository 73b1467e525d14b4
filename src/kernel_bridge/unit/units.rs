//! The units of a session: what its scans have found, and the disks among it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use iscsi_proto::ids::Lun;

use super::disk::{Disk, Disks};
use super::info::UnitInfo;
use crate::quirks::Seen;

/// The units of a session.
#[derive(Debug)]
pub(crate) struct Units {
    /// The target's name: first half of the units' names.
    pub(crate) target: String,
    disks: Disks,
    found: Mutex<Vec<UnitInfo>>,
    /// What the target does otherwise than others.
    pub(crate) seen: Seen,
}

impl Units {
    /// None yet. `disks` is shared with the session's driver.
    pub(crate) fn new(target: String, disks: Disks) -> Units {
        Units { target, disks, found: Mutex::default(), seen: Seen::default() }
    }

    /// The disks, by address.
    pub(crate) fn disks(&self) -> MutexGuard<'_, BTreeMap<Lun, Disk>> {
        self.disks.lock()
    }

    /// What the last scan has found, by address, with what was seen since.
    pub(crate) fn found(&self) -> MutexGuard<'_, Vec<UnitInfo>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, with what each disk's answers have taught since.
    pub(crate) fn shown(&self) -> Vec<UnitInfo> {
        let disks = self.disks();
        let mut units = self.found().clone();
        for unit in &mut units {
            if let Some(disk) = disks.get(&unit.lun) {
                unit.workarounds.extend(disk.unit.seen().sentences());
                unit.failed = disk.unit.failures().told();
            }
        }
        units
    }

    /// A unit was looked at: this is what it is.
    pub(crate) fn note(&self, info: UnitInfo) {
        let mut found = self.found();
        if let Some(unit) = found.iter_mut().find(|unit| unit.lun == info.lun) {
            *unit = info;
        }
    }

    /// A unit takes no I/O any more, and why.
    pub(crate) fn offline(&self, lun: Lun, why: &str) {
        tracing::error!(target = %self.target, %lun, why, "a unit is offline");
        if let Some(unit) = self.found().iter_mut().find(|unit| unit.lun == lun) {
            unit.become_offline(why);
        }
    }
}
