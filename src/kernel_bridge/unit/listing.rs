//! Which units a target has.
//!
//! ```text
//!   REPORT LUNS to unit 0 ─┬─ a list ──────────────────────────────────────────────────────► that
//!                          ├─ 5/20/00, and there is a unit 0 ──────────────────────────────► unit 0, and no other
//!                          └─ else refused ─► the well-known unit ─► unit 1 ─► INQUIRY of 0 to 255
//! ```
//! A target has REPORT LUNS at unit 0 or at the well-known unit (SAM-5 §4.7.4). In the field there are some that have
//! it at neither while unit 0 is not there, or that refuse it for a reason of that unit's own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use iscsi_proto::ids::Lun;
use iscsi_proto::scsi::cdb::{self, SelectReport};
use iscsi_proto::scsi::report_luns::ReportLuns;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::scan::{NoAnswer, PROBES, Scanner, inquired};

/// Room for the list of units at first: 2046 of them.
const LIST_LEN: u32 = 16 << 10;

/// The longest list that is read: 65534 units.
const MAX_LIST_LEN: u32 = 512 << 10;

/// Room for a target that takes no such allocation length: 255 units.
const SHORT_LIST_LEN: u32 = 2048;

/// The numbers that are tried where no list is to be had: those that peripheral device addressing has (SAM-5 §4.7.7.2).
/// Units above are found by a list alone.
const TRIED: std::ops::RangeInclusive<u32> = 0..=255;

/// How long trying them may take. What has not been found by then counts as not there.
const TRYING_LIMIT: Duration = Duration::from_secs(20);

/// How long an address that may not be there is given to answer.
const STRANGER_LIMIT: Duration = Duration::from_secs(5);

/// What a target has told of its units.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Their addresses, each unit once, no well-known ones.
    pub(crate) luns: Vec<Lun>,
    /// Where they are from.
    pub(crate) way: Way,
    /// A unit that is not among them is not there. Else nothing is known of those that are missing.
    pub(crate) whole: bool,
    /// What is wrong with the list, if anything; the end of a sentence.
    pub(crate) wrong: Option<String>,
    /// Units that the list had more than once.
    pub(crate) repeated: Vec<Lun>,
}

/// How a target's units are found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Unit 0 lists them.
    #[default]
    Usual,
    /// The target does not know the question, which is from before SPC-3: it has unit 0.
    OnlyZero,
    /// Another unit lists them.
    Elsewhere(Lun),
    /// None lists them: each number was tried.
    Tried,
}

