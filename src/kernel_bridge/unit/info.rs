//! What a scan has found of a unit, for people and for the daemon.

use iscsi_proto::ids::Lun;

use super::failures::FailedIo;
use crate::block::Geometry;

/// A unit as found on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitInfo {
    /// Its number.
    pub lun: Lun,
    /// Peripheral device type of its INQUIRY data: 0 is a disk.
    pub device_type: u8,
    /// It administers others, the subsidiary units of its conglomerate (SAM-5 §4.7.6), and has no medium itself,
    /// whatever its device type.
    pub administrative: bool,
    /// T10 vendor identification, trimmed.
    pub vendor: String,
    /// Product identification, trimmed.
    pub product: String,
    /// Product revision level, trimmed.
    pub revision: String,
    /// Unit serial number (VPD 80h), trimmed.
    pub serial: Option<String>,
    /// The best designator of VPD 83h, such as `naa.6001405…`.
    pub identifier: Option<String>,
    /// What the exports see; `None` if the unit is no disk, or is not ready.
    pub geometry: Option<Geometry>,
    /// Why a disk has no geometry.
    pub problem: Option<String>,
    /// What it does otherwise than others, and what is done about it; sentences without their subject.
    pub workarounds: Vec<String>,
    /// What of its I/O has failed.
    pub failed: Option<FailedIo>,
}

impl UnitInfo {
    /// Marks it as unusable, and says why.
    pub(crate) fn become_offline(&mut self, why: &str) {
        self.geometry = None;
        self.problem = Some(format!("it is offline: {why}"));
    }
}

/// Name of a unit in the registry: the target's and its number, or its address in hexadecimal where
/// it has no number.
pub fn unit_name(target: &str, lun: Lun) -> String {
    format!("{target}/{lun}")
}
