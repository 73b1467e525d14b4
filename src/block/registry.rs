//! The units that are there now, by name.
//!
//! ```text
//!   kernel ── insert, remove ──► Registry ── get, list, subscribe ──► exports, benchmarks
//!                                    └────── claim ─────────────────► Claim
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::claims::{Claim, Claims, Use};
use super::device::Block;
use super::name::UnitName;

/// The units that are there now. Exports look units up here, and subscribe to learn when one comes or
/// goes.
pub struct Registry {
    units: RwLock<BTreeMap<UnitName, Arc<dyn Block>>>,
    claims: Arc<Claims>,
    changed: watch::Sender<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { units: RwLock::default(), claims: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl Registry {
    /// The unit of that name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Block>> {
        self.units.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<(UnitName, Arc<dyn Block>)> {
        let units = self.units.read().unwrap_or_else(PoisonError::into_inner);
        units.iter().map(|(name, unit)| (name.clone(), unit.clone())).collect()
    }

    /// Puts a unit in, or another one in its place.
    pub fn insert(&self, name: UnitName, unit: Arc<dyn Block>) {
        self.units.write().unwrap_or_else(PoisonError::into_inner).insert(name, unit);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Takes a unit out. Exports that still hold it get [`IoError::Offline`](super::IoError::Offline) from it.
    pub fn remove(&self, name: &str) -> Option<Arc<dyn Block>> {
        let gone = self.units.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.changed.send_modify(|version| *version += 1);
        gone
    }

    /// Notes that a unit of that name is used so, until the claim is dropped.
    ///
    /// # Errors
    /// The use that does not go together with it.
    pub fn claim(&self, name: &str, wanted: Use) -> Result<Claim, Use> {
        self.claims.claim(name, wanted)
    }

    /// Whether a unit of that name is used so now.
    pub fn is_claimed(&self, name: &str, how: Use) -> bool {
        self.claims.is(name, how)
    }

    /// Changes its value whenever a unit comes or goes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
