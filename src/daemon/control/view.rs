//! What `list`, `show` and `stats` tell: settings and state put together.

use std::collections::BTreeSet;
use std::path::Path;

use crate::block::name_parts;
use crate::config::{Current, Portal, Target};
use crate::daemon::session::slot::Live;
use crate::daemon::state::Daemon;
use crate::ipc::{self, ExitCode, Failure};
use crate::kernel_bridge::{SessionId, SessionStats, UnitInfo, unit_name};

/// All targets, by name.
pub(crate) fn targets(daemon: &Daemon) -> Vec<ipc::Target> {
    let current = daemon.settings.current();
    current.config.targets.iter().map(|(name, settings)| target(daemon, &current, name, settings)).collect()
}

fn target(daemon: &Daemon, current: &Current, name: &str, settings: &Target) -> ipc::Target {
    let slot = daemon.slot(name);
    let live = slot.live();
    let facts = live.as_ref().map(|live| live.facts());
    let cid =
        |portal: &Portal| facts.as_ref().filter(|facts| facts.via == portal.endpoint()).map(|facts| facts.handoff.cid);
    ipc::Target {
        name: name.to_owned(),
        alias: facts.as_ref().and_then(|facts| facts.alias.clone()),
        origin: settings.origin,
        auto_login: current.effective(name).auto_login,
        portals: settings.portals.iter().map(|portal| portal.shown(cid(portal))).collect(),
        session: live.map(|live| session(daemon, &live, slot.is_closing())),
    }
}

/// All sessions, by target.
pub(crate) fn sessions(daemon: &Daemon) -> Vec<ipc::Session> {
    lives(daemon).into_iter().map(|(live, closing)| session(daemon, &live, closing)).collect()
}

fn lives(daemon: &Daemon) -> Vec<(std::sync::Arc<Live>, bool)> {
    let slots = daemon.slots();
    slots.into_iter().filter_map(|(_, slot)| Some((slot.live()?, slot.is_closing()))).collect()
}

fn session(daemon: &Daemon, live: &Live, closing: bool) -> ipc::Session {
    let facts = live.facts();
    let handoff = &facts.handoff;
    ipc::Session {
        id: facts.id.0,
        target: live.target.clone(),
        state: if closing { ipc::SessionState::Closing } else { facts.state },
        kernel: daemon.bridge.name().to_owned(),
        isid: handoff.isid.iter().map(|byte| format!("{byte:02x}")).collect(),
        tsih: handoff.tsih,
        group_tag: handoff.target_portal_group_tag,
        cid: handoff.cid,
        portal: facts.portal,
        age_seconds: live.since.elapsed().as_secs(),
        recovery: facts.lost.map(|(since, why)| {
            let waits = daemon.settings.current().effective(&live.target).timers.replacement;
            ipc::Recovery { seconds: since.elapsed().as_secs(), why, io_fails: since.elapsed() >= waits }
        }),
    }
}

/// A session in full.
pub(crate) fn session_details(daemon: &Daemon, number: u32) -> Result<ipc::SessionDetails, Failure> {
    let found = lives(daemon).into_iter().find(|(live, _)| live.id() == SessionId(number));
    let Some((live, closing)) = found else {
        let message = format!("there is no session {number}");
        return Err(Failure::new(ExitCode::Data, message).advice("`iscsictl list sessions` shows those there are"));
    };
    let facts = live.facts();
    Ok(ipc::SessionDetails {
        session: session(daemon, &live, closing),
        keys: facts.keys,
        authentication: facts.authentication,
        stats: stats_of(daemon, &live),
    })
}

/// Counters of all sessions, or of one target's.
pub(crate) fn stats(daemon: &Daemon, typed: Option<&str>) -> Result<Vec<ipc::Stats>, Failure> {
    let Some(typed) = typed else {
        return Ok(lives(daemon).iter().map(|(live, _)| stats_of(daemon, live)).collect());
    };
    let live = logged_in(daemon, typed)?;
    Ok(vec![stats_of(daemon, &live)])
}

fn stats_of(daemon: &Daemon, live: &Live) -> ipc::Stats {
    let id = live.id();
    let counters = daemon.bridge.stats(id).unwrap_or_default().into();
    ipc::Stats { target: live.target.clone(), session: id.0, counters }
}

/// The kernel's counters, in the words of the control socket. The bridge has a type of its own, since neither it nor
/// the socket's vocabulary knows the other; the daemon knows both.
impl From<SessionStats> for ipc::SessionStats {
    fn from(counted: SessionStats) -> ipc::SessionStats {
        let SessionStats {
            commands,
            errors,
            bytes_read,
            bytes_written,
            pdus_in,
            pdus_out,
            receives,
            sends,
            reconnects,
            in_flight,
        } = counted;
        ipc::SessionStats {
            commands,
            errors,
            bytes_read,
            bytes_written,
            pdus_in,
            pdus_out,
            receives,
            sends,
            reconnects,
            in_flight,
        }
    }
}

