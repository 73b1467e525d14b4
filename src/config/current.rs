//! The configuration as a login sees it: settings and secrets of one moment.

use super::secrets::Secrets;
use super::settings::{Config, Effective};

/// What holds now.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    /// The settings.
    pub(crate) config: Config,
    /// The secrets.
    pub(crate) secrets: Secrets,
    /// Whether units are attached where the settings do not say: root may attach, and wants to.
    pub(crate) as_root: bool,
}

impl Current {
    /// What holds for a target, by its normalised name.
    pub(crate) fn effective(&self, target: &str) -> Effective {
        self.config.effective(target, self.as_root)
    }
}
