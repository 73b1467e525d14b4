//! Every change a request can make, with all its checks. They edit the copy that
//! [`Store::edit`](super::Store::edit) throws away when one fails.
//!
//! Names and portals come as the user typed them. What is malformed fails with
//! [`ExitCode::Usage`], what is not there or is there twice with [`ExitCode::Data`]. Whether a
//! target is logged in, and whether an interface exists, is the daemon's to check.

use std::collections::{HashMap, HashSet};

use iscsi_proto::keys::{Choices, Key};
use iscsi_proto::names::{TargetAddress, TargetName};

use super::check;
use super::secrets::{NodeSecrets, SecretBytes, Secrets};
use super::settings::{ChapSettings, Config, DISCOVERY_INTERVAL, Portal, Target, TargetSettings};
use crate::ipc::{self, ChapChanges, DiscoveryChanges, ExitCode, Failure, InitiatorChanges, Origin, TargetChanges};

/// The most targets that discovery adds to the configuration, so that no portal makes a file that cannot be read again, or
/// a list that nobody can use.
const MAX_DISCOVERED: usize = 2048;

/// The most portals that these have in all.
const MAX_DISCOVERED_PORTALS: usize = 4096;

/// A target that a discovery portal named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: TargetName,
    /// Its portals; where it names none, the caller puts the portal that was asked (RFC 7143 §4.3).
    pub portals: Vec<TargetAddress>,
    /// These are all its portals. Otherwise it keeps those it had.
    pub whole: bool,
}

/// What recording discovered targets changed, by normalised names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// New ones.
    pub added: Vec<String>,
    /// Ones with other portals than before.
    pub changed: Vec<String>,
    /// Ones that were not named any more.
    pub removed: Vec<String>,
    /// How many were left as they are, or out, since there are as many targets or portals as discovery may bring.
    pub beyond: usize,
}

impl Recorded {
    /// What to tell where there are too many targets.
    pub fn too_many(&self) -> Option<String> {
        (self.beyond > 0).then(|| {
            format!(
                "{} of the targets are not recorded as it names them, since no more than {MAX_DISCOVERED} targets with \
                 {MAX_DISCOVERED_PORTALS} portals are kept that discovery has found",
                self.beyond
            )
        })
    }
}

pub(super) fn usage(message: String) -> Failure {
    Failure::new(ExitCode::Usage, message)
}

fn data(message: String) -> Failure {
    Failure::new(ExitCode::Data, message)
}

/// A target's name as typed → normalised.
pub(super) fn target_name(typed: &str) -> Result<TargetName, Failure> {
    check::target_name(typed).map_err(usage)
}

/// What to tell of a target's name as typed, if it is no iSCSI name.
pub fn irregular_name(typed: &str) -> Option<String> {
    let name = check::target_name(typed).ok()?;
    name.irregular().map(|why| format!("{why}; it is used as it is, since there are targets with such names"))
}

/// A portal and an interface as typed.
pub(super) fn portal(typed: &str, interface: Option<&str>) -> Result<Portal, Failure> {
    let address = check::portal(typed).map_err(usage)?;
    let interface = check::interface(interface.unwrap_or_default()).map_err(usage)?;
    Ok(Portal { address: address.host, port: address.port, interface, group_tag: None })
}

impl Config {
    /// A target by its name as typed: its normalised name, and what is known of it.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for a malformed name, [`ExitCode::Data`] for one that is not there.
    pub fn find_target(&self, typed: &str) -> Result<(String, &Target), Failure> {
        let name = target_name(typed)?.as_str().to_owned();
        match self.targets.get(&name) {
            Some(target) => Ok((name, target)),
            None => Err(no_target(&name)),
        }
    }

    /// A portal of a target, by its address as typed.
    ///
    /// # Errors
    /// As [`Config::find_target`].
    pub fn find_portal(&self, target: &str, typed: &str) -> Result<&Portal, Failure> {
        let wanted = portal(typed, None)?;
        let (name, target) = self.find_target(target)?;
        target
            .portals
            .iter()
            .find(|portal| portal.is_at(&wanted.address, wanted.port))
            .ok_or_else(|| no_portal(&name, &wanted, target))
    }

