//! What a login needs to know, and what came out of it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::Isid;
use iscsi_proto::keys::Offer;
use iscsi_proto::login::Lapses;
use iscsi_proto::names::{IscsiName, NameError, PortalAddress, TargetName};

use super::connect::Endpoint;
use super::failure::{Again, Cause, Failed};
use super::meant::lacks_zone;
use crate::config::{Credentials, Current, Effective, Portal};
use crate::ipc::{ExitCode, Failure};

/// Everything a login needs but the portal.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Our name.
    pub(crate) initiator: IscsiName,
    /// Our alias; empty sends none.
    pub(crate) alias: String,
    /// Whom to log in to; `None` for discovery.
    pub(crate) target: Option<TargetName>,
    /// Our part of the session's identifier.
    pub(crate) isid: Isid,
    /// What to offer.
    pub(crate) offer: Offer,
    /// What to authenticate with, if at all.
    pub(crate) chap: Option<Credentials>,
    /// For one portal, from connect to full feature phase.
    pub(crate) timeout: Duration,
    /// The session that is to go on over the new connection.
    pub(crate) continues: Option<Continues>,
    /// The host of the discovery portal that has named the target's portals; `None` where a user has.
    pub(crate) named_by: Option<String>,
}

/// What a login must fit that continues a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Continues {
    /// Its portal group: over a portal of another one the target would begin a second session (RFC 7143 §6.3.5).
    pub(crate) group_tag: u16,
    /// The portal that it was logged in over, `address:port`. That one may say what it likes of its group: there was no other session.
    pub(crate) via: String,
}

/// A connection in its full-feature phase.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The socket.
    pub(crate) stream: std::net::TcpStream,
    /// What was agreed on.
    pub(crate) handoff: Handoff,
    /// The portal it leads to, `address:port`, redirections followed.
    pub(crate) portal: String,
    /// The portal as configured, `address:port`.
    pub(crate) via: String,
    /// TargetAlias.
    pub(crate) alias: Option<String>,
    /// `None`, or `CHAP` and the algorithm.
    pub(crate) authentication: String,
    /// What was negotiated, by the RFC's names, in its order.
    pub(crate) keys: Vec<(String, String)>,
    /// The portal group that the target has declared, if it is that of the portal as configured.
    pub(crate) declared_tag: Option<u16>,
    /// It failed over the choice of a CHAP algorithm before MD5 alone was offered.
    pub(crate) md5_alone: bool,
    /// What else the target got wrong.
    pub(crate) lapses: Lapses,
}

/// Who logs in: over TCP, or from a test's script.
pub(crate) trait Opener: Send + Sync + 'static {
    /// Logs in over one portal, within the plan's timeout.
    fn open<'a>(&'a self, plan: &'a Plan, portal: &'a Portal) -> Opening<'a>;
}

/// A login under way.
pub(crate) type Opening<'a> = Pin<Box<dyn Future<Output = Result<Opened, Failed>> + Send + 'a>>;

impl Plan {
    /// The plan for discovery.
    ///
    /// # Errors
    /// What is configured does not make a login, such as CHAP by halves.
    pub(crate) fn discovery(current: &Current, seed: &str) -> Result<Plan, Failure> {
        let config = &current.config;
        Ok(Plan {
            initiator: IscsiName::parse(&config.initiator.name).map_err(misnamed)?,
            alias: config.initiator.alias.clone(),
            target: None,
            isid: isid(seed, &config.initiator.name, ""),
            offer: Offer::default(),
            chap: config.credentials(&current.secrets, None)?,
            timeout: current.effective("").timers.login,
            continues: None,
            named_by: None,
        })
    }

    /// What it is for, to begin a sentence with.
    pub(crate) fn what(&self) -> String {
        match &self.target {
            Some(target) => format!("login to {target}"),
            None => "discovery".to_owned(),
        }
    }
}

/// A login to a target of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct TargetLogin {
    /// What the login needs.
    pub(crate) plan: Plan,
    /// The settings that hold for the session.
    pub(crate) effective: Effective,
    /// Where to try.
    pub(crate) portals: Vec<Portal>,
}

impl TargetLogin {
    /// That to a target, by its normalised name.
    ///
    /// # Errors
    /// There is no such target, or what is configured does not make a login, such as CHAP by halves.
    pub(crate) fn new(current: &Current, target: &str, seed: &str) -> Result<TargetLogin, Failure> {
        let (_, settings) = current.config.find_target(target)?;
        let effective = current.effective(target);
        let plan = Plan {
            initiator: IscsiName::parse(&current.config.initiator.name).map_err(misnamed)?,
            alias: current.config.initiator.alias.clone(),
            // Some targets compare names byte by byte: they are called as they were written.
            target: Some(TargetName::parse(&settings.written_name).map_err(misnamed)?),
            isid: isid(seed, &current.config.initiator.name, target),
            offer: effective.keys.offer(),
            chap: current.config.credentials(&current.secrets, Some(target))?,
            timeout: effective.timers.login,
            continues: None,
            named_by: settings
                .discovered_from
                .as_deref()
                .and_then(|portal| Some(PortalAddress::parse(portal).ok()?.host)),
        };
        Ok(TargetLogin { plan, effective, portals: settings.portals.clone() })
    }
}

