//! Mapped memory, in pages as a Mac has them.

use std::ffi::{c_int, c_void};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;

unsafe extern "C" {
    static vm_page_size: usize;
    fn mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn munmap(at: *mut c_void, length: usize) -> c_int;
    fn mprotect(at: *mut c_void, length: usize, protection: c_int) -> c_int;
    fn msync(at: *mut c_void, length: usize, flags: c_int) -> c_int;
    fn madvise(at: *mut c_void, length: usize, advice: c_int) -> c_int;
    fn mlock(at: *const c_void, length: usize) -> c_int;
    fn munlock(at: *const c_void, length: usize) -> c_int;
    fn mlockall(flags: c_int) -> c_int;
    fn memset_pattern16(to: *mut c_void, pattern: *const c_void, length: usize);
    fn sysconf(name: c_int) -> i64;
    fn getentropy(to: *mut c_void, length: usize) -> c_int;
    fn arc4random_buf(to: *mut c_void, length: usize);
}

// bsd/sys/mman.h and errno.h of xnu.
const READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;
const MAP_PRIVATE: c_int = 2;
const MAP_ANON: c_int = 0x1000;
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 78;

const PAGE: usize = if cfg!(target_arch = "aarch64") { 16384 } else { 4096 };

#[track_caller]
fn fails(result: c_int) -> i32 {
    assert_eq!(result, -1, "it should have failed");
    io::Error::last_os_error().raw_os_error().expect("a number")
}

/// What could not be mapped, by its error.
fn refused(length: usize, flags: c_int, fd: c_int, offset: i64) -> Option<i32> {
    // SAFETY: a new mapping, wherever there is room.
    let at = unsafe { mmap(std::ptr::null_mut(), length, READ_WRITE, flags, fd, offset) };
    (at.addr() == usize::MAX).then(|| io::Error::last_os_error().raw_os_error().expect("a number"))
}

fn anonymous(length: usize) -> *mut u8 {
    // SAFETY: a new mapping, wherever there is room.
    let at = unsafe { mmap(std::ptr::null_mut(), length, READ_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0) };
    assert_ne!(at.addr(), usize::MAX, "{}", io::Error::last_os_error());
    assert_eq!(at.addr() % PAGE, 0, "it begins with a page");
    at.cast()
}

fn pages() {
    // SAFETY: a number that nobody changes, and a name of macOS.
    assert_eq!(unsafe { (vm_page_size, sysconf(29)) }, (PAGE, PAGE as i64));
    for _ in 0..8 {
        let at = anonymous(100);
        // SAFETY: the page is ours to its end, then nobody's.
        unsafe {
            at.add(PAGE - 1).write(1);
            assert_eq!(fails(munmap(at.add(512).cast(), PAGE)), EINVAL);
            assert_eq!(fails(munmap(at.cast(), 0)), EINVAL);
            assert_eq!(fails(mprotect(at.add(512).cast(), PAGE, 1)), EINVAL);
            assert_eq!(munmap(at.cast(), 100), 0);
        }
    }
}

fn refusals() {
    let file = fs::File::open("/etc/passwd").expect("a file").as_raw_fd();
    assert_eq!(refused(PAGE, MAP_ANON, -1, 0), Some(EINVAL), "neither shared nor one's own");
    assert_eq!(refused(0, MAP_PRIVATE | MAP_ANON, -1, 0), Some(EINVAL));
    assert_eq!(refused(PAGE, MAP_PRIVATE, file, 512), Some(EINVAL), "no page begins there");
    assert_eq!(refused(PAGE, MAP_PRIVATE | MAP_ANON, 5, 0), Some(EINVAL), "no descriptor, and no tag");
    assert_eq!(refused(PAGE, MAP_PRIVATE | MAP_ANON, 1 << 24, 0), None, "a tag: VM_MAKE_TAG");
    let at = anonymous(PAGE);
    // SAFETY: our page.
    unsafe {
        assert_eq!(fails(mlockall(1)), ENOSYS);
        assert_eq!(fails(msync(at.cast(), 0, 0x10)), EINVAL);
        assert_eq!(fails(msync(at.cast(), PAGE, 0x11)), EINVAL, "at once and later");
        assert_eq!(fails(madvise(at.cast(), PAGE, 99)), EINVAL);
        assert_eq!((mlock(at.cast(), PAGE), munlock(at.cast(), PAGE)), (0, 0));
        assert_eq!(munmap(at.cast(), PAGE), 0);
        assert_eq!(fails(mlock(at.cast(), PAGE)), ENOMEM, "no memory any more");
    }
}

/// MADV_DONTNEED: what is in the pages stays, as VM_BEHAVIOR_DONTNEED has it. Linux would throw it away.
fn kept() {
    let at = anonymous(2 * PAGE);
    // SAFETY: our pages; an address inside one of them is as good.
    unsafe {
        memset_pattern16(at.cast(), b"0123456789abcdef".as_ptr().cast(), PAGE + 3);
        assert_eq!(madvise(at.cast(), 2 * PAGE, 4), 0);
        assert_eq!(madvise(at.add(100).cast(), 100, 4), 0);
        assert_eq!(std::slice::from_raw_parts(at.add(PAGE), 4), b"012\0");
    }
}

fn files() {
    let path = std::env::temp_dir().join(format!("memory.{}", std::process::id()));
    fs::write(&path, vec![7; PAGE + 100]).expect("a file");
    let file = fs::File::options().read(true).write(true).open(&path).expect("a file");
    // SAFETY: a mapping of a file of ours, as long as that.
    unsafe {
        let at = mmap(std::ptr::null_mut(), PAGE + 100, READ_WRITE, MAP_SHARED, file.as_raw_fd(), 0).cast::<u8>();
        assert_eq!((at.addr() % PAGE, at.add(PAGE + 99).read(), at.add(PAGE + 100).read()), (0, 7, 0));
        at.add(PAGE).write(8);
        assert_eq!(msync(at.cast(), PAGE + 100, 0x10), 0);
        assert_eq!(munmap(at.cast(), PAGE + 100), 0);
        let second =
            mmap(std::ptr::null_mut(), 100, READ_WRITE, MAP_PRIVATE, file.as_raw_fd(), PAGE as i64).cast::<u8>();
        assert_eq!((second.read(), second.add(1).read()), (8, 7));
    }
    fs::remove_file(path).expect("ours");
}

fn random() {
    let mut bytes = [0u8; 512];
    // SAFETY: room for as many.
    unsafe {
        assert_eq!(getentropy(bytes.as_mut_ptr().cast(), 256), 0);
        assert_eq!(fails(getentropy(bytes.as_mut_ptr().cast(), 257)), EINVAL);
        arc4random_buf(bytes[256..].as_mut_ptr().cast(), 256);
    }
    assert!(bytes.chunks(64).all(|part| part.iter().any(|byte| *byte != 0)), "{bytes:?}");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("pages") => pages(),
        Some("refusals") => refusals(),
        Some("kept") => kept(),
        Some("files") => files(),
        Some("random") => random(),
        other => panic!("{other:?}"),
    }
}
