//! A session in this very process, without daemon and configuration: what the self-test and the
//! benchmarks run on. The login, the kernel and the unit are the daemon's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use iscsi_proto::ids::Isid;
use iscsi_proto::keys::Offer;
use iscsi_proto::names::IscsiName;

use crate::config::{Credentials, Portal};
use crate::daemon::{OverTcp, Plan, open_any};
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::user::block::{Block, Registry};
use crate::kernel_bridge::user::{UserKernel, unit_name};
use crate::kernel_bridge::{KernelBridge, SessionId, SessionSpec, SessionStats, UnitInfo};

/// Who logs in.
const INITIATOR: &str = "iqn.2026-11.org.iscsid:lab";

/// How long a login or a logout may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A logged-in session and its units.
pub struct Lab {
    target: String,
    kernel: Arc<UserKernel>,
    session: SessionId,
    units: Vec<UnitInfo>,
    /// How the two were authenticated.
    pub authentication: String,
    /// What was negotiated, by the RFC's names.
    pub keys: Vec<(String, String)>,
}

impl Lab {
    /// Logs in to `target` at `portal`, offering the `keys` of RFC 7143 §13 instead of the defaults,
    /// and finds its units.
    ///
    /// # Errors
    /// Whatever stands in the way, in a sentence.
    pub async fn log_in(
        target: &str,
        portal: SocketAddr,
        keys: &[(&str, &str)],
        chap: Option<Credentials>,
    ) -> Result<Lab, Failure> {
        let wrong = |why: String| Failure::new(ExitCode::Internal, why);
        let name = |text: &str| IscsiName::parse(text).map_err(|error| wrong(error.to_string()));
        let mut offer = Offer::default();
        for (key, value) in keys {
            offer.set(key, value).map_err(|error| wrong(error.to_string()))?;
        }
        let plan = Plan {
            initiator: name(INITIATOR)?,
            alias: String::new(),
            target: Some(name(target)?),
            isid: Isid::random(1, 1),
            offer,
            chap,
            timeout: PATIENCE,
        };
        let portal = Portal { address: portal.ip().to_string(), port: portal.port(), interface: None, group_tag: None };
        let opened = open_any(&OverTcp, &plan, &[portal], |_| {}).await.map_err(|failed| wrong(failed.to_string()))?;
        let (kernel, _events) = UserKernel::new();
        let spec = SessionSpec {
            target: target.to_owned(),
            depth: 256,
            nop_interval: Duration::from_secs(5),
            nop_timeout: Duration::from_secs(5),
            // There is nobody here to log in again.
            replacement_timeout: Duration::ZERO,
            task_timeout: Duration::ZERO,
        };
        let failed = |error: crate::kernel_bridge::BridgeError| wrong(error.to_string());
        let session = kernel.handoff(spec, opened.handoff, opened.stream, None).await.map_err(failed)?;
        let units = kernel.scan(session).await.map_err(failed)?;
        let (authentication, keys) = (opened.authentication, opened.keys);
        Ok(Lab { target: target.to_owned(), kernel, session, units, authentication, keys })
    }

    /// Looks for the units again.
    ///
    /// # Errors
    /// The target did not list them.
    pub async fn rescan(&self) -> Result<Vec<UnitInfo>, Failure> {
        let units = self.kernel.scan(self.session).await;
        units.map_err(|error| Failure::new(ExitCode::Internal, format!("rescan of {}: {error}", self.target)))
    }

    /// What the first scan found.
    pub fn units(&self) -> &[UnitInfo] {
        &self.units
    }

    /// The first disk among them.
    pub fn disk(&self) -> Option<Arc<dyn Block>> {
        let disk = self.units.iter().find(|unit| unit.geometry.is_some())?;
        self.registry().get(&unit_name(&self.target, disk.lun))
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
        done.map_err(|error| Failure::new(ExitCode::Internal, format!("logout of {}: {error}", self.target)))
    }
}
