//! Files and their names, as xnu has them. Each word is a case; what is not as on a Mac panics.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

unsafe extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: u64, ...) -> c_int;
    fn flock(fd: c_int, how: c_int) -> c_int;
    fn fsync(fd: c_int) -> c_int;
    fn sync_volume_np(path: *const c_char, flags: c_int) -> c_int;
    fn link(from: *const c_char, to: *const c_char) -> c_int;
    fn unlink(path: *const c_char) -> c_int;
    fn mkdir(path: *const c_char, mode: c_int) -> c_int;
    fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
    fn pipe(ends: *mut c_int) -> c_int;
    fn read(fd: c_int, to: *mut c_void, length: usize) -> isize;
    fn writev(fd: c_int, list: *const c_void, count: c_int) -> isize;
    fn mkdtemp(template: *mut c_char) -> *mut c_char;
    fn utimensat(directory: c_int, path: *const c_char, times: *const [i64; 4], flags: c_int) -> c_int;
    fn faccessat(directory: c_int, path: *const c_char, how: c_int, flags: c_int) -> c_int;
}

// bsd/sys/errno.h and fcntl.h of xnu.
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EBADF: i32 = 9;
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const EROFS: i32 = 30;
const EAGAIN: i32 = 35;
const ENOTSUP: i32 = 45;
const ELOOP: i32 = 62;
const EOPNOTSUPP: i32 = 102;
const O_RDWR: c_int = 2;
const O_NONBLOCK: c_int = 4;
const O_APPEND: c_int = 8;
const O_EXLOCK: c_int = 0x20;
const O_NOFOLLOW: c_int = 0x100;
const O_CREAT: c_int = 0x200;
const O_TRUNC: c_int = 0x400;
const O_DIRECTORY: c_int = 0x10_0000;
const O_NOFOLLOW_ANY: c_int = 0x2000_0000;
const LOCK_EX: c_int = 2;
const LOCK_NB: c_int = 4;
const AT_FDCWD: c_int = -2;

fn path(of: &Path) -> CString {
    CString::new(of.as_os_str().as_encoded_bytes()).expect("no zero in it")
}

/// What a call of C fails with.
#[track_caller]
fn fails(result: impl Into<i64>) -> i32 {
    assert_eq!(result.into(), -1, "it should have failed");
    io::Error::last_os_error().raw_os_error().expect("a number")
}

#[track_caller]
fn works(result: c_int) -> c_int {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

fn number<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// A directory of one's own, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let template = std::env::temp_dir().join("files.XXXXXX");
        let mut template = path(&template).into_bytes_with_nul();
        // SAFETY: a template that ends, to be written to.
        assert!(!unsafe { mkdtemp(template.as_mut_ptr().cast()) }.is_null(), "{}", io::Error::last_os_error());
        template.pop();
        Scratch(PathBuf::from(String::from_utf8(template).expect("text")))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, contents: &str) -> PathBuf {
        fs::write(self.at(name), contents).expect("a file");
        self.at(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("one's own");
    }
}

fn a_pipe() -> [c_int; 2] {
    let mut ends = [0; 2];
    // SAFETY: two places for two numbers.
    works(unsafe { pipe(ends.as_mut_ptr()) });
    ends
}

