//! Units that the SCSI stack may not use: another disk stands at their number, as the daemon has found.
//!
//! ```text
//!   fence ──► the unit is listed ─► what waits for it, and what comes later, ends with CHECK CONDITION
//!   lost, cancelled: parked ──────► listed? ends, instead of being issued again
//! ```
//! It ends as a target answers for a unit that it does not have, ILLEGAL REQUEST, LOGICAL UNIT NOT SUPPORTED (SPC-5
//! §4.4.7). macOS' disk driver asks again four times, at once, and fails the I/O. NOT READY, or no status at all, would
//! let it ask for as long as there is a device (`ClearNotReadyStatus` and `VerifyMediumPresence` of its block
//! commands, IOSCSIArchitectureModelFamily-139.0.2), and its search for units takes this answer for a number without a
//! unit.

use alloc::vec::Vec;

use iscsi_proto::ids::Lun;
use iscsi_proto::scsi::cdb::opcode::REPORT_LUNS;
use iscsi_proto::session::Command;
use iscsi_proto::tmf::Manage;

use super::commands::Origin;
use super::refusal::Refusal;
use crate::abi::ISCSI_FENCED_MOST;

/// Units at a time.
const MOST: usize = ISCSI_FENCED_MOST as usize;

#[derive(Debug)]
pub(crate) struct Fenced {
    /// Without memory of its own until there is one.
    units: Vec<Lun>,
}

impl Fenced {
    pub(crate) const fn new() -> Fenced {
        Fenced { units: Vec::new() }
    }

    pub(crate) fn has(&self, lun: Lun) -> bool {
        self.units.iter().any(|unit| unit.is_same_unit(lun))
    }

    /// Whether the command ends here. REPORT LUNS asks the target, whatever unit it is addressed to (SAM-5 §4.7.4).
    pub(crate) fn ends(&self, command: &Command, origin: Origin) -> bool {
        origin == Origin::Stack && self.has(command.lun) && command.cdb.first() != Some(&REPORT_LUNS)
    }

    /// What may be asked of the target instead: at a fenced unit only what is ours ends, its disk is another's.
    pub(crate) fn spare(&self, manage: Manage) -> Manage {
        match manage {
            Manage::LogicalUnitReset(lun) if self.has(lun) => Manage::AbortTaskSet(lun),
            other => other,
        }
    }

    pub(crate) fn add(&mut self, lun: Lun) -> Result<(), Refusal> {
        if self.has(lun) {
            return Ok(());
        }
        if self.units.len() >= MOST {
            return Err(Refusal::Full);
        }
        if self.units.capacity() == 0 {
            self.units.try_reserve_exact(MOST).map_err(|_| Refusal::NoMemory)?;
        }
        self.units.push(lun);
        Ok(())
    }

    pub(crate) fn remove(&mut self, lun: Lun) {
        self.units.retain(|unit| !unit.is_same_unit(lun));
    }
}
