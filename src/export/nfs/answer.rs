//! A READ, WRITE or COMMIT under way: it gets its answer from the unit and gives it to the client.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::attached::Attached;
use super::complaints::Complaints;
use super::replies::Share;
use super::rpc::put_reply;
use super::wire::{Attributes, Stable, Status, procedure, put_failure, put_post_op, put_wcc};
use super::xdr::{Write, padding};
use crate::block::{Buffer, IoError};
use crate::export::bytes::Answer;

/// Who waits for the unit.
pub(super) struct Pending {
    pub(super) share: Share,
    pub(super) xid: u32,
    /// Of the file.
    pub(super) attributes: Attributes,
    pub(super) what: What,
    /// The attach that it came by.
    pub(super) attached: Option<Arc<Attached>>,
    /// Since when it waits.
    pub(super) since: Instant,
    pub(super) complaints: Arc<Complaints>,
}

/// What it asked for.
pub(super) enum What {
    Read {
        /// The bytes end where the file ends.
        end: bool,
    },
    Write {
        count: u32,
        /// How safe they are when they are answered.
        stable: Stable,
        verifier: [u8; 8],
    },
    Commit {
        verifier: [u8; 8],
    },
}

impl What {
    fn procedure(&self) -> u32 {
        match self {
            What::Read { .. } => procedure::READ,
            What::Write { .. } => procedure::WRITE,
            What::Commit { .. } => procedure::COMMIT,
        }
    }
}

/// What a client is told of an error of the unit. What may be better in a while it shall try again: a hard
/// mount survives a target that is away for longer than the session waits for it, and the daemon's end. Where nothing
/// waits for the unit, it is told that it failed.
pub(super) fn status(error: IoError, attached: Option<&Attached>) -> Status {
    match error {
        IoError::OutOfRange | IoError::Invalid => Status::Inval,
        IoError::ReadOnly => Status::ReadOnly,
        IoError::Unsupported => Status::NotSupported,
        IoError::NoSpace => Status::NoSpace,
        IoError::Offline | IoError::Aborted => later(attached),
        IoError::ReservationConflict | IoError::Target { .. } | IoError::TimedOut => Status::Io,
    }
}

/// What a client is told of a unit that may be there in a while.
pub(super) fn later(attached: Option<&Attached>) -> Status {
    match attached {
        Some(attached) if !attached.waits() => Status::Io,
        _ => Status::Jukebox,
    }
}

impl Pending {
    /// The bytes of a READ: in `data`, or in `body`, which they fill.
    fn read(self, data: &[u8], body: Option<Buffer>) {
        let Pending { share, xid, attributes, what, .. } = self;
        let What::Read { end } = what else { return };
        let length = body.as_ref().map_or(data.len(), Buffer::len);
        let behind = if body.is_some() { length + padding(length) } else { 0 };
        let head = |out: &mut Vec<u8>| {
            put_reply(out, xid, behind, |out| {
                out.u32(0);
                put_post_op(out, Some(&attributes));
                out.u32(length as u32);
                out.bool(end);
                out.u32(length as u32);
                out.fixed(data);
            });
        };
        let padding = if body.is_some() { padding(length) } else { 0 };
        share.reply(head, body, padding);
    }

    /// Tells the client a status.
    pub(super) fn refuse(self, status: Status) {
        let Pending { share, xid, attributes, what, .. } = self;
        let results = |out: &mut Vec<u8>| put_failure(out, what.procedure(), status, Some(&attributes));
        share.reply(|out| put_reply(out, xid, 0, results), None, 0);
    }
}

impl Answer for Pending {
    fn data(self, data: &[u8]) {
        self.read(data, None);
    }

    fn buffer(self, buffer: Buffer, range: Range<usize>) {
        if range == (0..buffer.len()) {
            return self.read(&[], Some(buffer));
        }
        match buffer.get(range) {
            Some(data) => self.read(data, None),
            None => self.failed(IoError::Invalid),
        }
    }

    fn done(self) {
        let Pending { share, xid, attributes, what, .. } = self;
        let results = |out: &mut Vec<u8>| {
            out.u32(0);
            put_wcc(out, Some(&attributes));
            match what {
                What::Write { count, stable, verifier } => {
                    out.u32(count);
                    out.u32(stable as u32);
                    out.fixed(&verifier);
                }
                What::Commit { verifier } => out.fixed(&verifier),
                What::Read { .. } => {}
            }
        };
        share.reply(|out| put_reply(out, xid, 0, results), None, 0);
    }

    fn failed(self, error: IoError) {
        let status = status(error, self.attached.as_deref());
        if status == Status::Io && !matches!(self.what, What::Read { .. }) {
            self.complaints.of_lost_data(&error);
        }
        self.refuse(status);
    }
}