fn system_links() {
    for (link, to) in [("/var", "private/var"), ("/tmp", "private/tmp"), ("/etc", "private/etc")] {
        assert!(fs::symlink_metadata(link).expect(link).is_symlink(), "{link}");
        assert_eq!(fs::read_link(link).expect(link), Path::new(to));
        assert!(fs::metadata(link).expect(link).is_dir(), "{link}");
        assert_eq!(fs::canonicalize(link).expect(link), Path::new("/").join(to));
        assert_eq!(number(OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(link)), Some(ELOOP));
        assert_eq!(
            number(OpenOptions::new().read(true).custom_flags(O_NOFOLLOW_ANY).open(format!("{link}/."))),
            Some(ELOOP)
        );
        assert_eq!(number(fs::remove_file(link)), Some(EROFS));
    }
    assert_eq!(fs::canonicalize("/var/run").expect("a directory"), Path::new("/private/var/run"));
    assert!(fs::symlink_metadata("/private").expect("a directory").is_dir());
    let one = fs::metadata("/private/etc/passwd").expect("a file");
    assert_eq!(one.ino(), fs::metadata("/etc/passwd").expect("the same").ino());
    for none in ["/proc/self/maps", "/proc", "//proc/mounts", "/./proc", "/sys/class", "/run"] {
        assert_eq!(fs::metadata(none).expect_err(none).kind(), ErrorKind::NotFound);
    }
    std::env::set_current_dir("/").expect("the root");
    assert!(fs::symlink_metadata("var").expect("by its name alone").is_symlink());
    assert_eq!(fs::metadata("proc").expect_err("none").kind(), ErrorKind::NotFound);
    std::env::set_current_dir("/tmp").expect("a directory");
    assert_eq!(std::env::current_dir().expect("somewhere"), Path::new("/private/tmp"));
}

fn temporary_folder() {
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::remove_var("TMPDIR") };
    let folder = std::env::temp_dir();
    assert_eq!(folder.as_os_str().len(), "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/".len());
    assert_eq!(fs::metadata(&folder).expect("made").permissions().mode() & 0o777, 0o700);
    let canonical = fs::canonicalize(&folder).expect("there");
    assert_eq!(canonical, Path::new("/private").join(folder.strip_prefix("/").expect("from the root")));
}

fn names() {
    let scratch = Scratch::new();
    let (directory, file) = (scratch.at("directory"), scratch.file("file", "text"));
    fs::create_dir(&directory).expect("a directory");
    // SAFETY: paths that end, here and below.
    assert_eq!(fails(unsafe { unlink(path(&directory).as_ptr()) }), EPERM);
    symlink("file", scratch.at("link")).expect("a link");
    // SAFETY: as above.
    works(unsafe { link(path(&scratch.at("link")).as_ptr(), path(&scratch.at("other")).as_ptr()) });
    assert_eq!(
        fs::symlink_metadata(scratch.at("other")).expect("a name").ino(),
        fs::metadata(&file).expect("a file").ino()
    );
    assert_eq!(number(fs::rename(directory.join("."), scratch.at("new"))), Some(EINVAL));
    assert_eq!(number(fs::remove_dir(&file)), Some(20), "ENOTDIR");
    fs::write(directory.join("inside"), "").expect("a file");
    assert_eq!(number(fs::remove_dir(&directory)), Some(66), "ENOTEMPTY");
    assert_eq!(number(fs::rename(scratch.at("link"), &directory)), Some(21), "EISDIR");
    let name = std::os::unix::ffi::OsStrExt::from_bytes(b"bad\xff");
    assert_eq!(number(fs::write(scratch.0.join::<&std::ffi::OsStr>(name), "")), Some(92), "EILSEQ");
    fs::write(scratch.at("gr\u{fc}n \u{20ac} \u{1f600}"), "").expect("as UTF-8");
}

fn modes() {
    let scratch = Scratch::new();
    // SAFETY: a path that ends.
    works(unsafe { mkdir(path(&scratch.at("sticky")).as_ptr(), 0o1777) });
    assert_eq!(fs::metadata(scratch.at("sticky")).expect("a directory").permissions().mode() & 0o1000, 0);
    let file = scratch.at("setuid");
    File::options().write(true).create_new(true).mode(0o6755).open(&file).expect("a file");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o7000, 0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4750)).expect("one's own");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode(), 0o10_4750);
    // SAFETY: a path that ends. AT_SYMLINK_FOLLOW is none of faccessat's.
    assert_eq!(fails(unsafe { faccessat(AT_FDCWD, path(&file).as_ptr(), 0, 0x40) }), EINVAL);
}

