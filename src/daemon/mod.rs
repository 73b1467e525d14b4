//! The daemon: its start and the signals. The modules do the rest.
//!
//! ```text
//!   control/    clients ──► socket ──► requests, view, bench
//!                                          │
//!   discovery/  sources ──► record ──┐     ▼
//!   session/                 auto_login ──► login ──► recovery (one task each) ──► logout
//!   platform/   sleep, wake, network, power ──► recovery, auto_login, discovery
//!   state: who knows what · settings · disks, nfs: how units become disks · end · start: here
//! ```

mod activation;
mod buffer_ledger;
mod control;
mod descriptors;
mod discovery;
mod disks;
mod end;
mod log;
mod nfs;
mod platform;
mod progress;
mod runtime_dir;
mod service_manager;
mod session;
mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use self::activation::Handed;
use self::control::socket;
use self::descriptors::Shares;
use self::disks::Afterlife;
use self::end::{END_TIMEOUT, Export, Exports};
use self::nfs::NfsExport;
use self::runtime_dir::RuntimeDir;
use self::service_manager::{Moment, tell};
use self::session::lives::SHORT_LIFE;
use self::session::logout;
use self::settings::Settings;
use self::state::{Daemon, Partners};
use crate::config::{self, Store};
use crate::export::nbd;
use crate::ipc::{self, Failure};
use crate::kernel_bridge::BridgeEvent;
use crate::kernel_bridge::{Lanes, Sessions};
use crate::login::tcp::OverTcp;
use crate::options::{Bridge, Options};
use crate::printable::{clean, complain};

/// The signal of Ctrl-C.
const INTERRUPT: &str = "SIGINT";

/// Runs the daemon until a signal ends it.
pub fn run(options: &Options) -> ExitCode {
    // By a daemon, for its disks.
    let result = match options.write_back.as_slice() {
        [] => start(options),
        paths => platform::write_back(paths),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(format_args!("iscsid: {}", clean(&failure.to_string())));
            ExitCode::from(failure.code as u8)
        }
    }
}

fn start(options: &Options) -> Result<(), Failure> {
    log::start(&options.log)?;
    forbid_core_dumps();
    let shares = descriptors::share_out();
    // Before there are threads, which must not see the environment change.
    let handed = activation::inherited();
    let broken = |error: std::io::Error| {
        Failure::new(ipc::ExitCode::Internal, format!("the system does not let iscsid run: {error}"))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(broken)?;
    let result = runtime.block_on(async {
        let signals = Signals::new().map_err(broken)?;
        serve(options, signals, handed, shares).await
    });
    // A silent name server may keep a thread busy: the daemon does not wait for it.
    runtime.shutdown_background();
    result
}

/// Forbids core dumps: one would hold the CHAP secrets.
fn forbid_core_dumps() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        warn!("core dumps, which would hold secrets, cannot be switched off: {error}");
    }
}

/// The signals that end the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// The log, where it is a file.
    log: Option<PathBuf>,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            log: log::file::behind_standard_error(),
        })
    }

    /// The name of the next signal to end. A hang-up is none: the log is opened again, which may have been put aside;
    /// there is nothing to read again, since the configuration has one writer.
    async fn end(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return INTERRUPT,
                _ = self.hangup.recv() => match self.log.as_deref().map(log::file::open_again) {
                    Some(Ok(())) => info!("SIGHUP: the log is opened again"),
                    Some(Err(error)) => warn!("SIGHUP: the log cannot be opened again: {error}"),
                    None => info!("SIGHUP changes nothing: settings are changed by iscsictl"),
                },
            }
        }
    }
}

