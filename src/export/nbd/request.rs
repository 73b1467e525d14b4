//! A request from its header to its last piece: what it wants, whether it may have it, how far it is.

use std::borrow::Cow;

use nix::libc;

use super::wire::MAX_PAYLOAD;
use super::wire::{NbdError, RequestHeader, command, command_flag};
use crate::block::{Buffer, Geometry, IoError};
use crate::export::split::{BlockRange, RangeError, transfer_limit};

/// A request that has been taken up.
pub(super) struct Request {
    /// The client's name for it.
    pub(super) cookie: u64,
    pub(super) task: Task,
    /// Where it begins, in bytes of the export.
    pub(super) offset: u64,
    /// How long it is, in bytes.
    pub(super) length: u32,
    /// What no piece has been made of yet.
    pub(super) rest: BlockRange,
    /// The longest piece, in blocks. It stays what it was when the request was taken up: whether a
    /// reply has to be gathered depends on it.
    pub(super) limit: u32,
    /// Pieces made and not yet completed.
    pub(super) outstanding: u32,
    /// The first thing that went wrong.
    pub(super) failure: Option<Failure>,
}

/// What is to be done.
pub(super) enum Task {
    /// Each piece is answered by a chunk of its own.
    Read,
    /// All pieces are answered together.
    Gather {
        /// The first and the last piece of those that have not been answered.
        list: Option<(usize, usize)>,
        /// The reply has begun.
        streaming: bool,
    },
    /// The payload arrives piece by piece.
    Write { fua: bool },
    /// The unit makes zeroes.
    Zero { fua: bool, unmap: bool, fast: bool },
    /// Zeroes from a buffer, for a unit that has none of its own.
    WriteZeroes { fua: bool },
    /// The unit frees blocks, and is flushed after that.
    Trim { flush: bool },
    /// The unit is flushed.
    Flush,
}

/// A part of a request that one operation does.
pub(super) struct Piece {
    /// Which request.
    pub(super) request: usize,
    /// Where it begins, in bytes of the export.
    pub(super) offset: u64,
    /// Of its buffer; 0 without.
    pub(super) length: usize,
    /// The next one that its request gathers.
    pub(super) next: Option<usize>,
    /// What has been read, if its request gathers.
    pub(super) filled: Option<Buffer>,
}

/// What the client is told instead of success.
pub(super) struct Failure {
    pub(super) error: NbdError,
    /// A sentence for people.
    pub(super) why: Cow<'static, str>,
    /// Where it happened, in bytes of the export.
    pub(super) offset: Option<u64>,
}

/// FAST_ZERO does not promise speed, it promises an answer.
const SLOW_ZEROES: Failure = Failure::new(NbdError::NotSupported, "the unit has to be sent zeroes");

impl Failure {
    const fn new(error: NbdError, why: &'static str) -> Failure {
        Failure { error, why: Cow::Borrowed(why), offset: None }
    }

    /// What went wrong at the unit with an operation of that task.
    pub(super) fn of_io(task: &Task, error: IoError, offset: u64) -> Failure {
        // The unit had not been tried when the request came.
        if matches!(task, Task::Zero { fast: true, .. }) && error == IoError::Unsupported {
            return Failure { offset: Some(offset), ..SLOW_ZEROES };
        }
        let code = match error.errno() {
            libc::EPERM => NbdError::Perm,
            libc::ENOSPC => NbdError::NoSpace,
            // The protocol keeps ENOTSUP for fast zeroes.
            libc::EINVAL | libc::EOPNOTSUPP => NbdError::Invalid,
            _ => NbdError::Io,
        };
        Failure { error: code, why: error.to_string().into(), offset: Some(offset) }
    }
}

impl Request {
    /// Takes up a request, if it makes sense and the unit can do it.
    pub(super) fn admit(header: &RequestHeader, geometry: &Geometry, structured: bool) -> Result<Request, Failure> {
        let RequestHeader { flags, command, cookie, offset, length } = *header;
        let invalid = |why| Err(Failure::new(NbdError::Invalid, why));
        let (fua, fast) = (flags & command_flag::FUA != 0, flags & command_flag::FAST_ZERO != 0);
        // FUA must be accepted with every command.
        let allowed = command_flag::FUA
            | match command {
                command::READ if structured => command_flag::DF,
                command::WRITE_ZEROES => command_flag::NO_HOLE | command_flag::FAST_ZERO,
                _ => 0,
            };
        let writes = matches!(command, command::WRITE | command::TRIM | command::WRITE_ZEROES);
        if !writes && !matches!(command, command::READ | command::FLUSH) {
            return invalid("this server does not know that command");
        }
        if flags & !allowed != 0 {
            return invalid("the command does not take these flags");
        }
        if command == command::FLUSH && (offset != 0 || length != 0) {
            return invalid("a flush has neither offset nor length");
        }
        if writes && geometry.read_only {
            return Err(Failure::new(NbdError::Perm, "the unit is read-only"));
        }
        if matches!(command, command::READ | command::WRITE) && length > MAX_PAYLOAD {
            return invalid("the request is longer than 32 MiB");
        }
        let rest = BlockRange::of_bytes(geometry, offset, length.into()).map_err(|error| match error {
            RangeError::Unaligned => Failure::new(NbdError::Invalid, "the request is not made of whole blocks"),
            RangeError::BeyondTheEnd => {
                let grows = matches!(command, command::WRITE | command::WRITE_ZEROES);
                let error = if grows { NbdError::NoSpace } else { NbdError::Invalid };
                Failure::new(error, "the request goes beyond the end of the unit")
            }
        })?;
        let transfer = transfer_limit(geometry);
        let (task, limit) = match command {
            command::READ => {
                let in_one_go = !structured || flags & command_flag::DF != 0;
                // A single piece goes in one go anyway.
                let gather = in_one_go && rest.blocks > transfer.into();
                (if gather { Task::Gather { list: None, streaming: false } } else { Task::Read }, transfer)
            }
            command::WRITE => (Task::Write { fua }, transfer),
            command::FLUSH => (Task::Flush, 0),
            command::TRIM if geometry.max_unmap_blocks == 0 => return invalid("the unit cannot trim"),
            command::TRIM => (Task::Trim { flush: fua }, geometry.max_unmap_blocks),
            _ if geometry.max_zero_blocks > 0 && !(fast && geometry.slow_zeroes) => {
                (Task::Zero { fua, unmap: flags & command_flag::NO_HOLE == 0, fast }, geometry.max_zero_blocks)
            }
            _ if fast => return Err(SLOW_ZEROES),
            _ => (Task::WriteZeroes { fua }, transfer),
        };
        Ok(Request { cookie, task, offset, length, rest, limit, outstanding: 0, failure: None })
    }
}
