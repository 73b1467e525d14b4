//! What is kept of a session whose driver runs elsewhere.

use std::sync::Arc;

use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::bridge::BridgeError;
use super::counters::Counters;
use super::orders::{Control, Purpose};
use super::unit::disk::Disk;
use super::unit::logical_unit::Unit;
use super::unit::request::Inbox;
use super::unit::scan::Found;
use super::unit::units::Units;
use crate::block::Pool;

/// A session, from outside of its driver.
pub(super) struct Handle {
    pub(super) pool: Pool,
    pub(super) inbox: Arc<Inbox>,
    pub(super) counters: Arc<Counters>,
    pub(super) control: mpsc::UnboundedSender<Control>,
    pub(super) units: Arc<Units>,
    /// Whether the target takes no more commands over the connection.
    pub(super) held: watch::Receiver<bool>,
    /// One scan at a time.
    pub(super) scanning: Semaphore,
    /// Where its driver runs.
    pub(super) lane: Runtime,
    /// Its number in the kernel extension, if it runs there.
    pub(super) in_kext: Option<u32>,
}

impl Handle {
    /// The target's name.
    pub(super) fn target(&self) -> &str {
        &self.units.target
    }

    /// The disk that a scan has found; `None` for what is no disk, or not ready.
    pub(super) fn disk(&self, found: &Found) -> Option<Disk> {
        Some(Disk {
            lun: found.info.lun,
            unit: Arc::new(Unit::new(self.target(), &found.info, found.features)?),
            inbox: self.inbox.clone(),
            pool: self.pool.clone(),
            lane: self.lane.clone(),
        })
    }

    /// Asks the driver to log out, and waits until it has.
    pub(super) async fn log_out(&self, purpose: Purpose, deadline: Instant) -> Result<(), BridgeError> {
        let (reply, answer) = oneshot::channel();
        let order = Control::Logout { purpose, deadline, reply };
        self.control.send(order).map_err(|_| BridgeError::NoSession)?;
        answer.await.map_err(|_| BridgeError::NoSession)?
    }
}
