//! Takes over the settings of another initiator, each on its own, so that a wrong one does not keep the
//! others out. Settings that the user has made here stay, unless he says otherwise.

use super::check;
use super::edit::{irregular_name, portal, target_name, usage};
use super::initiator_name;
use super::secrets::Secrets;
use super::settings::{Config, Portal};
use crate::ipc::{
    ChapChanges, DiscoveryChanges, Failure, Import, Imported, ImportedPortal, ImportedTarget, InitiatorChanges, Origin,
    TargetChanges,
};

impl Config {
    /// Takes over what can be. `busy` says which targets, by their normalised names, are logged in: they
    /// are not replaced.
    pub fn import(&mut self, secrets: &mut Secrets, import: &Import, busy: impl Fn(&str) -> bool) -> Imported {
        let mut imported = Imported::default();
        let mut work = Importing { config: self, secrets, imported: &mut imported, replace: import.replace };
        work.initiator(&import.initiator);
        for target in &import.targets {
            if let Err(why) = work.target(target, &busy) {
                work.left(format!("target {}: {why}", target.name));
            }
        }
        work.discovery(&import.discovery);
        for portal in &import.discovery_portals {
            work.discovery_portal(portal);
        }
        imported
    }
}

struct Importing<'a> {
    config: &'a mut Config,
    secrets: &'a mut Secrets,
    imported: &'a mut Imported,
    replace: bool,
}

impl Importing<'_> {
    fn taken(&mut self, sentence: String) {
        self.imported.taken.push(sentence);
    }

    fn left(&mut self, sentence: String) {
        self.imported.left.push(sentence);
    }

    /// Makes one change, as a whole or not.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Config, &mut Secrets) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (mut config, mut secrets) = (self.config.clone(), self.secrets.clone());
        let result = change(&mut config, &mut secrets)?;
        (*self.config, *self.secrets) = (config, secrets);
        Ok(result)
    }

    fn initiator(&mut self, from: &InitiatorChanges) {
        let InitiatorChanges { name, alias, chap } = from;
        let chosen = !initiator_name::is_made(&self.config.initiator.name);
        let (our_name, our_alias) = (self.config.initiator.name.clone(), self.config.initiator.alias.clone());
        let had = [("name", name, our_name, chosen), ("alias", alias, our_alias, true)];
        for (what, new, old, chosen) in had {
            match new {
                None => {}
                Some(new) if *new == old => {}
                Some(new) if chosen && !old.is_empty() && !self.replace => {
                    self.left(format!("the initiator's {what} stays {old}; --replace takes {new}"));
                }
                Some(new) => {
                    let only = |value: &str| (what == value).then(|| new.clone());
                    let changes =
                        InitiatorChanges { name: only("name"), alias: only("alias"), chap: ChapChanges::default() };
                    match self.change(|config, secrets| config.modify_initiator(secrets, &changes)) {
                        Ok(_) => {
                            let instead = if old.is_empty() { old } else { format!(" instead of {old}") };
                            self.taken(format!("the initiator's {what} is {new}{instead}"));
                        }
                        Err(failure) => self.left(format!("the initiator's {what}: {failure}")),
                    }
                }
            }
        }
        if *chap == ChapChanges::default() {
            return;
        }
        let here = self.config.initiator.chap.name.is_some() || self.secrets.initiator.secret.is_some();
        if here && !self.replace {
            self.left("the initiator's CHAP settings stay as they are; --replace takes the others".to_owned());
            return;
        }
        let changes = InitiatorChanges { chap: chap.clone(), ..InitiatorChanges::default() };
        match self.change(|config, secrets| config.modify_initiator(secrets, &changes)) {
            Ok(notes) => {
                let what = chap_in_words(chap);
                self.taken(format!("the initiator's CHAP settings: {what}"));
                notes.into_iter().for_each(|note| self.left(note));
            }
            Err(failure) => self.left(format!("the initiator's CHAP settings: {failure}")),
        }
    }

    fn target(&mut self, from: &ImportedTarget, busy: &impl Fn(&str) -> bool) -> Result<(), String> {
        let ImportedTarget { name: typed, portals, discovered_from, changes } = from;
        let key = target_name(typed).map_err(|failure| failure.to_string())?.as_str().to_owned();
        let there = self.config.targets.get(&key).map(|target| target.origin);
        if there == Some(Origin::Static) && !self.replace {
            return Err("it is configured here already and stays as it is; --replace takes the other one".to_owned());
        }
        if there.is_some() && busy(&key) {
            return Err(format!("it is logged in and stays as it is; `iscsictl logout {key}` first"));
        }
        if portals.is_empty() {
            return Err("it has no portal that could be used, so it is left out".to_owned());
        }
        // The new one is put together beside the old one, which goes only when it can be replaced.
        let mut left = Vec::new();
        let asked = discovered_from.as_deref().map(|at| portal(at, None));
        self.change(|config, secrets| {
            config.targets.remove(&key);
            secrets.forget(&key);
            let added = |ImportedPortal { at, interface }: &ImportedPortal| {
                config.add_target(typed, at, interface.as_deref()).err().map(|failure| failure.to_string())
            };
            let refused: Vec<String> = portals.iter().filter_map(added).collect();
            let Some(target) = config.targets.get_mut(&key) else {
                let why = refused.join("; ");
                return Err(usage(format!("none of its portals can be used ({why}), so it is left out")));
            };
            left.extend(refused.into_iter().map(|why| format!("target {key}: {why}")));
            match asked {
                Some(Ok(asked)) => {
                    target.origin = Origin::Dynamic;
                    target.discovered_from = Some(asked.endpoint());
                }
                Some(Err(failure)) => left.push(format!("target {key}: who named it is not known: {failure}")),
                None => {}
            }
            Ok(())
        })
        .map_err(|failure| failure.to_string())?;
        let mut settings = String::new();
        for changes in one_by_one(changes) {
            match self.change(|config, secrets| config.modify_target(secrets, &key, &changes)) {
                Ok(notes) => {
                    settings.push_str(&in_words(&changes));
                    left.extend(notes.into_iter().map(|note| format!("target {key}: {note}")));
                }
                Err(failure) => left.push(format!("target {key}: {failure}")),
            }
        }
        left.extend(irregular_name(typed).map(|note| format!("target {key}: {note}")));
        let config = &self.config;
        let places: Vec<String> = config
            .targets
            .get(&key)
            .map_or_else(Vec::new, |target| target.portals.iter().map(Portal::endpoint).collect());
        let replaced = there.map_or("", |_| ", instead of the one that was here");
        self.taken(format!("target {key} at {}{settings}{replaced}", places.join(", ")));
        left.into_iter().for_each(|sentence| self.left(sentence));
        Ok(())
    }

    fn discovery(&mut self, from: &DiscoveryChanges) {
        let here = &self.config.discovery;
        let differs = |ours: Option<u32>, theirs: Option<u32>| ours.is_some() && theirs.is_some() && ours != theirs;
        let number = |flag: Option<bool>| flag.map(u32::from);
        if !self.replace
            && (differs(here.interval, from.interval) || differs(number(here.send_targets), number(from.send_targets)))
        {
            self.left("the discovery settings stay as they are; --replace takes the others".to_owned());
            return;
        }
        if *from == DiscoveryChanges::default() {
            return;
        }
        match self.change(|config, _| config.modify_discovery(from)) {
            Ok(()) => {
                let interval = from.interval.map(|seconds| format!("every {seconds} s"));
                let asked =
                    from.send_targets.map(|yes| if yes { "portals are asked" } else { "portals are not asked" });
                let words: Vec<String> = asked.map(str::to_owned).into_iter().chain(interval).collect();
                self.taken(format!("discovery: {}", words.join(", ")));
            }
            Err(failure) => self.left(format!("discovery: {failure}")),
        }
    }

    fn discovery_portal(&mut self, from: &ImportedPortal) {
        let known = check::portal(&from.at)
            .is_ok_and(|at| self.config.discovery.portals.iter().any(|portal| portal.is_at(&at.host, at.port)));
        if known {
            return;
        }
        match self.change(|config, _| config.add_discovery_portal(&from.at, from.interface.as_deref())) {
            Ok(portal) => self.taken(format!("discovery portal {}", portal.endpoint())),
            Err(failure) => self.left(format!("discovery portal {}: {failure}", from.at)),
        }
    }
}

