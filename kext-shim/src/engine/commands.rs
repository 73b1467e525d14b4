//! The commands that a session has taken on.
//!
//! ```text
//!            submit           issue                   event
//!   Free ──────────► Parked ─────────► Issued(ITT) ──────────► Free
//!                      ▲                   │ connection lost, not sent before a logout
//!                      └───────────────────┘
//! ```
//! A tag is the entry and its generation, never 0, so that one that has ended is recognised.
//!
//! A command that is parked a second time is to be issued again: until it is through, later commands of the stack to
//! the same blocks stay parked ([`Order`]).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::reissue::{Arrival, Extent, Order, put_back};
use iscsi_proto::session::Command;

/// Whose command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The SCSI stack's: it outlives its connection.
    Stack,
    /// The daemon's: it goes out while the session is held, and ends with its connection.
    Daemon,
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free { next: u16 },
    Parked,
    Issued(Itt),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) state: State,
    generation: u32,
    /// Its place among all of the session.
    arrival: Arrival,
    pub(crate) token: u64,
    pub(crate) command: Command,
    pub(crate) origin: Origin,
    /// It took too long.
    pub(crate) overdue: bool,
    /// Somebody wants it ended: it is not issued again.
    pub(crate) unwanted: bool,
}

impl Entry {
    fn extent(&self) -> Option<Extent> {
        Extent::of(self.command.lun, &self.command.cdb)
    }
}

const NONE: u16 = u16::MAX;

/// All of them: a fixed number of entries.
#[derive(Debug)]
pub(crate) struct Commands {
    entries: Vec<Entry>,
    free: u16,
    used: usize,
    order: Order,
    /// Those that wait for their turn, oldest first.
    parked: VecDeque<u16>,
    /// By slot of the ITT.
    owners: Vec<u16>,
}

impl Commands {
    /// `count` entries, up to 65000, for a core with up to `slots` task slots.
    pub(crate) fn new(count: u16, slots: usize, empty: Command) -> Commands {
        let entry = |index: u16| Entry {
            state: State::Free { next: if index + 1 < count { index + 1 } else { NONE } },
            generation: 0,
            arrival: Arrival::default(),
            token: 0,
            command: empty,
            origin: Origin::Stack,
            overdue: false,
            unwanted: false,
        };
        let mut owners = Vec::with_capacity(slots);
        owners.resize(slots, NONE);
        Commands {
            entries: (0..count).map(entry).collect(),
            free: if count == 0 { NONE } else { 0 },
            used: 0,
            order: Order::with_capacity(usize::from(count)),
            parked: VecDeque::with_capacity(usize::from(count)),
            owners,
        }
    }

    /// Memory that `new` takes, in bytes.
    pub(crate) fn memory(count: u16, slots: usize) -> usize {
        let count = usize::from(count);
        count * (size_of::<Entry>() + size_of::<u16>()) + Order::memory(count) + slots * size_of::<u16>()
    }

    /// Takes a command on, to wait for its turn.
    pub(crate) fn insert(&mut self, token: u64, command: Command, origin: Origin) -> Option<u16> {
        let index = self.free;
        let entry = self.entries.get_mut(usize::from(index))?;
        let State::Free { next } = entry.state else { return None };
        self.free = next;
        self.used += 1;
        let generation = entry.generation;
        *entry = Entry {
            state: State::Parked,
            generation,
            arrival: self.order.arrive(),
            token,
            command,
            origin,
            overdue: false,
            unwanted: false,
        };
        self.parked.push_back(index);
        Some(index)
    }

    pub(crate) fn find(&self, tag: u64) -> Option<u16> {
        let index = u16::try_from((tag & 0xffff_ffff).checked_sub(1)?).ok()?;
        let entry = self.entries.get(usize::from(index))?;
        (!matches!(entry.state, State::Free { .. }) && u64::from(entry.generation) == tag >> 32).then_some(index)
    }

