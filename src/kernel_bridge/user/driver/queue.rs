//! Requests that wait for their turn.
//!
//! ```text
//!   arrive ──► ready ──► next ──► under way
//!               ▲ ▲ └──► parked: their unit is in doubt ──► recheck ─┐
//!               │ └──────────────────────────────────────────────────┤
//!               └── delayed: the unit was busy ◄── later             │
//!   again ───────────────────────────────────────────────────────────┘
//! ```
//! `ready` is in the order in which requests arrived, also of those that are to be issued again: a write
//! whose answer was lost goes before any later one to the same blocks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tokio::time::Instant;

use super::delayed::Delayed;
use crate::kernel_bridge::user::block::IoError;
use crate::kernel_bridge::user::lun::Pass;
use crate::kernel_bridge::user::request::{Request, Work};

pub(super) struct Queue {
    ready: VecDeque<Request>,
    parked: Vec<Request>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    arrived: u64,
}

impl Queue {
    pub(super) fn with_capacity(depth: usize) -> Queue {
        Queue { ready: VecDeque::with_capacity(depth), parked: Vec::new(), delayed: BinaryHeap::new(), arrived: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.parked.is_empty() && self.delayed.is_empty()
    }

    /// Whether [`next`](Queue::next) may have one.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes new requests in.
    pub(super) fn arrive(&mut self, requests: impl Iterator<Item = Request>) {
        for mut request in requests {
            self.arrived += 1;
            request.number = self.arrived;
            self.ready.push_back(request);
        }
    }

    /// Takes one back that is to be issued again, before everything that arrived after it.
    pub(super) fn again(&mut self, request: Request) {
        let later = self.ready.iter().position(|later| later.number > request.number);
        self.ready.insert(later.unwrap_or(self.ready.len()), request);
    }

    /// Takes one back that is to be issued again at `at`.
    pub(super) fn later(&mut self, request: Request, at: Instant) {
        self.delayed.push(Reverse(Delayed { at, request }));
    }

    /// The next one to issue. Those whose unit is in doubt wait aside; those whose unit is refused fail.
    pub(super) fn next(&mut self) -> Option<Request> {
        loop {
            let request = self.ready.pop_front()?;
            if let Work::Block { unit, .. } = &request.work {
                match unit.pass() {
                    Pass::Open => {}
                    Pass::Waits => {
                        self.parked.push(request);
                        continue;
                    }
                    Pass::Refused => {
                        request.fail(IoError::Offline);
                        continue;
                    }
                }
            }
            match self.held_back_by(&request) {
                Some(at) => self.later(request, at),
                None => return Some(request),
            }
        }
    }

    /// When an earlier request to the same blocks, which is delayed, is issued again.
    fn held_back_by(&self, request: &Request) -> Option<Instant> {
        let mut delayed = self.delayed.iter().map(|Reverse(delayed)| delayed);
        let before =
            delayed.find(|earlier| earlier.request.number < request.number && earlier.request.collides(request));
        before.map(|earlier| earlier.at)
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
            self.again(delayed.request);
        }
    }

    /// What is known of units has changed: whoever waits for that asks again.
    pub(super) fn recheck(&mut self) {
        for request in std::mem::take(&mut self.parked) {
            self.again(request);
        }
    }

    /// Answers all of them with an error.
    pub(super) fn fail_all(&mut self, error: IoError) {
        self.ready.drain(..).for_each(|request| request.fail(error));
        self.parked.drain(..).for_each(|request| request.fail(error));
        self.delayed.drain().for_each(|Reverse(delayed)| delayed.request.fail(error));
    }
}