/// A target's session, by the target's name as typed.
pub(crate) fn logged_in(daemon: &Daemon, typed: &str) -> Result<std::sync::Arc<Live>, Failure> {
    let current = daemon.settings.current();
    let (name, _) = current.config.find_target(typed)?;
    let slot = daemon.slot(&name);
    if slot.is_closing() {
        return Err(Failure::new(ExitCode::TryAgain, format!("a logout of {name} is under way"))
            .advice("wait until it has ended, then log in again"));
    }
    slot.live().ok_or_else(|| {
        Failure::new(ExitCode::Data, format!("{name} is not logged in"))
            .advice(format!("log in with `iscsictl login {name}`"))
    })
}

/// All units of all sessions, by target and number, and those that are gone and of which there is a disk still.
pub(crate) async fn luns(daemon: &Daemon) -> Vec<ipc::Lun> {
    let mut lost = daemon.disks.lost().await;
    let mut luns: Vec<ipc::Lun> = Vec::new();
    let mut names = BTreeSet::new();
    for (live, closing) in lives(daemon) {
        let session = session(daemon, &live, closing);
        for unit in daemon.bridge.units(live.id()) {
            let name = unit_name(&live.target, unit.lun);
            let its = lost.extract_if(.., |lost| lost.unit == name).collect();
            luns.push(lun(daemon, &session, &name, unit, its));
            names.insert(name);
        }
    }
    for (unit, device) in daemon.disks.attached() {
        if !names.contains(&unit) {
            let its = lost.extract_if(.., |lost| lost.unit == unit).collect();
            let session = daemon.slot(name_parts(&unit).0).live().map(|live| live.id());
            luns.push(vanished(&unit, session, Some(device), its));
        }
    }
    while let Some(first) = lost.first() {
        let unit = first.unit.clone();
        let its = lost.extract_if(.., |lost| lost.unit == unit).collect();
        luns.push(vanished(&unit, None, None, its));
    }
    luns.sort_by(|a, b| (&a.target, a.lun).cmp(&(&b.target, b.lun)));
    luns
}

/// A unit that nobody knows any more, of which there is a disk still: this daemon's `device`, or one of an earlier daemon.
fn vanished(unit: &str, session: Option<SessionId>, device: Option<String>, lost: Vec<ipc::LostDisk>) -> ipc::Lun {
    let (target, number) = name_parts(unit);
    let why = if session.is_some() { "the target lists no such unit any more" } else { "its session has ended" };
    let problem = device.as_ref().map(|device| format!("{why}, and {device} fails"));
    let then = match session {
        Some(_) => format!("`iscsictl detach {target} --lun {number}`"),
        None => format!("`iscsictl login {target}`"),
    };
    ipc::Lun {
        target: target.to_owned(),
        lun: number
            .strip_prefix("0x")
            .map_or_else(|| number.parse(), |hex| u64::from_str_radix(hex, 16))
            .unwrap_or_default(),
        session: session.map(|id| id.0),
        state: ipc::LunState::Lost,
        r#type: 0,
        administrative: false,
        vendor: String::new(),
        product: String::new(),
        revision: String::new(),
        serial: None,
        block_size: 0,
        blocks: 0,
        bytes: 0,
        read_only: false,
        nbd: None,
        nfs: None,
        advice: device.as_ref().map(|_| format!("unmount it and end what has it open, then {then}")),
        device,
        problem,
        failed: None,
        workarounds: Vec::new(),
        lost,
    }
}

fn lun(daemon: &Daemon, session: &ipc::Session, name: &str, unit: UnitInfo, lost: Vec<ipc::LostDisk>) -> ipc::Lun {
    let exported = unit.geometry.is_some() && daemon.registry.get(name).is_some();
    let nbd = exported.then(|| nbd_of(daemon, name));
    let nfs = daemon.nfs.as_ref().filter(|_| exported).and_then(|nfs| nfs.uri(name));
    let target = &session.target;
    let failed = unit.failed.as_ref().map(|failed| ipc::FailedIo {
        count: failed.count,
        last: failed.last.to_string(),
        seconds_ago: failed.at.elapsed().as_secs(),
    });
    let fails = unit.failed.is_some_and(|failed| failed.now);
    let (device, number) = (daemon.disks.device(name), unit.lun);
    let (state, problem, advice) = match (unit.problem, &session.recovery) {
        _ if device.is_some() && lost.iter().any(|lost| Some(&lost.device) == device.as_ref()) => {
            let problem = "the unit was gone for a while, and its disk has failed since".to_owned();
            let then = format!("`iscsictl attach {target} --lun {number}` makes another one");
            (ipc::LunState::Lost, Some(problem), Some(format!("unmount it and end what has it open; then {then}")))
        }
        (Some(problem), _) => {
            let advice = format!("see what the target says of it; where that has changed, `iscsictl rescan {target}`");
            (ipc::LunState::Offline, Some(problem), Some(advice))
        }
        (None, Some(recovery)) => {
            let state = if recovery.io_fails { ipc::LunState::Failing } else { ipc::LunState::Waiting };
            (state, Some(recovery.to_string()), Some(recovery.advice(target)))
        }
        (None, None) if fails => {
            let advice = "see what the target says of the disk behind it, and whether it has room";
            (ipc::LunState::Failing, None, Some(advice.to_owned()))
        }
        (None, None) => (ipc::LunState::Ok, None, None),
    };
    ipc::Lun {
        target: target.clone(),
        lun: unit.lun.number().map_or(unit.lun.0, u64::from),
        session: Some(session.id),
        state,
        r#type: unit.device_type,
        administrative: unit.administrative,
        vendor: unit.vendor,
        product: unit.product,
        revision: unit.revision,
        serial: unit.serial,
        block_size: unit.geometry.map_or(0, |geometry| geometry.block_size),
        blocks: unit.geometry.map_or(0, |geometry| geometry.blocks),
        bytes: unit.geometry.map_or(0, |geometry| geometry.bytes()),
        read_only: unit.geometry.is_some_and(|geometry| geometry.read_only),
        device,
        nbd,
        nfs,
        problem,
        advice,
        failed,
        workarounds: unit.workarounds,
        lost,
    }
}

