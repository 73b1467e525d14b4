//! What the daemon and the kernel extension say to each other.
//!
//! ```text
//!   daemon ── selector, …In ──► IscsiUserClient      by IOConnectCallMethod, or by the harness's socket
//!   daemon ◄── …Out ───────────
//!   daemon ◄── IscsiNotice ────                      by the port that ISCSI_LISTEN was called with
//! ```
//! Integers of fixed width in native byte order, without gaps, so that every bit pattern is a value; the extension
//! checks each again. `make header` writes `include/iscsi_kext.h` from this file, which the C++ includes. A
//! change of a struct raises [`ISCSI_KEXT_VERSION`]: the extension refuses any other.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "proto")]
mod handoff;
// What the header leaves out.
/// cbindgen:ignore
#[cfg(feature = "harness")]
pub mod harness;
/// cbindgen:ignore
pub mod io_return;

use core::mem::offset_of;

/// Version of everything here.
pub const ISCSI_KEXT_VERSION: u32 = 2;

/// Versions on both sides: [`IscsiHelloIn`], [`IscsiHelloOut`]. The others refuse a client that has not called it.
pub const ISCSI_HELLO: u32 = 0;
/// From now on this client hears of what happens, and the sessions are its own: [`IscsiListenIn`], asynchronous; each
/// answer is an [`IscsiNotice`]. One client at a time.
pub const ISCSI_LISTEN: u32 = 1;
/// A session over a connection that has just logged in: [`IscsiCreateIn`], [`IscsiCreateOut`]. The descriptor stays
/// the caller's, to be closed.
pub const ISCSI_CREATE: u32 = 2;
/// Another connection for a session (RFC 7143 §6.3.5); the present one is closed: [`IscsiReplaceIn`].
pub const ISCSI_REPLACE: u32 = 3;
/// The connection is closed, and the session waits for another one: [`IscsiSessionIn`].
pub const ISCSI_DROP: u32 = 4;
/// The session ends: [`IscsiRemoveIn`].
pub const ISCSI_REMOVE: u32 = 5;
/// The target is asked to end the session or its connection: [`IscsiLogoutIn`]. [`ISCSI_NOTICE_LOGGED_OUT`] follows.
pub const ISCSI_LOGOUT: u32 = 6;
/// The sessions, a part at a time: [`IscsiSessionsIn`], [`IscsiSessionsOut`].
pub const ISCSI_SESSIONS: u32 = 7;
/// A session's connection: [`IscsiSessionIn`], [`IscsiConnectionOut`].
pub const ISCSI_CONNECTION: u32 = 8;
/// A session's counters: [`IscsiSessionIn`], [`IscsiStatisticsOut`].
pub const ISCSI_STATISTICS: u32 = 9;
/// The SCSI stack looks for units again: [`IscsiSessionIn`].
pub const ISCSI_RESCAN: u32 = 10;
/// A SCSI command of the daemon, that reads up to [`ISCSI_EXECUTE_MOST`] bytes or none, and waits for its end:
/// [`IscsiExecuteIn`]; [`IscsiExecuteOut`], then the data.
pub const ISCSI_EXECUTE: u32 = 11;
/// I/O of the SCSI stack goes on: [`IscsiSessionIn`].
pub const ISCSI_RESUME: u32 = 12;
/// Another disk stands at a unit's number, or the right one again: [`IscsiFenceIn`].
pub const ISCSI_FENCE: u32 = 13;
/// How many selectors there are.
pub const ISCSI_SELECTORS: u32 = 14;

/// Bytes of a target's name, with a zero byte at the end: RFC 7143 §4.2.7.1 allows 223.
pub const ISCSI_NAME_LENGTH: usize = 224;
/// Bytes that a command of the daemon may read.
pub const ISCSI_EXECUTE_MOST: u32 = 128 << 10;
/// Sessions in one [`IscsiSessionsOut`].
pub const ISCSI_SESSIONS_AT_ONCE: usize = 8;
/// Units of a session that can be fenced at a time.
pub const ISCSI_FENCED_MOST: u32 = 256;
/// Sessions at a time.
pub const ISCSI_SESSIONS_MOST: u32 = 256;

