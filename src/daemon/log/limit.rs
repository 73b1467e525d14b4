//! How often the log says the same: strangers cause many of its lines, and none may fill a disk with them.
//!
//! ```text
//!   event ──► its place in the source and its subject ── 20 at once, then one in 10 s ──┐
//!               the subject: the target or unit it names as a field, else its text      ▼
//!             its place, all subjects together ── 1000 at once, then one in 5 s ──► line, and how many
//!                                                                                  were left out before it
//! ```
//! What is for whoever looks for a bug (`debug`, `trace`) is said in full: it was asked for.
//!
//! This is the bound for what nobody has thought of. Where a line is known to be a stranger's to cause, `clients::Seldom`
//! keeps it to one a minute before it is put together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{Debug, Write};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of one place about one subject.
const OF_A_SUBJECT: Rate = Rate { at_once: 20, every: Duration::from_secs(10) };

/// Lines of one place, whatever they are about: who can vary what is said gets no more than that.
const OF_A_PLACE: Rate = Rate { at_once: 1000, every: Duration::from_secs(5) };

/// Subjects that are remembered of one place.
const SUBJECTS: usize = 256;

/// So many lines at once, and another one each time that has passed.
#[derive(Debug, Clone, Copy)]
struct Rate {
    at_once: u32,
    every: Duration,
}

/// What is left of a [`Rate`].
#[derive(Debug)]
struct Purse {
    left: u32,
    /// Until when it was refilled.
    since: Instant,
    left_out: u64,
}

impl Purse {
    fn full(rate: Rate, now: Instant) -> Purse {
        Purse { left: rate.at_once, since: now, left_out: 0 }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let more = u32::try_from(passed.as_nanos() / rate.every.as_nanos()).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(rate.at_once);
        // What is left of the time counts towards the next line.
        self.since = if self.left == rate.at_once { now } else { self.since + rate.every * more };
    }
}

/// A place in the source that logs.
#[derive(Debug)]
struct Place {
    all: Purse,
    subjects: HashMap<u64, Purse>,
    /// When those of which nothing was said for long were forgotten.
    cleared: Instant,
}

impl Place {
    fn new(now: Instant) -> Place {
        Place { all: Purse::full(OF_A_PLACE, now), subjects: HashMap::new(), cleared: now }
    }

    /// Whether a line is written, and how many like it were not since the last one.
    fn take(&mut self, subject: u64, now: Instant) -> Option<u64> {
        let full = self.subjects.len() >= SUBJECTS && !self.subjects.contains_key(&subject);
        if full && now.saturating_duration_since(self.cleared) >= OF_A_SUBJECT.every {
            self.cleared = now;
            self.subjects.retain(|_, purse| {
                purse.refill(OF_A_SUBJECT, now);
                let quiet = purse.left == OF_A_SUBJECT.at_once;
                if quiet {
                    self.all.left_out += purse.left_out;
                }
                !quiet
            });
        }
        self.all.refill(OF_A_PLACE, now);
        let room = self.subjects.len() < SUBJECTS;
        let mut of_it = match self.subjects.entry(subject) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) if room => Some(new.insert(Purse::full(OF_A_SUBJECT, now))),
            // Of so many at once, only the place counts.
            Entry::Vacant(_) => None,
        };
        if let Some(purse) = &mut of_it {
            purse.refill(OF_A_SUBJECT, now);
            if purse.left == 0 {
                purse.left_out += 1;
                return None;
            }
        }
        if self.all.left == 0 {
            self.all.left_out += 1;
            return None;
        }
        self.all.left -= 1;
        let mut left_out = std::mem::take(&mut self.all.left_out);
        if let Some(purse) = of_it {
            purse.left -= 1;
            left_out += std::mem::take(&mut purse.left_out);
        }
        Some(left_out)
    }
}

/// Leaves out what has been said too often. A layer below which no other layer sees what it leaves out.
#[derive(Debug, Default)]
pub(super) struct Limit {
    hasher: RandomState,
    places: Mutex<HashMap<tracing::callsite::Identifier, Place>>,
}

impl Limit {
    fn take(&self, event: &Event<'_>, now: Instant) -> Option<u64> {
        let mut subject = Subject::default();
        event.record(&mut subject);
        let subject = self.hasher.hash_one(subject.named.unwrap_or(subject.text));
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(event.metadata().callsite()).or_insert_with(|| Place::new(now)).take(subject, now)
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        match self.take(event, Instant::now()) {
            Some(left_out) => {
                LEFT_OUT.set(left_out);
                true
            }
            None => false,
        }
    }
}

thread_local! {
    /// How many lines were left out before the one that this thread writes now.
    static LEFT_OUT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many lines were left out before the one that is written now. Asked once for each.
pub(super) fn left_out() -> u64 {
    LEFT_OUT.take()
}

/// What an event is about.
#[derive(Debug, Default)]
struct Subject {
    named: Option<String>,
    text: String,
}

impl Visit for Subject {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "target" | "unit" => self.named = Some(format!("{value:?}")),
            "message" => {
                // A `String` takes everything.
                let _ = write!(self.text, "{value:?}");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(place: &mut Place, subject: u64, from: Instant, times: u32, apart: Duration) -> (u64, u64) {
        let (mut written, mut told) = (0, 0);
        for time in 0..times {
            if let Some(left_out) = place.take(subject, from + apart * time) {
                written += 1;
                told += left_out;
            }
        }
        (written, told)
    }

    #[test]
    fn one_subject_fills_no_disk_and_what_was_left_out_is_counted() {
        let start = Instant::now();
        let mut place = Place::new(start);
        // Ten thousand a second, for a minute.
        let (written, told) = lines(&mut place, 1, start, 600_000, Duration::from_micros(100));
        assert_eq!(written, 20 + 5, "those at once, and one in ten seconds");
        let last = place.take(1, start + Duration::from_secs(3600)).expect("an hour later");
        assert_eq!(written + 1 + told + last, 600_001, "none is forgotten");
    }

    #[test]
    fn a_loud_target_does_not_hide_a_quiet_one() {
        let start = Instant::now();
        let mut place = Place::new(start);
        lines(&mut place, 1, start, 100_000, Duration::ZERO);
        assert_eq!(place.take(2, start), Some(0));
    }

    #[test]
    fn who_varies_what_is_said_is_bounded_too_and_takes_no_memory() {
        let start = Instant::now();
        let mut place = Place::new(start);
        let written = (0..100_000).filter(|subject| place.take(*subject, start).is_some()).count();
        assert_eq!(written, 1000);
        assert!(place.subjects.len() <= SUBJECTS);
        let hour = start + Duration::from_secs(3600);
        assert_eq!(place.take(100_000, hour), Some(99_000));
        assert_eq!(place.subjects.len(), 1, "those that are quiet again are forgotten");
    }

    #[test]
    fn what_is_said_now_and_then_is_always_said() {
        let start = Instant::now();
        let mut place = Place::new(start);
        let (written, told) = lines(&mut place, 1, start, 1000, Duration::from_secs(10));
        assert_eq!((written, told), (1000, 0));
    }
}
