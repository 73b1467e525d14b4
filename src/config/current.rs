//! The configuration as a login sees it: settings and secrets of one moment.

use super::secrets::Secrets;
use super::settings::Config;

/// What holds now.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    /// The settings.
    pub(crate) config: Config,
    /// The secrets.
    pub(crate) secrets: Secrets,
}