/// A connection at the first moment of its full-feature phase: `Handoff` of `iscsi-proto`, field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiHandoff {
    /// [`ISCSI_HANDOFF_VERSION`].
    pub version: u32,
    /// The first command's CmdSN.
    pub cmd_sn: u32,
    /// The status number that is due next.
    pub exp_stat_sn: u32,
    /// The target's MaxCmdSN.
    pub max_cmd_sn: u32,
    /// FirstBurstLength, in bytes.
    pub first_burst_length: u32,
    /// MaxBurstLength, in bytes.
    pub max_burst_length: u32,
    /// MaxRecvDataSegmentLength that we declared, in bytes.
    pub max_recv_data_segment_length: u32,
    /// MaxRecvDataSegmentLength that the target declared, in bytes.
    pub max_send_data_segment_length: u32,
    /// Target's part of the session identifier, not 0.
    pub tsih: u16,
    /// The connection.
    pub cid: u16,
    /// MaxOutstandingR2T, not 0.
    pub max_outstanding_r2t: u16,
    /// DefaultTime2Wait, in seconds.
    pub default_time2wait: u16,
    /// DefaultTime2Retain, in seconds.
    pub default_time2retain: u16,
    /// TargetPortalGroupTag.
    pub target_portal_group_tag: u16,
    /// Initiator's part of the session identifier, as on the wire.
    pub isid: [u8; 6],
    /// 0 or 1: CRC32C over headers.
    pub header_digest: u8,
    /// 0 or 1: CRC32C over data.
    pub data_digest: u8,
    /// 0 or 1: InitialR2T.
    pub initial_r2t: u8,
    /// 0 or 1: ImmediateData.
    pub immediate_data: u8,
    /// ErrorRecoveryLevel, 0 to 2.
    pub error_recovery_level: u8,
    /// Zero. (Two of these are the core's padding.)
    pub reserved: [u8; 5],
}

/// Version of [`IscsiHandoff`].
pub const ISCSI_HANDOFF_VERSION: u32 = 1;

/// The daemon's side of [`ISCSI_HELLO`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiHelloIn {
    /// [`ISCSI_KEXT_VERSION`].
    pub version: u32,
    /// [`ISCSI_HANDOFF_VERSION`].
    pub handoff_version: u32,
}

/// The extension's side. It answers with its own versions even where it refuses all that would follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiHelloOut {
    /// [`ISCSI_KEXT_VERSION`] of the extension.
    pub version: u32,
    /// [`ISCSI_HANDOFF_VERSION`] of the extension.
    pub handoff_version: u32,
    /// 1: they fit.
    pub accepted: u32,
    /// Sessions that exist.
    pub sessions: u32,
}

/// The client wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiListenIn {
    /// Zero.
    pub reserved: u64,
}

/// What the extension must know of a session beyond its handoff. Spans in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiSpec {
    /// The target's name, ended by a zero byte.
    pub target: [u8; ISCSI_NAME_LENGTH],
    /// Commands at the target at most, 1 to 1024.
    pub depth: u32,
    /// Ping after this much silence; 0 never.
    pub ping_interval: u32,
    /// A ping unanswered for this long loses the connection; 0 waits for ever.
    pub ping_timeout: u32,
    /// I/O waits this long for a lost connection, and the session for a daemon.
    pub replacement_timeout: u32,
}

/// The stack's commands wait until [`ISCSI_RESUME`].
pub const ISCSI_FLAG_HOLD: u32 = 1;

/// A session to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiCreateIn {
    /// How it is run.
    pub spec: IscsiSpec,
    /// Its connection.
    pub handoff: IscsiHandoff,
    /// The connected socket, in the caller's table. With the harness: 0, the descriptor comes beside it.
    pub descriptor: i32,
    /// `ISCSI_FLAG_HOLD`, or 0.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// The session that was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiCreateOut {
    /// Its number: not 0, never used twice.
    pub session: u32,
    /// The target's number in the SCSI domain.
    pub target: u32,
}

/// Another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiReplaceIn {
    /// The session.
    pub session: u32,
    /// As in [`IscsiCreateIn`].
    pub descriptor: i32,
    /// `ISCSI_FLAG_HOLD`, or 0.
    pub flags: u32,
    /// The connection.
    pub handoff: IscsiHandoff,
}

/// A session, and nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiSessionIn {
    /// The session.
    pub session: u32,
    /// Zero.
    pub reserved: u32,
}

