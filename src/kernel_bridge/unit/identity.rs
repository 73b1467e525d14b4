//! What makes a unit the same disk as before.

use super::info::UnitInfo;

/// What a disk was when it was first found; only its size may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    device_type: u8,
    vendor: String,
    product: String,
    /// VPD 83h.
    identifier: Option<String>,
    /// VPD 80h.
    serial: Option<String>,
    block_size: u32,
    blocks: u64,
}

/// How a unit's present answers compare with its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// The same disk.
    Same,
    /// It cannot be told yet, and why: the unit may still be starting.
    Unclear(String),
    /// Another disk, and how that shows.
    Other(String),
}

/// Whether the size counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// The target has told us of every change: it may have any size.
    May,
    /// Changes may have been missed: a disk of another size may be another disk with copied names.
    Must,
}

/// What to say of a unit that has become another disk.
pub(crate) fn other_disk(how: &str) -> String {
    format!("it is not the disk that it was ({how}); log out and in again to use what is there now")
}

impl Identity {
    /// The identity of a disk as a scan found it; `None` if the unit is no disk, or is not ready.
    pub(crate) fn of(info: &UnitInfo) -> Option<Identity> {
        let geometry = info.geometry?;
        Some(Identity {
            device_type: info.device_type,
            vendor: info.vendor.clone(),
            product: info.product.clone(),
            identifier: info.identifier.clone(),
            serial: info.serial.clone(),
            block_size: geometry.block_size,
            blocks: geometry.blocks,
        })
    }

    /// It has another size now.
    pub(crate) fn resized(&mut self, blocks: u64) {
        self.blocks = blocks;
    }

    /// Compares it with what is at its place now.
    pub(crate) fn likeness(&self, now: &UnitInfo, size: Size) -> Likeness {
        if self.device_type != now.device_type {
            return Likeness::Other(format!(
                "it is a device of type {:#04x} now, not {:#04x}",
                now.device_type, self.device_type
            ));
        }
        for (what, was, is) in
            [("identifier", &self.identifier, &now.identifier), ("serial number", &self.serial, &now.serial)]
        {
            match (was, is) {
                (Some(was), Some(is)) if was != is => {
                    return Likeness::Other(format!("its {what} is {is} now, not {was}"));
                }
                (Some(was), None) => return Likeness::Unclear(format!("it does not tell its {what}, which was {was}")),
                // It may have been too busy to tell when it was found.
                _ => {}
            }
        }
        let unnamed = self.identifier.is_none() && self.serial.is_none();
        if unnamed && (&self.vendor, &self.product) != (&now.vendor, &now.product) {
            return Likeness::Other(format!(
                "it is a {} {} now, not a {} {}",
                now.vendor, now.product, self.vendor, self.product
            ));
        }
        let Some(geometry) = now.geometry else {
            return Likeness::Unclear(now.problem.clone().unwrap_or_else(|| "it is not ready".to_owned()));
        };
        if self.block_size != geometry.block_size {
            return Likeness::Other(format!(
                "its blocks have {} bytes now, not {}",
                geometry.block_size, self.block_size
            ));
        }
        if size == Size::Must && self.blocks != geometry.blocks {
            return Likeness::Other(format!("it has {} blocks now, not {}", geometry.blocks, self.blocks));
        }
        Likeness::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Geometry;
    use iscsi_proto::ids::Lun;

    fn info(identifier: Option<&str>, serial: Option<&str>, blocks: u64) -> UnitInfo {
        let geometry = Geometry {
            block_size: 512,
            blocks,
            physical_block_size: 512,
            max_transfer: 4096,
            optimal_transfer: 4096,
            max_unmap_blocks: 0,
            max_zero_blocks: 0,
            read_only: false,
            write_cache: false,
            rotational: false,
            slow_zeroes: false,
        };
        UnitInfo {
            lun: Lun(0),
            device_type: 0,
            administrative: false,
            vendor: "ACME".into(),
            product: "DISK".into(),
            revision: "1".into(),
            serial: serial.map(Into::into),
            identifier: identifier.map(Into::into),
            geometry: Some(geometry),
            problem: None,
            workarounds: Vec::new(),
            failed: None,
        }
    }

    fn likeness(was: &UnitInfo, is: &UnitInfo, size: Size) -> Likeness {
        Identity::of(was).expect("a disk").likeness(is, size)
    }

    #[test]
    fn another_name_is_another_disk_and_no_name_is_not_clear_yet() {
        let was = info(Some("naa.1"), Some("ONE"), 8);
        assert_eq!(likeness(&was, &was, Size::Must), Likeness::Same);
        for is in [info(Some("naa.2"), Some("ONE"), 8), info(Some("naa.1"), Some("TWO"), 8)] {
            assert!(matches!(likeness(&was, &is, Size::May), Likeness::Other(_)), "{is:?}");
        }
        for is in [info(None, Some("ONE"), 8), UnitInfo { geometry: None, ..was.clone() }] {
            assert!(matches!(likeness(&was, &is, Size::May), Likeness::Unclear(_)), "{is:?}");
        }
        let nameless = info(None, None, 8);
        let stranger = UnitInfo { product: "OTHER".into(), ..nameless.clone() };
        assert!(matches!(likeness(&nameless, &stranger, Size::May), Likeness::Other(_)));
    }

    #[test]
    fn a_new_revision_is_the_same_disk() {
        let was = info(None, None, 8);
        assert_eq!(likeness(&was, &UnitInfo { revision: "2".into(), ..was.clone() }, Size::Must), Likeness::Same);
    }

    #[test]
    fn a_size_that_changed_while_nobody_watched_is_another_disk() {
        let (was, is) = (info(Some("naa.1"), None, 8), info(Some("naa.1"), None, 16));
        assert_eq!(likeness(&was, &is, Size::May), Likeness::Same);
        assert!(matches!(likeness(&was, &is, Size::Must), Likeness::Other(_)));
    }

    #[test]
    fn other_blocks_are_another_disk() {
        let was = info(Some("naa.1"), None, 8);
        let mut is = was.clone();
        is.geometry.as_mut().expect("a disk").block_size = 4096;
        assert!(matches!(likeness(&was, &is, Size::May), Likeness::Other(_)));
    }
}