    fn target_mut(&mut self, typed: &str) -> Result<(String, &mut Target), Failure> {
        let name = target_name(typed)?.as_str().to_owned();
        match self.targets.get_mut(&name) {
            Some(target) => Ok((name, target)),
            None => Err(no_target(&name)),
        }
    }

    /// Adds a target, or a portal to one that is there. A discovered target becomes a static one.
    /// Returns its normalised name.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for a malformed argument, [`ExitCode::Data`] for a portal that is there.
    pub fn add_target(&mut self, target: &str, at: &str, interface: Option<&str>) -> Result<String, Failure> {
        let name = target_name(target)?;
        let portal = portal(at, interface)?;
        let target = self.targets.entry(name.as_str().to_owned()).or_insert_with(|| Target {
            written_name: name.as_written().to_owned(),
            origin: Origin::Static,
            discovered_from: None,
            portals: Vec::new(),
            settings: TargetSettings::default(),
            chap: ChapSettings::default(),
        });
        match target.portals.iter_mut().find(|there| there.is_at(&portal.address, portal.port)) {
            None => target.portals.push(portal),
            Some(there) if target.origin == Origin::Dynamic => {
                there.interface = portal.interface.or(there.interface.take());
            }
            Some(_) => {
                let (name, at) = (name.as_str(), portal.endpoint());
                return Err(
                    data(format!("target {name} already has the portal {at}")).advice("remove that first to change it")
                );
            }
        }
        target.origin = Origin::Static;
        target.discovered_from = None;
        Ok(name.as_str().to_owned())
    }

    /// Removes a target with its secrets, or one of its portals; the last portal takes the target
    /// with it. Returns whether the target is gone.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for a malformed argument, [`ExitCode::Data`] for what is not there.
    pub fn remove_target(&mut self, secrets: &mut Secrets, target: &str, at: Option<&str>) -> Result<bool, Failure> {
        let only = at.map(|at| portal(at, None)).transpose()?;
        let (name, target) = self.target_mut(target)?;
        if let Some(only) = only {
            let Some(index) = target.portals.iter().position(|there| there.is_at(&only.address, only.port)) else {
                return Err(no_portal(&name, &only, target));
            };
            target.portals.remove(index);
            if !target.portals.is_empty() {
                return Ok(false);
            }
        }
        self.targets.remove(&name);
        secrets.forget(&name);
        Ok(true)
    }

    /// Forgets a target after its logout if it is not persistent. Returns whether it did.
    pub fn logged_out(&mut self, secrets: &mut Secrets, target: &str) -> bool {
        if self.effective(target, false).persistent || self.targets.remove(target).is_none() {
            return false;
        }
        secrets.forget(target);
        true
    }

    /// Changes a target's settings. Returns sentences for the user, often none.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for a value that is wrong, would have no effect, or makes both secrets the same,
    /// [`ExitCode::Data`] for a target that is not there.
    pub fn modify_target(
        &mut self,
        secrets: &mut Secrets,
        target: &str,
        changes: &TargetChanges,
    ) -> Result<Vec<String>, Failure> {
        let TargetChanges { auto_login, persistent, attach, flush_policy, keys, timers, chap } = changes;
        let (name, target) = self.target_mut(target)?;
        let mut next = target.clone();
        let settings = &mut next.settings;
        settings.auto_login = auto_login.or(settings.auto_login);
        settings.persistent = persistent.or(settings.persistent);
        settings.attach = attach.or(settings.attach);
        settings.flush_policy = flush_policy.or(settings.flush_policy);
        change_keys(&mut settings.keys, keys)?;
        for (timer, seconds) in timers {
            settings.timers.insert(check::timer(timer, *seconds).map_err(usage)?, *seconds);
        }
        let mut node = secrets.targets.get(&name).cloned().unwrap_or_default();
        let mut notes = change_chap(&mut next.chap, &mut node, chap, Level::Target)?;
        if keys.iter().any(|(key, _)| key.ends_with("BurstLength")) {
            notes.extend(bursts(&self.defaults.keys, &settings.keys));
        }
        let target = self.targets.get_mut(&name).ok_or_else(|| no_target(&name))?;
        *target = next;
        if node == NodeSecrets::default() {
            secrets.targets.remove(&name);
        } else {
            secrets.targets.insert(name.clone(), node);
        }
        take_note(secrets, Some(&name), chap);
        self.refuse_equal_secrets(secrets)?;
        notes.extend(self.half_chap(secrets, Some(&name), chap));
        Ok(notes)
    }

