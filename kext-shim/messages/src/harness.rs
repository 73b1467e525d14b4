//! What goes over the harness's control socket: a call of a user client, its answer, and notices.
//!
//! ```text
//!   request:  FrameRequest, then `input` bytes; descriptors beside the first byte (SCM_RIGHTS)
//!   answer:   FrameAnswer of FRAME_ANSWER, then `length` bytes
//!   notice:   FrameAnswer of FRAME_NOTICE, then 128 bytes (IscsiNotice)
//! ```
//! A connection is a user client: it is opened with it, and closes or dies with it. Selectors from FRAME_SIM on are the
//! harness's own. `make header` writes `harness/sim/frames.h` from this file.

#![allow(clippy::identity_op, reason = "selectors count from the first")]

use core::mem::offset_of;

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct FrameRequest {
    /// [`FRAME_MAGIC`].
    pub magic: u32,
    /// `ISCSI_*`, or one of the harness's own.
    pub selector: u32,
    /// Bytes that follow.
    pub input: u32,
    /// Room for the answer, in bytes.
    pub output: u32,
    /// The caller's name for the call.
    pub id: u64,
}

/// An answer, or a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct FrameAnswer {
    /// [`FRAME_ANSWER`] or [`FRAME_NOTICE`].
    pub kind: u32,
    /// IOReturn.
    pub result: u32,
    /// The call's; 0 with a notice.
    pub id: u64,
    /// Bytes that follow.
    pub length: u32,
    /// Zero.
    pub reserved: u32,
}

/// First word of every request.
pub const FRAME_MAGIC: u32 = 0x6953_6b31;
/// The answer to a call.
pub const FRAME_ANSWER: u32 = 0;
/// A notice.
pub const FRAME_NOTICE: u32 = 1;
/// Bytes of a task's data.
pub const FRAME_TASK_MOST: u32 = 8 << 20;
/// Bytes of a call or of its answer: the longest task's data, and what stands before them.
pub const FRAME_MOST: u32 = FRAME_TASK_MOST + 4096;
/// Descriptors beside a call.
pub const FRAME_DESCRIPTORS: u32 = 4;

/// The first selector that is the harness's own.
pub const FRAME_SIM: u32 = 0x8000;
/// The disks: [`FrameUnit`] each.
pub const FRAME_UNITS: u32 = FRAME_SIM + 0;
/// Unload the extension: kIOReturnSuccess, or kIOReturnError where it refuses. The process ends.
pub const FRAME_UNLOAD: u32 = FRAME_SIM + 1;
/// One allocation fails: the n-th from now on, n as a uint32_t.
pub const FRAME_FAIL_ALLOCATION: u32 = FRAME_SIM + 2;
/// The client closes (IOServiceClose) but the connection stays.
pub const FRAME_CLOSE: u32 = FRAME_SIM + 3;
/// I/O on the first disk, straight from the SCSI stack: [`FrameBench`], [`FrameBenched`].
pub const FRAME_BENCH: u32 = FRAME_SIM + 4;
/// A task through the SCSI stack, as the operating system's disk driver issues one: [`FrameTask`], then the data that
/// go to the target; [`FrameTasked`], then the data that came from it. Issued once: whether it is issued again is the
/// caller's business. Answers come in the order in which the tasks end.
pub const FRAME_TASK: u32 = FRAME_SIM + 5;

/// A load on the first disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct FrameBench {
    /// Bytes of each I/O.
    pub bytes: u32,
    /// How many are under way.
    pub depth: u32,
    /// How long.
    pub milliseconds: u32,
    /// 0: it reads. 1: it writes.
    pub writes: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct FrameBenched {
    /// I/Os that ended.
    pub ios: u64,
    /// Of them, with an error.
    pub failed: u64,
    /// How long it took.
    pub nanoseconds: u64,
    /// CPU time of the whole process.
    pub cpu_nanoseconds: u64,
}

/// No data.
pub const FRAME_NO_DATA: u32 = 0;
/// Data from the target.
pub const FRAME_FROM_TARGET: u32 = 1;
/// Data to the target.
pub const FRAME_TO_TARGET: u32 = 2;

/// A task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct FrameTask {
    /// The target's number in the SCSI domain.
    pub target: u64,
    /// The unit, eight bytes as SAM-5 §4.7 has them.
    pub lun: [u8; 8],
    /// Command descriptor block, zero-padded.
    pub cdb: [u8; 16],
    /// [`FRAME_NO_DATA`] and so on.
    pub direction: u32,
    /// Of the data, up to [`FRAME_TASK_MOST`]; 0 without a direction.
    pub length: u32,
}

/// kSCSIServiceResponse_TASK_COMPLETE.
pub const FRAME_COMPLETE: u32 = 0;
/// Anything else, also that there is no such target.
pub const FRAME_FAILED: u32 = 1;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct FrameTasked {
    /// [`FRAME_COMPLETE`] or [`FRAME_FAILED`].
    pub response: u32,
    /// SCSITaskStatus.
    pub status: u32,
    /// Bytes of data that were transferred.
    pub realized: u64,
    /// Bytes of `sense`.
    pub sense_length: u32,
    /// Sense data (SPC-5 §4.4).
    pub sense: [u8; 100],
}

/// A disk that the SCSI stack has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct FrameUnit {
    /// The target's number in the SCSI domain.
    pub target: u64,
    /// How many blocks it has.
    pub blocks: u64,
    /// The unit's number.
    pub number: u32,
    /// Bytes of a block.
    pub block_size: u32,
}

/// The same numbers stand in the trailer of `harness/sim/cbindgen.toml`, which C++ asserts.
const _: () = {
    assert!(size_of::<FrameRequest>() == 24 && offset_of!(FrameRequest, id) == 16);
    assert!(size_of::<FrameAnswer>() == 24 && offset_of!(FrameAnswer, length) == 16);
    assert!(size_of::<FrameBench>() == 16 && size_of::<FrameBenched>() == 32);
    assert!(size_of::<FrameTask>() == 40 && offset_of!(FrameTask, direction) == 32);
    assert!(size_of::<FrameTasked>() == 120 && offset_of!(FrameTasked, sense) == 20);
    assert!(size_of::<FrameUnit>() == 24 && offset_of!(FrameUnit, number) == 16);
};
