//! Where units are exported by NFS, for those who mount them.

use std::sync::Arc;

use super::transfers::Transfers;
use crate::export::nfs::{Attachments, Proofs};

/// Where units are exported by NFS.
#[derive(Debug, Clone)]
pub struct NfsDoor {
    /// The port of NFS and MOUNT, at the loopback address.
    pub port: u16,
    /// It was another one before: what was mounted then will never be served again.
    pub moved: bool,
    /// Nobody else gets it when the daemon is gone, so that what is mounted may wait for the next one.
    pub held: bool,
    /// Those that units are exported to one by one.
    pub attachments: Arc<Attachments>,
    /// What only a mount that leads to this daemon shows.
    pub proofs: Arc<Proofs>,
    /// How much a mount moves at a time.
    pub transfers: Transfers,
}
