//! What a Mac says of itself: its errors, users, names of sysctl, file systems and terminals.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{self, ErrorKind};
use std::ptr;

/// `struct passwd` of macOS.
#[repr(C)]
struct User {
    name: *const c_char,
    password: *const c_char,
    user: u32,
    group: u32,
    change: i64,
    class: *const c_char,
    full_name: *const c_char,
    home: *const c_char,
    shell: *const c_char,
    expires: i64,
}

/// `struct group`.
#[repr(C)]
struct Group {
    name: *const c_char,
    password: *const c_char,
    group: u32,
    members: *const *const c_char,
}

/// `struct utsname` of macOS.
#[repr(C)]
struct Names([[u8; 256]; 5]);

/// `struct statfs` of macOS.
#[repr(C)]
#[derive(Clone, Copy)]
struct FileSystem {
    block_size: u32,
    io_size: i32,
    blocks: [u64; 5],
    id: [i32; 2],
    owner: u32,
    kind: u32,
    flags: u32,
    subtype: u32,
    type_name: [u8; 16],
    mounted_on: [u8; 1024],
    mounted_from: [u8; 1024],
    reserved: [u32; 8],
}

/// `struct termios` of macOS.
#[repr(C)]
#[derive(Clone, Copy)]
struct Terminal {
    input: u64,
    output: u64,
    control: u64,
    local: u64,
    characters: [u8; 20],
    input_speed: u64,
    output_speed: u64,
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    #[link_name = "statfs$INODE64"]
    fn statfs(path: *const c_char, to: *mut FileSystem) -> c_int;
    #[link_name = "getfsstat$INODE64"]
    fn getfsstat(to: *mut FileSystem, size: c_int, flags: c_int) -> c_int;
    #[link_name = "getmntinfo$INODE64"]
    fn getmntinfo(to: *mut *const FileSystem, flags: c_int) -> c_int;
}
#[cfg(target_arch = "aarch64")]
unsafe extern "C" {
    fn statfs(path: *const c_char, to: *mut FileSystem) -> c_int;
    fn getfsstat(to: *mut FileSystem, size: c_int, flags: c_int) -> c_int;
    fn getmntinfo(to: *mut *const FileSystem, flags: c_int) -> c_int;
}
unsafe extern "C" {
    fn strerror_r(number: c_int, to: *mut c_char, size: usize) -> c_int;
    fn getpwuid_r(id: u32, to: *mut User, room: *mut c_char, size: usize, out: *mut *const User) -> c_int;
    fn getgrnam_r(name: *const c_char, to: *mut Group, room: *mut c_char, size: usize, out: *mut *const Group)
    -> c_int;
    fn sysctlbyname(name: *const c_char, to: *mut c_void, size: *mut usize, new: *const c_void, length: usize)
    -> c_int;
    fn sysctl(
        name: *const c_int,
        count: u32,
        to: *mut c_void,
        size: *mut usize,
        new: *const c_void,
        length: usize,
    ) -> c_int;
    fn sysctlnametomib(name: *const c_char, to: *mut c_int, count: *mut usize) -> c_int;
    fn uname(to: *mut Names) -> c_int;
    fn statvfs(path: *const c_char, to: *mut [u64; 8]) -> c_int;
    fn isatty(fd: c_int) -> c_int;
    fn tcgetattr(fd: c_int, to: *mut Terminal) -> c_int;
    fn tcsetattr(fd: c_int, when: c_int, from: *const Terminal) -> c_int;
    fn tcflush(fd: c_int, which: c_int) -> c_int;
    fn ioctl(fd: c_int, request: u64, ...) -> c_int;
}

const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const ERANGE: i32 = 34;

fn c(text: &str) -> CString {
    CString::new(text).expect("no zero in it")
}

fn text<'a>(at: *const c_char) -> &'a str {
    // SAFETY: a text that ends.
    unsafe { CStr::from_ptr(at) }.to_str().expect("text")
}

fn until_zero(bytes: &[u8]) -> &str {
    CStr::from_bytes_until_nul(bytes).expect("an end").to_str().expect("text")
}

fn number() -> i32 {
    io::Error::last_os_error().raw_os_error().expect("a number")
}

fn errors() {
    let missing = std::fs::File::open("/nowhere").expect_err("none");
    assert_eq!(missing.to_string(), "No such file or directory (os error 2)");
    let kinds = [
        (35, ErrorKind::WouldBlock, "Resource temporarily unavailable"),
        (60, ErrorKind::TimedOut, "Operation timed out"),
        (61, ErrorKind::ConnectionRefused, "Connection refused"),
        (48, ErrorKind::AddrInUse, "Address already in use"),
        (66, ErrorKind::DirectoryNotEmpty, "Directory not empty"),
        (69, ErrorKind::QuotaExceeded, "Disc quota exceeded"),
    ];
    for (number, kind, words) in kinds {
        let error = io::Error::from_raw_os_error(number);
        assert_eq!((error.kind(), error.to_string()), (kind, format!("{words} (os error {number})")));
    }
    let mut room = [0u8; 64];
    // SAFETY: as much room as is said, here and below.
    assert_eq!(unsafe { strerror_r(9999, room.as_mut_ptr().cast(), room.len()) }, EINVAL);
    assert_eq!(until_zero(&room), "Unknown error: 9999");
    // SAFETY: as above.
    assert_eq!(unsafe { strerror_r(2, room.as_mut_ptr().cast(), 8) }, ERANGE);
    assert_eq!(until_zero(&room), "No such");
}

