//! Where the next operation goes, and, for a load that compares, what is there.

use fastrand::Rng;

/// How many places a load that compares keeps to: four bytes each.
pub(super) const MAX_VERIFIED: u64 = 1 << 20;

/// In the ledger: an operation is under way there.
const BUSY: u32 = 1 << 31;

/// The places of a unit, each as long as an operation.
pub(super) struct Places {
    count: u64,
    random: bool,
    cursor: u64,
    /// For each place the number of its last write, from 1 on, and [`BUSY`]; empty where nothing is compared.
    ledger: Vec<u32>,
}

impl Places {
    /// `count` of them, at least 1.
    pub(super) fn new(count: u64, random: bool, ledger: bool) -> Places {
        let count = if ledger { count.min(MAX_VERIFIED) } else { count };
        let length = if ledger { count as usize } else { 0 };
        Places { count, random, cursor: 0, ledger: vec![0; length] }
    }

    /// The next one. With a ledger it is one where nothing is under way: there must be one.
    pub(super) fn next(&mut self, rng: &mut Rng) -> u64 {
        let mut place = if self.random { rng.u64(..self.count) } else { self.cursor };
        while self.is_busy(place) {
            place = self.after(place);
        }
        self.cursor = self.after(place);
        place
    }

    /// An operation begins there. The number of the write that is there, or will be; 0 for none of this load, and
    /// without a ledger.
    pub(super) fn begin(&mut self, place: u64, write: bool) -> u32 {
        let Some(entry) = self.ledger.get_mut(place as usize) else { return 0 };
        if write {
            *entry = (*entry + 1) % BUSY;
            // 0 is for what was never written.
            *entry += u32::from(*entry == 0);
        }
        let number = *entry;
        *entry |= BUSY;
        number
    }

    /// It has ended.
    pub(super) fn end(&mut self, place: u64) {
        if let Some(entry) = self.ledger.get_mut(place as usize) {
            *entry &= !BUSY;
        }
    }

    /// How many places were written to.
    pub(super) fn written(&self) -> u64 {
        self.ledger.iter().filter(|entry| **entry != 0).count() as u64
    }

    /// The first one from there on that was written to.
    pub(super) fn written_from(&self, place: u64) -> Option<u64> {
        let rest = self.ledger.get(place as usize..)?;
        rest.iter().position(|entry| *entry != 0).map(|offset| place + offset as u64)
    }

    fn is_busy(&self, place: u64) -> bool {
        self.ledger.get(place as usize).is_some_and(|entry| entry & BUSY != 0)
    }

    fn after(&self, place: u64) -> u64 {
        if place + 1 < self.count { place + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_comes_round() {
        let (mut places, mut rng) = (Places::new(3, false, false), Rng::with_seed(1));
        assert_eq!([0; 5].map(|_: u64| places.next(&mut rng)), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn random_ones_are_all_over_the_unit() {
        let (mut places, mut rng) = (Places::new(8, true, false), Rng::with_seed(1));
        let mut seen = [0; 8];
        (0..800).for_each(|_| seen[places.next(&mut rng) as usize] += 1);
        assert!(seen.iter().all(|times| (50..200).contains(times)), "{seen:?}");
    }

    #[test]
    fn with_a_ledger_no_two_operations_are_in_one_place() {
        let (mut places, mut rng) = (Places::new(4, true, true), Rng::with_seed(1));
        let mut taken: Vec<u64> = (0..4)
            .map(|_| {
                let place = places.next(&mut rng);
                places.begin(place, false);
                place
            })
            .collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3]);
        places.end(2);
        assert_eq!(places.next(&mut rng), 2);
    }

    #[test]
    fn writes_of_a_place_are_numbered_and_reads_know_the_last() {
        let mut places = Places::new(4, false, true);
        assert_eq!(places.begin(3, false), 0);
        places.end(3);
        assert_eq!([places.begin(3, true), places.begin(1, true)], [1, 1]);
        places.end(3);
        assert_eq!(places.begin(3, true), 2);
        places.end(3);
        assert_eq!(places.begin(3, false), 2);
        assert_eq!(places.written(), 2);
        assert_eq!([0, 2, 4].map(|from| places.written_from(from)), [Some(1), Some(3), None]);
    }

    #[test]
    fn a_ledger_is_bounded() {
        assert_eq!(Places::new(u64::MAX, true, true).ledger.len() as u64, MAX_VERIFIED);
    }
}
