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
pub(crate) type Asking<'a> = Pin<Box<dyn Future<Output = Result<Vec<Found>, Failure>> + Send + 'a>>;
