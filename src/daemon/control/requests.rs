//! What a client asks → what the daemon does.

use std::collections::BTreeSet;
use std::sync::Arc;

use iscsi_proto::names::PortalAddress;
use tracing::warn;

use super::bench;
use super::socket::Answer;
use super::view;
use crate::block::name_parts;
use crate::config::{Config, Found, Portal, Secrets, irregular_name};
use crate::daemon::discovery;
use crate::daemon::discovery::send_targets::SendTargets;
use crate::daemon::discovery::source::{List, Source};
use crate::daemon::progress::Progress;
use crate::daemon::session::auto_login;
use crate::daemon::session::login::{self, NoLogin};
use crate::daemon::session::slot::Live;
use crate::daemon::session::{logout, units};
use crate::daemon::state::{Daemon, all};
use crate::ipc::{Discovered, ExitCode, Failure, FlushPolicy, Import, Reply, Request, TargetChanges, Which};
use crate::kernel_bridge::UnitInfo;
use crate::login::connect::check_interface;
use crate::login::failure::Cause;

impl Answer for Daemon {
    async fn answer(self: Arc<Self>, request: Request, progress: Progress) -> Result<Reply, Failure> {
        match request {
            Request::AddTarget { target, portal, interface } => self.add_target(target, portal, interface).await,
            Request::RemoveTarget { target, portal, force } => {
                self.remove_target(target, portal, force, &progress).await
            }
            Request::ModifyTarget { target, changes } => self.modify_target(target, changes).await,
            Request::ModifyInitiator(changes) => {
                let edit = self.settings.edit(move |config, secrets| config.modify_initiator(secrets, &changes));
                edit.await.map(Reply::Done)
            }
            Request::ModifyDiscovery(changes) => {
                self.settings.edit(move |config, _| config.modify_discovery(&changes)).await?;
                self.discovery_changed.notify_one();
                Ok(done())
            }
            Request::AddDiscoveryPortal { portal, interface } => {
                known_interface(interface.as_deref())?;
                let add = move |config: &mut Config, _: &mut Secrets| {
                    config.ask_discovery_portal(&portal, interface.as_deref())
                };
                let said = self.settings.edit(add).await?;
                self.discovery_changed.notify_one();
                Ok(Reply::Done(vec![said]))
            }
            Request::RemoveDiscoveryPortal { portal } => {
                let removed = self.settings.edit(move |config, _| config.remove_discovery_portal(&portal)).await?;
                self.note_asked(&removed, None);
                Ok(done())
            }
            Request::Discover { portal, interface, add } => self.discover(&portal, interface.as_deref(), add).await,
            Request::Login(which) => self.log_in(which, &progress).await,
            Request::Logout { which, force } => self.log_out(which, force, &progress).await,
            Request::ListTargets => Ok(Reply::Targets(view::targets(&self))),
            Request::ListLuns => Ok(Reply::Luns(view::luns(&self).await)),
            Request::ListSessions => Ok(Reply::Sessions(view::sessions(&self))),
            Request::ListDiscoveryPortals => Ok(Reply::DiscoveryPortals(view::discovery_portals(&self))),
            Request::ShowTarget { target } => {
                view::target_details(&self, &target).map(|details| Reply::Target(Box::new(details)))
            }
            Request::ShowInitiator => Ok(Reply::Initiator(view::initiator(&self).await)),
            Request::ShowDiscovery => Ok(Reply::Discovery(view::discovery(&self))),
            Request::ShowSession { session } => {
                view::session_details(&self, session).map(|details| Reply::Session(Box::new(details)))
            }
            Request::Attach { target, lun } => self.attach(&target, lun, &progress).await,
            Request::Detach { target, lun, force } => self.detach(&target, lun, force).await,
            Request::Rescan { target } => self.rescan(target.as_deref(), &progress).await,
            Request::Stats { target } => view::stats(&self, target.as_deref()).map(Reply::Stats),
            Request::Import(import) => self.import(*import).await,
            Request::Bench(workload) => {
                bench::run(&self, &workload, &progress).await.map(|report| Reply::Bench(Box::new(report)))
            }
        }
    }
}