    /// What is still to be said where a change leaves CHAP by halves: no login would work.
    fn half_chap(&self, secrets: &Secrets, target: Option<&str>, changes: &ChapChanges) -> Option<String> {
        let untouched = *changes == ChapChanges::default() || changes.off;
        let failure = self.credentials(secrets, target).err().filter(|_| !untouched)?;
        Some(failure.to_string())
    }

    /// Changes the initiator's settings. Returns sentences for the user, often none.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for a malformed value.
    pub fn modify_initiator(
        &mut self,
        secrets: &mut Secrets,
        changes: &InitiatorChanges,
    ) -> Result<Vec<String>, Failure> {
        let mut next = self.initiator.clone();
        if let Some(typed) = &changes.name {
            next.name = check::name(typed).map_err(usage)?.as_str().to_owned();
        }
        if let Some(alias) = &changes.alias {
            next.alias = check::text("alias", alias).map_err(usage)?;
        }
        let mut notes = change_chap(&mut next.chap, &mut secrets.initiator, &changes.chap, Level::Initiator)?;
        self.initiator = next;
        take_note(secrets, None, &changes.chap);
        self.refuse_equal_secrets(secrets)?;
        notes.extend(self.half_chap(secrets, None, &changes.chap));
        Ok(notes)
    }

    /// Changes discovery's settings.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for an interval out of range.
    pub fn modify_discovery(&mut self, changes: &DiscoveryChanges) -> Result<(), Failure> {
        if let Some(seconds) = changes.interval.filter(|seconds| !DISCOVERY_INTERVAL.contains(seconds)) {
            let (least, most) = (DISCOVERY_INTERVAL.start(), DISCOVERY_INTERVAL.end());
            return Err(usage(format!("the discovery interval is {seconds}; it may be {least} to {most} seconds")));
        }
        self.discovery.send_targets = changes.send_targets.or(self.discovery.send_targets);
        self.discovery.interval = changes.interval.or(self.discovery.interval);
        Ok(())
    }

    /// Adds a portal, and has the discovery portals asked where nothing was said about that. Returns a sentence for the
    /// user.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for a malformed argument, [`ExitCode::Data`] for a portal that is there.
    pub fn ask_discovery_portal(&mut self, at: &str, interface: Option<&str>) -> Result<String, Failure> {
        let at = self.add_discovery_portal(at, interface)?.endpoint();
        let seconds = self.discovery.interval().as_secs();
        // Who adds a portal wants it asked, unless it was said that none is.
        let switched_on = self.discovery.send_targets.is_none();
        if switched_on {
            self.discovery.send_targets = Some(true);
        }
        Ok(match (switched_on, self.discovery.send_targets()) {
            (true, _) => format!(
                "{at} is asked for its targets from now on, every {seconds} s; `iscsictl modify discovery --send-targets no` ends that"
            ),
            (false, true) => format!("{at} is asked for its targets, every {seconds} s"),
            (false, false) => format!(
                "{at} is noted, but not asked: `iscsictl modify discovery --send-targets yes` has the discovery portals asked"
            ),
        })
    }