/// Only the units go, flushed by the SCSI stack, which is not waited for; the session stays, for a logout. Refused
/// with kIOReturnNotReady while the stack still looks for them.
pub const ISCSI_REMOVE_UNITS: u32 = 1;
/// All goes: I/O fails at once, nothing is said to the target.
pub const ISCSI_REMOVE_ALL: u32 = 2;

/// What is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiRemoveIn {
    /// The session.
    pub session: u32,
    /// `ISCSI_REMOVE_*`.
    pub what: u32,
}

/// A logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiLogoutIn {
    /// The session.
    pub session: u32,
    /// Of RFC 7143 §11.14.1: 0 ends the session, 1 the connection.
    pub reason: u32,
}

/// Which sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiSessionsIn {
    /// Those with a higher number than this.
    pub after: u32,
    /// Zero.
    pub reserved: u32,
}

/// The connection works.
pub const ISCSI_UP: u32 = 0;
/// The logout is out.
pub const ISCSI_LEAVING: u32 = 1;
/// There is none; I/O waits.
pub const ISCSI_DOWN: u32 = 2;
/// There has been none for too long; I/O fails.
pub const ISCSI_GIVEN_UP: u32 = 3;

/// A session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiSessionInfo {
    /// Its number.
    pub session: u32,
    /// The target's number in the SCSI domain.
    pub target: u32,
    /// `ISCSI_UP` and so on.
    pub link: u32,
    /// 1: the stack's commands wait for [`ISCSI_RESUME`].
    pub held: u32,
    /// How it is run.
    pub spec: IscsiSpec,
}

/// Some sessions, in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiSessionsOut {
    /// How many of `sessions` are there.
    pub count: u32,
    /// 1: ask again, after the last of these.
    pub more: u32,
    /// The sessions.
    pub sessions: [IscsiSessionInfo; ISCSI_SESSIONS_AT_ONCE],
}

/// A session's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiConnectionOut {
    /// The session.
    pub session: u32,
    /// `ISCSI_UP` and so on.
    pub link: u32,
    /// What was negotiated for the present or the last connection.
    pub handoff: IscsiHandoff,
    /// Zero.
    pub reserved: u32,
    /// Why the last connection was lost: text, ended by a zero byte.
    pub reason: [u8; 160],
}

/// Counters of a session, since its first login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiStatisticsOut {
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
    /// Calls of the socket that received.
    pub receives: u64,
    /// Calls of the socket that sent.
    pub sends: u64,
    /// Times the connection was replaced.
    pub reconnects: u64,
    /// Commands at the target now.
    pub in_flight: u64,
    /// Commands that wait now.
    pub waiting: u64,
}

/// A SCSI command of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiExecuteIn {
    /// The session.
    pub session: u32,
    /// Milliseconds until it is given up, 1 to 60000.
    pub timeout: u32,
    /// The unit, eight bytes as SAM-5 §4.7 has them.
    pub lun: [u8; 8],
    /// Command descriptor block, zero-padded.
    pub cdb: [u8; 16],
    /// Bytes to read, up to [`ISCSI_EXECUTE_MOST`].
    pub length: u32,
    /// Zero.
    pub reserved: u32,
}

/// How a command ended, as the core tells the HBA and the HBA the daemon: the unit answered, with a status and sense
/// data.
pub const ISCSI_OUTCOME_STATUS: u8 = 0;
/// The target could not run it: the event's `code` is its iSCSI response (§11.4.3).
pub const ISCSI_OUTCOME_TARGET_FAILURE: u8 = 1;
/// The target rejected a PDU of it: the event's `code` is the reason (§11.17.1).
pub const ISCSI_OUTCOME_REJECTED: u8 = 2;
/// Task management, or the caller, ended it.
pub const ISCSI_OUTCOME_ABORTED: u8 = 3;
/// It took too long, and was ended.
pub const ISCSI_OUTCOME_TIMED_OUT: u8 = 4;
/// The connection was lost, and it must not be issued twice; or there is no session any more.
pub const ISCSI_OUTCOME_LOST: u8 = 5;

/// How it ended. `transferred` bytes of data follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiExecuteOut {
    /// `ISCSI_OUTCOME_*`.
    pub outcome: u32,
    /// SCSI status (SAM-5 §5.3).
    pub status: u32,
    /// Bytes of data.
    pub transferred: u32,
    /// Bytes of `sense`.
    pub sense_length: u32,
    /// Sense data (SPC-5 §4.4).
    pub sense: [u8; 96],
}

