//! SendTargets discovery (RFC 7143 appendix C): a portal is logged in to and asked.

use std::time::Duration;

use iscsi_proto::login::{DiscoveredTarget, parse_send_targets};
use iscsi_proto::names::{PortalAddress, TargetAddress};
use tokio::time::timeout;

use super::source::{Asking, Source};
use crate::config::{Found, Portal};
use crate::daemon::state::Daemon;
use crate::ipc::Failure;
use crate::login::failure::{Cause, Failed};
use crate::login::plan::Plan;
use crate::login::send_targets::Exchange;

/// How long a portal may take for its list, once it is logged in to.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to say good-bye.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);

/// A discovery portal.
#[derive(Debug)]
pub(crate) struct SendTargets {
    portal: Portal,
}

impl SendTargets {
    /// What listens at that portal.
    pub(crate) fn at(portal: Portal) -> SendTargets {
        SendTargets { portal }
    }
}

impl Source for SendTargets {
    fn portal(&self) -> &Portal {
        &self.portal
    }

    fn ask<'a>(&'a self, daemon: &'a Daemon) -> Asking<'a> {
        Box::pin(ask(daemon, &self.portal))
    }
}

/// Asks a portal for its targets.
///
/// # Errors
/// Why it did not answer; a sentence for the user.
async fn ask(daemon: &Daemon, portal: &Portal) -> Result<Vec<Found>, Failure> {
    let plan = Plan::discovery(&daemon.settings.current(), &daemon.seed)?;
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
