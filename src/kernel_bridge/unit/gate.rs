//! Whether commands may go to a unit.
//!
//! ```text
//!              doubt                   trust (no newer doubt)
//!   Open ───────────────► Waits ──────────────────────────────► Open
//!                          │ ▲
//!                   refuse ▼ │ doubt                   any ── retire ──► Refused, for ever
//!                         Refused
//! ```
//! A unit is in doubt after its connection was replaced, and when the target says that its units have
//! changed: what is at its number now may be another disk, which must not be written to.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::identity::Size;

/// Whether commands may go to a unit now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Pass {
    /// They may.
    Open,
    /// The unit is being looked at.
    Waits,
    /// It is another disk now, or was gone for too long.
    Refused,
}

/// What the last look has shown, the doubts aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It was the same disk at the last look.
    Trusted,
    /// It was another one, or did not answer in time: commands fail until the next doubt or trust.
    Refused,
    /// The target has no such unit any more.
    Retired,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    /// How often the unit was put in doubt.
    doubts: u64,
    /// The number of the last doubt that a look has answered; no doubt is open where it equals `doubts`.
    settled: u64,
    /// Whether the size counts at the next look: it does once the connection was lost since the last trust.
    size: Size,
}

impl State {
    fn in_doubt(&self) -> bool {
        self.standing != Standing::Retired && self.settled != self.doubts
    }

    fn pass(&self) -> Pass {
        match self.standing {
            Standing::Refused | Standing::Retired => Pass::Refused,
            Standing::Trusted if self.in_doubt() => Pass::Waits,
            Standing::Trusted => Pass::Open,
        }
    }
}

/// The gate in front of a unit. [`pass`](Gate::pass) is asked for each command and takes no lock.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    /// [`State::pass`], written under the lock.
    pass: AtomicU8,
}

impl Default for Gate {
    fn default() -> Gate {
        let state = State { standing: Standing::Trusted, doubts: 0, settled: 0, size: Size::May };
        let pass = AtomicU8::new(state.pass() as u8);
        Gate { state: Mutex::new(state), pass }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        self.pass.store(state.pass() as u8, Ordering::Release);
        result
    }

    /// Whether commands may go to the unit.
    pub(crate) fn pass(&self) -> Pass {
        match self.pass.load(Ordering::Acquire) {
            open if open == Pass::Open as u8 => Pass::Open,
            waits if waits == Pass::Waits as u8 => Pass::Waits,
            _ => Pass::Refused,
        }
    }

    /// What is at the unit's number may be another disk: no command goes there until a look has
    /// answered. [`Size::Must`]: changes of its size may have been missed. A refused unit gets another look as well.
    pub(crate) fn doubt(&self, size: Size) {
        self.change(|state| {
            if size == Size::Must {
                state.size = Size::Must;
            }
            state.doubts += 1;
            if state.standing == Standing::Refused {
                state.standing = Standing::Trusted;
            }
        });
    }

    /// How often the unit was put in doubt so far: a look that begins now gives it to [`trust`](Gate::trust).
    pub(crate) fn doubts(&self) -> u64 {
        self.lock().doubts
    }

    /// Whether a doubt is not looked into yet.
    pub(crate) fn in_doubt(&self) -> bool {
        self.lock().in_doubt()
    }

    /// Whether the size counts at the next look.
    pub(crate) fn size(&self) -> Size {
        self.lock().size
    }

    /// The unit is the disk that it was, as seen after that doubt; whether there is no newer one.
    pub(crate) fn trust(&self, doubt: u64) -> bool {
        self.change(|state| {
            if state.standing == Standing::Refused {
                state.standing = Standing::Trusted;
            }
            // Never back: a scan may come with what it knew before a later look.
            state.settled = state.settled.max(doubt);
            let open = state.pass() == Pass::Open;
            if open {
                state.size = Size::May;
            }
            open
        })
    }

    /// A look has answered that doubt, with any result.
    pub(crate) fn settle(&self, doubt: u64) {
        self.change(|state| state.settled = state.settled.max(doubt));
    }

    /// Commands fail, until the unit is trusted again.
    pub(crate) fn refuse(&self) {
        self.change(|state| {
            if state.standing == Standing::Trusted {
                state.standing = Standing::Refused;
            }
        });
    }

    /// The target has no such unit any more: commands fail for ever.
    pub(crate) fn retire(&self) {
        self.change(|state| state.standing = Standing::Retired);
    }

    /// Whether the target has no such unit any more.
    pub(crate) fn is_retired(&self) -> bool {
        // Commands are refused then, so that an open gate needs no lock to say no.
        self.pass() == Pass::Refused && self.lock().standing == Standing::Retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_that_comes_up_during_a_look_needs_another_look() {
        let gate = Gate::default();
        gate.doubt(Size::May);
        let looked_into = gate.doubts();
        gate.doubt(Size::Must);
        assert!(!gate.trust(looked_into), "there is a newer doubt");
        assert_eq!((gate.pass(), gate.size()), (Pass::Waits, Size::Must));
        assert!(gate.trust(gate.doubts()));
        assert_eq!((gate.pass(), gate.size()), (Pass::Open, Size::May));
    }

    #[test]
    fn an_older_look_takes_nothing_back() {
        let gate = Gate::default();
        gate.doubt(Size::May);
        gate.doubt(Size::May);
        assert!(gate.trust(2));
        assert!(gate.trust(1), "what a later look has found stands");
        assert_eq!(gate.pass(), Pass::Open);
    }

    #[test]
    fn a_refused_unit_waits_again_after_the_next_doubt() {
        let gate = Gate::default();
        gate.doubt(Size::May);
        gate.refuse();
        assert_eq!((gate.pass(), gate.in_doubt()), (Pass::Refused, true), "it is refused, and looked at further");
        gate.settle(1);
        assert_eq!((gate.pass(), gate.in_doubt()), (Pass::Refused, false));
        gate.doubt(Size::May);
        assert_eq!(gate.pass(), Pass::Waits);
    }

    #[test]
    fn a_retired_unit_stays_retired() {
        let gate = Gate::default();
        gate.retire();
        gate.refuse();
        gate.doubt(Size::Must);
        gate.trust(gate.doubts());
        assert_eq!((gate.pass(), gate.in_doubt(), gate.is_retired()), (Pass::Refused, false, true));
    }
}