fn done() -> Reply {
    Reply::Done(Vec::new())
}

fn no_unit(target: &str, number: u32) -> Failure {
    Failure::new(ExitCode::Data, format!("{target} has no unit {number}"))
        .advice("`iscsictl list luns` shows those it has")
}

/// Refuses an interface that is not there: better now than at every login.
fn known_interface(interface: Option<&str>) -> Result<(), Failure> {
    let Some(name) = interface.filter(|name| !name.is_empty() && *name != "default") else { return Ok(()) };
    match check_interface(name) {
        Err(cause @ Cause::InterfaceUnknown { .. }) => {
            Err(Failure::new(cause.code(), format!("{cause}")).advice("name one of these, or leave it out"))
        }
        _ => Ok(()),
    }
}

impl Daemon {
    async fn add_target(&self, target: String, portal: String, interface: Option<String>) -> Result<Reply, Failure> {
        known_interface(interface.as_deref())?;
        let irregular = irregular_name(&target);
        self.settings.edit(move |config, _| config.add_target(&target, &portal, interface.as_deref())).await?;
        Ok(Reply::Done(irregular.into_iter().collect()))
    }

    async fn remove_target(
        self: Arc<Self>,
        target: String,
        portal: Option<String>,
        force: bool,
        progress: &Progress,
    ) -> Result<Reply, Failure> {
        let current = self.settings.current();
        let (name, settings) = current.config.find_target(&target)?;
        let only = portal.as_deref().map(|portal| current.config.find_portal(&target, portal)).transpose()?;
        let whole = only.is_none() || settings.portals.len() == 1;
        let slot = self.slot(&name);
        if whole {
            self.give_up(&name);
            // A login to a target that is dead must not keep it from being removed.
            slot.settle().await;
        }
        let mut notes = Vec::new();
        if let Some(live) = slot.live() {
            let facts = live.facts();
            let concerned = whole || only.is_some_and(|only| only.endpoint() == facts.via);
            if concerned && !force {
                let message = format!("{name} is logged in over {}", facts.via);
                return Err(Failure::new(ExitCode::TryAgain, message)
                    .advice(format!("log out with `iscsictl logout {name}` first, or add --force")));
            }
            if concerned {
                match logout::log_out(&self, &name, None, true, progress).await {
                    Ok(said) => notes = said,
                    // It has gone by itself meanwhile.
                    Err(failure) if failure.code == ExitCode::Data => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        let remove = self.settings.edit(move |config, secrets| {
            // Logging out may have removed a target that is not persistent.
            if !config.targets.contains_key(&name) {
                return Ok(true);
            }
            config.remove_target(secrets, &target, portal.as_deref())
        });
        remove.await?;
        Ok(Reply::Done(notes))
    }

    async fn modify_target(self: Arc<Self>, target: String, changes: TargetChanges) -> Result<Reply, Failure> {
        let current = self.settings.current();
        let (name, _) = current.config.find_target(&target)?;
        let (auto_login, flush_policy) = (changes.auto_login, changes.flush_policy);
        // These two are looked at when iscsid starts, and at the logout.
        let others = TargetChanges { auto_login: None, persistent: None, ..changes.clone() };
        let at_login = others != TargetChanges::default();
        let mut notes =
            self.settings.edit(move |config, secrets| config.modify_target(secrets, &target, &changes)).await?;
        match auto_login {
            // The next start of the daemon does the rest.
            Some(false) if self.give_up(&name) => notes.push(format!("the automatic login to {name} is given up")),
            _ => {}
        }
        if flush_policy == Some(FlushPolicy::OnCommit) {
            notes.push(format!(
                "from now on, what is written to {name} by NFS, as a disk on macOS is, and not flushed yet is lost if the target or its power fails, file systems included; `--flush-policy write-through` is safe"
            ));
        }
        if at_login && self.slot(&name).live().is_some() {
            notes.push(format!("{name} is logged in; the changes hold from its next login on"));
        }
        Ok(Reply::Done(notes))
    }

    async fn import(self: Arc<Self>, import: Import) -> Result<Reply, Failure> {
        let busy: BTreeSet<String> =
            self.slots().into_iter().filter(|(_, slot)| slot.is_busy()).map(|(target, _)| target).collect();
        let imported = self
            .settings
            .edit(move |config, secrets| Ok(config.import(secrets, &import, |target| busy.contains(target))))
            .await?;
        self.discovery_changed.notify_one();
        Ok(Reply::Imported(imported))
    }

    async fn discover(self: Arc<Self>, at: &str, interface: Option<&str>, add: bool) -> Result<Reply, Failure> {
        known_interface(interface)?;
        let PortalAddress { host: address, port } =
            PortalAddress::parse(at.trim()).map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))?;
        let interface = interface.filter(|name| *name != "default").map(str::to_owned);
        let portal = Portal { address, port, interface, group_tag: None };
        let list = SendTargets::at(portal.clone()).ask(&self).await;
        let List { found, mut remarks, .. } = list.inspect_err(|failure| warn!("{failure}"))?;
        discovery::tell(&portal, &remarks);
        let shown = |found: &Found| Discovered {
            name: found.name.to_string(),
            portals: found.portals.iter().map(ToString::to_string).collect(),
        };
        let targets = found.iter().map(shown).collect();
        if add {
            let recorded = discovery::record(&self, &portal, found, true).await?;
            remarks.extend(recorded.too_many());
            auto_login::pursue_new(&self, &recorded.added);
        }
        Ok(Reply::Discovered { targets, remarks })
    }

    async fn log_in(self: Arc<Self>, which: Which, progress: &Progress) -> Result<Reply, Failure> {
        let current = self.settings.current();
        match which {
            Which::One { target, portal } => {
                let (name, _) = current.config.find_target(&target)?;
                let only = portal.as_deref().map(|portal| current.config.find_portal(&target, portal)).transpose()?;
                self.log_in_to(&name, only, progress).await.map(Reply::Done)
            }
            Which::All => {
                let idle: Vec<String> = current
                    .config
                    .targets
                    .keys()
                    .filter(|target| self.slot(target).live().is_none())
                    .cloned()
                    .collect();
                if idle.is_empty() {
                    return Ok(Reply::Done(vec![
                        "every target is logged in already, or none is configured".to_owned(),
                    ]));
                }
                let results = all(idle, |target| {
                    let (daemon, progress) = (self.clone(), progress.clone());
                    async move { daemon.log_in_to(&target, None, &progress).await }
                });
                together(results.await)
            }
        }
    }

    /// Logs in because a command asks for it. That it fails concerns who reads the log, too.
    async fn log_in_to(
        self: &Arc<Self>,
        target: &str,
        only: Option<&Portal>,
        progress: &Progress,
    ) -> Result<Vec<String>, Failure> {
        let NoLogin { failure, .. } = match login::log_in(self, target, only, progress).await {
            Ok(found) => return found,
            Err(no_login) => no_login,
        };
        if let Some(others) = self.slot(target).failed.may() {
            warn!("{failure}{others}");
        }
        Err(failure)
    }

    async fn log_out(self: Arc<Self>, which: Which, force: bool, progress: &Progress) -> Result<Reply, Failure> {
        let current = self.settings.current();
        match which {
            Which::One { target, portal } => {
                let (name, _) = current.config.find_target(&target)?;
                let only = portal.as_deref().map(|portal| current.config.find_portal(&target, portal)).transpose()?;
                logout::log_out(&self, &name, only, force, progress).await.map(Reply::Done)
            }
            Which::All => {
                let slots = self.slots();
                let busy: Vec<String> =
                    slots.into_iter().filter(|(_, slot)| slot.is_busy()).map(|(target, _)| target).collect();
                if busy.is_empty() {
                    return Ok(Reply::Done(vec!["no target is logged in".to_owned()]));
                }
                let results = all(busy, |target| {
                    let (daemon, progress) = (self.clone(), progress.clone());
                    async move { logout::log_out(&daemon, &target, None, force, &progress).await }
                });
                together(results.await)
            }
        }
    }

    /// The units of a target that is logged in: one, or all.
    pub(crate) fn units(&self, typed: &str, lun: Option<u32>) -> Result<(Arc<Live>, Vec<UnitInfo>), Failure> {
        let live = view::logged_in(self, typed)?;
        let mut units = self.bridge.units(live.id());
        let target = &live.target;
        if let Some(number) = lun {
            units.retain(|unit| unit.lun.number() == Some(number));
            if units.is_empty() {
                return Err(no_unit(target, number));
            }
        }
        Ok((live, units))
    }

    async fn attach(&self, typed: &str, lun: Option<u32>, progress: &Progress) -> Result<Reply, Failure> {
        let (live, mut units) = self.units(typed, lun)?;
        if lun.is_none() {
            // "All" means all disks. A unit that was named and is no disk is an error.
            units.retain(|unit| unit.geometry.is_some());
        }
        let mut results = Vec::new();
        for unit in &units {
            let result = units::attach_unit(self, &live, unit).await;
            if let Ok(device) = &result {
                progress.say(format!("unit {} of {} is {device}", unit.lun, live.target));
            }
            results.push(result.map(|_| Vec::new()));
        }
        together(results)
    }

    async fn detach(&self, typed: &str, lun: Option<u32>, force: bool) -> Result<Reply, Failure> {
        let live = view::logged_in(self, typed)?;
        let mut names = logout::unit_names(self, &live);
        if let Some(number) = lun {
            names.retain(|name| name_parts(name).1.parse() == Ok(number));
            if names.is_empty() {
                return Err(no_unit(&live.target, number));
            }
        }
        let _nobody_attaches = live.attachable.lock().await;
        if let ([name], Some(_)) = (names.as_slice(), lun)
            && self.disks.device(name).is_none()
        {
            return Err(Failure::new(ExitCode::Data, format!("{name} is not attached"))
                .advice("`iscsictl list luns` shows what is"));
        }
        if !force {
            return logout::detach_all_or_none(self, &names).await.map(Reply::Done);
        }
        let mut results = Vec::new();
        for name in &names {
            results.push(self.disks.detach(name, true).await);
        }
        together(results)
    }

    async fn rescan(self: Arc<Self>, typed: Option<&str>, progress: &Progress) -> Result<Reply, Failure> {
        let lives = match typed {
            Some(typed) => vec![view::logged_in(&self, typed)?],
            None => self.slots().into_iter().filter_map(|(_, slot)| slot.live()).collect(),
        };
        let results = all(lives, |live| {
            let (daemon, progress) = (self.clone(), progress.clone());
            async move {
                let attach = daemon.settings.current().effective(&live.target).attach;
                units::scan_and_attach(&daemon, &live, attach, &progress).await
            }
        });
        together(results.await)
    }

    /// Begins the automatic logins and the discovery that the configuration asks for.
    pub(crate) fn begin(self: &Arc<Self>) {
        auto_login::pursue_all(self);
        tokio::spawn(discovery::run(self.clone()));
    }
}

/// One answer for many: what was said, or all that failed, with the first one's exit code.
fn together(results: Vec<Result<Vec<String>, Failure>>) -> Result<Reply, Failure> {
    let mut said = Vec::new();
    let mut failed: Option<Failure> = None;
    for result in results {
        match (result, &mut failed) {
            (Ok(sentences), _) => said.extend(sentences),
            (Err(failure), None) => failed = Some(failure),
            (Err(failure), Some(first)) => first.others.push(failure),
        }
    }
    failed.map_or(Ok(Reply::Done(said)), Err)
}