impl Listing {
    fn of(addresses: impl IntoIterator<Item = Lun>, way: Way) -> Listing {
        let mut listing = Listing { way, ..Listing::default() };
        let (mut seen, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for lun in addresses {
            if lun.is_well_known() {
                continue;
            }
            // One unit may be written in several ways (SAM-5 §4.7); the first one counts.
            let new = seen.insert(lun) & lun.number().is_none_or(|number| numbers.insert(number));
            if new { listing.luns.push(lun) } else { listing.repeated.push(lun) }
        }
        listing
    }
}

impl Scanner {
    /// The units' addresses.
    pub(crate) async fn list(&self) -> Result<Listing, NoAnswer> {
        let refusal = match self.report(Lun(0)).await {
            Ok(listing) => return Ok(listing),
            Err(why) if why.is_refusal() => why,
            Err(why) => return Err(why),
        };
        if matches!(&refusal, NoAnswer::Refused(Some(sense)) if sense.invalid_opcode())
            && self.presence(Lun(0)).await? == Presence::There
        {
            return Ok(Listing::of([Lun(0)], Way::OnlyZero));
        }
        for lun in [Lun::REPORT_LUNS, Lun(1 << 48)] {
            match timeout(STRANGER_LIMIT, self.report(lun)).await {
                Ok(Ok(listing)) => return Ok(Listing { way: Way::Elsewhere(lun), ..listing }),
                Ok(Err(why)) if !why.is_refusal() => return Err(why),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let (found, any_answer) = self.try_numbers().await?;
        // A target that refuses everything has not said that there is nothing.
        if any_answer { Ok(Listing::of(found, Way::Tried)) } else { Err(refusal) }
    }

    /// REPORT LUNS to one unit.
    async fn report(&self, lun: Lun) -> Result<Listing, NoAnswer> {
        let (mut room, mut most) = (LIST_LEN, MAX_LIST_LEN);
        let mut cut = None;
        loop {
            let data = match self.ask(lun, cdb::report_luns(SelectReport::Logical, room), room).await {
                Ok(data) => data,
                Err(why) => match cut {
                    Some(listing) if why.is_refusal() => return Ok(listing),
                    _ if why.is_invalid_field() && room > SHORT_LIST_LEN => {
                        // The field may be the allocation length.
                        (room, most) = (SHORT_LIST_LEN, SHORT_LIST_LEN);
                        continue;
                    }
                    _ => return Err(why),
                },
            };
            let Some(list) = ReportLuns::parse(&data) else { return Err(NoAnswer::Refused(None)) };
            let mut listing = Listing::of(list.luns().chain(list.beyond()), Way::Usual);
            if list.is_complete() {
                listing.whole = list.is_well_formed();
                if !listing.whole {
                    listing.wrong = Some(format!("it says that it has {} bytes, and has not", list.needed() - 8));
                }
                // What was to be a list, and has nothing in it, is no list.
                let none = listing.luns.is_empty() && !listing.whole;
                return if none { Err(NoAnswer::Refused(None)) } else { Ok(listing) };
            }
            let promised = list.needed();
            if promised <= room {
                let came = data.len();
                listing.wrong = Some(format!("it says that it has {promised} bytes with its header, and has {came}"));
                return if listing.luns.is_empty() { Err(NoAnswer::Refused(None)) } else { Ok(listing) };
            }
            if room == most {
                listing.wrong = Some(format!("it has {promised} bytes, of which {most} are read"));
                return Ok(listing);
            }
            room = promised.clamp(room * 2, most.max(room * 2)).min(most);
            cut = Some(Listing { wrong: Some("the rest of it is refused".to_owned()), ..listing });
        }
    }

    /// Which of the numbers there is a unit at, and whether the target has answered for any of them.
    async fn try_numbers(&self) -> Result<(BTreeSet<Lun>, bool), NoAnswer> {
        let deadline = Instant::now() + TRYING_LIMIT;
        let turns = Arc::new(Semaphore::new(PROBES));
        let mut tries = JoinSet::new();
        for lun in TRIED.filter_map(Lun::from_number) {
            let (scanner, turns) = (self.clone(), turns.clone());
            tries.spawn(async move {
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                (lun, timeout(STRANGER_LIMIT, scanner.presence(lun)).await)
            });
        }
        let (mut found, mut any_answer) = (BTreeSet::new(), false);
        while let Ok(Some(tried)) = timeout_at(deadline, tries.join_next()).await {
            match tried {
                Ok((lun, Ok(Ok(Presence::There)))) => {
                    any_answer = true;
                    found.insert(lun);
                }
                Ok((_, Ok(Ok(Presence::NotThere)))) => any_answer = true,
                Ok((_, Ok(Ok(Presence::Untold)) | Err(_))) => {}
                Ok((_, Ok(Err(why)))) => return Err(why),
                Err(error) => tracing::error!("a look for a unit ended early: {error}"),
            }
        }
        Ok((found, any_answer))
    }

    /// Whether there is a unit at an address. An error is one of the connection.
    async fn presence(&self, lun: Lun) -> Result<Presence, NoAnswer> {
        match self.ask(lun, cdb::inquiry(36), 36).await {
            Ok(data) if inquired(&data).is_some() => Ok(Presence::There),
            Ok(_) => Ok(Presence::NotThere),
            // INQUIRY is to be answered for every address (SPC-5 §6.6.1). Many targets say it in this way.
            Err(NoAnswer::Refused(Some(sense))) if sense.unit_not_supported() => Ok(Presence::NotThere),
            Err(why) if why.is_refusal() => Ok(Presence::Untold),
            Err(why) => Err(why),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    NotThere,
    Untold,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_listed_once_and_the_first_way_to_write_it_counts() {
        let (one, flat_one, two) = (Lun(0x0001 << 48), Lun(0x4001 << 48), Lun(0x0002 << 48));
        let listing = Listing::of([one, two, flat_one, Lun::REPORT_LUNS, two], Way::Usual);
        assert_eq!(listing.luns, [one, two]);
        assert_eq!(listing.repeated, [flat_one, two]);
    }
}
