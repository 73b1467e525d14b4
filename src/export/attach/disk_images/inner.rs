//! The units that are attached, and how commands are run for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::door::NfsDoor;
use crate::block::UnitName;
use crate::export::attach::AttachError;
use crate::export::attach::program::Program;
use crate::export::attach::runner::{Outcome, Runner};

/// How long a command may take that only looks.
pub(in crate::export::attach) const LOOK_LIMIT: Duration = Duration::from_secs(15);

/// How long one may take that changes something: file systems are checked before they are mounted.
pub(in crate::export::attach) const CHANGE_LIMIT: Duration = Duration::from_secs(120);

/// How long one may take where it is done by force afterwards.
pub(super) const FORCED_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked again for what may be there and does not show, and how long after.
pub(super) const LOOKS: u32 = 3;
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What outlives the callers of [`DiskImages`](super::DiskImages).
pub(super) struct Inner {
    pub(super) luns: PathBuf,
    pub(super) door: Option<NfsDoor>,
    pub(super) runner: Box<dyn Runner>,
    pub(super) units: Mutex<BTreeMap<UnitName, Arc<Unit>>>,
    /// Held while something is mounted.
    pub(super) mounting: tokio::sync::Mutex<()>,
    /// Shared by what attaches and detaches, held alone by what lists: a list that is made meanwhile may lack disks
    /// that are attached.
    changes: RwLock<()>,
    lists: Lists,
}

/// A unit that is, was or is being attached.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// Held for as long as an attach or detach takes.
    pub(super) busy: tokio::sync::Mutex<()>,
    /// Its disk, such as `/dev/disk4`.
    device: Mutex<Option<String>>,
    /// What watches its volumes.
    watcher: Mutex<Option<JoinHandle<()>>>,
}

impl Unit {
    pub(super) fn device(&self) -> MutexGuard<'_, Option<String>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_watcher(&self, watcher: Option<JoinHandle<()>>) -> Option<JoinHandle<()>> {
        let mut held = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, watcher)
    }

    /// Its volumes are watched by that task from now on, and by no earlier one.
    pub(super) fn watched_by(&self, task: JoinHandle<()>) {
        if let Some(earlier) = self.set_watcher(Some(task)) {
            earlier.abort();
        }
    }

    /// Comes back when nothing tells its attach any more whether a volume is mounted.
    pub(super) async fn stop_watching(&self) {
        if let Some(watcher) = self.set_watcher(None) {
            watcher.abort();
            // It may be at work until it has ended. That it was stopped is no error.
            drop(watcher.await);
        }
    }
}

impl Inner {
    pub(super) fn new(luns: PathBuf, door: Option<NfsDoor>, runner: Box<dyn Runner>) -> Inner {
        let units = Mutex::default();
        let (mounting, changes, lists) = (tokio::sync::Mutex::default(), RwLock::default(), Lists::default());
        Inner { luns, door, runner, units, mounting, changes, lists }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<UnitName, Arc<Unit>>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unit(&self, name: &str) -> Option<Arc<Unit>> {
        self.lock().get(name).cloned()
    }

    pub(super) async fn run(&self, program: Program, words: &[&str], limit: Duration) -> Result<Outcome, AttachError> {
        self.runner.run(program, words.iter().map(Into::into).collect(), limit).await
    }

    /// Runs what attaches or detaches a disk.
    pub(super) async fn change(
        &self,
        program: Program,
        words: &[&str],
        limit: Duration,
    ) -> Result<Outcome, AttachError> {
        let _no_list = self.changes.read().await;
        self.run(program, words, limit).await
    }

    /// Runs what lists disks, alone if that can be had soon: one change that hangs must not keep all other units from
    /// theirs. That a disk is not in the list is no proof, however it was made.
    ///
    /// Who asks while others do shares the list that was begun after that: with many disks each would wait for all others'.
    pub(super) async fn list(&self, program: Program, words: &[&str]) -> Result<Outcome, AttachError> {
        let asked = self.lists.begun.load(Ordering::SeqCst);
        let _no_change = timeout(LOOK_LIMIT, self.changes.write()).await;
        if let Some(list) = self.lists.after(asked) {
            return Ok(list);
        }
        let number = self.lists.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let list = self.run(program, words, LOOK_LIMIT).await?;
        *self.lists.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, list.clone()));
        Ok(list)
    }
}

/// The lists that were made.
#[derive(Debug, Default)]
struct Lists {
    /// How many were begun.
    begun: AtomicU64,
    /// The last that has ended, and which one it is.
    last: Mutex<Option<(u64, Outcome)>>,
}

impl Lists {
    /// One that was begun after so many others.
    fn after(&self, others: u64) -> Option<Outcome> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(number, _)| *number > others).map(|(_, list)| list.clone())
    }
}