/// The changes of a target, each for itself.
fn one_by_one(changes: &TargetChanges) -> Vec<TargetChanges> {
    let TargetChanges { auto_login, persistent, attach, flush_policy, keys, timers, chap } = changes.clone();
    let none = TargetChanges::default;
    let mut all = vec![TargetChanges { auto_login, persistent, attach, flush_policy, timers, ..none() }];
    all.extend(keys.into_iter().map(|key| TargetChanges { keys: vec![key], ..none() }));
    all.push(TargetChanges { chap, ..none() });
    all.retain(|changes| *changes != none());
    all
}

fn in_words(changes: &TargetChanges) -> String {
    let mut words = Vec::new();
    words.extend(changes.auto_login.and_then(|yes| yes.then(|| "automatic login".to_owned())));
    words.extend(changes.persistent.and_then(|yes| (!yes).then(|| "forgotten after a logout".to_owned())));
    words.extend(changes.keys.iter().map(|(key, value)| format!("{key} {value}")));
    if changes.chap != ChapChanges::default() {
        words.push(chap_in_words(&changes.chap));
    }
    words.iter().map(|word| format!(", {word}")).collect()
}

/// Which of names and secrets there are; never what a secret is.
fn chap_in_words(chap: &ChapChanges) -> String {
    let mut words = Vec::new();
    words.extend(chap.name.as_ref().map(|name| format!("CHAP name {name}")));
    words.extend(chap.secret.as_ref().map(|_| "CHAP secret".to_owned()));
    words.extend(chap.mutual_name.as_ref().map(|name| format!("the target's CHAP name {name}")));
    words.extend(chap.mutual_secret.as_ref().map(|_| "the target's CHAP secret".to_owned()));
    words.join(", ")
}

#[cfg(test)]
mod tests;
