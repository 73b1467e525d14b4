//! The order of a session's commands, and what must not overtake a command that is issued again.
//!
//! ```text
//!   1 write A ── lost ──► again ──► under way ──► through
//!   2 write B ──────────────────────────────────────────────►   other blocks: goes at once
//!   3 write A ── behind 1 ································──►   goes now
//! ```
//! It costs nothing while nothing is issued again: nothing is remembered, and nothing compared.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::extent::Extent;

/// A command's place among all of its session, in the order in which they arrived. The default is that of a command
/// that has not arrived yet, before all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Arrival(u64);

/// A command that is issued again, from then on until it is through.
#[derive(Debug, Clone, Copy)]
struct Again {
    arrival: Arrival,
    extent: Extent,
}

/// The order of the commands of a session.
#[derive(Debug, Default)]
pub struct Order {
    arrived: u64,
    /// In the order of arrival.
    again: Vec<Again>,
}

impl Order {
    /// No command has arrived. It allocates when more than `commands` are issued again at once, and not before.
    pub fn with_capacity(commands: usize) -> Order {
        Order { arrived: 0, again: Vec::with_capacity(commands) }
    }

    /// Memory that `with_capacity` takes, in bytes.
    pub const fn memory(commands: usize) -> usize {
        commands * size_of::<Again>()
    }

    /// The place of a new command.
    pub fn arrive(&mut self) -> Arrival {
        self.arrived += 1;
        Arrival(self.arrived)
    }

    /// Whether no command is issued again: then none is [behind](Self::is_behind) another one.
    pub fn is_calm(&self) -> bool {
        self.again.is_empty()
    }

    /// That command is to be issued again. It touches these blocks until it is [`through`](Self::through).
    pub fn again(&mut self, arrival: Arrival, extent: Extent) {
        let again = Again { arrival, extent };
        match self.find(arrival) {
            Ok(known) => {
                if let Some(known) = self.again.get_mut(known) {
                    *known = again;
                }
            }
            Err(place) => self.again.insert(place, again),
        }
    }

    /// That command has ended. Says whether it was to be issued again: others may have been behind it.
    pub fn through(&mut self, arrival: Arrival) -> bool {
        let found = self.find(arrival);
        if let Ok(place) = found {
            self.again.remove(place);
        }
        found.is_ok()
    }

    /// Whether a command must wait, since an earlier one to the same blocks is issued again and not through.
    pub fn is_behind(&self, arrival: Arrival, extent: &Extent) -> bool {
        let earlier = self.again.iter().take_while(|again| again.arrival < arrival);
        earlier.map(|again| again.extent).any(|earlier| earlier.collides(extent))
    }

    fn find(&self, arrival: Arrival) -> Result<usize, usize> {
        self.again.binary_search_by_key(&arrival, |again| again.arrival)
    }
}

/// Puts a command back into a queue that is in the order of arrival: before everything that arrived after it.
pub fn put_back<T>(queue: &mut VecDeque<T>, command: T, arrival: impl Fn(&T) -> Arrival) {
    let place = queue.partition_point(|queued| arrival(queued) < arrival(&command));
    queue.insert(place, command);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Lun;
    use crate::reissue::Access;

    const LUN: Lun = Lun(0);

    fn write(lba: u64) -> Extent {
        Extent::new(LUN, Access::Changes, lba, 8)
    }

    // check: recovery-replay-order
    #[test]
    fn a_later_command_to_the_same_blocks_is_behind_one_that_is_issued_again_until_that_is_through() {
        let mut order = Order::default();
        let [before, first, second] = [(); 3].map(|()| order.arrive());
        assert!(!order.is_behind(second, &write(100)), "nothing has gone wrong");
        order.again(first, write(100));
        assert!(order.is_behind(second, &write(104)));
        assert!(!order.is_behind(second, &write(108)), "other blocks");
        assert!(!order.is_behind(before, &write(104)), "it was earlier");
        assert!(!order.is_behind(first, &write(100)), "it is not behind itself");
        let late = order.arrive();
        assert!(order.is_behind(late, &Extent::everything(LUN)));
        assert!(order.through(first));
        assert!(order.is_calm() && !order.is_behind(second, &write(104)));
    }

    #[test]
    fn of_several_that_are_issued_again_each_is_behind_the_earlier_ones() {
        let mut order = Order::default();
        let places = [(); 3].map(|()| order.arrive());
        // Given back in no order.
        for n in [2, 0, 1] {
            order.again(places[n], write(100));
        }
        for n in 0..3 {
            let behind = places.map(|place| order.is_behind(place, &write(100)));
            assert_eq!(behind, [false, n < 1, n < 2], "{n} are through");
            assert!(order.through(places[n]));
        }
        assert!(order.is_calm());
    }

    #[test]
    fn one_that_is_issued_again_more_than_once_counts_once() {
        let mut order = Order::with_capacity(1);
        let (first, second) = (order.arrive(), order.arrive());
        order.again(first, write(100));
        order.again(first, write(200));
        assert!(!order.is_behind(second, &write(100)) && order.is_behind(second, &write(200)), "the last word");
        assert!(order.through(first));
        assert!(!order.through(first) && !order.through(second), "nobody waits for these");
    }

    #[test]
    fn what_comes_back_goes_before_what_arrived_later() {
        let mut order = Order::default();
        let [first, second, third] = [(); 3].map(|()| order.arrive());
        let mut queue = VecDeque::from([third]);
        for back in [second, first] {
            put_back(&mut queue, back, |place| *place);
        }
        put_back(&mut queue, order.arrive(), |place| *place);
        assert_eq!(queue.iter().take(3).copied().collect::<Vec<_>>(), [first, second, third]);
        assert!(Arrival::default() < first);
    }
}
