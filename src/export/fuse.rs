//! A unit as a file: a file system of the daemon's own with nothing in it but `disk`.
//!
//! ```text
//!   loop device, or another program with the file open
//!        │ FUSE_READ, FUSE_WRITE, FUSE_FSYNC, FUSE_FALLOCATE
//!   fuser's thread ──► Bytes ──► Block
//!   /dev/fuse ◄────── Answer (from the task that takes completions)
//! ```
//! Every open file has `FOPEN_DIRECT_IO`: its pages are never cached, so the disk's data is
//! cached once, by the block device on top, and a write that was answered has reached the unit. No
//! write waits in a cache that a flush would have to find.
//!
//! fuser's thread only copies and submits. It waits for one thing, a buffer; that is the
//! backpressure, and it is ended by [`Mounted::stop`].

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, Session,
    SessionACL, TimeOrNow, WriteFlags,
};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::runtime::Handle;

use super::bytes::{Answer, Bytes};
use super::name::FILE_NAME;
use crate::block::{Block, IoError, MAX_BUFFER};

/// The mount's source, as `mount` shows it.
pub(crate) const SOURCE: &str = "iscsid";

const FILE: INodeNo = INodeNo(2);

/// How long the kernel may believe attributes: not at all, for a unit may grow.
const ATTRIBUTES_HOLD: Duration = Duration::ZERO;

/// How long it may believe that the file exists: it always does.
const ENTRY_HOLDS: Duration = Duration::from_secs(3600);

/// How many asynchronous requests the kernel may have under way: the queue of a loop device.
const BACKGROUND: u16 = 128;

/// A unit's file system, mounted. When dropped it is unmounted, at the latest when its last user
/// lets go; until then it is served.
///
/// The mount is made here and not by fuser, which unmounts without a choice of how.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Ends by itself when the kernel has ended the mount.
    session: Option<BackgroundSession>,
    mounted: bool,
    bytes: Arc<Bytes<Reply>>,
    point: PathBuf,
}

impl std::fmt::Debug for Bytes<Reply> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({:?})", self.geometry())
    }
}

impl Mounted {
    /// Mounts `unit` at the directory `point`. Blocks for as long as mount(2) does.
    pub(crate) fn mount(unit: Arc<dyn Block>, point: &Path, runtime: &Handle) -> io::Result<Mounted> {
        unit.pool().keep_ready();
        let bytes = Arc::new(Bytes::new(unit, runtime));
        let geometry = bytes.geometry();
        let longest = longest(geometry.max_transfer);
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(|error| {
            io::Error::new(error.kind(), format!("/dev/fuse cannot be opened ({error}); try `modprobe fuse`"))
        })?;
        let options = format!(
            "fd={},rootmode={:o},user_id={},group_id={},default_permissions,max_read={longest}",
            device.as_raw_fd(),
            libc::S_IFDIR,
            nix::unistd::getuid(),
            nix::unistd::getgid(),
        );
        let mut flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
        flags.set(MsFlags::MS_RDONLY, geometry.read_only);
        mount(Some(SOURCE), point, Some("fuse"), flags, Some(options.as_str()))?;
        let mut mounted = Mounted { session: None, mounted: true, bytes: bytes.clone(), point: point.to_owned() };
        let file = File { bytes, since: SystemTime::now() };
        let session = Session::from_fd(file, device.into(), SessionACL::Owner, Config::default())?.spawn()?;
        mounted.session = Some(session);
        Ok(mounted)
    }

    /// The path of the unit's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.point.join(FILE_NAME)
    }

    /// Answers all I/O with an error from now on, so that nobody waits for a unit that is to go.
    pub(crate) fn stop(&self) {
        self.bytes.stop();
    }

    /// Unmounts if nobody uses it; says so with `EBUSY` otherwise. Blocks for as long as umount(2) does.
    pub(crate) fn unmount(&mut self) -> io::Result<()> {
        if self.mounted {
            umount2(&self.point, MntFlags::UMOUNT_NOFOLLOW)?;
            self.mounted = false;
        }
        Ok(())
    }

    /// Takes the mount away from where it is; it ends when its last user lets go.
    pub(crate) fn unmount_lazily(&mut self) -> io::Result<()> {
        if self.mounted {
            umount2(&self.point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
            self.mounted = false;
        }
        Ok(())
    }

    /// Leaves the mount where it is when this is dropped: nobody serves it then, and whoever uses its file gets errors.
    pub(crate) fn leave(mut self) {
        self.mounted = false;
    }

    /// Ends all I/O under way with an error, in the kernel too, and takes the mount away.
    pub(crate) fn abort(&mut self) -> io::Result<()> {
        self.stop();
        if self.mounted {
            umount2(&self.point, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
            self.mounted = false;
        }
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.unmount_lazily() {
            tracing::warn!("{} could not be unmounted: {error}", self.point.display());
        }
    }
}

/// The longest read or write to ask the kernel for: one operation of the unit, in whole pages.
fn longest(max_transfer: u32) -> u32 {
    const PAGE: u32 = 4096;
    let most = max_transfer.min(MAX_BUFFER as u32);
    (most - most % PAGE).max(PAGE)
}

/// A request's reply.
pub(crate) enum Reply {
    Read(ReplyData),
    Write(ReplyWrite, u32),
    Other(ReplyEmpty),
}

impl Answer for Reply {
    fn data(self, data: &[u8]) {
        match self {
            Reply::Read(reply) => reply.data(data),
            other => other.failed(IoError::Invalid),
        }
    }

    fn done(self) {
        match self {
            Reply::Write(reply, length) => reply.written(length),
            Reply::Other(reply) => reply.ok(),
            Reply::Read(reply) => reply.error(Errno::EIO),
        }
    }

    fn failed(self, error: IoError) {
        let errno = Errno::from_i32(error.errno());
        match self {
            Reply::Read(reply) => reply.error(errno),
            Reply::Write(reply, _) => reply.error(errno),
            Reply::Other(reply) => reply.error(errno),
        }
    }
}

/// The file system.
struct File {
    bytes: Arc<Bytes<Reply>>,
    since: SystemTime,
}

impl File {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let geometry = self.bytes.geometry();
        let (kind, perm, nlink, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o500, 2, 0),
            FILE if geometry.read_only => (FileType::RegularFile, 0o400, 1, geometry.bytes()),
            FILE => (FileType::RegularFile, 0o600, 1, geometry.bytes()),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: self.since,
            mtime: self.since,
            ctime: self.since,
            crtime: self.since,
            kind,
            perm,
            nlink,
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            rdev: 0,
            blksize: geometry.optimal_transfer.max(geometry.block_size),
            flags: 0,
        })
    }
}

