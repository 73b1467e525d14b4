//! The tasks that bound the waits of attaches: one for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::handle::Nonce;

/// The tasks, by the nonces of their attaches. They end when this goes.
#[derive(Default)]
pub(super) struct Overseers(Mutex<BTreeMap<Nonce, AbortOnDropHandle<()>>>);

impl Overseers {
    /// Begins the task of an attach, unless it has one.
    pub(super) fn begin(&self, nonce: Nonce, task: impl FnOnce() -> JoinHandle<()>) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.contains_key(&nonce) {
            return;
        }
        tasks.retain(|_, task| !task.is_finished());
        tasks.insert(nonce, AbortOnDropHandle::new(task()));
    }
}
