//! Numbers and structures of RFC 1813.

use super::xdr::{NfsTime, Write};

/// RPC program numbers (§2.1, §5.1).
pub(super) mod program {
    pub(in super::super) const NFS: u32 = 100_003;
    pub(in super::super) const MOUNT: u32 = 100_005;
    /// The version of both.
    pub(in super::super) const VERSION: u32 = 3;
}

/// Procedures of NFS (§3).
pub(super) mod procedure {
    pub(in super::super) const NULL: u32 = 0;
    pub(in super::super) const GETATTR: u32 = 1;
    pub(in super::super) const SETATTR: u32 = 2;
    pub(in super::super) const LOOKUP: u32 = 3;
    pub(in super::super) const ACCESS: u32 = 4;
    pub(in super::super) const READLINK: u32 = 5;
    pub(in super::super) const READ: u32 = 6;
    pub(in super::super) const WRITE: u32 = 7;
    pub(in super::super) const CREATE: u32 = 8;
    pub(in super::super) const MKDIR: u32 = 9;
    pub(in super::super) const SYMLINK: u32 = 10;
    pub(in super::super) const MKNOD: u32 = 11;
    pub(in super::super) const REMOVE: u32 = 12;
    pub(in super::super) const RMDIR: u32 = 13;
    pub(in super::super) const RENAME: u32 = 14;
    pub(in super::super) const LINK: u32 = 15;
    pub(in super::super) const READDIR: u32 = 16;
    pub(in super::super) const READDIRPLUS: u32 = 17;
    pub(in super::super) const FSSTAT: u32 = 18;
    pub(in super::super) const FSINFO: u32 = 19;
    pub(in super::super) const PATHCONF: u32 = 20;
    pub(in super::super) const COMMIT: u32 = 21;
}

/// Procedures of MOUNT (§5.2).
pub(super) mod mount_procedure {
    pub(in super::super) const NULL: u32 = 0;
    pub(in super::super) const MNT: u32 = 1;
    pub(in super::super) const DUMP: u32 = 2;
    pub(in super::super) const UMNT: u32 = 3;
    pub(in super::super) const UMNTALL: u32 = 4;
    pub(in super::super) const EXPORT: u32 = 5;
}

/// The longest file handle (§2.4).
pub(super) const MAX_HANDLE: usize = 64;

/// The longest name of a file that is looked at.
pub(super) const MAX_NAME: usize = 255;

/// The longest path to mount (§5.1.2).
pub(super) const MAX_PATH: usize = 1024;

/// nfsstat3 (§2.6), as far as it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Status {
    Perm = 1,
    NoEnt = 2,
    Io = 5,
    Access = 13,
    Exist = 17,
    NotDir = 20,
    IsDir = 21,
    Inval = 22,
    NoSpace = 28,
    ReadOnly = 30,
    Stale = 70,
    BadHandle = 10_001,
    NotSupported = 10_004,
    TooSmall = 10_005,
    Jukebox = 10_008,
}

/// ACCESS bits (§3.3.4).
pub(super) mod access {
    pub(in super::super) const READ: u32 = 0x01;
    pub(in super::super) const LOOKUP: u32 = 0x02;
    pub(in super::super) const MODIFY: u32 = 0x04;
    pub(in super::super) const EXTEND: u32 = 0x08;
}

/// stable_how (§3.3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Stable {
    Unstable = 0,
    DataSync = 1,
    FileSync = 2,
}

impl Stable {
    pub(super) fn from_u32(word: u32) -> Option<Stable> {
        [Stable::Unstable, Stable::DataSync, Stable::FileSync].into_iter().find(|&stable| stable as u32 == word)
    }
}

/// When everything was changed last, as far as attributes tell. It is constant: a client that sees a new
/// time takes it that somebody else has written, and forgets what it has cached; also across restarts.
pub(super) const CHANGED: NfsTime = NfsTime { seconds: 1_000_000_000, nanoseconds: 0 };

/// What GETATTR tells of a directory or file: fattr3 (§2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) directory: bool,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// In bytes.
    pub(super) size: u64,
    pub(super) file_id: u64,
}

impl Attributes {
    /// Appends a fattr3.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u32(if self.directory { 2 } else { 1 });
        out.u32(self.mode);
        out.u32(if self.directory { 2 } else { 1 });
        out.u32(self.uid);
        out.u32(self.gid);
        out.u64(self.size);
        // What it takes.
        out.u64(self.size);
        // Its device numbers, if it were a device.
        out.u64(0);
        // The file system's id.
        out.u64(0x6973_6373_6964);
        out.u64(self.file_id);
        for _accessed_modified_changed in 0..3 {
            out.time(CHANGED);
        }
    }
}

/// Appends a post_op_attr.
pub(super) fn put_post_op(out: &mut Vec<u8>, attributes: Option<&Attributes>) {
    out.bool(attributes.is_some());
    if let Some(attributes) = attributes {
        attributes.put(out);
    }
}

/// Appends a wcc_data: what it was before is not told.
pub(super) fn put_wcc(out: &mut Vec<u8>, attributes: Option<&Attributes>) {
    out.bool(false);
    put_post_op(out, attributes);
}

/// Appends the results of a procedure that fails.
pub(super) fn put_failure(out: &mut Vec<u8>, number: u32, status: Status, attributes: Option<&Attributes>) {
    out.u32(status as u32);
    match number {
        procedure::GETATTR => {}
        procedure::SETATTR
        | procedure::WRITE
        | procedure::CREATE
        | procedure::MKDIR
        | procedure::SYMLINK
        | procedure::MKNOD
        | procedure::REMOVE
        | procedure::RMDIR
        | procedure::COMMIT => put_wcc(out, attributes),
        procedure::RENAME => {
            put_wcc(out, attributes);
            put_wcc(out, None);
        }
        procedure::LINK => {
            put_post_op(out, attributes);
            put_wcc(out, None);
        }
        _ => put_post_op(out, attributes),
    }
}
