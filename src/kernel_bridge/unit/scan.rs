//! What the units of a target are like.
//!
//! ```text
//!   listing ──► per unit: INQUIRY ──► VPD 00, 80, 83, B0, B1, B2
//!                                    └──► READ CAPACITY (16, else 10), MODE SENSE (6, else 10)
//! ```

use std::fmt;
use std::sync::Arc;

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::ScsiStatus;
use iscsi_proto::scsi::capacity::{Capacity, Capacity10};
use iscsi_proto::scsi::cdb;
use iscsi_proto::scsi::inquiry::{Qualifier, StandardInquiry};
use iscsi_proto::scsi::mode::{CACHING_PAGE, ModeParameters};
use iscsi_proto::scsi::vpd::{self, BlockLimits, Provisioning, RotationRate, page};
use iscsi_proto::scsi::{Cdb, Malformed, Sense, SenseKey};
use iscsi_proto::session::Data;
use tokio::sync::oneshot;

use super::features::{Features, Granule, Unmap};
use super::info::UnitInfo;
use super::request::{Inbox, Payload, RawDone, Request, Work};
use super::step::MOST_SAME_BLOCKS;
use crate::block::{Geometry, IoError, MAX_BUFFER};

/// Units asked at the same time.
pub(crate) const PROBES: usize = 8;

/// Asks a session's units.
#[derive(Clone)]
pub(crate) struct Scanner {
    inbox: Arc<Inbox>,
}

/// A unit as found: what to show, and how to use it if it is a disk.
pub(crate) struct Found {
    pub(crate) info: UnitInfo,
    pub(crate) features: Features,
}

/// Why a question had no answer.
pub(crate) enum NoAnswer {
    /// The unit refused it.
    Refused(Option<Sense>),
    /// It did not reach the unit, or failed.
    Failed(IoError),
}

impl NoAnswer {
    /// Whether the target is there, and only does not do this.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, NoAnswer::Refused(_) | NoAnswer::Failed(IoError::Target { .. }))
    }

    /// Whether a field of the command is not to its liking.
    pub(crate) fn is_invalid_field(&self) -> bool {
        matches!(self, NoAnswer::Refused(Some(sense)) if sense.invalid_field())
    }

    /// Whether it says that no such command is for it.
    fn is_illegal(&self) -> bool {
        matches!(self, NoAnswer::Refused(Some(sense)) if sense.key == SenseKey::IllegalRequest)
    }

    pub(crate) fn sentence(&self) -> String {
        match self {
            NoAnswer::Refused(Some(sense)) => format!("the unit answered: {sense}"),
            NoAnswer::Refused(None) => "the unit refused it".to_owned(),
            NoAnswer::Failed(error) => error.to_string(),
        }
    }
}

/// Why a disk has no size.
enum NoShape {
    /// It says so itself.
    NotReady(NoAnswer),
    /// It does not know the questions that every disk knows.
    NoMedium(NoAnswer),
    NoCapacity(NoAnswer),
    Malformed(Malformed),
    /// More blocks than READ CAPACITY (10) can tell, and READ CAPACITY (16) is refused.
    Beyond10,
    /// So many blocks.
    TooLarge(u64),
}

impl fmt::Display for NoShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoShape::NotReady(why) => write!(f, "it is not ready: {}", why.sentence()),
            NoShape::NoMedium(why) | NoShape::NoCapacity(why) => {
                write!(f, "its capacity cannot be read: {}", why.sentence())
            }
            NoShape::Malformed(why) => why.fmt(f),
            NoShape::Beyond10 => f.write_str("it has more than 2^32 blocks but refuses READ CAPACITY (16)"),
            NoShape::TooLarge(blocks) => write!(f, "it says that it has {blocks} blocks, which nobody could address"),
        }
    }
}

/// Standard INQUIRY data of a unit; `None` where they say that there is none at the address, be it for now or for
/// ever (SPC-5 table 146). What the other codes mean is the vendor's secret: no unit for us.
pub(super) fn inquired(data: &[u8]) -> Option<StandardInquiry> {
    StandardInquiry::parse(data).filter(|unit| unit.qualifier == Qualifier::Connected && unit.device_type != 0x1f)
}

impl Scanner {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Scanner {
        Scanner { inbox }
    }