fn misnamed(error: NameError) -> Failure {
    Failure::new(ExitCode::Configuration, error.to_string())
}

/// The ISID for a target: stable, so that a login after a crash reinstates the session instead of
/// standing beside it, and another one in another installation (`seed`) under the same name.
/// There is one session per target, so that the same ISID towards two targets, which RFC 7143 §10.1.1
/// allows and even recommends, is no clash.
fn isid(seed: &str, initiator: &str, target: &str) -> Isid {
    let digest = |salt: u8| {
        let parts = [&[salt], seed.as_bytes(), &[0], initiator.as_bytes(), &[0], target.as_bytes()];
        parts.into_iter().fold(0, crc32c::crc32c_append)
    };
    Isid::random(digest(0), (digest(1) >> 16) as u16)
}

/// Tries one portal after the other, link-local addresses that name no link last. `tell` hears of those that did not work before the next is tried.
///
/// # Errors
/// Of the portals that were tried, the first that says something about the target rather than about
/// the way to it; else the first.
pub(crate) async fn open_any(
    opener: &dyn Opener,
    plan: &Plan,
    portals: &[Portal],
    mut tell: impl FnMut(String),
) -> Result<Opened, Failed> {
    let mut worst: Option<Failed> = None;
    let doubtful = |portal: &&Portal| portal.interface.is_none() && lacks_zone(&portal.address);
    let order = portals.iter().filter(|portal| !doubtful(portal)).chain(portals.iter().filter(doubtful));
    for (tried, portal) in order.enumerate() {
        let failed = match opener.open(plan, portal).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        let last = failed.cause.again() == Again::Never;
        if tried + 1 < portals.len() && !last {
            tell(format!("{} {failed}; the next portal is tried", plan.what()));
        }
        // A target that says "later" (03xx) says more than a way that is closed.
        let of_target = |cause: &Cause| cause.again() != Again::Later || matches!(cause, Cause::Refused { .. });
        if worst.as_ref().is_none_or(|worst| !of_target(&worst.cause) && of_target(&failed.cause)) {
            worst = Some(failed);
        }
        if last {
            break;
        }
    }
    Err(worst.unwrap_or_else(|| Failed {
        portal: "no portal".to_owned(),
        cause: Cause::Settings { why: "no portal is configured".to_owned() },
    }))
}

impl From<&Portal> for Endpoint {
    fn from(portal: &Portal) -> Endpoint {
        Endpoint {
            host: portal.address.clone(),
            port: portal.port,
            interface: portal.interface.clone(),
            foreign: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use iscsi_proto::keys::Key;

    use super::*;

    // check: login-promises
    #[test]
    fn nothing_is_offered_that_we_do_not_do() {
        let mut config = crate::config::Config::default();
        let disk = "iqn.2026-11.org.example:disk";
        config.add_target(disk, "192.0.2.1", None).expect("added");
        let keys = &mut config.targets.get_mut(disk).expect("there").settings.keys;
        for (key, value) in [
            (Key::MaxConnections, "4"),
            (Key::ErrorRecoveryLevel, "2"),
            (Key::DataPDUInOrder, "No"),
            (Key::DataSequenceInOrder, "No"),
        ] {
            keys.set(key, value).expect("a value of the key");
        }
        let offer = config.effective(disk, false).keys.offer();
        assert_eq!((offer.max_connections, offer.error_recovery_level), (1, 0));
        assert!(offer.data_pdu_in_order && offer.data_sequence_in_order);
    }

    // check: recovery-isid
    #[test]
    fn an_isid_is_stable_for_a_target_and_differs_between_targets_names_and_installations() {
        let ours = isid("seed", "iqn.2026-11.org.example:host", "iqn.2026-11.org.example:disk");
        assert_eq!(ours, isid("seed", "iqn.2026-11.org.example:host", "iqn.2026-11.org.example:disk"));
        // RFC 7143 §11.12.5: type 10b, "random", whose other bits of byte 0 are reserved.
        assert_eq!(ours.0[0], 0x80);
        for other in [
            isid("another seed", "iqn.2026-11.org.example:host", "iqn.2026-11.org.example:disk"),
            isid("seed", "iqn.2026-11.org.example:host2", "iqn.2026-11.org.example:disk"),
            isid("seed", "iqn.2026-11.org.example:host", "iqn.2026-11.org.example:disk2"),
            isid("seed", "iqn.2026-11.org.example:host", ""),
        ] {
            assert_ne!(ours, other);
        }
    }

    // check: recovery-isid
    #[test]
    fn the_isids_of_a_thousand_targets_differ() {
        let all = (0..1000).map(|n| isid("seed", "iqn.2026-11.org.example:host", &format!("disk{n}")).0);
        assert_eq!(all.collect::<std::collections::BTreeSet<_>>().len(), 1000);
    }
}
