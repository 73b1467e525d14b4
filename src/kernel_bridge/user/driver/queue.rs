//! Requests that wait for their turn.
//!
//! ```text
//!   arrive ──► ready ──► next ──► under way ── again, later ──┐
//!               ▲ └──► aside: in doubt, or behind another one │
//!               │        │ recheck                            │
//!               └────────┴──────────────── delayed ◄──────────┘
//! ```
//! `ready` is in the order in which requests arrived, also of those that are to be issued again: a write
//! whose answer was lost, or that the unit was too busy for, is through before any later one to the same
//! blocks is issued. `proto`'s [`Order`] remembers which those are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use iscsi_proto::reissue::{Order, put_back};
use tokio::time::Instant;

use super::delayed::Delayed;
use crate::block::IoError;
use crate::kernel_bridge::unit::gate::Pass;
use crate::kernel_bridge::unit::request::{Request, Work};

pub(super) struct Queue {
    ready: VecDeque<Request>,
    aside: Vec<Request>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    order: Order,
}

impl Queue {
    pub(super) fn with_capacity(depth: usize) -> Queue {
        Queue {
            ready: VecDeque::with_capacity(depth),
            aside: Vec::new(),
            delayed: BinaryHeap::new(),
            order: Order::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.aside.is_empty() && self.delayed.is_empty()
    }

    /// Whether [`next`](Queue::next) may have one.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes a new request in. With `straight` it is given back if nothing is before it: then it is
    /// [`next`](Queue::next).
    pub(super) fn arrive(&mut self, mut request: Request, straight: bool) -> Option<Request> {
        request.arrival = self.order.arrive();
        let open = match &request.work {
            Work::Block { unit, .. } => unit.gate().pass() == Pass::Open,
            Work::Raw { .. } => true,
        };
        if straight && open && self.is_empty() && self.order.is_calm() {
            return Some(request);
        }
        self.ready.push_back(request);
        None
    }

    /// Takes one back that is to be issued again, before everything that arrived after it.
    pub(super) fn again(&mut self, request: Request) {
        self.guard(&request);
        self.put(request);
    }

    /// Takes one back that is to be issued again at `at`.
    pub(super) fn later(&mut self, request: Request, at: Instant) {
        self.guard(&request);
        self.delayed.push(Reverse(Delayed { at, request }));
    }

    /// Nothing later to its blocks goes before it is through.
    fn guard(&mut self, request: &Request) {
        if let Some(extent) = request.extent() {
            self.order.again(request.arrival, extent);
        }
    }

    fn put(&mut self, request: Request) {
        put_back(&mut self.ready, request, |queued| queued.arrival);
    }

    /// The next one to issue. Those whose unit is in doubt, or that must not overtake another one, wait
    /// aside; those whose unit is refused fail.
    pub(super) fn next(&mut self) -> Option<Request> {
        loop {
            let request = self.ready.pop_front()?;
            let Work::Block { unit, .. } = &request.work else { return Some(request) };
            match unit.gate().pass() {
                Pass::Open if self.is_behind(&request) => self.aside.push(request),
                Pass::Open => return Some(request),
                Pass::Waits => self.aside.push(request),
                Pass::Refused => {
                    self.order.through(request.arrival);
                    request.fail(IoError::Offline);
                }
            }
        }
    }

    /// One that [`next`](Queue::next) gave has come back: who was behind it may go.
    pub(super) fn came_back(&mut self, request: &Request) {
        if self.order.through(request.arrival) {
            self.recheck();
        }
    }

    /// Whether an earlier request to the same blocks that is issued again is not through yet.
    fn is_behind(&self, request: &Request) -> bool {
        !self.order.is_calm() && request.extent().is_some_and(|extent| self.order.is_behind(request.arrival, &extent))
    }

    /// When the first of the delayed ones is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.delayed.peek().map(|Reverse(delayed)| delayed.at)
    }

    /// The delayed ones that are due by `now` are ready again.
    pub(super) fn wake(&mut self, now: Instant) {
        while self.due().is_some_and(|at| at <= now)
            && let Some(Reverse(delayed)) = self.delayed.pop()
        {
            self.put(delayed.request);
        }
    }

    /// What others wait for has changed: they ask again.
    pub(super) fn recheck(&mut self) {
        for request in std::mem::take(&mut self.aside) {
            self.put(request);
        }
    }

    /// Answers all of them with an error.
    pub(super) fn fail_all(&mut self, error: IoError) {
        let delayed = self.delayed.drain().map(|Reverse(delayed)| delayed.request);
        for request in self.ready.drain(..).chain(self.aside.drain(..)).chain(delayed) {
            self.order.through(request.arrival);
            request.fail(error);
        }
    }
}
