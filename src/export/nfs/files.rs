//! The procedures of NFS that move no data.
//!
//! The files are as a block device is: their length is what it is, a truncation to nothing (as of
//! `cp` or of O_TRUNC) changes nothing, and nothing can be made, renamed or removed.

use super::answer::later;
use super::handle::{Handle, LENGTH};
use super::proof;
use super::rpc::Refusal;
use super::volume::{Place, Shown, Volume};
use super::wire::{Attributes, CHANGED, MAX_HANDLE, MAX_NAME, MAX_PATH, Status, access, procedure};
use super::wire::{put_failure, put_post_op, put_wcc};
use super::xdr::{Garbage, NfsTime, Reader, Write};

/// How a procedure ends that does not end in success: by a status, or as a whole.
pub(super) enum Failed {
    Status(Status),
    Refused(Refusal),
}

impl From<Garbage> for Failed {
    fn from(_: Garbage) -> Failed {
        Failed::Refused(Refusal::Arguments)
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Failed {
        Failed::Status(status)
    }
}

/// A call to carry out. Its first argument, the handle, is read already.
pub(super) struct Request<'a> {
    pub(super) volume: &'a Volume,
    /// What the handle stands for.
    pub(super) place: &'a Place,
    /// What it is good for: so are the handles in the results.
    pub(super) shown: &'a Shown,
    /// Who the client says it asks for.
    pub(super) user: Option<u32>,
    pub(super) procedure: u32,
    pub(super) arguments: Reader<'a>,
}

/// Carries it out and appends the results.
pub(super) fn perform(request: Request<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let attributes = request.attributes(request.place);
    let (number, before) = (request.procedure, out.len());
    match request.succeed(out, &attributes) {
        Ok(()) => Ok(()),
        Err(Failed::Refused(refusal)) => Err(refusal),
        Err(Failed::Status(status)) => {
            out.truncate(before);
            put_failure(out, number, status, Some(&attributes));
            Ok(())
        }
    }
}