fn opening() {
    let scratch = Scratch::new();
    let file = path(&scratch.file("file", "text"));
    // SAFETY: paths that end, here and below.
    assert_eq!(fails(unsafe { open(file.as_ptr(), 3) }), EINVAL);
    // SAFETY: as above.
    assert_eq!(
        fails(unsafe { open(path(&scratch.at("new")).as_ptr(), O_CREAT | O_DIRECTORY, 0o700 as c_int) }),
        EINVAL
    );
    let socket = scratch.at("s");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    // SAFETY: as above.
    assert_eq!(fails(unsafe { open(path(&socket).as_ptr(), O_RDWR) }), EOPNOTSUPP);
    assert!(fs::metadata(&socket).expect("a name").file_type().is_socket());
    symlink("file", scratch.at("link")).expect("a link");
    assert_eq!(number(File::options().read(true).custom_flags(O_NOFOLLOW).open(scratch.at("link"))), Some(ELOOP));
    assert_eq!(number(File::open(scratch.at("file/"))), Some(20), "ENOTDIR");
    assert_eq!(number(File::open("x".repeat(1024))), Some(63), "ENAMETOOLONG");
}

fn locks() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "kept");
    let flags = O_EXLOCK | O_NONBLOCK | O_TRUNC;
    let first = File::options().write(true).custom_flags(O_EXLOCK).open(&file).expect("locked");
    assert_eq!(number(File::options().write(true).custom_flags(flags).open(&file)), Some(EAGAIN));
    assert_eq!(fs::read_to_string(&file).expect("a file"), "kept");
    drop(first);
    File::options().write(true).custom_flags(flags).open(&file).expect("free again");
    assert_eq!(fs::read_to_string(&file).expect("a file"), "", "cut once it is locked");

    let (one, other) = (File::open(&file).expect("open"), File::open(&file).expect("open"));
    // SAFETY: descriptors of files, here and below.
    works(unsafe { flock(one.as_raw_fd(), LOCK_EX) });
    // SAFETY: as above.
    assert_eq!(fails(unsafe { flock(other.as_raw_fd(), LOCK_EX | LOCK_NB) }), EAGAIN);
    // SAFETY: as above. Neither shared, exclusive nor unlocked.
    assert_eq!(fails(unsafe { flock(other.as_raw_fd(), LOCK_NB) }), EBADF);
    // SAFETY: as above.
    assert_eq!(fails(unsafe { flock(a_pipe()[0], LOCK_EX) }), ENOTSUP);
}

/// `struct flock` of macOS.
#[repr(C)]
struct Lock {
    start: i64,
    length: i64,
    pid: i32,
    kind: i16,
    whence: i16,
}

fn locks_of_an_open_file() {
    const F_OFD_SETLK: c_int = 90;
    const F_OFD_GETLK: c_int = 92;
    const F_WRLCK: i16 = 3;
    let scratch = Scratch::new();
    let file = scratch.file("file", "0123456789");
    let open = || File::options().read(true).write(true).open(&file).expect("open");
    let (one, other) = (open(), open());
    let mut lock = Lock { start: 2, length: 3, pid: 0, kind: F_WRLCK, whence: 0 };
    // SAFETY: a lock as macOS lays it out, here and below.
    works(unsafe { fcntl(one.as_raw_fd(), F_OFD_SETLK, &raw const lock) });
    // SAFETY: as above.
    assert_eq!(fails(unsafe { fcntl(other.as_raw_fd(), F_OFD_SETLK, &raw const lock) }), EAGAIN);
    lock = Lock { start: 0, length: 0, ..lock };
    // SAFETY: as above.
    works(unsafe { fcntl(other.as_raw_fd(), F_OFD_GETLK, &raw mut lock) });
    assert_eq!((lock.start, lock.length, lock.pid, lock.kind), (2, 3, -1, F_WRLCK));
    // SAFETY: as above.
    assert_eq!(fails(unsafe { fcntl(a_pipe()[0], F_OFD_SETLK, &raw const lock) }), EBADF);
}

