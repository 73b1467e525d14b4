//! Discovery: asks sources for targets, and records what they name.
//!
//! ```text
//!   settings ──► sources ──► Source::ask: send_targets ──► record ──► new targets ──► auto_login
//!                   ▲                                         └─────► asked: what was answered last
//!                   └── again after the interval, or when the settings have changed
//! ```

pub(crate) mod send_targets;
pub(crate) mod source;

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use self::send_targets::SendTargets;
use self::source::{List, Source};
use super::session::auto_login;
use super::state::{Asked, Daemon, all};
use crate::config::{Discovery, Found, Portal, Recorded};
use crate::ipc::Failure;

/// The most lines that a discovery logs of each change.
const MAX_LINES: usize = 16;

/// The sources that the settings name.
fn sources(settings: &Discovery) -> Vec<Arc<dyn Source>> {
    if !settings.send_targets() {
        return Vec::new();
    }
    let source = |portal: &Portal| Arc::new(SendTargets::at(portal.clone())) as Arc<dyn Source>;
    settings.portals.iter().map(source).collect()
}

/// Asks all sources again and again, as the settings say, until the daemon ends.
pub(crate) async fn run(daemon: Arc<Daemon>) {
    loop {
        let settings = daemon.settings.current().config.discovery.clone();
        let sources = sources(&settings);
        let wait = if settings.send_targets() { settings.interval() } else { Duration::MAX };
        all(sources, |source| {
            let daemon = daemon.clone();
            async move { ask_and_record(&daemon, &*source).await }
        })
        .await;
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = daemon.discovery_changed.notified() => info!("the discovery settings have changed"),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Asks a source and records what it names. Logs in to new targets that are logged in to automatically.
async fn ask_and_record(daemon: &Arc<Daemon>, source: &dyn Source) {
    let portal = source.portal();
    let before = daemon.asked(portal);
    let List { found, whole, remarks } = match source.ask(daemon).await {
        Ok(list) => list,
        Err(failure) => {
            warn!("{failure}");
            daemon.note_asked(portal, Some(Asked { problem: Some(failure.to_string()), ..before }));
            return;
        }
    };
    // A portal is asked again and again: what it did the last time has been told.
    if remarks != before.remarks {
        tell(portal, &remarks);
    }
    let targets = found.iter().map(|found| found.name.to_string()).collect();
    let problem = (!whole).then(|| remarks.join("; "));
    daemon.note_asked(portal, Some(Asked { targets, problem, remarks }));
    // A target may be missing only because its record could not be read.
    match record(daemon, portal, found, !whole).await {
        Ok(recorded) => auto_login::pursue_new(daemon, &recorded.added),
        Err(failure) => warn!("what {} named could not be recorded: {failure}", portal.endpoint()),
    }
}

/// Logs what is remarkable about an answer.
pub(crate) fn tell(portal: &Portal, remarks: &[String]) {
    for remark in remarks {
        warn!("discovery at {}: {remark}", portal.endpoint());
    }
}

/// Records what a source named. With `only_add`, what it does not name any more stays.
pub(crate) async fn record(
    daemon: &Arc<Daemon>,
    portal: &Portal,
    found: Vec<Found>,
    only_add: bool,
) -> Result<Recorded, Failure> {
    let (owner, from) = (daemon.clone(), portal.clone());
    let recorded = daemon
        .settings
        .edit(move |config, secrets| {
            // A secret is a setting, too: its user wants to use the target.
            let in_use = |target: &str| only_add || owner.slot(target).is_busy() || secrets.has(target);
            Ok(config.record_discovered(&from, &found, in_use))
        })
        .await?;
    let at = portal.endpoint();
    for (targets, what, of_all) in [
        (&recorded.added, "is new", "are new"),
        (&recorded.changed, "has other portals now", "have other portals now"),
        (&recorded.removed, "is not named any more, and removed", "are not named any more, and removed"),
    ] {
        for target in targets.iter().take(MAX_LINES) {
            info!("discovery at {at}: {target} {what}");
        }
        match targets.len().saturating_sub(MAX_LINES) {
            0 => {}
            more => info!("discovery at {at}: {more} more targets {of_all}"),
        }
    }
    if let Some(sentence) = recorded.too_many() {
        warn!("discovery at {at}: {sentence}");
    }
    Ok(recorded)
}
