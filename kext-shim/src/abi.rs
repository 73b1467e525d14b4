//! What crosses the border, as C sees it: integers of fixed width, in native byte order, without gaps.
//!
//! The constants are `uint32_t` and not C enumerations, so that every bit pattern may be passed and is checked.

use core::mem::{align_of, offset_of};

pub use iscsi_kext_messages::{
    ISCSI_FENCED_MOST, ISCSI_HANDOFF_VERSION, ISCSI_OUTCOME_ABORTED, ISCSI_OUTCOME_LOST, ISCSI_OUTCOME_REJECTED,
    ISCSI_OUTCOME_STATUS, ISCSI_OUTCOME_TARGET_FAILURE, ISCSI_OUTCOME_TIMED_OUT, IscsiHandoff,
};

/// Version of this border: both sides are built together, and each checks it nevertheless.
pub const ISCSI_ABI_VERSION: u32 = 2;

/// It was done.
pub const ISCSI_OK: i32 = 0;
/// It will be done later: the task waits for the connection or for its turn.
pub const ISCSI_WAITS: i32 = 1;
/// It was done, and has ended already: poll the events.
pub const ISCSI_ENDED: i32 = 2;
/// A null or misaligned pointer, a value outside its range.
pub const ISCSI_BAD_ARGUMENT: i32 = -1;
/// There is no memory for it.
pub const ISCSI_NO_MEMORY: i32 = -2;
/// The table of commands, or of functions under way, is full.
pub const ISCSI_FULL: i32 = -3;
/// No task has that tag, or not any more.
pub const ISCSI_NOT_FOUND: i32 = -4;
/// Not now: there is no connection, or there is one already.
pub const ISCSI_WRONG_STATE: i32 = -5;
/// There has been no connection for too long: commands fail at once.
pub const ISCSI_OFFLINE: i32 = -6;
/// The connection is of no further use: `iscsi_session_reason` says why; close it and call
/// `iscsi_session_lost`.
pub const ISCSI_BROKEN: i32 = -7;

/// No deadline.
pub const ISCSI_NEVER: u64 = u64::MAX;

/// No data.
pub const ISCSI_DATA_NONE: u8 = 0;
/// From the target.
pub const ISCSI_DATA_IN: u8 = 1;
/// To the target.
pub const ISCSI_DATA_OUT: u8 = 2;

/// A command of the SCSI stack.
pub const ISCSI_ORIGIN_STACK: u8 = 0;
/// A command of the daemon: it goes out while the session is held, and is never issued twice.
pub const ISCSI_ORIGIN_DAEMON: u8 = 1;

/// How a session is run. All spans in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct iscsi_config {
    /// `ISCSI_ABI_VERSION`.
    pub version: u32,
    /// Commands at the target at most, 1 to 65000; its window may allow fewer.
    pub depth: u16,
    /// Commands the session takes on at most, at the target or waiting: `depth` to 65000.
    pub commands: u16,
    /// Ping after this much silence; 0 never.
    pub ping_interval: u64,
    /// A ping unanswered for this long loses the connection; 0 waits for ever.
    pub ping_timeout: u64,
    /// The answer to a task management function may take this long, not 0.
    pub function_timeout: u64,
    /// Commands wait this long for a lost connection to come back, before they fail.
    pub replacement_timeout: u64,
}

/// A SCSI command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct iscsi_command {
    /// The caller's name for it, and for its buffer: comes back in plans and events, means nothing here.
    pub token: u64,
    /// The unit, eight bytes as SAM-5 §4.7 has them.
    pub lun: [u8; 8],
    /// Command descriptor block, zero-padded.
    pub cdb: [u8; 16],
    /// Length of its data, in bytes; 0 with `ISCSI_DATA_NONE`.
    pub data_length: u32,
    /// `ISCSI_DATA_*`.
    pub direction: u8,
    /// Task attribute of RFC 7143 §11.3.1: 0 untagged, 1 simple, 2 ordered, 3 head of queue, 4 ACA.
    pub attribute: u8,
    /// `ISCSI_ORIGIN_*`.
    pub origin: u8,
    /// Zero.
    pub reserved: u8,
}