fn syncing() {
    const F_FULLFSYNC: c_int = 51;
    const F_BARRIERFSYNC: c_int = 85;
    let scratch = Scratch::new();
    let mut file = File::create(scratch.at("file")).expect("a file");
    file.write_all(b"text").expect("written");
    file.sync_all().expect("synced");
    file.sync_data().expect("synced");
    let null = File::open("/dev/null").expect("a device");
    let pipe = a_pipe();
    for how in [F_FULLFSYNC, F_BARRIERFSYNC] {
        // SAFETY: descriptors, here and below.
        works(unsafe { fcntl(file.as_raw_fd(), how) });
        // SAFETY: as above.
        assert_eq!(fails(unsafe { fcntl(pipe[1], how) }), EBADF);
        // SAFETY: as above.
        assert_eq!(fails(unsafe { fcntl(null.as_raw_fd(), how) }), ENOTTY);
    }
    // SAFETY: as above.
    assert_eq!(fails(unsafe { fsync(pipe[1]) }), ENOTSUP);
    // SAFETY: as above.
    works(unsafe { fsync(null.as_raw_fd()) });
    // The whole volume, by any name on it; the number of an error is returned, and errno is another's.
    const SYNC_VOLUME_FULLSYNC: c_int = 1;
    const SYNC_VOLUME_WAIT: c_int = 2;
    // SAFETY: as above.
    fails(unsafe { fsync(pipe[1]) });
    for (name, expected) in [("", 0), ("file", 0), ("gone", ENOENT)] {
        let at = path(&scratch.at(name));
        // SAFETY: a text of C.
        assert_eq!(unsafe { sync_volume_np(at.as_ptr(), SYNC_VOLUME_FULLSYNC | SYNC_VOLUME_WAIT) }, expected, "{name}");
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(ENOTSUP), "{name}");
    }
}

fn reading() {
    let scratch = Scratch::new();
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(scratch.at("file")).expect("a file");
    // SAFETY: no buffer is touched, here and below.
    assert_eq!(fails(unsafe { writev(file.as_raw_fd(), std::ptr::null(), 0) } as i64), EINVAL);
    // SAFETY: as above.
    assert_eq!(fails(unsafe { read(file.as_raw_fd(), std::ptr::null_mut(), 1 << 31) } as i64), EINVAL);
    // A hole of 8 MiB between two pieces of data. SEEK_HOLE is 3, SEEK_DATA 4.
    file.write_all(&[1; 4096]).expect("written");
    file.seek(SeekFrom::Start(8 << 20)).expect("beyond the end");
    file.write_all(&[1; 4096]).expect("written");
    // SAFETY: a descriptor, here and below.
    assert_eq!(unsafe { lseek(file.as_raw_fd(), 4096, 4) }, 8 << 20);
    // SAFETY: as above.
    assert_eq!(unsafe { lseek(file.as_raw_fd(), 0, 3) }, 4096);
    // SAFETY: as above.
    assert_eq!(fails(unsafe { lseek(file.as_raw_fd(), -1, 0) }), EINVAL);
    file.rewind().expect("to the start");
    let mut byte = [0];
    file.read_exact(&mut byte).expect("a byte");
    assert_eq!(byte, [1]);
}

fn flags() {
    const F_GETFD: c_int = 1;
    const F_GETFL: c_int = 3;
    const F_SETFL: c_int = 4;
    const FIONCLEX: u64 = 0x2000_6602;
    let scratch = Scratch::new();
    let file = File::options().append(true).create(true).open(scratch.at("file")).expect("a file");
    let fd = file.as_raw_fd();
    // SAFETY: a descriptor, here and below.
    assert_eq!(unsafe { fcntl(fd, F_GETFL) }, 1 | O_APPEND);
    // SAFETY: as above.
    works(unsafe { fcntl(fd, F_SETFL, O_NONBLOCK) });
    // SAFETY: as above.
    assert_eq!(unsafe { fcntl(fd, F_GETFL) }, 1 | O_NONBLOCK);
    // SAFETY: as above.
    assert_eq!(unsafe { fcntl(fd, F_GETFD) }, 1, "FD_CLOEXEC");
    // SAFETY: as above.
    works(unsafe { ioctl(fd, FIONCLEX) });
    // SAFETY: as above.
    assert_eq!(unsafe { fcntl(fd, F_GETFD) }, 0);
    // SAFETY: as above. There is no such command.
    assert_eq!(fails(unsafe { fcntl(fd, 5000) }), EINVAL);
}

