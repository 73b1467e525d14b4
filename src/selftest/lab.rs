//! A session in this very process, without daemon and configuration: what the self-test and the
//! benchmarks run on. The login, the kernel and the unit are the daemon's own.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::Isid;
use iscsi_proto::keys::Offer;
use iscsi_proto::names::IscsiName;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::block::{Block, Registry};
use crate::config::{Credentials, Portal};
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::{BridgeError, BridgeEvent, KernelBridge, SessionId, SessionSpec, SessionStats, UnitInfo};
use crate::kernel_bridge::{Sessions, unit_name};
use crate::login::plan::{Opened, Plan, open_any};
use crate::login::tcp::OverTcp;

/// Who logs in.
const INITIATOR: &str = "iqn.2026-11.org.iscsid:lab";

/// Each is an initiator port of its own: a second session with the ISID of the first would end it (RFC 7143 §6.3.5).
static LOGINS: AtomicU16 = AtomicU16::new(1);

/// How long a login or a logout may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session's timers in a [`Lab`]; zero is as in [`SessionSpec`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Timers {
    /// How long I/O waits for a lost connection.
    pub replacement: Duration,
    /// How long a command may take.
    pub task: Duration,
}

/// A logged-in session and its units.
pub struct Lab {
    plan: Plan,
    portal: Portal,
    spec: SessionSpec,
    kernel: Arc<Sessions>,
    events: UnboundedReceiver<BridgeEvent>,
    session: SessionId,
    units: Vec<UnitInfo>,
    /// How the two were authenticated.
    pub authentication: String,
    /// What was negotiated, by the RFC's names.
    pub keys: Vec<(String, String)>,
}

impl Lab {
    /// Logs in to `target` at `portal` with that `offer`, and finds its units.
    ///
    /// # Errors
    /// What stands in the way, in a sentence.
    pub async fn log_in(
        target: &str,
        portal: SocketAddr,
        offer: &Offer,
        chap: Option<Credentials>,
    ) -> Result<Lab, Failure> {
        Lab::with_timers(target, portal, offer, chap, Timers::default()).await
    }

    /// As [`log_in`](Lab::log_in), for a test that is going to lose the connection.
    ///
    /// # Errors
    /// As those of [`log_in`](Lab::log_in).
    pub async fn with_timers(
        target: &str,
        portal: SocketAddr,
        offer: &Offer,
        chap: Option<Credentials>,
        timers: Timers,
    ) -> Result<Lab, Failure> {
        let (plan, portal) = plan(target, portal, offer, chap)?;
        let opened = open(&plan, &portal).await?;
        let (kernel, events) = Sessions::new();
        let spec = SessionSpec {
            target: target.to_owned(),
            depth: 256,
            nop_interval: Duration::from_secs(5),
            nop_timeout: Duration::from_secs(5),
            replacement_timeout: timers.replacement,
            task_timeout: timers.task,
        };
        let session = kernel.handoff(spec.clone(), opened.handoff, opened.stream, None).await.map_err(failed)?;
        let units = kernel.scan(session).await.map_err(failed)?;
        let (authentication, keys) = (opened.authentication, opened.keys);
        Ok(Lab { plan, portal, spec, kernel, events, session, units, authentication, keys })
    }

    /// Logs in again, as the same initiator port: the session goes on over another connection.
    ///
    /// # Errors
    /// What stands in the way, in a sentence.
    pub async fn log_in_again(&self) -> Result<(), Failure> {
        let opened = open(&self.plan, &self.portal).await?;
        let handoff = self.kernel.handoff(self.spec.clone(), opened.handoff, opened.stream, Some(self.session));
        handoff.await.map(drop).map_err(failed)
    }

    /// Logs out and keeps the units.
    ///
    /// # Errors
    /// The target did not answer.
    pub async fn suspend(&self) -> Result<(), Failure> {
        self.kernel.suspend(self.session, PATIENCE).await.map_err(failed)
    }

    /// What the kernel tells the daemon next; `None` after its end.
    pub async fn event(&mut self) -> Option<BridgeEvent> {
        self.events.recv().await
    }

    /// The units as they are now.
    pub fn units_now(&self) -> Vec<UnitInfo> {
        self.kernel.units(self.session)
    }

    /// Looks for the units again.
    ///
    /// # Errors
    /// The target did not list them.
    pub async fn rescan(&self) -> Result<Vec<UnitInfo>, Failure> {
        let units = self.kernel.scan(self.session).await;
        units.map_err(|error| wrong(format!("rescan of {}: {error}", self.spec.target)))
    }

    /// What the first scan found.
    pub fn units(&self) -> &[UnitInfo] {
        &self.units
    }

    /// The first disk among them.
    pub fn disk(&self) -> Option<Arc<dyn Block>> {
        let disk = self.units.iter().find(|unit| unit.geometry.is_some())?;
        self.registry().get(&unit_name(&self.spec.target, disk.lun))
    }

    /// All disks, as an export sees them.
    pub fn registry(&self) -> Arc<Registry> {
        self.kernel.registry()
    }

    /// Counters of the session.
    pub fn stats(&self) -> SessionStats {
        self.kernel.stats(self.session).unwrap_or_default()
    }

    /// Ends the session without a word to the target.
    pub fn abandon(self) {
        self.kernel.abandon(self.session);
    }

    /// Flushes, logs out and ends the session.
    ///
    /// # Errors
    /// The target did not answer properly; the session has ended all the same.
    pub async fn log_out(self) -> Result<(), Failure> {
        let done = self.kernel.logout(self.session, PATIENCE).await;
        done.map_err(|error| wrong(format!("logout of {}: {error}", self.spec.target)))
    }
}

/// Logs in as [`Lab::log_in`] does and stops there: what was agreed on, and the connection. For a benchmark
/// that goes on by itself, or another kernel than the user kernel. With the `isid` of an earlier login it
/// reinstates that session (RFC 7143 §6.3.5).
///
/// # Errors
/// As those of [`Lab::log_in`].
pub async fn log_in_bare(
    target: &str,
    portal: SocketAddr,
    offer: &Offer,
    isid: Option<Isid>,
) -> Result<(Handoff, TcpStream), Failure> {
    let (mut plan, portal) = plan(target, portal, offer, None)?;
    plan.isid = isid.unwrap_or(plan.isid);
    let opened = open(&plan, &portal).await?;
    Ok((opened.handoff, opened.stream))
}

fn plan(target: &str, portal: SocketAddr, offer: &Offer, chap: Option<Credentials>) -> Result<(Plan, Portal), Failure> {
    let name = |text: &str| IscsiName::parse(text).map_err(|error| wrong(error.to_string()));
    let plan = Plan {
        initiator: name(INITIATOR)?,
        alias: String::new(),
        target: Some(name(target)?.into()),
        isid: Isid::random(1, LOGINS.fetch_add(1, Ordering::Relaxed)),
        offer: offer.clone(),
        chap,
        timeout: PATIENCE,
        continues: None,
        named_by: None,
    };
    let portal = Portal { address: portal.ip().to_string(), port: portal.port(), interface: None, group_tag: None };
    Ok((plan, portal))
}

async fn open(plan: &Plan, portal: &Portal) -> Result<Opened, Failure> {
    let opened = open_any(&OverTcp, plan, std::slice::from_ref(portal), |_| {}).await;
    opened.map_err(|failed| wrong(failed.to_string()))
}

fn wrong(why: String) -> Failure {
    Failure::new(ExitCode::Internal, why)
}

fn failed(error: BridgeError) -> Failure {
    wrong(error.to_string())
}