/// To `iscsi_session_received`.
pub const ISCSI_RECEIVE_HERE: u32 = 0;
/// Into the buffer of a command, then to `iscsi_session_placed`.
pub const ISCSI_RECEIVE_PLACE: u32 = 1;
/// Nowhere: the connection is of no further use.
pub const ISCSI_RECEIVE_STOP: u32 = 2;

/// Where the next bytes of the stream belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct iscsi_receive_plan {
    /// `ISCSI_RECEIVE_*`.
    pub kind: u32,
    /// With PLACE: from there in the buffer, in bytes.
    pub offset: u32,
    /// With PLACE: up to that many bytes, at least 1.
    pub length: u32,
    /// Zero.
    pub reserved: u32,
    /// With PLACE: whose buffer.
    pub token: u64,
}

/// A header alone.
pub const ISCSI_PAYLOAD_NONE: u32 = 0;
/// A header, then bytes of a command's buffer, then a trailer (`iscsi_trailer`).
pub const ISCSI_PAYLOAD_TASK: u32 = 1;
/// A header, then bytes of the core, padding and digest included.
pub const ISCSI_PAYLOAD_CORE: u32 = 2;

/// A PDU to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct iscsi_transmit {
    /// With TASK: whose buffer.
    pub token: u64,
    /// With CORE: the bytes; valid until the next `iscsi_session_transmit` for this session.
    pub core: *const u8,
    /// `ISCSI_PAYLOAD_*`.
    pub payload: u32,
    /// With TASK: from there in the buffer, in bytes.
    pub offset: u32,
    /// Bytes of the payload.
    pub length: u32,
    /// Bytes of `head`, 48 or 52.
    pub head_length: u32,
    /// The header, and its digest.
    pub head: [u8; 52],
    /// With TASK: 1 if the trailer has a digest.
    pub data_digest: u32,
}

/// A command has ended; the core has forgotten it and its buffer.
pub const ISCSI_EVENT_TASK_DONE: u32 = 1;
/// A task management function has ended: `code` is the response of RFC 7143 §11.6.1, or
/// `ISCSI_NO_ANSWER`.
pub const ISCSI_EVENT_FUNCTION_DONE: u32 = 2;
/// The target answered our logout with `code` (RFC 7143 §11.15.1): close the connection.
pub const ISCSI_EVENT_LOGGED_OUT: u32 = 3;
/// The target wants us to log out within `parameter[0]` seconds.
pub const ISCSI_EVENT_LOGOUT_REQUESTED: u32 = 4;
/// The target will drop the connection: Time2Wait in `parameter[0]`, Time2Retain in `parameter[1]`.
pub const ISCSI_EVENT_DROP_ANNOUNCED: u32 = 5;
/// The unit `lun` reports asynchronously, with sense data.
pub const ISCSI_EVENT_UNIT_REPORT: u32 = 6;
/// The target rejected a PDU that belongs to no command: `code` is the reason (§11.17.1).
pub const ISCSI_EVENT_REJECTED: u32 = 7;
/// Another asynchronous event: `code`; the vendor's code in `parameter[0]`.
pub const ISCSI_EVENT_NOTICE: u32 = 8;
/// A command took too long: the function of `code` (§11.5.1) has been requested for it; 0: nothing has helped,
/// the connection is given up.
pub const ISCSI_EVENT_ESCALATED: u32 = 9;

/// All data, as expected.
pub const ISCSI_RESIDUAL_NONE: u8 = 0;
/// `residual` bytes fewer.
pub const ISCSI_RESIDUAL_UNDERFLOW: u8 = 1;
/// `residual` bytes more, which were dropped.
pub const ISCSI_RESIDUAL_OVERFLOW: u8 = 2;