impl Request<'_> {
    fn succeed(mut self, out: &mut Vec<u8>, attributes: &Attributes) -> Result<(), Failed> {
        match self.procedure {
            procedure::GETATTR => {
                out.u32(0);
                attributes.put(out);
            }
            procedure::SETATTR => {
                let changes = Changes::read(&mut self.arguments)?;
                let guard = self.arguments.optional(read_time)?;
                if guard.is_some_and(|changed| changed != CHANGED) {
                    return Err(Status::Inval.into());
                }
                changes.check(attributes)?;
                out.u32(0);
                put_wcc(out, Some(attributes));
            }
            procedure::LOOKUP => self.look_up(out, attributes)?,
            procedure::ACCESS => {
                let wanted = self.arguments.u32()?;
                let granted = match self.place {
                    _ if self.user != Some(0) && self.user != Some(self.volume.owner) => 0,
                    Place::Root | Place::Directory(..) => access::READ | access::LOOKUP,
                    Place::Proof(_) => access::READ,
                    Place::File(file) if file.unit.geometry().read_only => access::READ,
                    Place::File(_) => access::READ | access::MODIFY | access::EXTEND,
                };
                out.u32(0);
                put_post_op(out, Some(attributes));
                out.u32(wanted & granted);
            }
            procedure::READLINK => return Err(Status::Inval.into()),
            procedure::CREATE => self.create(out, attributes)?,
            procedure::MKDIR
            | procedure::SYMLINK
            | procedure::MKNOD
            | procedure::REMOVE
            | procedure::RMDIR
            | procedure::RENAME => {
                self.directory()?;
                return Err(Status::Access.into());
            }
            procedure::LINK => return Err(Status::Access.into()),
            procedure::READDIR => {
                let cookie = self.read_cookie()?;
                let count = self.arguments.u32()?;
                self.list(out, attributes, cookie, count as usize, false)?;
            }
            procedure::READDIRPLUS => {
                let cookie = self.read_cookie()?;
                let (_names, all) = (self.arguments.u32()?, self.arguments.u32()?);
                self.list(out, attributes, cookie, all as usize, true)?;
            }
            procedure::FSSTAT => self.fs_stat(out, attributes),
            procedure::FSINFO => self.fs_info(out, attributes),
            procedure::PATHCONF => {
                out.u32(0);
                put_post_op(out, Some(attributes));
                out.u32(1);
                out.u32(MAX_NAME as u32);
                // Names that are too long are refused; owners cannot be changed; names are as they are.
                for truth in [true, true, false, true] {
                    out.bool(truth);
                }
            }
            _ => return Err(Failed::Refused(Refusal::Procedure)),
        }
        Ok(())
    }

    fn attributes(&self, place: &Place) -> Attributes {
        self.volume.attributes(place, self.shown.attached.as_deref())
    }

    fn handle_of(&self, place: &Place) -> [u8; LENGTH] {
        Handle { object: place.object(), nonce: self.shown.nonce() }.bytes(self.volume.secret())
    }

    fn directory(&self) -> Result<(), Status> {
        match self.place {
            Place::File(_) | Place::Proof(_) => Err(Status::NotDir),
            Place::Root | Place::Directory(..) => Ok(()),
        }
    }

    fn look_up(&mut self, out: &mut Vec<u8>, attributes: &Attributes) -> Result<(), Failed> {
        let name = self.arguments.opaque(MAX_PATH)?;
        self.directory()?;
        let found = self.find(name).ok_or(match self.place {
            // Its only file may be there in a moment.
            Place::Directory(_, None) => later(self.shown.attached.as_deref()),
            _ => Status::NoEnt,
        })?;
        out.u32(0);
        out.opaque(&self.handle_of(&found));
        put_post_op(out, Some(&self.attributes(&found)));
        put_post_op(out, Some(attributes));
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Option<Place> {
        if matches!(name, b"." | b"..") {
            return Some(self.place.clone());
        }
        if let Place::Directory(unit, _) = self.place
            && proof::is_asked_by(name)
        {
            return Some(Place::Proof(unit.named(name)));
        }
        let mut entries = self.place.entries(self.volume).into_iter();
        entries.find(|file| file.name.as_bytes() == name).map(Place::File)
    }

    /// Of a file that is there already, CREATE is an open, unless it is EXCLUSIVE, as that of O_EXCL. GUARDED
    /// should fail then, too; but libnfs creates all its files that way, and could copy to no unit.
    fn create(&mut self, out: &mut Vec<u8>, attributes: &Attributes) -> Result<(), Failed> {
        const EXCLUSIVE: u32 = 2;
        let name = self.arguments.opaque(MAX_PATH)?;
        let how = self.arguments.u32()?;
        match how {
            0 | 1 => {
                Changes::read(&mut self.arguments)?;
            }
            EXCLUSIVE => {
                self.arguments.u64()?;
            }
            _ => return Err(Garbage.into()),
        }
        self.directory()?;
        let file = match self.find(name) {
            Some(Place::File(_)) if how == EXCLUSIVE => return Err(Status::Exist.into()),
            Some(found @ Place::File(_)) => found,
            Some(_) => return Err(Status::IsDir.into()),
            None => return Err(Status::Access.into()),
        };
        out.u32(0);
        out.bool(true);
        out.opaque(&self.handle_of(&file));
        put_post_op(out, Some(&self.attributes(&file)));
        put_wcc(out, Some(attributes));
        Ok(())
    }

    /// The cookie to go on from; any verifier will do, since cookies stay good.
    fn read_cookie(&mut self) -> Result<u64, Garbage> {
        let cookie = self.arguments.u64()?;
        self.arguments.u64()?;
        Ok(cookie)
    }

    /// Appends as many entries after `cookie` as fit `most` bytes. Cookies are file ids, so that units may
    /// come and go meanwhile; 1 and 2 are the directory itself and its parent.
    fn list(
        &self,
        out: &mut Vec<u8>,
        attributes: &Attributes,
        cookie: u64,
        most: usize,
        plus: bool,
    ) -> Result<(), Status> {
        /// What a reply has around its entries, in bytes: status, attributes, verifier, end.
        const AROUND: usize = 4 + 88 + 8 + 8;
        self.directory()?;
        out.u32(0);
        put_post_op(out, Some(attributes));
        out.u64(0);
        let dots = [(1, &b"."[..], self.place.clone()), (2, b"..", self.place.clone())];
        let files = self.place.entries(self.volume);
        let files = files.iter().map(|file| (file.id.file_id(), file.name.as_bytes(), Place::File(file.clone())));
        let (mut left, mut any, mut all) = (most.saturating_sub(AROUND), false, true);
        for (next, name, place) in dots.into_iter().chain(files).filter(|(next, ..)| *next > cookie) {
            let attributes = self.attributes(&place);
            let before = out.len();
            out.bool(true);
            out.u64(attributes.file_id);
            out.opaque(name);
            out.u64(next);
            if plus {
                put_post_op(out, Some(&attributes));
                out.bool(true);
                out.opaque(&self.handle_of(&place));
            }
            let length = out.len() - before;
            if length > left {
                out.truncate(before);
                all = false;
                break;
            }
            left -= length;
            any = true;
        }
        if !any && !all {
            return Err(Status::TooSmall);
        }
        out.bool(false);
        out.bool(all);
        Ok(())
    }

    /// A file system without room would be true of new files, of which there can be none. But who asks has the file
    /// that is there in mind, which can be written from its first byte to its last and needs no room for it: all of it
    /// is free, unless it is read-only.
    fn fs_stat(&self, out: &mut Vec<u8>, attributes: &Attributes) {
        let files = match self.place {
            Place::File(file) => vec![file.clone()],
            place => place.entries(self.volume),
        };
        let (mut all, mut free) = (0u64, 0u64);
        for geometry in files.iter().map(|file| file.unit.geometry()) {
            all = all.saturating_add(geometry.bytes());
            free = free.saturating_add(if geometry.read_only { 0 } else { geometry.bytes() });
        }
        out.u32(0);
        put_post_op(out, Some(attributes));
        // Bytes in all, free, and free for the user; then the same of files, and the directory is one.
        for number in [all, free, free, files.len() as u64 + 1, 0, 0] {
            out.u64(number);
        }
        out.u32(0);
    }

    fn fs_info(&self, out: &mut Vec<u8>, attributes: &Attributes) {
        /// FSF3_HOMOGENEOUS: what PATHCONF tells holds for everything.
        const HOMOGENEOUS: u32 = 0x08;
        const PAGE: u32 = 4096;
        let longest = self.place.longest();
        out.u32(0);
        put_post_op(out, Some(attributes));
        // Most, best and multiple of READ, of WRITE; best of READDIR.
        for number in [longest, longest, PAGE, longest, longest, PAGE, 64 << 10] {
            out.u32(number);
        }
        out.u64(i64::MAX as u64);
        out.time(NfsTime { seconds: 1, nanoseconds: 0 });
        out.u32(HOMOGENEOUS);
    }
}

