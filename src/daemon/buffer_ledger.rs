//! What benchmarks hold of the buffers of each session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::block::Pool;
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::SessionId;

/// What loads hold of the buffers of each session, in bytes.
#[derive(Debug, Default)]
pub(crate) struct BufferLedger {
    held: Arc<Mutex<BTreeMap<SessionId, usize>>>,
}

/// A load's share of its session's buffers.
#[derive(Debug)]
pub(crate) struct Held {
    all: Arc<Mutex<BTreeMap<SessionId, usize>>>,
    session: SessionId,
    bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BufferLedger {
    /// Notes that a load will hold so many bytes. All loads of a session together leave half of its pool to the
    /// disks next door.
    pub(crate) fn hold(&self, session: SessionId, bytes: usize, pool: &Pool) -> Result<Held, Failure> {
        let limit = pool.budget() / 2;
        let mut held = lock(&self.held);
        let others = held.get(&session).copied().unwrap_or_default();
        if bytes > limit {
            let message = format!(
                "--bs times --depth needs {bytes} bytes of buffers, and benchmarks may hold {limit}, half of the \
                 session's {}",
                pool.budget()
            );
            return Err(Failure::new(ExitCode::Usage, message).advice("take less of one of them"));
        }
        if others + bytes > limit {
            let message = format!(
                "other benchmarks hold {others} of the {limit} bytes of buffers that the session has for them, and \
                 this one takes {bytes}"
            );
            return Err(
                Failure::new(ExitCode::TryAgain, message).advice("wait for them, or take less of --bs or --depth")
            );
        }
        held.insert(session, others + bytes);
        Ok(Held { all: self.held.clone(), session, bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        let left = all.get(&self.session).map_or(0, |held| held.saturating_sub(self.bytes));
        if left == 0 {
            all.remove(&self.session);
        } else {
            all.insert(self.session, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(3);

    fn pool() -> Pool {
        Pool::new(64 << 20)
    }

    #[test]
    fn a_load_that_wants_more_than_half_of_the_pool_is_told_the_numbers() {
        let failure = BufferLedger::default().hold(SESSION, (32 << 20) + 1, &pool()).expect_err("too much");
        assert_eq!(failure.code, ExitCode::Usage);
        for number in ["33554433", "33554432", "67108864"] {
            assert!(failure.to_string().contains(number), "{failure}");
        }
    }

    #[test]
    fn loads_of_one_session_share_that_half() {
        let (ledger, pool) = (BufferLedger::default(), pool());
        let first = ledger.hold(SESSION, 20 << 20, &pool).expect("there is room");
        let failure = ledger.hold(SESSION, 20 << 20, &pool).expect_err("together that is too much");
        assert_eq!(failure.code, ExitCode::TryAgain);
        let elsewhere = ledger.hold(SessionId(4), 20 << 20, &pool);
        elsewhere.expect("another session has a pool of its own");
        let second = ledger.hold(SESSION, 12 << 20, &pool).expect("all of the half");
        drop(first);
        let third = ledger.hold(SESSION, 20 << 20, &pool).expect("it was given back");
        drop((second, third));
        assert!(lock(&ledger.held).is_empty());
    }
}
