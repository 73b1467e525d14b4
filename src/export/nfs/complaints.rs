//! What the log says of data that a client wrote and the unit did not take.
//!
//! A client hears of a write that failed when it asks for stable storage, or never: what it has cached it may give up.
//! So the log says it at once, and for a unit whose every write fails once in a while.

use std::fmt;

use crate::block::UnitName;
use crate::clients::Seldom;

/// The complaints of one unit.
#[derive(Debug)]
pub(super) struct Complaints {
    unit: UnitName,
    lost_data: Seldom,
}

impl Complaints {
    /// None yet.
    pub(super) fn new(unit: UnitName) -> Complaints {
        Complaints { unit, lost_data: Seldom::default() }
    }

    /// A WRITE or COMMIT is answered by an error, `why`.
    pub(super) fn of_lost_data(&self, why: &dyn fmt::Display) {
        if let Some(more) = self.lost_data.may() {
            tracing::error!(
                unit = self.unit,
                "what was written to its disk cannot be stored: {why}; it is lost where the program that wrote it does not write it again{more}"
            );
        }
    }
}
