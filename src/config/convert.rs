//! As written → as meant, and back. An error is a clause that begins with the path of the key.

use std::collections::BTreeMap;

use iscsi_proto::keys::Choices;

use super::check;
use super::schema::{self, ARROW, KeyValue};
use super::settings::{
    ChapSettings, Config, DISCOVERY_INTERVAL, Discovery, Initiator, Portal, Target, TargetSettings, Timer,
};
use crate::ipc::Origin;

/// The version of the layout this program reads and writes.
pub(super) const VERSION: u32 = 1;

/// Puts the key's path before what is wrong with its value.
fn at<T>(path: &[&str], result: Result<T, String>) -> Result<T, String> {
    result.map_err(|what| format!("{}: {what}", path.join(ARROW)))
}

/// What the file means, which is of [`VERSION`].
pub(super) fn from_file(file: schema::File) -> Result<Config, String> {
    let schema::Initiator { name, alias, chap } = file.initiator;
    let initiator = Initiator {
        name: match name {
            None => String::new(),
            Some(name) => at(&["Initiator", "Name"], check::name(&name))?.as_str().to_owned(),
        },
        alias: at(&["Initiator", "Alias"], check::text("alias", &alias.unwrap_or_default()))?,
        chap: chap_settings(&["Initiator", "CHAP"], chap)?,
    };
    let schema::Defaults { auto_login, persistent, attach, flush_policy, session, connection, timers } = file.defaults;
    let defaults = TargetSettings {
        auto_login,
        persistent,
        attach,
        flush_policy,
        keys: keys(&["Defaults"], session, connection)?,
        timers: timer_settings(&["Defaults"], timers)?,
    };

    let mut targets = BTreeMap::new();
    for (name, target) in file.targets {
        add_target(&mut targets, "Targets", &name, target, None, Origin::Static)?;
    }
    for (name, target) in file.discovered_targets {
        let (target, from) = target.split();
        add_target(&mut targets, "DiscoveredTargets", &name, target, from, Origin::Dynamic)?;
    }

    let schema::Discovery { send_targets, interval, portals: written } = file.discovery;
    if let Some(seconds) = interval.filter(|seconds| !DISCOVERY_INTERVAL.contains(seconds)) {
        let (least, most) = (DISCOVERY_INTERVAL.start(), DISCOVERY_INTERVAL.end());
        return Err(format!("Discovery{ARROW}Interval: is {seconds}; it may be {least} to {most} seconds"));
    }
    let discovery = Discovery { send_targets, interval, portals: portals(&["Discovery"], written)? };
    Ok(Config { initiator, defaults, targets, discovery })
}

fn add_target(
    targets: &mut BTreeMap<String, Target>,
    section: &str,
    written_name: &str,
    target: schema::Target,
    discovered_from: Option<String>,
    origin: Origin,
) -> Result<(), String> {
    let path = [section, written_name];
    let name = at(&path, check::target_name(written_name))?;
    let schema::Target {
        portals: written,
        auto_login,
        persistent,
        attach,
        flush_policy,
        session,
        connection,
        timers,
        chap,
    } = target;
    let target = Target {
        written_name: name.as_written().to_owned(),
        origin,
        discovered_from,
        portals: portals(&path, written)?,
        settings: TargetSettings {
            auto_login,
            persistent,
            attach,
            flush_policy,
            keys: keys(&path, session, connection)?,
            timers: timer_settings(&path, timers)?,
        },
        chap: chap_settings(&[section, written_name, "CHAP"], chap)?,
    };
    match targets.insert(name.as_str().to_owned(), target) {
        None => Ok(()),
        Some(_) => Err(format!("{}: the target is there twice; remove one of them", path.join(ARROW))),
    }
}

fn portals(path: &[&str], written: Vec<schema::Portal>) -> Result<Vec<Portal>, String> {
    let mut portals: Vec<Portal> = Vec::new();
    for (index, portal) in written.into_iter().enumerate() {
        let number = index.saturating_add(1).to_string();
        let here = |key: &'static str| [path, &["Portals", &number, key]].concat();
        if portal.port == Some(0) {
            return at(&here("Port"), Err("is 0; a port is 1 to 65535".to_owned()));
        }
        let address = at(&here("Address"), check::address(&portal.address, portal.port))?;
        let interface = at(&here("Interface"), check::interface(&portal.interface.unwrap_or_default()))?;
        if portals.iter().any(|there| there.is_at(&address.host, address.port)) {
            return at(&here("Address"), Err("the portal is there twice; remove one of them".to_owned()));
        }
        portals.push(Portal { address: address.host, port: address.port, interface, group_tag: portal.group_tag });
    }
    Ok(portals)
}

