//! The clients that are connected: who may come in, and who must leave for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::trust::is_trusted;

/// How many clients a socket has at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// All together.
    pub(crate) all: usize,
    /// Whether one that waits for an answer leaves as well, when all of its user do.
    pub(crate) busy_leave: bool,
}

impl Limits {
    /// How many are not root's or the daemon's own user's: a quarter is kept for those.
    fn strangers(self) -> usize {
        (self.all - self.all / 4).max(1)
    }

    /// How many belong to one other user.
    fn per_stranger(self) -> usize {
        (self.all / 4).max(1)
    }
}

/// The clients of a socket.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: Limits,
    clock: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    clients: BTreeMap<u64, Entry>,
    paces: BTreeMap<u32, Pace>,
}

#[derive(Debug)]
struct Entry {
    uid: u32,
    standing: Arc<Standing>,
    evict: CancellationToken,
}

/// What counts when one has to leave.
#[derive(Debug, Default)]
struct Standing {
    /// When it did something last, by the clock of the clients.
    active: AtomicU64,
    /// It has shown that it knows what it is here for.
    known: AtomicBool,
    /// It waits for an answer, or would not come back.
    busy: AtomicBool,
}

/// A client's place among them; given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    uid: u32,
    standing: Arc<Standing>,
    evict: CancellationToken,
    clients: Arc<Clients>,
}