/// Where NBD clients find a unit that is exported.
pub(crate) fn nbd_of(daemon: &Daemon, unit: &str) -> String {
    nbd_uri(unit, &daemon.runtime_dir.join("nbd.sock"))
}

/// The NBD project's URI of an export on a Unix socket. Bytes that a URI has other uses for are
/// percent-encoded.
fn nbd_uri(export: &str, socket: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let encode = |bytes: &[u8]| {
        let mut out = String::new();
        for &byte in bytes {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                    out.push(byte.into());
                }
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        out
    };
    format!("nbd+unix:///{}?socket={}", encode(export.as_bytes()), encode(socket.as_os_str().as_bytes()))
}

/// A target's settings and state, by its name as typed.
pub(crate) fn target_details(daemon: &Daemon, typed: &str) -> Result<ipc::TargetDetails, Failure> {
    let current = daemon.settings.current();
    let config = &current.config;
    let (name, settings) = config.find_target(typed)?;
    let effective = current.effective(&name);
    Ok(ipc::TargetDetails {
        target: target(daemon, &current, &name, settings),
        discovered_from: settings.discovered_from.clone(),
        persistent: effective.persistent,
        attach: effective.attach,
        flush_policy: effective.flush_policy,
        keys: effective.keys.offer().entries().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        timers: effective.timers.entries(),
        chap: config.chap_shown(&current.secrets, Some(&name)),
        workarounds: workarounds(daemon, &name),
    })
}

/// What a target was seen to do otherwise than others, since its login.
fn workarounds(daemon: &Daemon, target: &str) -> Vec<String> {
    let Some(live) = daemon.slot(target).live() else { return Vec::new() };
    let mut sentences = live.seen.sentences();
    sentences.extend(daemon.bridge.workarounds(live.id()));
    sentences
}

/// The initiator's settings.
pub(crate) async fn initiator(daemon: &Daemon) -> ipc::Initiator {
    let lost = daemon.disks.lost().await;
    let current = daemon.settings.current();
    let initiator = &current.config.initiator;
    ipc::Initiator {
        name: initiator.name.clone(),
        alias: initiator.alias.clone(),
        chap: current.config.chap_shown(&current.secrets, None),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: daemon.settings.path().display().to_string(),
        kernel: daemon.bridge.name().to_owned(),
        lost,
    }
}

/// Discovery's settings.
pub(crate) fn discovery(daemon: &Daemon) -> ipc::Discovery {
    let current = daemon.settings.current();
    let discovery = &current.config.discovery;
    ipc::Discovery {
        send_targets: discovery.send_targets(),
        interval: u32::try_from(discovery.interval().as_secs()).unwrap_or(u32::MAX),
        portals: discovery_portals(daemon),
    }
}

/// The portals that are asked, and what they answered last.
pub(crate) fn discovery_portals(daemon: &Daemon) -> Vec<ipc::DiscoveryPortal> {
    let current = daemon.settings.current();
    let portals = current.config.discovery.portals.iter();
    portals
        .map(|portal| {
            let crate::daemon::state::Asked { targets, problem, remarks: _ } = daemon.asked(portal);
            let ipc::Portal { address, port, interface, .. } = portal.shown(None);
            ipc::DiscoveryPortal { address, port, interface, targets, problem }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uri_keeps_what_a_path_may_have_and_encodes_the_rest() {
        assert_eq!(
            nbd_uri("iqn.2026-11.org.example:größe/1", Path::new("/run/my iscsid/nbd.sock")),
            "nbd+unix:///iqn.2026-11.org.example:gr%C3%B6%C3%9Fe/1?socket=/run/my%20iscsid/nbd.sock"
        );
    }
}
