//! Why an operation failed, and the errno for it.

use std::fmt;

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoError {
    /// The request is outside the unit.
    OutOfRange,
    /// The unit is read-only.
    ReadOnly,
    /// The unit cannot do that.
    Unsupported,
    /// The request does not fit the geometry: a bug of the exporter.
    Invalid,
    /// The unit has no space left (thin provisioning).
    NoSpace,
    /// Another initiator has reserved the unit.
    ReservationConflict,
    /// The target answered with an error: sense key, ASC, ASCQ (0, 0, 0 where it gave none).
    Target {
        /// Sense key.
        key: u8,
        /// Additional sense code.
        asc: u8,
        /// Its qualifier.
        ascq: u8,
    },
    /// The unit is not there, or was away for too long.
    Offline,
    /// The unit did not answer, although everything was tried.
    TimedOut,
    /// The operation was dropped without an answer.
    Aborted,
}

impl IoError {
    /// The errno for the operating system and for NBD.
    pub const fn errno(self) -> i32 {
        use nix::libc;
        match self {
            IoError::OutOfRange | IoError::Invalid => libc::EINVAL,
            IoError::ReadOnly => libc::EPERM,
            IoError::Unsupported => libc::EOPNOTSUPP,
            IoError::NoSpace => libc::ENOSPC,
            IoError::ReservationConflict
            | IoError::Target { .. }
            | IoError::Offline
            | IoError::TimedOut
            | IoError::Aborted => libc::EIO,
        }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoError::OutOfRange => f.write_str("beyond the end of the unit"),
            IoError::ReadOnly => f.write_str("the unit is read-only"),
            IoError::Unsupported => f.write_str("the unit cannot do that"),
            IoError::Invalid => f.write_str("the request does not fit the unit's block size or limits"),
            IoError::NoSpace => f.write_str("the unit has no space left"),
            IoError::ReservationConflict => f.write_str("another initiator has reserved the unit"),
            IoError::Target { key, asc, ascq } => {
                write!(f, "the target answered with sense {key:x}/{asc:02x}/{ascq:02x}")
            }
            IoError::Offline => f.write_str("the unit is offline"),
            IoError::TimedOut => f.write_str("the unit did not answer in time"),
            IoError::Aborted => f.write_str("the operation was aborted"),
        }
    }
}

impl std::error::Error for IoError {}