/// A unit that the SCSI stack may not use, or may use again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiFenceIn {
    /// The session.
    pub session: u32,
    /// 1: the stack's commands for it end with CHECK CONDITION, ILLEGAL REQUEST, LOGICAL UNIT NOT SUPPORTED, those
    /// that wait as well, over this and every later connection; the daemon's go out. 0: all go out again.
    /// kIOReturnNoResources beyond [`ISCSI_FENCED_MOST`] units.
    pub fence: u32,
    /// The unit, eight bytes as SAM-5 §4.7 has them; however the stack writes its number.
    pub lun: [u8; 8],
}

/// The connection is gone; `text` says why. I/O waits.
pub const ISCSI_NOTICE_CONNECTION_LOST: u32 = 1;
/// The target wants a logout within `parameter[0]` seconds.
pub const ISCSI_NOTICE_LOGOUT_REQUESTED: u32 = 2;
/// The target will drop the connection: Time2Wait in `parameter[0]`, Time2Retain in `parameter[1]`.
pub const ISCSI_NOTICE_DROP_ANNOUNCED: u32 = 3;
/// The unit `lun` reports asynchronously: `parameter[0]` bytes of sense data in `text`.
pub const ISCSI_NOTICE_UNIT_REPORT: u32 = 4;
/// A command took too long: `code` is the function that was requested (RFC 7143 §11.5.1).
pub const ISCSI_NOTICE_ESCALATED: u32 = 5;
/// The target rejected a PDU that belongs to no command: `code` is the reason (§11.17.1).
pub const ISCSI_NOTICE_REJECTED: u32 = 6;
/// An asynchronous event that is handled nowhere: `code`; the vendor's code in `parameter[0]`.
pub const ISCSI_NOTICE_UNHANDLED: u32 = 7;
/// The target answered the logout with `code` (§11.15.1); the connection is closed.
pub const ISCSI_NOTICE_LOGGED_OUT: u32 = 8;
/// The extension goes away, or has ended the session.
pub const ISCSI_NOTICE_TERMINATING: u32 = 9;

/// Something that happened: sixteen words, as an asynchronous answer of IOKit carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct IscsiNotice {
    /// `ISCSI_NOTICE_*`.
    pub kind: u32,
    /// The session; 0 for all of them.
    pub session: u32,
    /// Counts notices: a gap means that some were lost, and that the sessions should be asked for.
    pub sequence: u64,
    /// See the kind.
    pub code: u32,
    /// See the kind.
    pub parameter: [u16; 2],
    /// The unit.
    pub lun: [u8; 8],
    /// See the kind; text ends with a zero byte.
    pub text: [u8; 96],
}

const _: () = {
    assert!(size_of::<IscsiHandoff>() == 60 && offset_of!(IscsiHandoff, isid) == 44);
    assert!(size_of::<IscsiHelloIn>() == 8 && size_of::<IscsiHelloOut>() == 16);
    assert!(size_of::<IscsiListenIn>() == 8);
    assert!(size_of::<IscsiSpec>() == 240 && offset_of!(IscsiSpec, depth) == 224);
    assert!(size_of::<IscsiCreateIn>() == 312 && offset_of!(IscsiCreateIn, descriptor) == 300);
    assert!(size_of::<IscsiCreateOut>() == 8);
    assert!(size_of::<IscsiReplaceIn>() == 72 && offset_of!(IscsiReplaceIn, handoff) == 12);
    assert!(size_of::<IscsiSessionIn>() == 8 && size_of::<IscsiRemoveIn>() == 8);
    assert!(size_of::<IscsiLogoutIn>() == 8 && size_of::<IscsiSessionsIn>() == 8);
    assert!(size_of::<IscsiSessionInfo>() == 256 && size_of::<IscsiSessionsOut>() == 2056);
    assert!(size_of::<IscsiConnectionOut>() == 232 && offset_of!(IscsiConnectionOut, reason) == 72);
    assert!(size_of::<IscsiStatisticsOut>() == 88);
    assert!(size_of::<IscsiExecuteIn>() == 40 && size_of::<IscsiExecuteOut>() == 112);
    assert!(size_of::<IscsiFenceIn>() == 16 && offset_of!(IscsiFenceIn, lun) == 8);
    assert!(size_of::<IscsiNotice>() == 128 && offset_of!(IscsiNotice, text) == 32);
};