fn users() {
    let mut room = [0 as c_char; 4096];
    let (mut user, mut found) = (std::mem::MaybeUninit::uninit(), ptr::null());
    // SAFETY: places for what is told, which is read where the call says that it is there; here and below.
    unsafe {
        assert_eq!(getpwuid_r(0, user.as_mut_ptr(), room.as_mut_ptr(), room.len(), &raw mut found), 0);
        let root = &*found;
        assert_eq!(
            (text(root.name), text(root.home), text(root.full_name)),
            ("root", "/var/root", "System Administrator")
        );
        assert_eq!((root.user, root.group, text(root.class), root.change, root.expires), (0, 0, "", 0, 0));
        assert_eq!(getpwuid_r(0, user.as_mut_ptr(), room.as_mut_ptr(), 8, &raw mut found), ERANGE);
        assert!(found.is_null());
        assert_eq!(getpwuid_r(1_234_567, user.as_mut_ptr(), room.as_mut_ptr(), room.len(), &raw mut found), 0);
        assert!(found.is_null(), "nobody is no error");
    }
    let (mut group, mut found) = (std::mem::MaybeUninit::uninit(), ptr::null());
    for (name, id) in [("wheel", 0), ("staff", 20), ("admin", 80), ("nobody", u32::MAX - 1)] {
        // SAFETY: as above.
        unsafe {
            let rc = getgrnam_r(c(name).as_ptr(), group.as_mut_ptr(), room.as_mut_ptr(), room.len(), &raw mut found);
            assert_eq!((rc, text((*found).name), (*found).group), (0, name, id));
        }
    }
    // SAFETY: as above.
    unsafe {
        getgrnam_r(c("admin").as_ptr(), group.as_mut_ptr(), room.as_mut_ptr(), room.len(), &raw mut found);
        let members = (*found).members;
        assert_eq!((text(*members), (*members.add(1)).is_null()), ("root", true));
        assert_eq!(
            getgrnam_r(c("no such").as_ptr(), group.as_mut_ptr(), room.as_mut_ptr(), room.len(), &raw mut found),
            0
        );
        assert!(found.is_null());
    }
}

fn names() {
    let mut names = Names([[0; 256]; 5]);
    // SAFETY: a place for the answer.
    assert_eq!(unsafe { uname(&raw mut names) }, 0);
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    assert_eq!((until_zero(&names.0[0]), until_zero(&names.0[4])), ("Darwin", machine));

    let mut room = [0u8; 256];
    let mut size = room.len();
    // SAFETY: as much room as is said, here and below.
    unsafe {
        assert_eq!(
            sysctlbyname(c("kern.osrelease").as_ptr(), room.as_mut_ptr().cast(), &raw mut size, ptr::null(), 0),
            0
        );
        assert_eq!((until_zero(&room), size), (until_zero(&names.0[2]), until_zero(&room).len() + 1));
        let by_number = [1, 2];
        let mut again = 0;
        assert_eq!(sysctl(by_number.as_ptr(), 2, ptr::null_mut(), &raw mut again, ptr::null(), 0), 0);
        assert_eq!(again, size, "how much room it needs");
        size = 3;
        assert_eq!(
            sysctlbyname(c("kern.ostype").as_ptr(), room.as_mut_ptr().cast(), &raw mut size, ptr::null(), 0),
            -1
        );
        assert_eq!((number(), size, &room[..3]), (ENOMEM, 3, &b"Dar"[..]));
        assert_eq!(
            sysctlbyname(c("kern.no_such").as_ptr(), room.as_mut_ptr().cast(), &raw mut size, ptr::null(), 0),
            -1
        );
        assert_eq!(number(), ENOENT);

        let mut shuts_down = -1i32;
        size = 4;
        let at = (&raw mut shuts_down).cast();
        assert_eq!(sysctlbyname(c("kern.willshutdown").as_ptr(), at, &raw mut size, ptr::null(), 0), 0);
        assert_eq!((shuts_down, size), (0, 4));
        let (mut numbers, mut count, mut memory) = ([0; 4], 4, 0u64);
        assert_eq!(sysctlnametomib(c("hw.memsize").as_ptr(), numbers.as_mut_ptr(), &raw mut count), 0);
        assert_eq!((numbers[0], numbers[1], count), (6, 24, 2));
        size = 8;
        assert_eq!(sysctl(numbers.as_ptr(), 2, (&raw mut memory).cast(), &raw mut size, ptr::null(), 0), 0);
        assert!(memory > 64 << 20, "{memory}");
        // CTL_HW, HW_PAGESIZE: an int, where the name's is longer.
        let (mut page, mut long_page) = (0i32, 0i64);
        size = 8;
        assert_eq!(sysctl([6, 7].as_ptr(), 2, (&raw mut page).cast(), &raw mut size, ptr::null(), 0), 0);
        assert_eq!(size, 4);
        size = 8;
        let at = (&raw mut long_page).cast();
        assert_eq!(sysctlbyname(c("hw.pagesize").as_ptr(), at, &raw mut size, ptr::null(), 0), 0);
        assert_eq!((i64::from(page), size), (long_page, 8));
    }
}

