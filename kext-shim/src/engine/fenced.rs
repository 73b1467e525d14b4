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

use super::commands::{Origin, State};
use super::events::Pending;
use super::{Engine, Refusal};
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

    fn add(&mut self, lun: Lun) -> Result<(), Refusal> {
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

    fn remove(&mut self, lun: Lun) {
        self.units.retain(|unit| !unit.is_same_unit(lun));
    }
}

impl Engine {
    /// Commands of the stack for that unit end with an error from now on, whatever becomes of the connection; or
    /// they go out again. What the target has been sent already ends with its answer.
    pub(crate) fn fence(&mut self, lun: Lun, fence: bool) -> Result<(), Refusal> {
        if !fence {
            self.fenced.remove(lun);
            return Ok(());
        }
        self.fenced.add(lun)?;
        for index in 0..self.commands.count() {
            let Some(entry) = self.commands.get(index) else { continue };
            match entry.state {
                State::Parked => self.end_fenced(index),
                // Not sent yet: it is parked, and ends there.
                State::Issued(itt) if self.fenced.ends(&entry.command, entry.origin) && !entry.unwanted => {
                    if self.session.cancel(itt) {
                        self.gather();
                    }
                }
                State::Issued(_) | State::Free { .. } => {}
            }
        }
        Ok(())
    }

    /// Ends a parked command whose unit is fenced, unless it is about to end anyway.
    pub(crate) fn end_fenced(&mut self, index: u16) {
        let Some(entry) = self.commands.get_mut(index) else { return };
        if !entry.unwanted && self.fenced.ends(&entry.command, entry.origin) {
            entry.unwanted = true;
            self.events.push_back(Pending::Fenced { tag: self.commands.tag(index) });
        }
    }
}