async fn serve(options: &Options, mut signals: Signals, handed: Handed, shares: Shares) -> Result<(), Failure> {
    let chosen = disks::Chosen::of(options)?;
    directory_of(options)?;
    let mut runtime_dir = RuntimeDir::take(&options.runtime_dir())?;
    let settings = Settings::new(Store::open(&options.config())?);
    if let Some(old) = config::left_behind(settings.path()) {
        warn!(
            "{} is not read: Homebrew's user may write there. To go on with it, end iscsid, look it through, and: sudo mv {}/*.plist {}",
            old.display(),
            old.parent().unwrap_or(&old).display(),
            settings.path().parent().unwrap_or(Path::new("/")).display()
        );
    }
    let (kernel, events) = kernel(options.bridge, options.kernel_sim.as_deref())?;
    let devices = kernel.system_devices();
    let by_the_system = devices.map(|devices| disks::Chosen::by_the_system(options, devices)).transpose()?;
    let nbd_socket = runtime_dir.listen("nbd.sock", 0o600)?;
    let control_socket = match handed.control.and_then(|socket| runtime_dir.adopt("control.sock", socket)) {
        Some(socket) => socket,
        None => runtime_dir.listen("control.sock", 0o666)?,
    };
    let place = nfs::Files { config: settings.path(), runtime_dir: runtime_dir.path() };
    let nfs = NfsExport::prepare(options.nfs, chosen.needs_nfs(), handed.nfs, place)?;
    let registry = kernel.registry();
    // What an earlier daemon has left is cleared away also where the system makes the disks now.
    let disks = chosen.disks(runtime_dir.path(), nfs.as_ref().map(NfsExport::place)).await;
    let disks = by_the_system.unwrap_or(disks);
    let partners = Partners {
        bridge: kernel,
        opener: Arc::new(OverTcp),
        disks,
        registry: registry.clone(),
        nfs: nfs.as_ref().map(NfsExport::place).cloned(),
        short_life: options.short_life.map_or(SHORT_LIFE, Duration::from_secs),
    };
    let daemon = Daemon::new(settings, partners, runtime_dir.path().to_owned());
    tokio::spawn(route(daemon.clone(), events));
    let serve_nfs =
        |nfs: NfsExport| Export::start("NFS", |stop| nfs.serve(registry.clone(), shares.nfs, &daemon.settings, stop));
    let nfs = nfs.map(serve_nfs);
    let nbd = Export::start("NBD", |stop| tokio::spawn(nbd::serve(nbd_socket, shares.nbd, registry, stop)));
    let exports = Exports { nbd: Some(nbd), nfs };
    tokio::spawn(socket::serve(control_socket, shares.control, daemon.clone(), daemon.stop.clone()));
    tokio::spawn(platform::obey(daemon.clone(), platform::listen()));
    daemon.begin();
    info!(
        "iscsid {} is ready; settings: {}, sockets: {}",
        env!("CARGO_PKG_VERSION"),
        daemon.settings.path().display(),
        runtime_dir.path().display()
    );
    tell(Moment::Ready);

    let (mut name, mut held) = tokio::select! {
        name = signals.end() => (name, None),
        hold = daemon.ended() => ("the end of the machine", Some(hold)),
    };
    let mut would_fail = logout::would_fail(&daemon).await;
    // Whoever sits at the terminal can still unmount. Who sends SIGTERM, launchd or systemd, does not wait for long.
    if name == INTERRUPT && !would_fail.is_empty() {
        let why = format!("{}; iscsid goes on until that has ended", would_fail.join("; "));
        warn!("{name}: {why}. Unmount it, and iscsid ends; a second Ctrl-C ends iscsid now, and what is mounted fails");
        tell(Moment::Waiting(&why));
        tokio::select! {
            () = logout::until_nothing_would_fail(&daemon) => {}
            again = signals.end() => name = again,
            hold = daemon.ended() => held = Some(hold),
        }
        would_fail = logout::would_fail(&daemon).await;
    }
    let machine_ends = held.is_some() || platform::machine_ends(&disks::mac_tools(options)).await;
    let what = if machine_ends { "the machine ends: disks are put away" } else { "logging out of all targets" };
    info!("{name}: {what}");
    tell(Moment::Stopping);
    daemon.stop.cancel();
    tokio::select! {
        lost = end::end(&daemon, exports, machine_ends) => {
            would_fail = lost;
            info!("iscsid has ended");
        }
        () = tokio::time::sleep(END_TIMEOUT) => {
            warn!("not everything was logged out within {} seconds; iscsid ends all the same", END_TIMEOUT.as_secs());
        }
        name = signals.end() => warn!("{name}: iscsid ends at once"),
    }
    end::hand_down(&daemon);
    // A unit that is gone is answered NFS3ERR_STALE, to a disk that waits for the next daemon as well.
    if daemon.disks.afterlife() != Afterlife::Waits {
        for live in daemon.slots().into_iter().filter_map(|(_, slot)| slot.live()) {
            daemon.bridge.abandon(live.id());
        }
    }
    drop(held);
    if would_fail.is_empty() {
        return Ok(());
    }
    let message = format!("iscsid has ended under disks, which fail now: {}", would_fail.join("; "));
    Err(Failure::new(ipc::ExitCode::TryAgain, message)
        .advice("start it again, unmount what was mounted and mount it again; before the next end, unmount first"))
}

/// A property list that was named is in a directory that is there: a name that is typed wrongly would begin an empty
/// configuration.
fn directory_of(options: &Options) -> Result<(), Failure> {
    let Some(config) = options.named_config() else { return Ok(()) };
    let directory = match config.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if directory.is_dir() {
        return Ok(());
    }
    let message = format!("there is no directory {} for the property list {}", directory.display(), config.display());
    Err(Failure::new(ipc::ExitCode::Configuration, message).advice("create it, or give --config another name"))
}

/// The kernel that runs the sessions, and what it tells of them.
fn kernel(
    bridge: Bridge,
    sim: Option<&Path>,
) -> Result<(Arc<Sessions>, mpsc::UnboundedReceiver<BridgeEvent>), Failure> {
    let without = match bridge {
        Bridge::User => "as --bridge user says".to_owned(),
        Bridge::Auto | Bridge::Kext => match Sessions::in_kext(sim) {
            Ok(kernel) => {
                info!("sessions run in the kernel extension");
                return Ok(kernel);
            }
            Err(why) => why,
        },
    };
    if bridge == Bridge::Kext {
        let advice = match cfg!(target_os = "macos") || sim.is_some() {
            true => "load it, or start iscsid with --bridge user, which needs none",
            false => "leave --bridge out: here iscsid runs the sessions itself",
        };
        let message = format!("--bridge kext cannot be done: {without}");
        return Err(Failure::new(ipc::ExitCode::Unavailable, message).advice(advice));
    }
    // On a system without kernel extensions there is nothing to be missed.
    if bridge == Bridge::User || sim.is_some() || cfg!(target_os = "macos") {
        info!("sessions run in this process: {without}");
    }
    let lanes = Lanes::start().map_err(|error| {
        Failure::new(ipc::ExitCode::Internal, format!("the system gives no threads for the sessions: {error}"))
    })?;
    Ok(Sessions::on_lanes(lanes))
}

/// Passes the bridge's events on to the sessions' recoveries.
async fn route(daemon: Arc<Daemon>, mut events: mpsc::UnboundedReceiver<BridgeEvent>) {
    while let Some(event) = events.recv().await {
        daemon.router.route(event);
    }
}