impl Filesystem for File {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let longest = longest(self.bytes.geometry().max_transfer);
        // What the kernel refuses it answers with the nearest that it takes.
        if let Err(most) = config.set_max_write(longest) {
            config.set_max_write(most).map_err(|_| io::Error::other("no write size suits the kernel"))?;
        }
        if let Err(most) = config.set_max_readahead(longest) {
            config.set_max_readahead(most).map_err(|_| io::Error::other("no read-ahead suits the kernel"))?;
        }
        if config.set_max_background(BACKGROUND).is_err() {
            tracing::debug!("the kernel keeps its own limit of background requests");
        }
        // Without it a loop device has one request under way at a time.
        if config.add_capabilities(InitFlags::FUSE_ASYNC_DIO).is_err() {
            tracing::warn!("this kernel has no asynchronous direct I/O for FUSE: attached disks will be slow");
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(FILE) {
            Some(attributes) if parent == INodeNo::ROOT && name == FILE_NAME => {
                reply.entry_with_ttls(&ATTRIBUTES_HOLD, &ENTRY_HOLDS, &attributes, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&ATTRIBUTES_HOLD, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Times may be set and are forgotten; the size, the mode and the owner are what they are.
    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
            None => reply.error(Errno::ENOENT),
            Some(attributes)
                if mode.is_some()
                    || uid.is_some()
                    || gid.is_some()
                    || size.is_some_and(|size| size != attributes.size) =>
            {
                reply.error(Errno::EPERM);
            }
            Some(attributes) => reply.attr(&ATTRIBUTES_HOLD, &attributes),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Writes to different places go side by side, and a close has nothing to flush.
        let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES | FopenFlags::FOPEN_NOFLUSH;
        reply.opened(FileHandle(0), flags);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let there = self.bytes.geometry().bytes().saturating_sub(offset).min(u64::from(size));
        match usize::try_from(there) {
            Ok(0) | Err(_) => reply.data(&[]),
            Ok(length) => self.bytes.read(offset, length, Reply::Read(reply)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let there = self.bytes.geometry().bytes().saturating_sub(offset);
        let data = match usize::try_from(there) {
            Ok(0) if !data.is_empty() => return reply.error(Errno::ENOSPC),
            Ok(there) => data.get(..there).unwrap_or(data),
            Err(_) => data,
        };
        let fua = flags.0 & libc::O_DSYNC != 0;
        self.bytes.write(offset, data, fua, Reply::Write(reply, data.len() as u32));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.bytes.flush(Reply::Other(reply));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.bytes.flush(Reply::Other(reply));
    }

    /// A hole must read as zero (fallocate(2)), and a loop device punches one both to discard and to
    /// zero: so it is a zeroing that may free the blocks, never a mere unmap, after which a unit may
    /// return anything (SBC-4 §4.7.4).
    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let unmap = match mode & !libc::FALLOC_FL_KEEP_SIZE {
            libc::FALLOC_FL_PUNCH_HOLE => true,
            libc::FALLOC_FL_ZERO_RANGE => false,
            _ => return reply.error(Errno::EOPNOTSUPP),
        };
        let there = self.bytes.geometry().bytes().saturating_sub(offset);
        if length > there && mode & libc::FALLOC_FL_KEEP_SIZE == 0 {
            return reply.error(Errno::EFBIG);
        }
        self.bytes.zero(offset, length.min(there), unmap, Reply::Other(reply));
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if inode != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let entries = [
            (INodeNo::ROOT, FileType::Directory, "."),
            (INodeNo::ROOT, FileType::Directory, ".."),
            (FILE, FileType::RegularFile, FILE_NAME),
        ];
        for (next, (inode, kind, name)) in (1..).zip(entries).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(inode, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let geometry = self.bytes.geometry();
        // A loop device takes its discard granularity from f_bsize.
        reply.statfs(geometry.blocks, 0, 0, 1, 0, geometry.block_size, 255, geometry.block_size);
    }

    // The kernel asks for these once and learns that there are none.

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }
}