    pub(super) async fn ask(&self, lun: Lun, cdb: Cdb, room: u32) -> Result<Vec<u8>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let (data, payload) = match room {
            0 => (Data::None, Payload::None),
            room => (Data::In(room), Payload::Bytes(vec![0; room as usize])),
        };
        let work = Work::Raw { reply };
        self.inbox.put([Request::new(lun, cdb.padded(), data, payload, work)]);
        match answer.await {
            Ok(Ok(RawDone { status: ScsiStatus::Good, data, .. })) => Ok(data),
            // The command was done (SPC-5 §4.4.8).
            Ok(Ok(RawDone { sense: Some(sense), data, .. }))
                if sense.key == SenseKey::RecoveredError && !sense.deferred =>
            {
                Ok(data)
            }
            Ok(Ok(RawDone { sense, .. })) => Err(NoAnswer::Refused(sense)),
            Ok(Err(error)) => Err(NoAnswer::Failed(error)),
            Err(_) => Err(NoAnswer::Failed(IoError::Aborted)),
        }
    }

    /// Whether the target answers anything at all. INQUIRY is answered by every unit, and by an address
    /// without one (SPC-5 §6.4.1).
    pub(crate) async fn answers(&self) -> bool {
        !matches!(self.ask(Lun(0), cdb::inquiry(36), 36).await, Err(NoAnswer::Failed(_)))
    }

    /// What a unit is; `None` for an address at which there is none.
    pub(crate) async fn probe(&self, lun: Lun) -> Result<Option<Found>, NoAnswer> {
        let inquiry = self.ask(lun, cdb::inquiry(255), 255).await?;
        let Some(inquiry) = inquired(&inquiry) else { return Ok(None) };
        let pages = self.page(lun, page::SUPPORTED).await;
        let pages = pages.as_deref().and_then(vpd::supported).map(<[u8]>::to_vec).unwrap_or_default();
        let serial = self.page_of(&pages, lun, page::SERIAL).await;
        let identification = self.page_of(&pages, lun, page::IDENTIFICATION).await;
        let mut found = Found {
            info: UnitInfo {
                lun,
                device_type: inquiry.device_type,
                administrative: false,
                serial: serial.as_deref().and_then(vpd::serial),
                identifier: identification.as_deref().and_then(vpd::identifier),
                geometry: None,
                problem: None,
                workarounds: Vec::new(),
                failed: None,
                vendor: inquiry.vendor.clone(),
                product: inquiry.product.clone(),
                revision: inquiry.revision.clone(),
            },
            features: Features::default(),
        };
        if inquiry.is_disk() {
            match self.shape(lun, &pages).await {
                Ok((geometry, features)) => (found.info.geometry, found.features) = (Some(geometry), features),
                Err(NoShape::NoMedium(_)) if inquiry.conglomerate => found.info.administrative = true,
                Err(why) => found.info.problem = Some(why.to_string()),
            }
        }
        Ok(Some(found))
    }

    async fn page(&self, lun: Lun, page: u8) -> Option<Vec<u8>> {
        self.ask(lun, cdb::inquiry_vpd(page, 255), 255).await.ok()
    }

    async fn page_of(&self, pages: &[u8], lun: Lun, page: u8) -> Option<Vec<u8>> {
        if pages.contains(&page) { self.page(lun, page).await } else { None }
    }

    async fn shape(&self, lun: Lun, pages: &[u8]) -> Result<(Geometry, Features), NoShape> {
        // It may have to spin up or to change sides first: the answer waits for that.
        self.ask(lun, cdb::test_unit_ready(), 0).await.map_err(|why| match why.is_illegal() {
            true => NoShape::NoMedium(why),
            false => NoShape::NotReady(why),
        })?;
        let capacity = self.capacity(lun).await?;
        let bytes = u128::from(capacity.blocks) * u128::from(capacity.block_size);
        if bytes > i64::MAX as u128 {
            return Err(NoShape::TooLarge(capacity.blocks));
        }
        let mode = self.mode(lun).await;
        let limits = self.page_of(pages, lun, page::BLOCK_LIMITS).await;
        let limits = limits.as_deref().and_then(BlockLimits::parse);
        let provisioning = self.page_of(pages, lun, page::PROVISIONING).await;
        let provisioning = provisioning.as_deref().and_then(Provisioning::parse);
        let rotation = self.page_of(pages, lun, page::CHARACTERISTICS).await;
        let rotation = rotation.as_deref().and_then(vpd::rotation_rate);
        Ok(combine(&capacity, mode, limits, provisioning, rotation))
    }

    async fn capacity(&self, lun: Lun) -> Result<Capacity, NoShape> {
        match self.ask(lun, cdb::read_capacity_16(32), 32).await {
            Ok(data) => return Capacity::parse_16(&data).map_err(NoShape::Malformed),
            Err(NoAnswer::Refused(_)) => {}
            Err(why) => return Err(NoShape::NoCapacity(why)),
        }
        let data = self.ask(lun, cdb::read_capacity_10(), 8).await.map_err(|why| match why.is_illegal() {
            true => NoShape::NoMedium(why),
            false => NoShape::NoCapacity(why),
        })?;
        match Capacity::parse_10(&data).map_err(NoShape::Malformed)? {
            Capacity10::Known(capacity) => Ok(capacity),
            Capacity10::TooLarge => Err(NoShape::Beyond10),
        }
    }

    async fn mode(&self, lun: Lun) -> Option<ModeParameters> {
        if let Ok(data) = self.ask(lun, cdb::mode_sense_6(CACHING_PAGE, 255), 255).await
            && let Some(mode) = ModeParameters::parse_6(&data)
        {
            return Some(mode);
        }
        let data = self.ask(lun, cdb::mode_sense_10(CACHING_PAGE, 255), 255).await.ok()?;
        ModeParameters::parse_10(&data)
    }
}

