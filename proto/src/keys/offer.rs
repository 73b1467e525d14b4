//! What we are configured to offer.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::table::{KeyRow, Offer, TABLE};

impl Offer {
    /// All keys and their values, as the standard writes them and in its order.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let entry = |row: &KeyRow| Some((row.name, self.value(row.key)?.to_string()));
        TABLE.iter().filter_map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Key, KeyError, Value};

    /// Sets what is written so in a file.
    fn set(offer: &mut Offer, key: &str, value: &str) -> Result<(), KeyError> {
        let key = Key::configurable(key)?;
        let value = Value::parse(key, value)?;
        assert_eq!(offer.set(key, value), Some(()));
        Ok(())
    }

    #[test]
    fn the_entries_stand_in_the_standards_order_and_can_be_set_again() {
        let offer = Offer::default();
        let names: Vec<_> = offer.entries().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "HeaderDigest",
                "DataDigest",
                "MaxConnections",
                "InitialR2T",
                "ImmediateData",
                "MaxRecvDataSegmentLength",
                "MaxBurstLength",
                "FirstBurstLength",
                "DefaultTime2Wait",
                "DefaultTime2Retain",
                "MaxOutstandingR2T",
                "DataPDUInOrder",
                "DataSequenceInOrder",
                "ErrorRecoveryLevel",
            ]
        );
        let mut again = offer.clone();
        for (key, value) in offer.entries() {
            assert_eq!(set(&mut again, key, &value), Ok(()), "{key}={value}");
        }
        assert_eq!(again, offer);
    }

    #[test]
    fn each_key_takes_what_its_row_allows() {
        let mut offer = Offer::default();
        for (key, value, shown) in [
            ("HeaderDigest", "CRC32C,None", "CRC32C,None"),
            ("DataDigest", "crc32c", "CRC32C"),
            ("InitialR2T", "yes", "Yes"),
            ("ImmediateData", "No", "No"),
            ("MaxRecvDataSegmentLength", "0x1000", "4096"),
            ("MaxRecvDataSegmentLength", "512", "512"),
            ("MaxBurstLength", "16777215", "16777215"),
            ("DefaultTime2Wait", "0", "0"),
            ("ErrorRecoveryLevel", "2", "2"),
            ("MaxConnections", "65535", "65535"),
        ] {
            assert_eq!(set(&mut offer, key, value), Ok(()));
            assert!(offer.entries().contains(&(key, shown.to_string())), "{key}={value}");
        }
    }

    #[test]
    fn what_a_row_does_not_allow_is_told_and_changes_nothing() {
        let mut offer = Offer::default();
        for (key, value, says) in [
            ("Foo", "1", "there is no key 'Foo'"),
            ("maxburstlength", "512", "with its capitals"),
            ("TargetName", "x", "not for configuration"),
            ("AuthMethod", "None", "not for configuration"),
            ("IFMarker", "Yes", "not for configuration"),
            ("X-mine", "1", "not for configuration"),
            ("HeaderDigest", "MD5", "use None, CRC32C"),
            ("HeaderDigest", "None,None", "use None, CRC32C"),
            ("InitialR2T", "1", "use Yes or No"),
            ("MaxRecvDataSegmentLength", "511", "from 512 to 16777215"),
            ("MaxRecvDataSegmentLength", "16777216", "from 512 to 16777215"),
            ("MaxRecvDataSegmentLength", "4294967808", "from 512 to 16777215"),
            ("MaxBurstLength", "lots", "from 512 to 16777215"),
            ("MaxOutstandingR2T", "0", "from 1 to 65535"),
            ("ErrorRecoveryLevel", "3", "use 0, the only one that has an effect"),
            ("DefaultTime2Retain", "3601", "from 0 to 3600"),
        ] {
            let error = set(&mut offer, key, value).expect_err(key).to_string();
            assert!(error.contains(says), "{key}={value}: {error}");
        }
        assert_eq!(offer, Offer::default());
    }
}
