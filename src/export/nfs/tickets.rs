//! Paths that are good for one mount.
//!
//! A path is seen by all: in the arguments of mount_nfs while it runs, and in the mount table afterwards.
//! So what attaches a unit takes a ticket, which nobody can use again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::block::UnitName;

/// How long a ticket is good.
const HOLDS: Duration = Duration::from_secs(60);

/// How many may be out at a time; the oldest go.
const MOST: usize = 1024;

/// The tickets that are out.
#[derive(Debug, Default)]
pub struct Tickets {
    out: Mutex<BTreeMap<String, (UnitName, Instant)>>,
}

impl Tickets {
    /// A path, without the `/` before it, by which the directory of `unit` can be mounted once, within
    /// a minute.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn issue(&self, unit: &str) -> io::Result<String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let ticket: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        out.retain(|_, (_, until)| *until > now);
        while out.len() >= MOST
            && let Some(oldest) = out.iter().min_by_key(|(_, (_, until))| *until).map(|(path, _)| path.clone())
        {
            out.remove(&oldest);
        }
        out.insert(ticket.clone(), (unit.to_owned(), now + HOLDS));
        Ok(ticket)
    }

    /// The unit a ticket is for; it is good no more.
    pub(super) fn redeem(&self, ticket: &str) -> Option<UnitName> {
        let (unit, until) = self.out.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket)?;
        (until > Instant::now()).then_some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_and_for_a_minute() {
        let tickets = Tickets::default();
        let ticket = tickets.issue("a/0").expect("random numbers");
        assert_eq!(tickets.redeem(&ticket).as_deref(), Some("a/0"));
        assert_eq!(tickets.redeem(&ticket), None);
        let late = tickets.issue("a/0").expect("random numbers");
        tokio::time::advance(HOLDS).await;
        assert_eq!(tickets.redeem(&late), None);
    }
}
