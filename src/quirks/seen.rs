//! What was seen of one target in a session, or of one unit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::table::{Policy, Quirk, Treatment};

/// The longest detail that is kept, in bytes.
const DETAIL: usize = 256;

/// Quirks that were seen, each with what was seen last; it is as long as the session. It cannot grow beyond the table.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeMap<Quirk, String>>);

impl Seen {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Quirk, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `whose` (a target's or a unit's name) shows `quirk`; `detail` (often empty) says what exactly. The log is told
    /// the first time only. Whether this was the first time.
    pub fn note(&self, whose: impl fmt::Display, quirk: Quirk, detail: &str) -> bool {
        let mut end = detail.len().min(DETAIL);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        let first = self.lock().insert(quirk, detail[..end].to_owned()).is_none();
        if first {
            let (sentence, treatment) = (sentence(quirk, &detail[..end]), quirk.policy().treatment);
            match treatment {
                Treatment::Refused | Treatment::Warned => tracing::warn!("{whose} {sentence}"),
                Treatment::Normal => tracing::info!("{whose} {sentence}"),
            }
        }
        first
    }

    /// Whether it was seen.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.lock().contains_key(&quirk)
    }

    /// One sentence for each, without its subject, in the order of the table.
    pub fn sentences(&self) -> Vec<String> {
        self.lock().iter().map(|(quirk, detail)| sentence(*quirk, detail)).collect()
    }
}

fn sentence(quirk: Quirk, detail: &str) -> String {
    let Policy { does, we, .. } = quirk.policy();
    match detail {
        "" => format!("{does}; {we}"),
        detail => format!("{does} ({detail}); {we}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quirk_is_told_once_and_remembered() {
        let seen = Seen::default();
        assert!(!seen.has(Quirk::RefusesSynchronizeCache16));
        assert!(seen.note("disk/0", Quirk::RefusesSynchronizeCache16, "05/24/00"));
        assert!(!seen.note("disk/0", Quirk::RefusesSynchronizeCache16, "05/24/00"));
        assert!(seen.has(Quirk::RefusesSynchronizeCache16));
        assert_eq!(seen.sentences(), ["refuses SYNCHRONIZE CACHE (16) (05/24/00); SYNCHRONIZE CACHE (10) is used"]);
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let seen = Seen::default();
        seen.note("disk/0", Quirk::RefusesReadWrite16, &"ü".repeat(1000));
        assert!(seen.sentences()[0].len() < 400);
    }
}