    /// Adds a portal to ask for targets, and leaves it to the settings whether it is asked. Returns it.
    ///
    /// # Errors
    /// As [`Config::ask_discovery_portal`].
    pub fn add_discovery_portal(&mut self, at: &str, interface: Option<&str>) -> Result<Portal, Failure> {
        let portal = portal(at, interface)?;
        if self.discovery.portals.iter().any(|there| there.is_at(&portal.address, portal.port)) {
            let at = portal.endpoint();
            return Err(
                data(format!("the discovery portal {at} is there already")).advice("remove it first to change it")
            );
        }
        self.discovery.portals.push(portal.clone());
        Ok(portal)
    }

    /// Removes a discovery portal; the targets it named stay. Returns it.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for a malformed argument, [`ExitCode::Data`] for a portal that is not there.
    pub fn remove_discovery_portal(&mut self, at: &str) -> Result<Portal, Failure> {
        let wanted = portal(at, None)?;
        match self.discovery.portals.iter().position(|there| there.is_at(&wanted.address, wanted.port)) {
            Some(index) => Ok(self.discovery.portals.remove(index)),
            None => Err(data(format!("there is no discovery portal {}", wanted.endpoint()))
                .advice("`iscsictl list discovery-portals` shows those there are")),
        }
    }

    /// Records what a portal named, as discovered targets; static ones are left alone. A target that
    /// `from` named before and does not name any more is removed, unless the user has changed its
    /// settings or `in_use` says otherwise; `in_use` of `|_| true` only adds.
    ///
    /// The group tag of a portal stays while the target is in use, or as long as it is one of those that are named for it: a login
    /// may have found out which it is.
    pub fn record_discovered(&mut self, from: &Portal, found: &[Found], in_use: impl Fn(&str) -> bool) -> Recorded {
        let asked = from.endpoint();
        let mut recorded = Recorded::default();
        let discovered = self.targets.values().filter(|target| target.origin == Origin::Dynamic);
        let (mut targets, mut portals) =
            discovered.fold((0_usize, 0_usize), |(n, portals), target| (n + 1, portals + target.portals.len()));
        for found in found {
            let key = found.name.as_str();
            match self.targets.get_mut(key) {
                Some(target) if target.origin == Origin::Static => {}
                Some(target) => {
                    // Another portal that names it too does not take away what the first one told.
                    if target.discovered_from.as_deref() != Some(&asked) {
                        continue;
                    }
                    let fresh = renewed(found, from, &target.portals, in_use(key));
                    if target.portals == fresh {
                        continue;
                    }
                    let others = portals.saturating_sub(target.portals.len());
                    if others + fresh.len() > MAX_DISCOVERED_PORTALS && fresh.len() > target.portals.len() {
                        recorded.beyond += 1;
                        continue;
                    }
                    portals = others + fresh.len();
                    target.portals = fresh;
                    recorded.changed.push(key.to_owned());
                }
                None => {
                    let fresh = renewed(found, from, &[], false);
                    if targets >= MAX_DISCOVERED || portals + fresh.len() > MAX_DISCOVERED_PORTALS {
                        recorded.beyond += 1;
                        continue;
                    }
                    (targets, portals) = (targets + 1, portals + fresh.len());
                    let target = Target {
                        written_name: found.name.as_written().to_owned(),
                        origin: Origin::Dynamic,
                        discovered_from: Some(asked.clone()),
                        portals: fresh,
                        settings: TargetSettings::default(),
                        chap: ChapSettings::default(),
                    };
                    self.targets.insert(key.to_owned(), target);
                    recorded.added.push(key.to_owned());
                }
            }
        }
        let named: HashSet<&str> = found.iter().map(|found| found.name.as_str()).collect();
        self.targets.retain(|key, target| {
            let gone = target.origin == Origin::Dynamic
                && target.discovered_from.as_deref() == Some(&asked)
                && target.settings == TargetSettings::default()
                && target.chap == ChapSettings::default()
                && !named.contains(key.as_str())
                && !in_use(key);
            if gone {
                recorded.removed.push(key.clone());
            }
            !gone
        });
        recorded
    }

