//! Values in the property list that have no effect. A user's command that would set one is refused; a file that an
//! older iscsid wrote is taken with a warning, and keeps them.

use iscsi_proto::keys::NoEffect;

use super::check;
use super::schema::ARROW;
use super::settings::{Config, TargetSettings};
use crate::ipc::Origin;

/// A value that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutEffect {
    /// A sentence, which begins with the path of the key: the value, why it has no effect, what is used.
    pub what: String,
    /// A clause: how it is taken out.
    pub advice: String,
}

impl Config {
    /// All of them, by their paths.
    pub fn without_effect(&self) -> Vec<WithoutEffect> {
        let defaults = ("Defaults".to_owned(), None, &self.defaults);
        let targets = self.targets.values().map(|target| {
            let section = match target.origin {
                Origin::Static => "Targets",
                Origin::Dynamic => "DiscoveredTargets",
            };
            let name = target.written_name.as_str();
            (format!("{section}{ARROW}{name}"), Some(name), &target.settings)
        });
        let all = std::iter::once(defaults).chain(targets);
        all.flat_map(|(path, target, settings)| those_of(path, target, settings)).collect()
    }
}

fn those_of<'a>(
    path: String,
    target: Option<&'a str>,
    settings: &'a TargetSettings,
) -> impl Iterator<Item = WithoutEffect> + 'a {
    settings.keys.without_effect().map(move |NoEffect { key, value, instead, why }| {
        let section = if check::is_of_connection(key) { "Connection" } else { "Session" };
        let name = key.name();
        let what = format!("{path}{ARROW}{section}{ARROW}{name}: {value} has no effect: {why}; {instead} is used");
        let option = key.row().and_then(|row| row.offered).map(|offered| offered.field.replace('_', "-"));
        let advice = match (target, option) {
            (Some(target), Some(option)) => {
                format!("take it out with `iscsictl modify target {target} --{option} ''`, or leave it as it is")
            }
            // No command changes the defaults, and a running daemon does not write over an edit by hand.
            _ => "take it out of the file and restart iscsid, or leave it as it is".to_owned(),
        };
        WithoutEffect { what, advice }
    })
}