impl Clients {
    /// None yet.
    pub(crate) fn new(limits: Limits) -> Arc<Clients> {
        Arc::new(Clients { limits, clock: AtomicU64::new(0), table: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next one of that user needs another's place.
    pub(super) fn is_full_for(&self, uid: u32) -> bool {
        self.crowd(&self.lock(), uid).is_some()
    }

    /// Whose places are counted if one of that user is one too many: a user's, the strangers', everybody's.
    fn crowd(&self, table: &Table, uid: u32) -> Option<Crowd> {
        let count = |crowd: Crowd| table.clients.values().filter(|entry| crowd.holds(entry.uid)).count();
        let stranger = !is_trusted(uid);
        if stranger && count(Crowd::Of(uid)) >= self.limits.per_stranger() {
            return Some(Crowd::Of(uid));
        }
        if stranger && count(Crowd::Strangers) >= self.limits.strangers() {
            return Some(Crowd::Strangers);
        }
        (table.clients.len() >= self.limits.all).then_some(Crowd::Everybody)
    }

    /// Takes one more in. If there are too many, one must leave: of the user with the most clients, the one that has
    /// been idle longest. So nobody can shut another user out, nor himself. `None` if nobody can leave.
    pub(crate) fn admit(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut table = self.lock();
        if let Some(crowd) = self.crowd(&table, uid) {
            let victim = table.victim(crowd, self.limits.busy_leave)?;
            table.evict(victim);
        }
        let number = table.next;
        table.next += 1;
        let (standing, evict) = (Arc::<Standing>::default(), CancellationToken::new());
        standing.active.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        table.clients.insert(number, Entry { uid, standing: standing.clone(), evict: evict.clone() });
        drop(table);
        Some(Place { number, uid, standing, evict, clients: self.clone() })
    }

    /// One of those that have been idle longest leaves, without another in its place. Whether there was any.
    pub(super) fn shrink(&self) -> bool {
        let mut table = self.lock();
        let victim = table.victim(Crowd::Everybody, false);
        victim.map(|victim| table.evict(victim)).is_some()
    }
}

#[derive(Debug, Clone, Copy)]
enum Crowd {
    Of(u32),
    Strangers,
    Everybody,
}

impl Crowd {
    fn holds(self, uid: u32) -> bool {
        match self {
            Crowd::Of(user) => user == uid,
            Crowd::Strangers => !is_trusted(uid),
            Crowd::Everybody => true,
        }
    }
}

impl Table {
    fn victim(&self, crowd: Crowd, busy_leave: bool) -> Option<u64> {
        let mut per_user = BTreeMap::<u32, usize>::new();
        for entry in self.clients.values().filter(|entry| crowd.holds(entry.uid)) {
            let can_leave = busy_leave || !entry.standing.busy.load(Ordering::Relaxed);
            *per_user.entry(entry.uid).or_default() += usize::from(can_leave);
        }
        let (&busiest, _) = per_user.iter().filter(|(_, count)| **count > 0).max_by_key(|(_, count)| **count)?;
        let rank = |entry: &Entry| {
            let Standing { active, known, busy } = &*entry.standing;
            (busy.load(Ordering::Relaxed), known.load(Ordering::Relaxed), active.load(Ordering::Relaxed))
        };
        let theirs = self.clients.iter().filter(|(_, entry)| entry.uid == busiest);
        let first = theirs.min_by_key(|(_, entry)| rank(entry));
        first.filter(|(_, entry)| busy_leave || !rank(entry).0).map(|(&number, _)| number)
    }

    fn evict(&mut self, number: u64) {
        if let Some(victim) = self.clients.remove(&number) {
            victim.evict.cancel();
        }
    }
}

impl Place {
    /// It does something.
    pub(crate) fn touch(&self) {
        self.standing.active.store(self.clients.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// It has shown that it knows what it is here for.
    pub(crate) fn is_known(&self) {
        self.standing.known.store(true, Ordering::Relaxed);
    }

    /// It waits for an answer, or does not any more.
    pub(crate) fn set_busy(&self, busy: bool) {
        self.standing.busy.store(busy, Ordering::Relaxed);
        self.touch();
    }

    /// Ends when it has to leave.
    pub(super) fn evict(&self) -> &CancellationToken {
        &self.evict
    }

    /// Counts a request; when it may be carried out. Root and the daemon's user keep no pace.
    pub(crate) fn request(&self) -> Option<Instant> {
        if is_trusted(self.uid) {
            return None;
        }
        let now = Instant::now();
        let mut table = self.clients.lock();
        table.paces.retain(|_, pace| !pace.is_over(now));
        let due = table.paces.entry(self.uid).or_insert_with(|| Pace::new(now)).request(now);
        (due > now).then_some(due)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.lock().clients.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: u32 = 54_321;
    const LIMITS: Limits = Limits { all: 64, busy_leave: true };

    fn left(crowd: &[Option<Place>]) -> usize {
        crowd.iter().flatten().filter(|place| !place.evict.is_cancelled()).count()
    }

    // check: strangers-have-a-share
    #[test]
    fn a_crowd_of_one_user_pushes_out_its_own_and_gets_a_quarter() {
        let clients = Clients::new(LIMITS);
        let root = clients.admit(0).expect("a place");
        let crowd: Vec<_> = (0..2 * LIMITS.all).map(|_| clients.admit(STRANGER)).collect();
        assert!(!root.evict.is_cancelled());
        assert_eq!(left(&crowd), LIMITS.all / 4);
        assert!(crowd.last().is_some_and(|place| place.as_ref().is_some_and(|place| !place.evict.is_cancelled())));
    }

    // check: strangers-have-a-share
    #[test]
    fn strangers_together_leave_a_quarter_to_root() {
        let clients = Clients::new(LIMITS);
        let crowd: Vec<_> = (0..10 * LIMITS.all as u32).map(|n| clients.admit(STRANGER + n % 8)).collect();
        assert_eq!(left(&crowd), LIMITS.all * 3 / 4);
        let roots: Vec<_> = (0..LIMITS.all / 4).map(|_| clients.admit(0)).collect();
        assert_eq!((left(&crowd), left(&roots)), (LIMITS.all * 3 / 4, LIMITS.all / 4));
    }

    #[test]
    fn a_client_that_waits_for_its_answer_is_the_last_to_be_sent_away() {
        let clients = Clients::new(LIMITS);
        let busy = clients.admit(0).expect("a place");
        busy.set_busy(true);
        let crowd: Vec<_> = (0..LIMITS.all).map(|_| clients.admit(0)).collect();
        assert!(!busy.evict.is_cancelled());
        assert!(crowd[0].as_ref().expect("a place").evict.is_cancelled());
    }

    #[test]
    fn a_client_that_was_just_answered_has_not_been_idle_longest() {
        let clients = Clients::new(LIMITS);
        let answered = clients.admit(0).expect("a place");
        let crowd: Vec<_> = (1..LIMITS.all).map(|_| clients.admit(0)).collect();
        answered.set_busy(true);
        answered.set_busy(false);
        let _one_more = clients.admit(0);
        assert!(!answered.evict.is_cancelled());
        assert!(crowd[0].as_ref().expect("a place").evict.is_cancelled());
    }

    #[test]
    fn whoever_has_shown_nothing_leaves_before_one_that_is_known() {
        let clients = Clients::new(LIMITS);
        let known = clients.admit(0).expect("a place");
        known.is_known();
        let crowd: Vec<_> = (0..10 * LIMITS.all).map(|_| clients.admit(0)).collect();
        assert!(!known.evict.is_cancelled());
        assert_eq!(left(&crowd), LIMITS.all - 1);
    }

    #[test]
    fn where_the_busy_stay_the_newcomer_is_turned_away() {
        let clients = Clients::new(Limits { all: 4, busy_leave: false });
        let busy: Vec<_> = (0..4).map(|_| clients.admit(0)).collect();
        busy.iter().flatten().for_each(|place| place.set_busy(true));
        assert!(clients.admit(0).is_none() && !clients.shrink());
        drop(busy);
        assert!(clients.admit(0).is_some());
    }
}
