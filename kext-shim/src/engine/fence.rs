//! A unit is fenced, or is not any more: what becomes of its commands. `fenced` says why.

use iscsi_proto::ids::Lun;

use super::Engine;
use super::commands::State;
use super::pending::Pending;
use super::refusal::Refusal;

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
