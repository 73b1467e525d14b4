//! SendTargets discovery: asking a portal, and keeping what it named.

use std::sync::Arc;
use std::time::Duration;

use iscsi_proto::login::{DiscoveredTarget, parse_send_targets};
use iscsi_proto::names::{PortalAddress, TargetAddress};
use tokio::time::timeout;
use tracing::{info, warn};

use super::automatic;
use super::state::{Asked, Daemon};
use crate::config::{Found, Portal};
use crate::ipc::Failure;
use crate::login::failure::{Cause, Failed};
use crate::login::plan::Plan;
use crate::login::send_targets::Exchange;

/// How long a portal may take for its list, once it is logged in to.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to say good-bye.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks a portal for its targets.
///
/// # Errors
/// Why it did not answer; a sentence for the user.
pub(crate) async fn ask(daemon: &Daemon, portal: &Portal) -> Result<Vec<Found>, Failure> {
    let plan = Plan::new(&daemon.settings.current(), None, &daemon.seed)?;
    let failed = |failed: Failed| failed.failure(&plan.what());
    let opened = daemon.opener.open(&plan, portal).await.map_err(failed)?;
    let failed = |cause: Cause| failed(Failed { portal: opened.portal.clone(), cause });
    let stream = tokio::net::TcpStream::from_std(opened.stream)
        .map_err(|error| failed(Cause::Dropped { why: error.to_string() }))?;
    let mut exchange = Exchange::new(stream, &opened.handoff).map_err(failed)?;
    let answer = match timeout(LIST_TIMEOUT, exchange.send_targets()).await {
        Err(_) => return Err(failed(Cause::Silent { after: LIST_TIMEOUT })),
        Ok(answer) => answer.map_err(failed)?,
    };
    match timeout(LOGOUT_TIMEOUT, exchange.log_out()).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::debug!("the discovery session at {} ended without a logout: {cause}", opened.portal),
        Err(_) => tracing::debug!("{} does not answer a logout", opened.portal),
    }
    parse(&answer, portal).map_err(failed)
}

/// Asks a discovery portal and records what it names; targets that are to be logged in to
/// automatically are.
pub(crate) async fn ask_and_record(daemon: &Arc<Daemon>, portal: &Portal) {
    let found = match ask(daemon, portal).await {
        Ok(found) => found,
        Err(failure) => {
            warn!("{failure}");
            let before = daemon.asked(portal);
            daemon.note_asked(portal, Some(Asked { problem: Some(failure.message), ..before }));
            return;
        }
    };
    let targets = found.iter().map(|found| found.name.to_string()).collect();
    daemon.note_asked(portal, Some(Asked { targets, problem: None }));
    if let Err(failure) = record(daemon, portal, found, false).await {
        warn!("what {} named could not be recorded: {failure}", portal.endpoint());
    }
}

/// Records what a portal named. With `only_add`, what it does not name any more stays.
pub(crate) async fn record(
    daemon: &Arc<Daemon>,
    portal: &Portal,
    found: Vec<Found>,
    only_add: bool,
) -> Result<Vec<String>, Failure> {
    let (keeper, from) = (daemon.clone(), portal.clone());
    let recorded = daemon
        .settings
        .edit(move |config, secrets| {
            // A secret is a setting, too: whoever gave it wants to use the target.
            let in_use =
                |target: &str| only_add || keeper.slot(target).is_busy() || secrets.targets.contains_key(target);
            Ok(config.record_discovered(&from, &found, in_use))
        })
        .await?;
    let at = portal.endpoint();
    let mut notes = Vec::new();
    for (targets, what) in [
        (&recorded.added, "is new"),
        (&recorded.changed, "has other portals now"),
        (&recorded.removed, "is not named any more, and removed"),
    ] {
        for target in targets {
            info!("discovery at {at}: {target} {what}");
            notes.push(format!("{target} {what}"));
        }
    }
    let current = daemon.settings.current();
    for target in &recorded.added {
        if current.config.effective(target, daemon.as_root).auto_login {
            automatic::pursue(daemon, target);
        }
    }
    Ok(notes)
}

/// What a list of targets says. A target without an address is where we asked (RFC 7143 appendix C).
fn parse(answer: &[u8], asked: &Portal) -> Result<Vec<Found>, Cause> {
    let here = || TargetAddress {
        portal: PortalAddress { host: asked.address.clone(), port: asked.port },
        group_tag: asked.group_tag,
    };
    let targets = parse_send_targets(answer).map_err(|error| Cause::NotIscsi { why: error.to_string() })?;
    let found = |DiscoveredTarget { name, addresses }| Found {
        name,
        portals: if addresses.is_empty() { vec![here()] } else { addresses },
    };
    Ok(targets.into_iter().map(found).collect())
}