fn path_of(file: &File) -> Result<PathBuf, i32> {
    const F_GETPATH: c_int = 50;
    let mut room = [0u8; 1024];
    // SAFETY: MAXPATHLEN bytes.
    if unsafe { fcntl(file.as_raw_fd(), F_GETPATH, room.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error().raw_os_error().expect("a number"));
    }
    let end = room.iter().position(|byte| *byte == 0).expect("an end");
    Ok(PathBuf::from(std::str::from_utf8(&room[..end]).expect("text")))
}

fn paths() {
    let scratch = Scratch::new();
    let name = scratch.file("file", "");
    let file = File::open(&name).expect("a file");
    assert_eq!(path_of(&file), Ok(fs::canonicalize(&name).expect("a path")));
    assert!(path_of(&file).expect("a path").starts_with("/private"));
    fs::rename(&name, scratch.at("new")).expect("renamed");
    assert!(path_of(&file).expect("a path").ends_with("new"));
    fs::remove_file(scratch.at("new")).expect("removed");
    assert_eq!(path_of(&file), Err(2), "ENOENT");
    let listener = UnixListener::bind(scratch.at("s")).expect("a socket");
    assert_eq!(path_of(&File::from(std::os::fd::OwnedFd::from(listener))), Err(EBADF));
}

fn copies() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "contents");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("one's own");
    let before = fs::metadata(&file).expect("a file");
    assert_eq!(fs::copy(&file, scratch.at("clone")).expect("a clone"), 8);
    let clone = fs::metadata(scratch.at("clone")).expect("a file");
    assert_eq!((clone.mode(), clone.mtime_nsec()), (before.mode(), before.mtime_nsec()));
    let old = scratch.file("old", "what was longer than that before");
    assert_eq!(fs::copy(&file, &old).expect("a copy"), 8);
    assert_eq!(fs::read_to_string(&old).expect("a file"), "contents");
}

fn facts() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "12345");
    let times = [1_000_000_000, 7, 0, -2];
    // SAFETY: a path that ends; the time of access, and UTIME_OMIT.
    works(unsafe { utimensat(AT_FDCWD, path(&file).as_ptr(), &raw const times, 0) });
    let facts = fs::metadata(&file).expect("a file");
    assert_eq!((facts.len(), facts.nlink(), facts.atime(), facts.atime_nsec()), (5, 1, 1_000_000_000, 7));
    assert!(facts.created().expect("APFS has it") <= facts.modified().expect("a time"));
    assert!(facts.mtime() > 1_000_000_000, "left as it was");
    let mut found: Vec<_> =
        fs::read_dir(&scratch.0).expect("a directory").map(|entry| entry.expect("an entry")).collect();
    let entry = found.pop().expect("one file");
    assert!(found.is_empty());
    assert_eq!((entry.file_name().to_str(), entry.file_type().expect("known").is_file()), (Some("file"), true));
    // `ino` of an entry is what d_ino says, without another call.
    assert_eq!(std::os::unix::fs::DirEntryExt::ino(&entry), facts.ino());
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("system links") => system_links(),
        Some("temporary folder") => temporary_folder(),
        Some("names") => names(),
        Some("modes") => modes(),
        Some("opening") => opening(),
        Some("locks") => locks(),
        Some("locks of an open file") => locks_of_an_open_file(),
        Some("syncing") => syncing(),
        Some("reading") => reading(),
        Some("flags") => flags(),
        Some("paths") => paths(),
        Some("copies") => copies(),
        Some("facts") => facts(),
        other => panic!("{other:?}"),
    }
}
