//! Values in the property list that have no effect. A user's command that would set one is refused; a file that an
//! older iscsid wrote is taken with a warning, and keeps them.

use iscsi_proto::keys::NoEffect;

use super::check;
use super::schema::ARROW;
use super::settings::{Config, TargetSettings};
use crate::ipc::Origin;

impl Config {
    /// A sentence for each, which begins with the path of the key: its value, why it has no effect, what is used.
    pub fn without_effect(&self) -> Vec<String> {
        let defaults = ("Defaults".to_owned(), &self.defaults);
        let targets = self.targets.values().map(|target| {
            let section = match target.origin {
                Origin::Static => "Targets",
                Origin::Dynamic => "DiscoveredTargets",
            };
            (format!("{section}{ARROW}{}", target.written_name), &target.settings)
        });
        std::iter::once(defaults).chain(targets).flat_map(|(path, settings)| sentences(path, settings)).collect()
    }
}

fn sentences(path: String, settings: &TargetSettings) -> impl Iterator<Item = String> {
    settings.keys.without_effect().map(move |NoEffect { key, value, instead, why }| {
        let section = if check::is_of_connection(key) { "Connection" } else { "Session" };
        let name = key.name();
        format!("{path}{ARROW}{section}{ARROW}{name}: {value} has no effect: {why}; {instead} is used")
    })
}