fn keys(
    path: &[&str],
    session: BTreeMap<String, KeyValue>,
    connection: BTreeMap<String, KeyValue>,
) -> Result<Choices, String> {
    let mut keys = Choices::default();
    for (section, other, entries) in [("Session", "Connection", session), ("Connection", "Session", connection)] {
        for (name, value) in entries {
            let here = [path, &[section, &name]].concat();
            let key = at(&here, check::key(&name))?;
            let value = check::meant(key, &value.to_string());
            at(&here, keys.set(key, &value).map_err(|error| error.to_string()))?;
            if check::is_of_connection(key) != (section == "Connection") {
                return at(&here, Err(format!("the key belongs to {other}")));
            }
        }
    }
    Ok(keys)
}

fn timer_settings(path: &[&str], written: BTreeMap<String, u32>) -> Result<BTreeMap<Timer, u32>, String> {
    let mut timers = BTreeMap::new();
    for (name, seconds) in written {
        let timer = at(&[path, &["Timers", &name]].concat(), check::timer(&name, seconds))?;
        timers.insert(timer, seconds);
    }
    Ok(timers)
}

fn chap_settings(path: &[&str], written: schema::Chap) -> Result<ChapSettings, String> {
    let schema::Chap { enabled, name, mutual_name, algorithms } = written;
    let text = |key: &'static str, value: Option<String>| {
        value.map(|value| at(&[path, &[key]].concat(), check::text("CHAP name", &value))).transpose()
    };
    Ok(ChapSettings {
        enabled,
        name: text("Name", name)?,
        mutual_name: text("MutualName", mutual_name)?,
        algorithms: match algorithms {
            None => None,
            Some(names) => Some(at(&[path, &["Algorithms"]].concat(), check::algorithms(&names))?),
        },
    })
}

/// How it is written.
pub(super) fn to_file(config: &Config) -> schema::File {
    let Config { initiator, defaults, targets, discovery } = config;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (session, connection) = split_keys(&defaults.keys);
    let mut file = schema::File {
        version: VERSION,
        initiator: schema::Initiator {
            name: some(&initiator.name),
            alias: some(&initiator.alias),
            chap: to_chap(&initiator.chap),
        },
        defaults: schema::Defaults {
            auto_login: defaults.auto_login,
            persistent: defaults.persistent,
            attach: defaults.attach,
            flush_policy: defaults.flush_policy,
            session,
            connection,
            timers: to_timers(&defaults.timers),
        },
        targets: BTreeMap::new(),
        discovered_targets: BTreeMap::new(),
        discovery: schema::Discovery {
            send_targets: discovery.send_targets,
            interval: discovery.interval,
            portals: discovery.portals.iter().map(to_portal).collect(),
        },
    };
    for target in targets.values() {
        let Target { written_name, origin, discovered_from, portals, settings, chap } = target;
        let (session, connection) = split_keys(&settings.keys);
        let target = schema::Target {
            portals: portals.iter().map(to_portal).collect(),
            auto_login: settings.auto_login,
            persistent: settings.persistent,
            attach: settings.attach,
            flush_policy: settings.flush_policy,
            session,
            connection,
            timers: to_timers(&settings.timers),
            chap: to_chap(chap),
        };
        match origin {
            Origin::Static => {
                file.targets.insert(written_name.clone(), target);
            }
            Origin::Dynamic => {
                let target = schema::DiscoveredTarget::join(target, discovered_from.clone());
                file.discovered_targets.insert(written_name.clone(), target);
            }
        }
    }
    file
}

/// Session keys, connection keys.
fn split_keys(keys: &Choices) -> (BTreeMap<String, KeyValue>, BTreeMap<String, KeyValue>) {
    let (mut session, mut connection) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in keys.iter() {
        let section = if check::is_of_connection(key) { &mut connection } else { &mut session };
        section.insert(key.name().to_owned(), value.into());
    }
    (session, connection)
}

fn to_timers(timers: &BTreeMap<Timer, u32>) -> BTreeMap<String, u32> {
    timers.iter().map(|(timer, seconds)| (timer.name().to_owned(), *seconds)).collect()
}

fn to_portal(portal: &Portal) -> schema::Portal {
    let Portal { address, port, interface, group_tag } = portal.clone();
    schema::Portal { address, port: Some(port), interface, group_tag }
}

fn to_chap(chap: &ChapSettings) -> schema::Chap {
    let ChapSettings { enabled, name, mutual_name, algorithms } = chap.clone();
    schema::Chap { enabled, name, mutual_name, algorithms }
}