fn mounts() {
    const MNT_LOCAL: u32 = 0x1000;
    const MNT_ROOTFS: u32 = 0x4000;
    const MNT_NOWAIT: c_int = 2;
    assert_eq!(size_of::<FileSystem>(), 2168);
    let nothing = FileSystem {
        block_size: 0,
        io_size: 0,
        blocks: [0; 5],
        id: [0; 2],
        owner: 0,
        kind: 0,
        flags: 0,
        subtype: 0,
        type_name: [0; 16],
        mounted_on: [0; 1024],
        mounted_from: [0; 1024],
        reserved: [0; 8],
    };
    let (mut root, mut posix, mut list) = (nothing, [0; 8], ptr::null());
    // SAFETY: places for the answers, as large as is said.
    unsafe {
        assert_eq!(statfs(c("/").as_ptr(), &raw mut root), 0);
        assert_eq!(until_zero(&root.mounted_on), "/");
        assert_eq!(root.flags & (MNT_LOCAL | MNT_ROOTFS), MNT_LOCAL | MNT_ROOTFS);
        assert_eq!(until_zero(&root.type_name), "apfs");
        assert_eq!(statfs(c("/proc").as_ptr(), &raw mut root), -1);
        assert_eq!(number(), ENOENT);
        let count = getfsstat(ptr::null_mut(), 0, MNT_NOWAIT);
        let mut all = vec![nothing; usize::try_from(count).expect("a count") + 1];
        let size = c_int::try_from(size_of_val(all.as_slice())).expect("a size");
        assert_eq!(getfsstat(all.as_mut_ptr(), size, MNT_NOWAIT), count);
        assert_eq!(getfsstat(all.as_mut_ptr(), 2168, MNT_NOWAIT), 1, "as many as there is room for");
        assert_eq!(getmntinfo(&raw mut list, MNT_NOWAIT), count);
        let all = std::slice::from_raw_parts(list, usize::try_from(count).expect("a count"));
        assert!(all.iter().any(|one| until_zero(&one.mounted_on) == "/"));
        assert!(all.iter().all(|one| !until_zero(&one.mounted_on).starts_with("/proc")), "a Mac has none");
        assert_eq!(statvfs(c("/").as_ptr(), &raw mut posix), 0);
    }
    let [block, fragment, counts, ..] = posix;
    assert_eq!(
        (block, fragment, posix[7]),
        (1 << 20, u64::from(root.block_size), 255),
        "what is best read, and what is counted"
    );
    assert_eq!(counts & 0xffff_ffff, root.blocks[0] & 0xffff_ffff);
}

/// The terminal is standard input.
fn terminal() {
    const ECHO: u64 = 8;
    const ICANON: u64 = 0x100;
    const VINTR: usize = 8;
    const VEOL: usize = 1;
    const TCIOFLUSH: c_int = 3;
    const TIOCGWINSZ: u64 = 0x4008_7468;
    let mut terminal = std::mem::MaybeUninit::<Terminal>::uninit();
    let mut size = [0u16; 4];
    // SAFETY: places for the answers.
    unsafe {
        assert_eq!((isatty(0), isatty(1)), (1, 0));
        assert_eq!(tcgetattr(1, terminal.as_mut_ptr()), -1);
        assert_eq!(number(), ENOTTY);
        assert_eq!(ioctl(0, TIOCGWINSZ, size.as_mut_ptr()), 0);
        assert_eq!(tcgetattr(0, terminal.as_mut_ptr()), 0);
        let mut terminal = terminal.assume_init();
        assert_eq!(terminal.local & (ECHO | ICANON), ECHO | ICANON);
        assert_eq!((terminal.control & 0x300, terminal.output_speed), (0x300, 38400), "eight bits");
        assert_eq!((terminal.characters[VINTR], terminal.characters[VEOL]), (3, 0xff), "^C, and none");
        terminal.local &= !ECHO;
        assert_eq!(tcsetattr(0, 2, &raw const terminal), 0);
        assert_eq!(tcflush(0, TCIOFLUSH), 0);
        assert_eq!((tcflush(0, 0), number()), (-1, EINVAL), "Linux counts from none");
    }
    println!("{} rows, {} columns", size[0], size[1]);
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("errors") => errors(),
        Some("users") => users(),
        Some("names") => names(),
        Some("mounts") => mounts(),
        Some("terminal") => terminal(),
        other => panic!("{other:?}"),
    }
}
