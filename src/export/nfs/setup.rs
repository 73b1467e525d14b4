//! What a server is to be like.

use std::sync::Arc;

use super::attachments::Attachments;
use super::handle::Secret;
use super::peer::Owners;
use super::proof::Proofs;
use crate::block::Registry;

/// When a write that was answered is on stable storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlushPolicy {
    /// At once: no answer before that.
    #[default]
    WriteThrough,
    /// When the client asks for it by COMMIT, or has asked for it with the write. Faster, and only as safe
    /// as the client is careful and the target's power supply reliable.
    OnCommit,
}

/// What the server is to be like.
pub struct Setup {
    /// The units.
    pub registry: Arc<Registry>,
    /// What handles are derived from.
    pub secret: Secret,
    /// The flush policy of a unit, by its name; asked once for each time that a unit appears.
    pub policy: Box<dyn Fn(&str) -> FlushPolicy + Send + Sync>,
    /// Those that units are exported to one by one.
    pub attachments: Arc<Attachments>,
    /// Who tells whose a connection is.
    pub owners: Arc<Owners>,
    /// What only a mount that leads to this server shows.
    pub proofs: Arc<Proofs>,
    /// How many clients are served at a time.
    pub clients: usize,
}
