//! News of a session's units, and the way to the daemon and the verification, which must know.
//!
//! ```text
//!   unit attention, report ──► hear ──► the daemon: a rescan is due
//!                                  └──► doubt ──► verify looks at the unit
//! ```

use std::time::Duration;

use iscsi_proto::ids::Lun;
use iscsi_proto::scsi::Sense;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::disk::Disks;
use super::identity::Size;
use super::request::{Request, Work};
use crate::kernel_bridge::bridge::{BridgeEvent, SessionId};
use crate::quirks::Quirk;

/// I/O waits at least so long for a look at its unit that is in doubt.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// A session's way to the daemon and to the verification of units.
pub(crate) struct Notices {
    pub(crate) id: SessionId,
    pub(crate) events: mpsc::UnboundedSender<BridgeEvent>,
    pub(crate) disks: Disks,
    /// Changes with each doubt about a unit; how long its I/O may wait.
    pub(crate) doubted: watch::Sender<Instant>,
    /// Whether the target wants an end of the connection, and takes no more commands over it.
    pub(crate) held: watch::Sender<bool>,
    /// How long I/O waits for a connection.
    pub(crate) replacement_timeout: Duration,
}

impl Notices {
    pub(crate) fn tell(&self, event: BridgeEvent) {
        if matches!(event, BridgeEvent::LogoutRequested { .. } | BridgeEvent::DropAnnounced { .. }) {
            self.held.send_replace(true);
        }
        if self.events.send(event).is_err() {
            tracing::debug!("the daemon does not listen any more");
        }
    }

    /// What a request's sense data say beside the request's own end.
    pub(crate) fn learn(&self, request: &Request, sense: &Sense) {
        if sense.is_unit_attention() {
            self.hear(request.lun, sense);
        } else if sense.out_of_range()
            && let Work::Block { unit, lba, blocks, .. } = &request.work
            && unit.belies_its_size(*lba, *blocks)
        {
            let lun = request.lun;
            tracing::debug!(%lun, lba, blocks, "a unit refuses blocks that it has by its capacity, which is read again");
            unit.shows(Quirk::RefusesOwnBlocks, &format!("{blocks} from {lba} on"));
            self.tell(BridgeEvent::UnitsChanged { session: self.id });
        }
    }

    /// A unit attention. The daemon learns what it says about the units. Where another disk may be at the
    /// unit's number now, no command goes there until the unit is verified.
    pub(crate) fn hear(&self, lun: Lun, sense: &Sense) {
        let another = sense.reported_luns_changed() || sense.inquiry_data_changed();
        if another && let Some(disk) = self.disks.lock().get(&lun) {
            disk.unit.gate().doubt(Size::May);
            self.look();
        }
        if another || sense.capacity_changed() || sense.mode_parameters_changed() {
            self.tell(BridgeEvent::UnitsChanged { session: self.id });
        }
    }

    /// Verifies units that are in doubt although their connection is the same.
    pub(crate) fn look(&self) {
        self.doubted.send_replace(Instant::now() + self.replacement_timeout.max(LOOK_LIMIT));
    }

    /// There is another connection, in place of one that was lost `since` then: each unit is looked at before
    /// its I/O goes on.
    pub(crate) fn doubt_all(&self, since: Instant) {
        self.held.send_replace(false);
        for disk in self.disks.lock().values() {
            disk.unit.gate().doubt(Size::Must);
        }
        self.doubted.send_replace((since + self.replacement_timeout).max(Instant::now() + LOOK_LIMIT));
    }
}
