//! The NFS export: whether there is one, its port, and its secret.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::settings::Settings;
use crate::block::{Registry, name_parts};
use crate::config::NfsIdentity;
use crate::export::nfs::{self, FlushPolicy, Secret, Setup, Tickets};
use crate::ipc::{self, ExitCode, Failure};
use crate::options::Nfs;

/// How many ports are tried where another program has the export's own.
const TRIES: usize = 20;

/// Where the export is, for those who mount it.
#[derive(Debug, Clone)]
pub(crate) struct NfsPlace {
    /// Its port, of NFS and of MOUNT, at the loopback address.
    pub(crate) port: u16,
    /// Not where it was before: what was mounted then is lost.
    pub(crate) moved: bool,
    /// Where connections show their owner: the path of the directory of all units.
    pub(crate) path: Option<String>,
    /// Paths that are good for one mount.
    pub(crate) tickets: Arc<Tickets>,
}

/// An export that listens and does not serve yet.
pub(crate) struct NfsExport {
    listener: TcpListener,
    secret: Secret,
    place: NfsPlace,
}

impl NfsExport {
    /// Begins to listen, if the export is wanted, with the settings at `config` beside it; `needed`: disks are made of
    /// its files.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(crate) fn prepare(wanted: Nfs, needed: bool, config: &Path) -> Result<Option<NfsExport>, Failure> {
        let port = match wanted {
            Nfs::Auto if !needed => return Ok(None),
            Nfs::No => return Ok(None),
            Nfs::Auto | Nfs::Yes => None,
            Nfs::Port(port) => Some(port),
        };
        let path = identity_path(config);
        let before = NfsIdentity::load(&path)?;
        let mut identity = match (&before, port) {
            (Some(identity), None) => identity.clone(),
            (Some(identity), port) => identity.elsewhere(port),
            (None, None) => NfsIdentity::new()?,
            (None, port) => NfsIdentity::new()?.elsewhere(port),
        };
        let mut tries = TRIES;
        let listener = loop {
            match nfs::listen(identity.port) {
                Ok(listener) => break listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && port.is_none() && tries > 0 => {
                    if before.is_some() && tries == TRIES {
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
        };
        if before.as_ref() != Some(&identity) {
            identity.save(&path)?;
        }
        let secret = Secret::new(*identity.secret());
        // What mounts is seen by everybody; where a connection does not show its owner, a path that stays
        // good would let everybody in.
        let path = nfs::SHOWS_OWNERS.then(|| secret.path());
        let moved = before.is_some_and(|before| before.port != identity.port);
        let place = NfsPlace { port: identity.port, moved, path, tickets: Arc::default() };
        Ok(Some(NfsExport { listener, secret, place }))
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
        let NfsExport { listener, secret, place } = self;
        info!("units are exported by NFS at port {} of 127.0.0.1", place.port);
        let settings = settings.clone();
        let policy = Box::new(move |unit: &str| policy(&settings, unit));
        let setup = Setup { registry, secret, policy, tickets: place.tickets, clients };
        tokio::spawn(async move {
            if let Err(error) = nfs::serve(listener, setup, stop).await {
                error!("units are not exported by NFS: {error}");
            }
        })
    }
}

/// What holds for a unit.
fn policy(settings: &Settings, unit: &str) -> FlushPolicy {
    let (target, _) = name_parts(unit);
    match settings.current().effective(target).flush_policy {
        ipc::FlushPolicy::WriteThrough => FlushPolicy::WriteThrough,
        ipc::FlushPolicy::OnCommit => FlushPolicy::OnCommit,
    }
}

/// The file beside the property list that the export keeps.
fn identity_path(config: &Path) -> PathBuf {
    NfsIdentity::path(config)
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

    #[tokio::test]
    async fn port_and_secret_stay_from_one_start_to_the_next() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        let first = NfsExport::prepare(Nfs::Yes, false, &config).expect("a port").expect("wanted");
        let (port, path) = (first.place.port, first.secret.path());
        drop(first);
        let second = NfsExport::prepare(Nfs::Yes, false, &config).expect("a port").expect("wanted");
        assert_eq!((second.place.port, second.secret.path()), (port, path.clone()));

        let third = NfsExport::prepare(Nfs::Yes, false, &config).expect("another port").expect("wanted");
        assert_ne!(third.place.port, port);
        assert_eq!(third.secret.path(), path, "handles stay good");
        let refusal = NfsExport::prepare(Nfs::Port(port), false, &config).map(drop).expect_err("the second one has it");
        assert!(refusal.to_string().contains("give another port by --nfs"), "{refusal}");
    }

    #[tokio::test]
    async fn where_it_is_not_wanted_nothing_is_made() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        assert!(NfsExport::prepare(Nfs::No, true, &config).expect("nothing to do").is_none());
        assert!(NfsExport::prepare(Nfs::Auto, false, &config).expect("nothing to do").is_none());
        assert!(!identity_path(&config).exists());
    }

    // check: nfs-ports-of-others
    #[tokio::test]
    async fn who_has_the_ports_of_another_nfs_server_and_of_the_portmapper_does_not_matter() {
        // Where they cannot be had, somebody has them already, or may not: the same to us.
        let _others: Vec<_> = [2049, 111].map(|port| std::net::TcpListener::bind(("0.0.0.0", port))).into();
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let config = scratch.path().join("iscsid.plist");
        let export = NfsExport::prepare(Nfs::Yes, false, &config).expect("a port").expect("wanted");
        assert!(export.place.port >= 20_000, "{}", export.place.port);
        let uri = export.place.uri("iqn.2026-11.org.example:a/0");
        if let Some(uri) = uri {
            let ports = format!("?nfsport={port}&mountport={port}", port = export.place.port);
            assert!(uri.ends_with(&ports), "{uri}");
        }

        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let refusal = NfsExport::prepare(Nfs::Port(port), false, &config).map(drop).expect_err("it is taken");
        assert_eq!(refusal.code, ExitCode::Unavailable);
        assert!(refusal.to_string().contains(&format!("at port {port}")), "{refusal}");
    }
}
