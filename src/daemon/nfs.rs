//! The NFS export: whether there is one, its port, and its secret.
//!
//! ```text
//!   --nfs PORT ─────────────────────► that port, held by launchd or systemd or not
//!   a socket that one of them holds ► its port, also while no daemon runs: disks wait for the next one
//!   the saved port ─────────────────► it, or another where somebody has it: disks end with this daemon
//! ```
//! What a person has typed wins, since somebody mounts from there. A socket that is held wins over the saved port, for the one
//! is nobody else's at any time and the other is where the last daemon happened to listen.

use std::io;
use std::net::TcpListener as Socket;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::platform;
use super::settings::Settings;
use crate::block::{Registry, name_parts};
use crate::config::NfsIdentity;
use crate::export::nfs::{self, Attachments, FlushPolicy, Owners, Proofs, Secret, Setup};
use crate::ipc::{self, ExitCode, Failure};
use crate::options::Nfs;

/// The directory in the runtime directory where it is kept what mounts are known by.
const ATTACHED: &str = "attached";

/// How many ports are tried where another program has the export's own.
const TRIES: usize = 20;

/// Where the export is, for those who mount it.
#[derive(Debug, Clone)]
pub(crate) struct NfsPlace {
    /// Its port, of NFS and of MOUNT, at the loopback address.
    pub(crate) port: u16,
    /// Not where it was before: what was mounted then is lost.
    pub(crate) moved: bool,
    /// launchd or systemd holds the port: nobody else gets it when this daemon is gone.
    pub(crate) held: bool,
    /// Where connections show their owner: the path of the directory of all units.
    pub(crate) path: Option<String>,
    /// The attaches that units are exported to one by one.
    pub(crate) attachments: Arc<Attachments>,
    /// What only a mount that leads to this daemon shows.
    pub(crate) proofs: Arc<Proofs>,
}

/// What the export is kept in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files<'a> {
    /// The property list: beside it what stays from one start to the next.
    pub(crate) config: &'a Path,
    /// Where it is kept what mounts are known by.
    pub(crate) runtime_dir: &'a Path,
}

/// An export that listens and does not serve yet.
pub(crate) struct NfsExport {
    listener: TcpListener,
    secret: Secret,
    owners: Arc<Owners>,
    place: NfsPlace,
}

impl NfsExport {
    /// Begins to listen, if the export is wanted, with these files; `needed`: disks are made of
    /// its files. `held` is the socket that launchd or systemd holds for it.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(crate) fn prepare(
        wanted: Nfs,
        needed: bool,
        held: Option<Socket>,
        files: Files<'_>,
    ) -> Result<Option<NfsExport>, Failure> {
        let port = match wanted {
            Nfs::Auto if !needed && held.is_none() => return Ok(None),
            Nfs::No => return Ok(None),
            Nfs::Auto | Nfs::Yes => None,
            Nfs::Port(port) => Some(port),
        };
        let held = held.and_then(|socket| Some((socket.local_addr().ok()?.port(), socket)));
        let held = match (held, port) {
            (Some((at, _)), Some(port)) if port != at => {
                warn!(
                    "--nfs says port {port}, and the one that is held for iscsid is {at}: that is not used. Give the socket of launchd or systemd the same port, or leave --nfs out"
                );
                None
            }
            (held, _) => held,
        };
        let path = NfsIdentity::path(files.config);
        let before = NfsIdentity::load(&path)?;
        let known = before.clone().map_or_else(NfsIdentity::new, Ok)?;
        let is_held = held.is_some();
        let attachments = attachments(&files.runtime_dir.join(ATTACHED))?;
        let (identity, listener) = match held {
            Some((at, socket)) => (known.elsewhere(Some(at)), adopt(at, socket)?),
            None => listen(known, before.is_some(), !attachments.units().is_empty(), port)?,
        };
        if before.as_ref() != Some(&identity) {
            identity.save(&path)?;
        }
        let (port, moved) = (identity.port, before.is_some_and(|before| before.port != identity.port));
        match is_held {
            true => info!("port {port} of the NFS export is held for iscsid, also while it does not run"),
            false if needed => warn!(
                "nobody but iscsid holds port {port} of its NFS export, and another user may have it as soon as iscsid is gone: disks are ejected when iscsid ends, and none waits for the next one. Started by launchd (by the package or by Homebrew) or by systemd's iscsid-nfs.socket, they do"
            ),
            false => {}
        }
        let secret = Secret::new(*identity.secret());
        // What mounts is seen by everybody; where a connection does not show its owner, a path that stays
        // good would let everybody in.
        let owners = Owners::new(platform::LIST_SOCKETS).map_err(|error| {
            Failure::new(ExitCode::Unavailable, format!("the system does not tell whose a connection is: {error}"))
                .advice("start iscsid with `--nfs no`")
        })?;
        let path = owners.are_shown().then(|| secret.path());
        let proofs = Proofs::new().map_err(|error| {
            Failure::new(ExitCode::Unavailable, format!("the system gives no random numbers: {error}"))
        })?;
        let place = NfsPlace { port, moved, held: is_held, path, attachments, proofs: Arc::new(proofs) };
        Ok(Some(NfsExport { listener, secret, owners: Arc::new(owners), place }))
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &NfsPlace {
        &self.place
    }

    /// Serves at most `clients` clients at a time, until `stop`.
    pub(crate) fn serve(
        self,
        registry: Arc<Registry>,
        clients: usize,
        settings: &Settings,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let NfsExport { listener, secret, owners, place } = self;
        info!("units are exported by NFS at port {} of 127.0.0.1", place.port);
        let settings = settings.clone();
        let policy = Box::new(move |unit: &str| policy(&settings, unit));
        let (attachments, proofs) = (place.attachments, place.proofs);
        let setup = Setup { registry, secret, policy, attachments, owners, proofs, clients };
        tokio::spawn(async move {
            if let Err(error) = nfs::serve(listener, setup, stop).await {
                error!("units are not exported by NFS: {error}");
            }
        })
    }
}

