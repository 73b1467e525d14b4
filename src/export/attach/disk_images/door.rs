//! Where units are exported by NFS, for those who mount them.

use std::sync::Arc;

use super::transfers::Transfers;
use crate::export::nfs::Tickets;

/// Where units are exported by NFS.
#[derive(Debug, Clone)]
pub struct NfsDoor {
    /// The port of NFS and MOUNT, at the loopback address.
    pub port: u16,
    /// It was another one before: what was mounted then will never be served again.
    pub moved: bool,
    /// Paths to mount.
    pub tickets: Arc<Tickets>,
    /// How much a mount moves at a time.
    pub transfers: Transfers,
}
