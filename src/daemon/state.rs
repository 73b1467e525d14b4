//! The state of the daemon, and the ways to what it drives: shared by all its tasks. No task waits while it
//! holds one of its locks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::buffer_ledger::BufferLedger;
use super::disks::Disks;
use super::nfs::NfsPlace;
use super::platform::hold::Hold;
use super::session::router::Router;
use super::session::slot::Slot;
use super::session::survivors::Survivors;
use super::settings::Settings;
use crate::block::Registry;
use crate::config::Portal;
use crate::kernel_bridge::KernelBridge;
use crate::login::plan::Opener;

/// Places of targets that are kept though nothing happens there.
const IDLE_SLOTS: usize = 256;

/// The daemon.
pub(crate) struct Daemon {
    /// Settings and secrets.
    pub(crate) settings: Settings,
    /// The kernel that runs sessions.
    pub(crate) bridge: Arc<dyn KernelBridge>,
    /// Who logs in.
    pub(crate) opener: Arc<dyn Opener>,
    /// Who attaches.
    pub(crate) disks: Arc<dyn Disks>,
    /// The units that can be attached.
    pub(crate) registry: Arc<Registry>,
    /// Which session an event belongs to.
    pub(crate) router: Router,
    /// Who is logged in, for the next daemon if this one dies.
    pub(crate) survivors: Survivors,
    /// The targets that the last daemon was logged in to when it died, or ended under their disks; or left with their
    /// sessions in the extension.
    pub(crate) left_by_last: BTreeSet<String>,
    /// Where units are exported by NFS.
    pub(crate) nfs: Option<NfsPlace>,
    /// Where the sockets are.
    pub(crate) runtime_dir: PathBuf,
    /// A connection that lasts less counts as a login that failed.
    pub(crate) short_life: Duration,
    /// What tells this installation from another one on the same machine.
    pub(crate) seed: String,
    /// The daemon is to end.
    pub(crate) stop: CancellationToken,
    /// Discovery's settings have changed.
    pub(crate) discovery_changed: Notify,
    /// The network has changed: tasks that wait for their next attempt try at once.
    pub(crate) network_changed: Notify,
    /// What benchmarks hold of the sessions' buffers.
    pub(crate) bench_buffers: BufferLedger,
    /// The machine ends, and what waits until the daemon has.
    ending: (Notify, Mutex<Vec<Hold>>),
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    pursued: Mutex<BTreeMap<String, CancellationToken>>,
    asked: Mutex<BTreeMap<String, Asked>>,
}

/// What a discovery portal answered last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The targets it named.
    pub(crate) targets: Vec<String>,
    /// Why it could not be asked, or what of its answer is left out.
    pub(crate) problem: Option<String>,
    /// What was remarkable about its answer.
    pub(crate) remarks: Vec<String>,
}

/// Whom a [`Daemon`] works with.
pub(crate) struct Partners {
    pub(crate) bridge: Arc<dyn KernelBridge>,
    pub(crate) opener: Arc<dyn Opener>,
    pub(crate) disks: Arc<dyn Disks>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) nfs: Option<NfsPlace>,
    pub(crate) short_life: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Daemon {
    /// A daemon that has not begun anything yet.
    pub(crate) fn new(settings: Settings, partners: Partners, runtime_dir: PathBuf) -> Arc<Daemon> {
        let Partners { bridge, opener, disks, registry, nfs, short_life } = partners;
        let path = settings.path();
        let seed = path.canonicalize().unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned();
        let (survivors, mut left_by_last) = Survivors::open(&runtime_dir);
        left_by_last.extend(bridge.orphans());
        Arc::new(Daemon {
            survivors,
            left_by_last,
            settings,
            bridge,
            opener,
            disks,
            registry,
            nfs,
            router: Router::default(),
            runtime_dir,
            short_life,
            seed,
            stop: CancellationToken::new(),
            discovery_changed: Notify::new(),
            network_changed: Notify::new(),
            ending: (Notify::new(), Mutex::default()),
            bench_buffers: BufferLedger::default(),
            slots: Mutex::default(),
            pursued: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// The place of a target's session, by its normalised name.
    pub(crate) fn slot(&self, target: &str) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if slots.len() >= IDLE_SLOTS && !slots.contains_key(target) {
            // Discovery may name others each time. Whoever else holds one may be about to use it.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_busy());
        }
        slots.entry(target.to_owned()).or_default().clone()
    }

    /// All places there are, by their target's name.
    pub(crate) fn slots(&self) -> Vec<(String, Arc<Slot>)> {
        lock(&self.slots).iter().map(|(target, slot)| (target.clone(), slot.clone())).collect()
    }

    /// Begins to pursue a target (see [`super::session::auto_login`]). `None` if that is being done already.
    pub(crate) fn pursue(&self, target: &str) -> Option<CancellationToken> {
        let mut pursued = lock(&self.pursued);
        if pursued.contains_key(target) {
            return None;
        }
        let token = self.stop.child_token();
        pursued.insert(target.to_owned(), token.clone());
        Some(token)
    }

    /// Pursues a target no more. Whether it was pursued.
    pub(crate) fn give_up(&self, target: &str) -> bool {
        lock(&self.pursued).remove(target).inspect(CancellationToken::cancel).is_some()
    }

    /// Whether a target is pursued.
    pub(crate) fn is_pursued(&self, target: &str) -> bool {
        lock(&self.pursued).contains_key(target)
    }

    /// The machine ends: so must the daemon, before `hold` is let go of.
    pub(crate) fn end(&self, hold: Hold) {
        lock(&self.ending.1).push(hold);
        self.ending.0.notify_one();
    }

    /// Waits until the machine ends. What is returned is let go of when the daemon has ended.
    pub(crate) async fn ended(&self) -> Vec<Hold> {
        self.ending.0.notified().await;
        std::mem::take(&mut lock(&self.ending.1))
    }

    /// What a discovery portal answered last.
    pub(crate) fn asked(&self, portal: &Portal) -> Asked {
        lock(&self.asked).get(&portal.endpoint()).cloned().unwrap_or_default()
    }

    /// Notes what a discovery portal answered; `None` forgets it.
    pub(crate) fn note_asked(&self, portal: &Portal, answer: Option<Asked>) {
        let mut asked = lock(&self.asked);
        match answer {
            Some(answer) => asked.insert(portal.endpoint(), answer),
            None => asked.remove(&portal.endpoint()),
        };
    }
}

/// Does `work` for every item at the same time. The results are in the order of the items; work that
/// ended in a panic is missing.
pub(crate) async fn all<I, T, F>(items: impl IntoIterator<Item = I>, work: impl Fn(I) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for (number, item) in items.into_iter().enumerate() {
        let work = work(item);
        tasks.spawn(async move { (number, work.await) });
    }
    let mut results = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((number, result)) => drop(results.insert(number, result)),
            Err(error) => tracing::error!("a task ended in a panic: {error}"),
        }
    }
    results.into_values().collect()
}