/// A sattr3, as far as it can be refused.
struct Changes {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
}

impl Changes {
    fn read(reader: &mut Reader<'_>) -> Result<Changes, Garbage> {
        let changes = Changes {
            mode: reader.optional(Reader::u32)?,
            uid: reader.optional(Reader::u32)?,
            gid: reader.optional(Reader::u32)?,
            size: reader.optional(Reader::u64)?,
        };
        for _accessed_modified in 0..2 {
            match reader.u32()? {
                // Not, or to the server's time.
                0 | 1 => {}
                2 => {
                    read_time(reader)?;
                }
                _ => return Err(Garbage),
            }
        }
        Ok(changes)
    }

    /// Times are forgotten, and all else cannot be changed. Truncation to nothing may pass: a client that asks
    /// for it is about to write.
    fn check(&self, attributes: &Attributes) -> Result<(), Status> {
        let other = |wanted: Option<u32>, is: u32| wanted.is_some_and(|wanted| wanted != is);
        if other(self.mode.map(|mode| mode & 0o7777), attributes.mode)
            || other(self.uid, attributes.uid)
            || other(self.gid, attributes.gid)
        {
            return Err(Status::Perm);
        }
        match self.size {
            None => Ok(()),
            Some(_) if attributes.directory => Err(Status::IsDir),
            Some(size) if size == 0 || size == attributes.size => Ok(()),
            Some(_) => Err(Status::Inval),
        }
    }
}

fn read_time(reader: &mut Reader<'_>) -> Result<NfsTime, Garbage> {
    Ok(NfsTime { seconds: reader.u32()?, nanoseconds: reader.u32()? })
}

/// The handle that every procedure but NULL begins with.
pub(super) fn read_handle<'a>(arguments: &mut Reader<'a>) -> Result<&'a [u8], Garbage> {
    arguments.opaque(MAX_HANDLE)
}
