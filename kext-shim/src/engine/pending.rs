//! What waits to be told to the other side.

use iscsi_proto::session::Event;

/// Something to tell, oldest first.
#[derive(Debug)]
pub(crate) enum Pending {
    /// What the core said.
    Core(Event),
    /// A command was taken back before it was sent.
    Ended { tag: u64 },
    /// A command waited for a connection in vain.
    Lost { tag: u64 },
    /// A command is for a fenced unit.
    Fenced { tag: u64 },
    /// A function of the SCSI stack has ended.
    Function { token: u64, response: u32 },
    /// A command takes too long: that function was requested.
    Escalated { function: u8 },
}
