//! A command that is not answered yet, and the data that come for it.

use std::sync::Arc;

use iscsi_proto::ids::Ttt;
use iscsi_proto::scsi::Sense;
use iscsi_proto::sn::DataSn;

use crate::decode::Kind;
use crate::disk::Unit;
use crate::script::{Command, Hold, Twist};

/// How a command ends without being executed.
#[derive(Debug, Clone)]
pub(crate) enum Early {
    Check(Sense),
    Status(u8),
    Answer(Arc<[u8]>),
    TargetFailure,
}

/// A command that is not answered yet.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) command: Command,
    pub(crate) kind: Kind,
    pub(crate) unit: Option<Arc<Unit>>,
    pub(crate) twist: Twist,
    pub(crate) early: Option<Early>,
    pub(crate) hold: Option<Hold>,
    pub(crate) is_held: bool,
    pub(crate) is_ignored: bool,
    pub(crate) gather: Gather,
}

/// The data that come for a write.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// Bytes that the command takes.
    pub(crate) wanted: u32,
    /// They are not kept.
    pub(crate) swallow: bool,
    pub(crate) data: Vec<u8>,
    /// Unsolicited data have not ended: where the next belong, and their number.
    pub(crate) unsolicited: Option<(u32, DataSn)>,
    /// Where the next R2T begins.
    pub(crate) next_r2t: u32,
    pub(crate) r2t_sn: DataSn,
    pub(crate) bursts: Vec<Burst>,
}

/// An R2T that is being answered.
#[derive(Debug)]
pub(crate) struct Burst {
    pub(crate) ttt: Ttt,
    pub(crate) next: u32,
    pub(crate) end: u32,
    pub(crate) data_sn: DataSn,
}

/// A command that has everything it needs.
pub(crate) struct Ready<'a> {
    pub(crate) command: Command,
    pub(crate) kind: Kind,
    pub(crate) unit: Option<&'a Arc<Unit>>,
    pub(crate) data: &'a [u8],
    pub(crate) twist: Twist,
    /// How many R2Ts it took.
    pub(crate) r2ts: DataSn,
    pub(crate) early: Option<Early>,
}

impl Gather {
    pub(crate) fn is_complete(&self) -> bool {
        self.unsolicited.is_none() && self.bursts.is_empty() && self.next_r2t >= self.wanted
    }

    pub(crate) fn place(&mut self, offset: u32, data: &[u8]) {
        if self.swallow {
            return;
        }
        let Some(room) = self.data.get_mut(offset as usize..) else { return };
        let len = data.len().min(room.len());
        room[..len].copy_from_slice(&data[..len]);
    }
}