    pub(crate) fn get(&self, index: u16) -> Option<&Entry> {
        self.entries.get(usize::from(index)).filter(|entry| !matches!(entry.state, State::Free { .. }))
    }

    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut Entry> {
        self.entries.get_mut(usize::from(index)).filter(|entry| !matches!(entry.state, State::Free { .. }))
    }

    pub(crate) fn tag(&self, index: u16) -> u64 {
        self.entries.get(usize::from(index)).map_or(0, |entry| tag(index, entry.generation))
    }

    /// The one that the core knows under that tag.
    pub(crate) fn owner(&self, itt: Itt) -> Option<u16> {
        let index = *self.owners.get(itt.slot())?;
        self.get(index).is_some_and(|entry| entry.state == State::Issued(itt)).then_some(index)
    }

    /// The next one whose turn it is; only of the daemon where the stack's are `held`.
    pub(crate) fn next(&self, held: bool) -> Option<u16> {
        let goes_out = |entry: &Entry| !held || entry.origin == Origin::Daemon;
        let due = |entry: &Entry| !entry.unwanted && goes_out(entry) && !self.is_behind(entry);
        self.parked.iter().copied().find(|&index| self.get(index).is_some_and(due))
    }

    /// Whether it must wait for an earlier one to the same blocks that is issued again and not through. The daemon's
    /// wait for nobody: what is issued again may be waiting for them.
    pub(crate) fn is_behind(&self, entry: &Entry) -> bool {
        !self.order.is_calm()
            && entry.origin == Origin::Stack
            && entry.extent().is_some_and(|extent| self.order.is_behind(entry.arrival, &extent))
    }

    /// The core has taken it on under that tag.
    pub(crate) fn issued(&mut self, index: u16, itt: Itt) {
        self.unpark(index);
        if let Some(entry) = self.entries.get_mut(usize::from(index)) {
            entry.state = State::Issued(itt);
        }
        if let Some(owner) = self.owners.get_mut(itt.slot()) {
            *owner = index;
        }
    }

    /// The core has given it back: it waits again, before all that came later.
    pub(crate) fn park(&mut self, index: u16) {
        let Some(entry) = self.get_mut(index) else { return };
        entry.state = State::Parked;
        let (arrival, extent) = (entry.arrival, entry.extent());
        if let Some(extent) = extent {
            self.order.again(arrival, extent);
        }
        let entries = &self.entries;
        let arrival_of = |index: &u16| entries.get(usize::from(*index)).map_or(arrival, |entry| entry.arrival);
        put_back(&mut self.parked, index, arrival_of);
    }

    fn unpark(&mut self, index: u16) {
        match self.parked.front() {
            Some(&front) if front == index => {
                self.parked.pop_front();
            }
            _ => self.parked.retain(|&parked| parked != index),
        }
    }

    /// It has ended.
    pub(crate) fn remove(&mut self, index: u16) {
        let parked = self.get(index).is_some_and(|entry| entry.state == State::Parked);
        if parked {
            self.unpark(index);
        }
        let free = self.free;
        if let Some(entry) = self.get_mut(index) {
            entry.state = State::Free { next: free };
            entry.generation = entry.generation.wrapping_add(1);
            let arrival = entry.arrival;
            self.free = index;
            self.used -= 1;
            self.order.through(arrival);
        }
    }

    /// The address under which the commands here know the unit of `lun`: a unit may be written in several ways (SAM-5
    /// §4.7), and macOS names it by its number where it asks for task management.
    pub(crate) fn address(&self, lun: Lun) -> Lun {
        let number = lun.number();
        let mut entries = self.entries.iter().filter(|entry| !matches!(entry.state, State::Free { .. }));
        let same = entries.find(|entry| number.is_some() && entry.command.lun.number() == number);
        same.map_or(lun, |entry| entry.command.lun)
    }

    pub(crate) fn count(&self) -> u16 {
        self.entries.len() as u16
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn waiting(&self) -> usize {
        self.parked.len()
    }
}

fn tag(index: u16, generation: u32) -> u64 {
    u64::from(generation) << 32 | (u64::from(index) + 1)
}