/// Takes over the socket that is held for the export, at that port.
fn adopt(port: u16, socket: Socket) -> Result<TcpListener, Failure> {
    socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)).map_err(|error| {
        let message = format!("units cannot be exported by NFS at port {port}, which is held for iscsid: {error}");
        Failure::new(ExitCode::Unavailable, message)
            .advice("look at that socket's unit, or at its entry in the job of launchd")
    })
}

/// Listens at the port that was asked for; at that of before, or at another one, where none was. `known`: clients may have
/// mounted from there; `waited_for`: disks of an earlier daemon wait for that port, and no other would ever serve them.
fn listen(
    mut identity: NfsIdentity,
    known: bool,
    waited_for: bool,
    asked: Option<u16>,
) -> Result<(NfsIdentity, TcpListener), Failure> {
    let mut tries = TRIES;
    identity = if asked.is_some() { identity.elsewhere(asked) } else { identity };
    loop {
        match nfs::listen(identity.port) {
            Ok(listener) => return Ok((identity, listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && asked.is_none() && known && waited_for => {
                let port = identity.port;
                let message = format!(
                    "another program has port {port}, where disks of an earlier iscsid wait to be served: launchd or systemd, if iscsid is a job of theirs and was started by hand now"
                );
                let advice = "start iscsid as that job, or end what has the port; --nfs PORT takes another one and gives those disks up";
                return Err(Failure::new(ExitCode::TryAgain, message).advice(advice));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && asked.is_none() && tries > 0 => {
                if known && tries == TRIES {
                    warn!(
                        "another program has port {}, where units were exported by NFS: what is mounted from there has to be mounted again",
                        identity.port
                    );
                }
                identity = identity.elsewhere(None);
                tries -= 1;
            }
            Err(error) => {
                let message = format!("units cannot be exported by NFS at port {}: {error}", identity.port);
                return Err(Failure::new(ExitCode::Unavailable, message).advice("give another port by --nfs"));
            }
        }
    }
}

/// Those that an earlier daemon has left there, and the next ones.
fn attachments(directory: &Path) -> Result<Arc<Attachments>, Failure> {
    Attachments::kept_in(directory).map(Arc::new).map_err(|error| {
        let shown = directory.display();
        Failure::new(ExitCode::Unavailable, format!("what is mounted by NFS cannot be kept in {shown}: {error}"))
            .advice(format!("make {shown} a directory that iscsid may write, or remove it"))
    })
}

/// What holds for a unit.
fn policy(settings: &Settings, unit: &str) -> FlushPolicy {
    let (target, _) = name_parts(unit);
    match settings.current().effective(target).flush_policy {
        ipc::FlushPolicy::WriteThrough => FlushPolicy::WriteThrough,
        ipc::FlushPolicy::OnCommit => FlushPolicy::OnCommit,
    }
}

impl NfsPlace {
    /// libnfs's URI of a unit's file, where there is a path that stays good.
    pub(crate) fn uri(&self, unit: &str) -> Option<String> {
        let (path, file) = (self.path.as_ref()?, crate::export::nfs::file_name(unit)?);
        let file = file.replace('%', "%25");
        Some(format!("nfs://127.0.0.1/{path}/{file}?nfsport={port}&mountport={port}", port = self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(config: &Path) -> Files<'_> {
        Files { config, runtime_dir: config.parent().expect("a directory") }
    }

    #[tokio::test]
    async fn port_and_secret_stay_from_one_start_to_the_next() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        let first = NfsExport::prepare(Nfs::Yes, false, None, files(&config)).expect("a port").expect("wanted");
        let (port, path) = (first.place.port, first.secret.path());
        drop(first);
        let second = NfsExport::prepare(Nfs::Yes, false, None, files(&config)).expect("a port").expect("wanted");
        assert_eq!((second.place.port, second.secret.path()), (port, path.clone()));

        let third = NfsExport::prepare(Nfs::Yes, false, None, files(&config)).expect("another port").expect("wanted");
        assert_ne!(third.place.port, port);
        assert_eq!(third.secret.path(), path, "handles stay good");
        let refusal = NfsExport::prepare(Nfs::Port(port), false, None, files(&config))
            .map(drop)
            .expect_err("the second one has it");
        assert!(refusal.to_string().contains("give another port by --nfs"), "{refusal}");
    }

    // check: held-port-wins
    #[tokio::test]
    async fn a_port_that_is_held_wins_over_the_saved_one_and_not_over_what_was_typed() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        let place = |wanted, needed, held: Option<&Socket>| {
            let held = held.map(|socket| socket.try_clone().expect("a descriptor"));
            let export = NfsExport::prepare(wanted, needed, held, files(&config)).expect("a port")?;
            Some((export.place.port, export.place.moved, export.place.held))
        };
        let (saved, _, held) = place(Nfs::Auto, true, None).expect("needed");
        assert!(!held, "it is iscsid's own");
        let socket = Socket::bind("127.0.0.1:0").expect("a port");
        let at = socket.local_addr().expect("bound").port();
        assert_eq!(
            place(Nfs::Auto, true, Some(&socket)),
            Some((at, true, true)),
            "what was mounted from {saved} is lost"
        );
        assert_eq!(place(Nfs::Yes, false, Some(&socket)), Some((at, false, true)), "it is saved");
        assert_eq!(place(Nfs::Port(at), true, Some(&socket)), Some((at, false, true)), "the same port was typed");
        assert_eq!(place(Nfs::Auto, false, Some(&socket)), Some((at, false, true)), "who holds it wants the export");
        assert_eq!(place(Nfs::No, true, Some(&socket)), None);
        let typed = Socket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        assert_eq!(place(Nfs::Port(typed), true, Some(&socket)), Some((typed, true, false)));
    }

    // check: waiting-disks-keep-their-port
    #[tokio::test]
    async fn a_daemon_that_could_not_serve_the_disks_that_wait_does_not_give_them_up_by_starting() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        let first = NfsExport::prepare(Nfs::Auto, true, None, files(&config)).expect("a port").expect("needed");
        let port = first.place.port;
        let attached = first.place.attachments.open("iqn.2026-11.org.example:a/0", 4096).expect("it is kept");
        drop(first);
        let job = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let prepare = |wanted| NfsExport::prepare(wanted, true, None, files(&config)).map(drop);
        let refusal = prepare(Nfs::Auto).expect_err("no other port would do");
        assert_eq!(refusal.code, ExitCode::TryAgain);
        assert!(refusal.to_string().contains(&format!("has port {port}, where disks")), "{refusal}");
        // With the disk, the reason goes.
        attached.close().expect("gone");
        prepare(Nfs::Auto).expect("another port");
        drop(job);
    }

    #[tokio::test]
    async fn where_it_is_not_wanted_nothing_is_made() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        assert!(NfsExport::prepare(Nfs::No, true, None, files(&config)).expect("nothing to do").is_none());
        assert!(NfsExport::prepare(Nfs::Auto, false, None, files(&config)).expect("nothing to do").is_none());
        assert!(!NfsIdentity::path(&config).exists());
    }

    // check: nfs-ports-of-others
    #[tokio::test]
    async fn who_has_the_ports_of_another_nfs_server_and_of_the_portmapper_does_not_matter() {
        // Where they cannot be had, somebody has them already, or may not: the same to us.
        let _others: Vec<_> = [2049, 111].map(|port| std::net::TcpListener::bind(("0.0.0.0", port))).into();
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        let export = NfsExport::prepare(Nfs::Yes, false, None, files(&config)).expect("a port").expect("wanted");
        assert!(export.place.port >= 20_000, "{}", export.place.port);
        let uri = export.place.uri("iqn.2026-11.org.example:a/0");
        if let Some(uri) = uri {
            let ports = format!("?nfsport={port}&mountport={port}", port = export.place.port);
            assert!(uri.ends_with(&ports), "{uri}");
        }

        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let refusal =
            NfsExport::prepare(Nfs::Port(port), false, None, files(&config)).map(drop).expect_err("it is taken");
        assert_eq!(refusal.code, ExitCode::Unavailable);
        assert!(refusal.to_string().contains(&format!("at port {port}")), "{refusal}");
    }
}
