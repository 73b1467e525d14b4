//! The users of each unit: a load that overwrites a unit must be its only one.
//!
//! ```text
//!   Use::Client, Use::Reading ── any number ──┐
//!   Use::Writing ── alone ────────────────────┴──► Claim; dropped, the unit is free again
//! ```
//! A disk of the operating system holds no claim: attaching looks for [`Use::Writing`], and a load that
//! writes looks for the disk, both under the session's lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::name::UnitName;

/// What a unit is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// By a client of an export.
    Client,
    /// By a benchmark that only reads.
    Reading,
    /// By a benchmark that writes, which tolerates nobody else.
    Writing,
}

/// The uses of all units.
#[derive(Debug, Default)]
pub(super) struct Claims {
    uses: Mutex<BTreeMap<UnitName, Vec<Use>>>,
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<UnitName, Vec<Use>>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn claim(self: &Arc<Self>, unit: &str, wanted: Use) -> Result<Claim, Use> {
        let mut all = self.lock();
        let held = all.get(unit).into_iter().flatten().copied();
        let in_the_way = held.filter(|&other| wanted == Use::Writing || other == Use::Writing).max();
        if let Some(other) = in_the_way {
            return Err(other);
        }
        all.entry(unit.to_owned()).or_default().push(wanted);
        Ok(Claim { claims: self.clone(), unit: unit.to_owned(), held: wanted })
    }

    pub(super) fn is(&self, unit: &str, what: Use) -> bool {
        self.lock().get(unit).is_some_and(|uses| uses.contains(&what))
    }
}

/// A use of a unit; it ends when this is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Arc<Claims>,
    unit: UnitName,
    held: Use,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = self.claims.lock();
        let Some(uses) = all.get_mut(&self.unit) else { return };
        if let Some(at) = uses.iter().position(|held| *held == self.held) {
            uses.swap_remove(at);
        }
        if uses.is_empty() {
            all.remove(&self.unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "iqn.2026-11.org.example:a/0";

    #[test]
    fn clients_and_readers_share_a_unit_and_a_writer_shares_with_nobody() {
        let claims = Arc::new(Claims::default());
        let client = claims.claim(UNIT, Use::Client).expect("nobody is there");
        let reader = claims.claim(UNIT, Use::Reading).expect("a client is no hindrance");
        assert_eq!(claims.claim(UNIT, Use::Writing).expect_err("two are there"), Use::Reading);
        drop(reader);
        assert_eq!(claims.claim(UNIT, Use::Writing).expect_err("one is there"), Use::Client);
        drop(client);
        let _writer = claims.claim(UNIT, Use::Writing).expect("nobody is there any more");
        for other in [Use::Client, Use::Reading, Use::Writing] {
            assert_eq!(claims.claim(UNIT, other).expect_err("it is written to"), Use::Writing);
        }
        claims.claim("iqn.2026-11.org.example:a/1", Use::Client).expect("another unit is another matter");
    }

    #[test]
    fn nothing_is_kept_of_units_that_nobody_uses() {
        let claims = Arc::new(Claims::default());
        let claim = claims.claim(UNIT, Use::Writing).expect("nobody is there");
        assert!(claims.is(UNIT, Use::Writing));
        drop(claim);
        assert!(!claims.is(UNIT, Use::Writing) && claims.lock().is_empty());
    }
}
