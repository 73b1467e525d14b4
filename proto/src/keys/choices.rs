//! What the user chose to offer instead of our defaults: typed where it comes in, and typed from then on.

use alloc::collections::BTreeMap;
use core::fmt;

use super::parse::KeyError;
use super::table::{Key, Offer};
use super::value::Value;

/// Values for some of the keys that are offered, each of its key's kind and in its range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices(BTreeMap<Key, Value>);

impl Choices {
    /// Chooses a value, as [`Value::parse`] reads it.
    ///
    /// # Errors
    /// As [`Value::parse`]; nothing has changed then.
    pub fn set(&mut self, key: Key, text: &str) -> Result<Value, KeyError> {
        let value = Value::parse(key, text)?;
        self.0.insert(key, value);
        Ok(value)
    }

    /// Goes back to our default.
    pub fn unset(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// All of them, in the standard's order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Value)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    /// Takes what `others` say; for a key that both have, theirs.
    pub fn extend(&mut self, others: &Choices) {
        self.0.extend(others.iter());
    }

    /// The choices that change nothing.
    pub fn without_effect(&self) -> impl Iterator<Item = NoEffect> {
        self.iter().filter_map(|(key, value)| NoEffect::of(key, value))
    }

    /// Our defaults, and what was chosen instead as far as it has an effect.
    pub fn offer(&self) -> Offer {
        let mut offer = Offer::default();
        for (key, value) in self.iter().filter(|(key, value)| NoEffect::of(*key, *value).is_none()) {
            // It was parsed for this key, so that its field takes it.
            offer.set(key, value);
        }
        offer
    }
}

/// A choice that changes nothing, because the initiator does not do it; displays as the sentence that refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEffect {
    /// The key.
    pub key: Key,
    /// What was chosen.
    pub value: Value,
    /// What is offered nevertheless.
    pub instead: Value,
    /// Why, a clause.
    pub why: &'static str,
}

impl NoEffect {
    fn of(key: Key, value: Value) -> Option<NoEffect> {
        let why = key.row()?.offered?.only?;
        let instead = Offer::default().value(key)?;
        (value != instead).then_some(NoEffect { key, value, instead, why })
    }
}

impl fmt::Display for NoEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoEffect { key, value, instead, why } = self;
        write!(f, "{} {value} would have no effect: {why}; leave it at {instead}", key.name())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
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
                let instead =
                    choices.without_effect().find(|choice| choice.key == row.key).map(|choice| choice.instead);
                assert_eq!(choices.offer().value(row.key), instead.or(Some(value)), "{}={text}", row.name);
            }
        }
        assert_eq!(choices.iter().count(), Offer::default().entries().len());
    }

    #[test]
    fn what_we_do_not_do_is_not_offered_and_told_with_what_is() {
        let mut choices = Choices::default();
        for (key, neutral, other) in [
            (Key::MaxConnections, "1", "4"),
            (Key::DataPDUInOrder, "Yes", "No"),
            (Key::DataSequenceInOrder, "Yes", "No"),
            (Key::ErrorRecoveryLevel, "0", "2"),
        ] {
            choices.set(key, neutral).expect(neutral);
            assert_eq!(choices.without_effect().count(), 0, "{} {neutral}", key.name());
            choices.set(key, other).expect(other);
            assert_eq!(choices.offer(), Offer::default());
            let sentence = choices.without_effect().map(|choice| choice.to_string()).collect::<Vec<_>>().join("\n");
            assert!(sentence.starts_with(&format!("{} {other} would have no effect: this iscsid ", key.name())));
            assert!(sentence.ends_with(&format!("; leave it at {neutral}")), "{sentence}");
            choices.unset(key);
        }
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
