//! What is examined.

use std::path::PathBuf;

use crate::config::Portal;
use crate::ipc::{Failure, Initiator, Lun, Target};

/// What is examined.
#[derive(Debug)]
pub struct Subject {
    /// The property list.
    pub config: PathBuf,
    /// The runtime directory in which a daemon answers, or would.
    pub runtime_dir: PathBuf,
    /// What the daemon says of itself, or why it says nothing.
    pub daemon: Result<Answer, Failure>,
}

/// What a daemon says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of itself.
    pub initiator: Initiator,
    /// Of the targets it knows.
    pub targets: Vec<Target>,
    /// Of the units that it has found, and of those that are gone.
    pub luns: Vec<Lun>,
}

/// A portal that is to be reached, and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// A target's name, or `discovery`.
    pub(super) who: String,
    pub(super) portal: Portal,
}