/// A function that the target did not answer in time, or not before the connection was lost.
pub const ISCSI_NO_ANSWER: u32 = 0x100;

/// Sense bytes of an event at most.
pub const ISCSI_SENSE_LENGTH: usize = 96;

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct iscsi_event {
    /// `ISCSI_EVENT_*`.
    pub kind: u32,
    /// See the kind.
    pub code: u32,
    /// The caller's name for what has ended.
    pub token: u64,
    /// Its tag.
    pub tag: u64,
    /// Bytes of the buffer that are valid (in) or that the target took (out).
    pub transferred: u32,
    /// See `residual_kind`.
    pub residual: u32,
    /// `ISCSI_RESIDUAL_*`.
    pub residual_kind: u8,
    /// `ISCSI_OUTCOME_*`.
    pub outcome: u8,
    /// SCSI status (SAM-5 §5.3).
    pub status: u8,
    /// Bytes of `sense`.
    pub sense_length: u8,
    /// See the kind.
    pub parameter: [u16; 2],
    /// The unit.
    pub lun: [u8; 8],
    /// Sense data (SPC-5 §4.4).
    pub sense: [u8; ISCSI_SENSE_LENGTH],
}

/// The connection works.
pub const ISCSI_LINK_UP: u32 = 0;
/// The logout is out.
pub const ISCSI_LINK_LEAVING: u32 = 1;
/// There is no connection; commands wait.
pub const ISCSI_LINK_DOWN: u32 = 2;
/// There has been none for too long; commands fail.
pub const ISCSI_LINK_GIVEN_UP: u32 = 3;

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct iscsi_state {
    /// Commands that ended.
    pub commands: u64,
    /// Of them, not with GOOD.
    pub errors: u64,
    /// Bytes read from units.
    pub bytes_read: u64,
    /// Bytes written to units.
    pub bytes_written: u64,
    /// PDUs received.
    pub pdus_in: u64,
    /// PDUs sent.
    pub pdus_out: u64,
    /// Times the connection was replaced.
    pub reconnects: u64,
    /// `ISCSI_LINK_*`.
    pub link: u32,
    /// 1: commands of the stack wait until `iscsi_session_resume`.
    pub held: u32,
    /// Commands at the target.
    pub in_flight: u32,
    /// Commands that wait here.
    pub waiting: u32,
}

impl iscsi_event {
    pub(crate) const EMPTY: iscsi_event = iscsi_event {
        kind: 0,
        code: 0,
        token: 0,
        tag: 0,
        transferred: 0,
        residual: 0,
        residual_kind: ISCSI_RESIDUAL_NONE,
        outcome: ISCSI_OUTCOME_STATUS,
        status: 0,
        sense_length: 0,
        parameter: [0; 2],
        lun: [0; 8],
        sense: [0; ISCSI_SENSE_LENGTH],
    };
}

/// The same numbers stand in `include/iscsi_layout.h`, which C and C++ assert.
const _: () = {
    assert!(size_of::<iscsi_config>() == 40 && align_of::<iscsi_config>() == 8);
    assert!(size_of::<iscsi_command>() == 40 && offset_of!(iscsi_command, direction) == 36);
    assert!(size_of::<iscsi_receive_plan>() == 24 && offset_of!(iscsi_receive_plan, token) == 16);
    assert!(size_of::<iscsi_transmit>() == 88 && offset_of!(iscsi_transmit, head) == 32);
    assert!(offset_of!(iscsi_transmit, data_digest) == 84);
    assert!(size_of::<iscsi_event>() == 144 && offset_of!(iscsi_event, sense) == 48);
    assert!(size_of::<iscsi_state>() == 72 && offset_of!(iscsi_state, link) == 56);
    assert!(ISCSI_SENSE_LENGTH == iscsi_proto::session::SENSE_LEN);
};