fn combine(
    capacity: &Capacity,
    mode: Option<ModeParameters>,
    limits: Option<BlockLimits>,
    provisioning: Option<Provisioning>,
    rotation: Option<RotationRate>,
) -> (Geometry, Features) {
    let block = capacity.block_size;
    let most = MAX_BUFFER as u32 / block;
    let within = |blocks: u32| if blocks == 0 { most } else { blocks.min(most) };
    let max_transfer = within(limits.as_ref().map_or(0, |limits| limits.max_transfer));
    let optimal = within(limits.as_ref().map_or(0, |limits| limits.optimal_transfer)).min(max_transfer);
    let unmap = match &provisioning {
        Some(how) if how.unmap && limits.as_ref().is_some_and(|limits| limits.max_unmap_blocks > 0) => Unmap::Command,
        Some(how) if how.write_same_16 => Unmap::WriteSame,
        _ => Unmap::None,
    };
    // SBC-4 §6.6.4: MAXIMUM WRITE SAME LENGTH 0 means that no limit is reported.
    let write_same = limits.as_ref().map_or(0, |limits| limits.max_write_same);
    let same_limit = match u32::try_from(write_same) {
        Ok(0) | Err(_) => MOST_SAME_BLOCKS,
        Ok(limit) => limit.min(MOST_SAME_BLOCKS),
    };
    let has_write_same = write_same > 0 || provisioning.as_ref().is_some_and(|how| how.write_same_16);
    let max_unmap_blocks = match unmap {
        Unmap::None => 0,
        Unmap::Command => limits.as_ref().map_or(0, |limits| limits.max_unmap_blocks),
        Unmap::WriteSame => same_limit,
    };
    let caching = mode.as_ref().and_then(|mode| mode.caching.as_ref());
    let geometry = Geometry {
        block_size: block,
        blocks: capacity.blocks,
        physical_block_size: capacity.physical_block_size(),
        max_transfer: max_transfer * block,
        optimal_transfer: optimal * block,
        max_unmap_blocks,
        max_zero_blocks: if has_write_same { same_limit } else { 0 },
        read_only: mode.as_ref().is_some_and(|mode| mode.write_protected),
        // A unit that does not say may well have one.
        write_cache: caching.is_none_or(|caching| caching.write_cache),
        rotational: matches!(rotation, Some(RotationRate::Rpm(_))),
        slow_zeroes: false,
    };
    let reads_zero = capacity.unmapped_reads_zero || provisioning.as_ref().is_some_and(|how| how.unmapped_reads_zero);
    let features = Features {
        fua: mode.as_ref().is_some_and(|mode| mode.fua),
        unmapped_reads_zero: reads_zero,
        write_same_frees: provisioning.as_ref().is_some_and(|how| how.write_same_16),
        unmap,
        granule: limits.as_ref().map_or(Granule::default(), |limits| {
            // SBC-4 §6.6.4: without UGAVALID there is no alignment.
            Granule::new(limits.unmap_granularity, limits.unmap_alignment.unwrap_or(0))
        }),
    };
    (geometry, features)
}