    /// Records the portal group that a target has declared in a login over one of its portals, `address:port`, where another one is
    /// recorded. Returns that.
    pub fn record_group_tag(&mut self, target: &str, via: &str, declared: u16) -> Option<u16> {
        let portals = &mut self.targets.get_mut(target)?.portals;
        let portal = portals.iter_mut().find(|portal| portal.endpoint() == via)?;
        let before = portal.group_tag.filter(|&before| before != declared)?;
        portal.group_tag = Some(declared);
        Some(before)
    }

    /// RFC 7143 §9.2.1: the same secret both ways lets a rogue target reflect our own challenge.
    fn refuse_equal_secrets(&self, secrets: &Secrets) -> Result<(), Failure> {
        let equal = |ours: &Option<SecretBytes>, theirs: &Option<SecretBytes>| ours.is_some() && ours == theirs;
        let common = &secrets.initiator;
        let none = NodeSecrets::default();
        for target in [None].into_iter().chain(self.targets.keys().map(Some)) {
            let own = target.and_then(|target| secrets.targets.get(target)).unwrap_or(&none);
            let ours = own.secret.as_ref().or(common.secret.as_ref()).cloned();
            let theirs = own.mutual_secret.as_ref().or(common.mutual_secret.as_ref()).cloned();
            if equal(&ours, &theirs) {
                let whom = target.map_or_else(String::new, |target| format!(" for target {target}"));
                return Err(usage(
                    format!("our CHAP secret and the target's would be the same{whom}, which lets a false target answer with our own words"),
                ).advice("choose another"));
            }
        }
        Ok(())
    }
}

/// The portals of a target that was found, each address once, where it had `known` before.
fn renewed(found: &Found, from: &Portal, known: &[Portal], in_use: bool) -> Vec<Portal> {
    let mut tags: HashMap<(&str, u16), Vec<Option<u16>>> = HashMap::new();
    let mut fresh: Vec<Portal> = Vec::new();
    for TargetAddress { portal, group_tag } in &found.portals {
        let seen = tags.entry((&portal.host, portal.port)).or_default();
        if seen.is_empty() {
            fresh.push(Portal {
                address: portal.host.clone(),
                port: portal.port,
                interface: from.interface.clone(),
                group_tag: *group_tag,
            });
        }
        seen.push(*group_tag);
    }
    for before in known {
        let Some(named) = tags.get(&(before.address.as_str(), before.port)) else {
            if !found.whole {
                fresh.push(before.clone());
            }
            continue;
        };
        let stays = before.group_tag.is_some() && (in_use || named.contains(&before.group_tag));
        let same = fresh.iter_mut().find(|portal| portal.is_at(&before.address, before.port));
        if let Some(portal) = same.filter(|_| stays) {
            portal.group_tag = before.group_tag;
        }
    }
    fresh
}

fn no_target(name: &str) -> Failure {
    data(format!("there is no target {name}")).advice("`iscsictl list targets` shows those there are")
}

fn no_portal(name: &str, wanted: &Portal, target: &Target) -> Failure {
    let there: Vec<String> = target.portals.iter().map(Portal::endpoint).collect();
    data(format!("target {name} has no portal {}; it has {}", wanted.endpoint(), there.join(", ")))
}

/// RFC 7143 §13.14: the first burst is part of the longest one. A user who has chosen more for it is told.
fn bursts(defaults: &Choices, own: &Choices) -> Option<String> {
    let mut all = defaults.clone();
    all.extend(own);
    let offer = all.offer();
    let (first, longest) = (offer.first_burst_length, offer.max_burst_length);
    let chosen = own.iter().any(|(key, _)| key == Key::FirstBurstLength);
    (chosen && first > longest).then(|| {
        format!("FirstBurstLength {first} is more than MaxBurstLength {longest}, which holds for both: raise that one, too, for longer first bursts")
    })
}

