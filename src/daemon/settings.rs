//! The settings as the daemon's tasks see them: a snapshot that is cheap to read, and edits, which wait for
//! the disk while other tasks go on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::config::{Config, Current, Secrets, Store};
use crate::ipc::{ExitCode, Failure};

/// The store, and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    current: RwLock<Arc<Current>>,
}

fn snapshot(store: &Store) -> Arc<Current> {
    let as_root = nix::unistd::geteuid().is_root();
    Arc::new(Current { config: store.config().clone(), secrets: store.secrets().clone(), as_root })
}

impl Settings {
    /// The settings of a store.
    pub(crate) fn new(store: Store) -> Settings {
        let current = RwLock::new(snapshot(&store));
        Settings { path: store.path().to_owned(), shared: Arc::new(Shared { store: Mutex::new(store), current }) }
    }

    /// Where the property list is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What holds now.
    pub(crate) fn current(&self) -> Arc<Current> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Edits and saves, one edit after the other. When it fails, nothing has changed.
    ///
    /// # Errors
    /// The edit's own, or why it could not be saved.
    pub(crate) async fn edit<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut Config, &mut Secrets) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let shared = self.shared.clone();
        let work = move || {
            let mut store = shared.store.lock().unwrap_or_else(PoisonError::into_inner);
            let result = store.edit(edit)?;
            *shared.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot(&store);
            Ok(result)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            Err(Failure::new(ExitCode::Internal, format!("iscsid has a bug: an edit of the settings ended in {error}")))
        })
    }
}
