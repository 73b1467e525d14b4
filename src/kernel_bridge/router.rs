//! Which session's listener something that happened is for.
//!
//! ```text
//!   route(session, event) ──► its listener, or else early ── subscribe ──► the listener, first of all
//! ```

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::mpsc;

/// Events of sessions that nobody has subscribed to yet; older ones are dropped.
const EARLY: usize = 256;

/// The way of events to those who listen, one for each session.
#[derive(Debug)]
pub(crate) struct Router<S, E> {
    listeners: BTreeMap<S, mpsc::UnboundedSender<E>>,
    /// A session's first event may come before those who begin it know its number.
    early: VecDeque<(S, E)>,
}

impl<S, E> Default for Router<S, E> {
    fn default() -> Self {
        Router { listeners: BTreeMap::new(), early: VecDeque::new() }
    }
}

impl<S: Copy + Ord, E> Router<S, E> {
    /// Events of `session` go to `listener` from now on, those that are here already first.
    pub(crate) fn subscribe(&mut self, session: S, listener: mpsc::UnboundedSender<E>) {
        let (theirs, others) = std::mem::take(&mut self.early).into_iter().partition(|(of, _)| *of == session);
        self.early = others;
        let theirs: VecDeque<(S, E)> = theirs;
        for (_, event) in theirs {
            let _ = listener.send(event);
        }
        self.listeners.insert(session, listener);
    }

    /// The session is gone.
    pub(crate) fn forget(&mut self, session: S) {
        self.listeners.remove(&session);
        self.early.retain(|(of, _)| *of != session);
    }

    /// Passes an event of that session on.
    pub(crate) fn route(&mut self, session: S, event: E) {
        match self.listeners.get(&session) {
            // A listener that has ended needs no events.
            Some(listener) => drop(listener.send(event)),
            None => {
                self.early.push_back((session, event));
                if self.early.len() > EARLY {
                    self.early.pop_front();
                }
            }
        }
    }

    /// Tells every listener.
    pub(crate) fn tell_all(&self, event: impl Fn() -> E) {
        self.listeners.values().for_each(|listener| drop(listener.send(event())));
    }

    /// Nothing comes any more: listeners hear the end.
    pub(crate) fn end(&mut self) {
        self.listeners.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_that_comes_before_its_session_is_known_is_kept_for_it() {
        let mut router = Router::default();
        router.route(1, "of the first");
        router.route(2, "of the second");
        let (listener, mut events) = mpsc::unbounded_channel();
        router.subscribe(2, listener);
        assert_eq!(events.recv().await, Some("of the second"));
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn events_of_nobody_do_not_pile_up() {
        let mut router = Router::default();
        for session in 0..2 * EARLY as u32 {
            router.route(session, ());
        }
        assert_eq!(router.early.len(), EARLY);
    }
}