/// An empty value goes back to the default.
fn change_keys(keys: &mut Choices, changes: &[(String, String)]) -> Result<(), Failure> {
    for (name, text) in changes {
        let key = check::key(name).map_err(usage)?;
        if text.is_empty() {
            keys.unset(key);
        } else {
            check::choose(keys, key, text)?;
        }
    }
    Ok(())
}

/// Whose CHAP is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Initiator,
    Target,
}

/// Changes names and secrets of one node; sentences for the user.
fn change_chap(
    chap: &mut ChapSettings,
    node: &mut NodeSecrets,
    changes: &ChapChanges,
    level: Level,
) -> Result<Vec<String>, Failure> {
    let ChapChanges { name, secret, mutual_name, mutual_secret, algorithms, off } = changes;
    let mut notes = Vec::new();
    if *off {
        if (ChapChanges { off: false, ..changes.clone() }) != ChapChanges::default() {
            return Err(
                usage("CHAP cannot be switched off and configured in one command".to_owned()).advice("do one of them")
            );
        }
        // For a target "off" must be said: the initiator's settings would apply.
        *chap = ChapSettings { enabled: (level == Level::Target).then_some(false), ..ChapSettings::default() };
        *node = NodeSecrets::default();
        return Ok(notes);
    }
    let text = |what: &str, value: &Option<String>, old: &Option<String>| match value.as_deref() {
        None => Ok(old.clone()),
        Some("") => Ok(None),
        Some(value) => check::text(what, value).map(Some).map_err(usage),
    };
    chap.name = text("CHAP name", name, &chap.name)?;
    chap.mutual_name = text("name for mutual CHAP", mutual_name, &chap.mutual_name)?;
    for (what, value, place) in
        [("CHAP secret", secret, &mut node.secret), ("secret for mutual CHAP", mutual_secret, &mut node.mutual_secret)]
    {
        if let Some(value) = value {
            *place = check_secret(what, value, &mut notes)?;
        }
    }
    match algorithms.as_deref() {
        None => {}
        Some([]) => chap.algorithms = None,
        Some(names) => chap.algorithms = Some(check::algorithms(names).map_err(usage)?),
    }
    if *changes != ChapChanges::default() {
        chap.enabled = None;
    }
    Ok(notes)
}

/// What has been entered anew, or taken away, no keychain is asked for any more.
fn take_note(secrets: &mut Secrets, target: Option<&str>, changes: &ChapChanges) {
    for (mutual, entered) in [(false, &changes.secret), (true, &changes.mutual_secret)] {
        if changes.off || entered.is_some() {
            secrets.changed(target, mutual);
        }
    }
}

/// An empty secret takes it away; a short one is taken with a warning, because there are targets
/// that allow no longer one.
fn check_secret(what: &str, secret: &ipc::Secret, notes: &mut Vec<String>) -> Result<Option<SecretBytes>, Failure> {
    let (least, most) = (check::SECRET_BYTES.start(), check::SECRET_BYTES.end());
    match secret.0.len() {
        0 => return Ok(None),
        length if length > *most => {
            return Err(usage(format!("the {what} is {length} bytes long; at most {most} are allowed")));
        }
        length if length < *least => {
            notes.push(format!(
                "the {what} is stored, but it is shorter than the {least} bytes RFC 7143 asks for, and whoever listens can \
                 guess it: take a longer one where the target allows it"
            ));
        }
        _ => {}
    }
    Ok(Some(SecretBytes::from(secret)))
}

impl Portal {
    /// As it is shown, with the connection's CID while there is one.
    pub fn shown(&self, cid: Option<u16>) -> ipc::Portal {
        ipc::Portal {
            address: self.address.clone(),
            port: self.port,
            interface: self.interface.clone().unwrap_or_else(|| "default".to_owned()),
            group_tag: self.group_tag,
            cid,
        }
    }
}

#[cfg(test)]
mod tests;
