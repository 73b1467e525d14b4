//! Who knows of targets.

use std::pin::Pin;

use crate::config::{Found, Portal};
use crate::daemon::state::Daemon;
use crate::ipc::Failure;

/// Something that knows of targets.
pub(crate) trait Source: Send + Sync + 'static {
    /// Where it is. Its targets are recorded under this.
    fn portal(&self) -> &Portal;

    /// Asks it for its targets.
    ///
    /// # Errors
    /// Why it did not answer; a sentence for the user.
    fn ask<'a>(&'a self, daemon: &'a Daemon) -> Asking<'a>;
}

/// A question under way.
pub(crate) type Asking<'a> = Pin<Box<dyn Future<Output = Result<List, Failure>> + Send + 'a>>;

/// What a source has answered.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// The targets it names, as far as they can be used.
    pub(crate) found: Vec<Found>,
    /// Nothing was left out: a target that is not among these is not there any more.
    pub(crate) whole: bool,
    /// What is odd about it, or was left out, and why: a sentence each, and not many.
    pub(crate) remarks: Vec<String>,
}
