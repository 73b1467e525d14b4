//! What the user chose to offer instead of our defaults: typed where it comes in, and typed from then on.

use alloc::collections::BTreeMap;

use super::table::{Key, Offer};
use super::value::{KeyError, Value};

/// Values for some of the keys that are offered, each of its key's kind and in its range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices(BTreeMap<Key, Value>);

impl Choices {
    /// Chooses a value, as [`Value::parse`] reads it.
    ///
    /// # Errors
    /// As [`Value::parse`]; nothing has changed then.
    pub fn set(&mut self, key: Key, text: &str) -> Result<(), KeyError> {
        self.0.insert(key, Value::parse(key, text)?);
        Ok(())
    }

    /// Goes back to our default.
    pub fn unset(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// What was chosen for `key`, if anything.
    pub fn get(&self, key: Key) -> Option<Value> {
        self.0.get(&key).copied()
    }

    /// All of them, in the standard's order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Value)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    /// Takes what `others` say; for a key that both have, theirs.
    pub fn extend(&mut self, others: &Choices) {
        self.0.extend(others.iter());
    }

    /// Our defaults, and what was chosen instead.
    pub fn offer(&self) -> Offer {
        let mut offer = Offer::default();
        for (key, value) in self.iter() {
            // It was parsed for this key, so that its field takes it.
            offer.put(key, value);
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;
    use crate::keys::TABLE;

    #[test]
    fn what_was_chosen_is_offered_and_the_rest_as_by_default() {
        let mut choices = Choices::default();
        assert_eq!(choices.offer(), Offer::default());
        choices.set(Key::MaxBurstLength, "0x10000").expect("in range");
        choices.set(Key::ImmediateData, "no").expect("a flag");
        assert_eq!(choices.offer(), Offer { max_burst_length: 65_536, immediate_data: false, ..Offer::default() });
        choices.unset(Key::MaxBurstLength);
        assert_eq!(choices.offer(), Offer { immediate_data: false, ..Offer::default() });
    }

    #[test]
    fn every_value_that_may_be_chosen_is_one_that_can_be_offered() {
        let mut choices = Choices::default();
        for row in TABLE {
            for text in ["No", "Yes", "CRC32C,None", "0", "1", "512", "3600", "65535", "16777215"] {
                let Ok(value) = Value::parse(row.key, text) else { continue };
                choices.set(row.key, text).expect(text);
                assert_eq!(choices.offer().value(row.key), Some(value), "{}={text}", row.name);
            }
        }
        assert_eq!(choices.iter().count(), Offer::default().entries().len());
    }

    #[test]
    fn a_value_out_of_range_and_a_key_that_is_not_for_configuration_change_nothing() {
        let mut choices = Choices::default();
        for (key, text) in [(Key::MaxBurstLength, "511"), (Key::InitialR2T, ""), (Key::TargetName, "x")] {
            choices.set(key, text).expect_err(text);
        }
        assert_eq!(choices, Choices::default());
    }

    #[test]
    fn what_others_say_wins() {
        let mut choices = Choices::default();
        choices.set(Key::InitialR2T, "Yes").expect("a flag");
        choices.set(Key::HeaderDigest, "CRC32C").expect("a digest");
        let mut others = Choices::default();
        others.set(Key::HeaderDigest, "None").expect("a digest");
        choices.extend(&others);
        let all: Vec<_> = choices.iter().map(|(key, value)| (key.name(), value.to_string())).collect();
        assert_eq!(all, [("HeaderDigest", "None".to_string()), ("InitialR2T", "Yes".to_string())]);
    }
}
