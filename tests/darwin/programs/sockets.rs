//! What sockets do on Darwin and nowhere else. One line for each question, as scenarios ask for it.

use std::ffi::c_void;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr::{null, null_mut};

#[repr(C)]
struct Message {
    name: *const c_void,
    name_size: u32,
    parts: *const Part,
    part_count: i32,
    control: *mut c_void,
    control_size: u32,
    flags: i32,
}

#[repr(C)]
struct Part {
    at: *mut c_void,
    size: usize,
}

#[repr(C)]
struct Control {
    length: u32,
    level: i32,
    kind: i32,
    fds: [RawFd; 2],
}

#[repr(C)]
struct PollFd {
    fd: RawFd,
    events: i16,
    told: i16,
}

#[repr(C)]
struct Interface {
    next: *const Interface,
    name: *const i8,
    flags: u32,
    address: *const u8,
    mask: *const u8,
    other: *const u8,
    data: *const c_void,
}

unsafe extern "C" {
    fn socket(family: i32, kind: i32, protocol: i32) -> RawFd;
    fn bind(fd: RawFd, address: *const c_void, size: u32) -> i32;
    fn connect(fd: RawFd, address: *const c_void, size: u32) -> i32;
    fn listen(fd: RawFd, backlog: i32) -> i32;
    fn accept(fd: RawFd, address: *mut c_void, size: *mut u32) -> RawFd;
    fn shutdown(fd: RawFd, how: i32) -> i32;
    fn getsockname(fd: RawFd, address: *mut c_void, size: *mut u32) -> i32;
    fn setsockopt(fd: RawFd, level: i32, name: i32, value: *const c_void, size: u32) -> i32;
    fn getsockopt(fd: RawFd, level: i32, name: i32, value: *mut c_void, size: *mut u32) -> i32;
    fn getpeereid(fd: RawFd, user: *mut u32, group: *mut u32) -> i32;
    fn sendmsg(fd: RawFd, message: *const Message, flags: i32) -> isize;
    fn recvmsg(fd: RawFd, message: *mut Message, flags: i32) -> isize;
    fn fcntl(fd: RawFd, what: i32, ...) -> i32;
    fn poll(fds: *mut PollFd, count: u32, milliseconds: i32) -> i32;
    fn kqueue() -> RawFd;
    fn signal(number: i32, handler: usize) -> usize;
    fn getpid() -> i32;
    fn getuid() -> u32;
    fn getgid() -> u32;
    fn getifaddrs(to: *mut *const Interface) -> i32;
    fn freeifaddrs(list: *const Interface);
    fn if_nametoindex(name: *const i8) -> u32;
}

const SOL_SOCKET: i32 = 0xffff;
const SO_REUSEADDR: i32 = 0x4;
const SO_LINGER: i32 = 0x80;
const SO_SNDBUF: i32 = 0x1001;
const SO_NOSIGPIPE: i32 = 0x1022;

fn result(value: i32) -> String {
    if value >= 0 { value.to_string() } else { format!("error {}", errno()) }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("a number")
}

fn set(fd: RawFd, level: i32, name: i32, value: i32) -> String {
    result(unsafe { setsockopt(fd, level, name, (&raw const value).cast(), 4) })
}

fn get(fd: RawFd, level: i32, name: i32) -> String {
    let (mut value, mut size) = (0i32, 4);
    let got = unsafe { getsockopt(fd, level, name, (&raw mut value).cast(), &mut size) };
    if got == 0 { format!("{value}") } else { result(got) }
}

fn new(family: i32, kind: i32) -> OwnedFd {
    unsafe { OwnedFd::from_raw_fd(socket(family, kind, 0)) }
}

fn inherited() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("ioctl");
    set(listener.as_raw_fd(), SOL_SOCKET, SO_NOSIGPIPE, 0);
    let address = listener.local_addr().expect("an address");
    for silent in [0, 1] {
        println!("{}", set(listener.as_raw_fd(), SOL_SOCKET, SO_NOSIGPIPE, silent));
        let _ours = TcpStream::connect(address).expect("a connection");
        let theirs = loop {
            let fd = unsafe { accept(listener.as_raw_fd(), null_mut(), null_mut()) };
            if fd >= 0 {
                break unsafe { OwnedFd::from_raw_fd(fd) };
            }
        };
        let flags = unsafe { fcntl(theirs.as_raw_fd(), 3) };
        println!("{:#x} {}", flags & 0x4, get(theirs.as_raw_fd(), SOL_SOCKET, SO_NOSIGPIPE));
    }
}

fn names() {
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let (mut name, mut size) = ([0xffu8; 106], 106);
    println!("{}", result(unsafe { getsockname(ours.as_raw_fd(), name.as_mut_ptr().cast(), &mut size) }));
    println!("{size} {} {}", name[0], name[1]);
    let directory = std::env::temp_dir();
    let path = directory.join("x".repeat(103 - directory.as_os_str().len() - 1));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("103 bytes and a NUL");
    println!("{}", listener.local_addr().expect("a name").as_pathname() == Some(&path));
    println!("{:?}", UnixListener::bind(&path).map_err(|e| e.raw_os_error()).err());
    drop(listener);
    println!("{:?}", UnixStream::connect(&path).map_err(|e| e.raw_os_error()).err());
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(&path, "").expect("a file");
    println!("{:?}", UnixStream::connect(&path).map_err(|e| e.raw_os_error()).err());
    std::fs::remove_file(&path).expect("it is there");
    let fd = new(1, 1);
    let address = [106u8, 1];
    println!("{}", result(unsafe { bind(fd.as_raw_fd(), address.as_ptr().cast(), 2) }));
    println!("{}", result(unsafe { bind(fd.as_raw_fd(), address.as_ptr().cast(), 300) }));
    let tcp = new(2, 1);
    let address = [16u8, 2, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    println!("{}", result(unsafe { bind(tcp.as_raw_fd(), address.as_ptr().cast(), 12) }));
    println!("{}", result(unsafe { connect(tcp.as_raw_fd(), address.as_ptr().cast(), 16) }));
    let (mut name, mut size) = ([0xffu8; 28], 28);
    println!("{}", result(unsafe { bind(tcp.as_raw_fd(), address.as_ptr().cast(), 16) }));
    println!("{}", result(unsafe { getsockname(tcp.as_raw_fd(), name.as_mut_ptr().cast(), &mut size) }));
    println!("{size} {} {}", name[0], name[1]);
}

fn options() {
    let tcp = new(2, 1);
    let fd = tcp.as_raw_fd();
    println!("{}", set(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    println!("{}", get(fd, SOL_SOCKET, SO_REUSEADDR));
    println!("{}", set(fd, SOL_SOCKET, SO_SNDBUF, 4 << 20));
    println!("{}", get(fd, SOL_SOCKET, SO_SNDBUF));
    println!("{}", set(fd, SOL_SOCKET, SO_SNDBUF, 7_456_541));
    println!("{}", set(fd, SOL_SOCKET, SO_SNDBUF, 0));
    println!("{}", get(fd, SOL_SOCKET, SO_SNDBUF));
    println!("{}", set(fd, SOL_SOCKET, 0x7777, 1));
    println!("{}", set(fd, SOL_SOCKET, 0x1008, 1));
    println!("{}", result(unsafe { setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, [1u8].as_ptr().cast(), 1) }));
    println!("{}", set(fd, 0, 25, 9999));
    println!("{} {}", set(fd, 6, 1, 1), get(fd, 6, 1));
    println!("{}", set(fd, 6, 0x10, 30));
    println!("{}", get(fd, 6, 0x10));
    println!("{}", set(0, SOL_SOCKET, SO_REUSEADDR, 1));
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    println!("{}", set(ours.as_raw_fd(), SOL_SOCKET, SO_NOSIGPIPE, 1));
    drop(theirs);
    println!("{}", set(ours.as_raw_fd(), SOL_SOCKET, SO_NOSIGPIPE, 1));
}

fn peers() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let fd = ours.as_raw_fd();
    let (mut credentials, mut size) = ([0u32; 19], 76);
    println!("{}", result(unsafe { getsockopt(fd, 0, 1, credentials.as_mut_ptr().cast(), &mut size) }));
    let (user, group) = unsafe { (getuid(), getgid()) };
    println!("{size} {} {} {}", credentials[0], credentials[1] == user, credentials[3] == group);
    println!("{}", get(fd, 0, 2) == unsafe { getpid() }.to_string());
    println!("{}", set(fd, 0, 2, 1));
    drop(theirs);
    println!("{}", get(fd, 0, 2));
    let (mut its_user, mut its_group) = (9, 9);
    println!("{}", result(unsafe { getpeereid(fd, &mut its_user, &mut its_group) }));
    println!("{}", (its_user, its_group) == (user, group));
    let alone = new(1, 1);
    println!("{}", result(unsafe { getpeereid(alone.as_raw_fd(), &mut its_user, &mut its_group) }));
    println!("{}", get(alone.as_raw_fd(), 0, 2));
}

fn message(part: &Part, control: &mut Control, size: u32) -> Message {
    let control = (&raw mut *control).cast();
    Message { name: null(), name_size: 0, parts: part, part_count: 1, control, control_size: size, flags: 0 }
}

fn rights() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let (mut sent, mut got) = (*b"a", [0u8; 8]);
    let part = Part { at: sent.as_mut_ptr().cast(), size: 1 };
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let send = |kind, fds: [RawFd; 2], length, size| {
        let mut control = Control { length, level: SOL_SOCKET, kind, fds };
        result(unsafe { sendmsg(ours.as_raw_fd(), &message(&part, &mut control, size), 0) } as i32)
    };
    let queue = unsafe { kqueue() };
    println!("{}", send(1, [queue, 0], 16, 16));
    println!("{}", send(3, [0, 0], 16, 16));
    println!("{}", send(1, [1, 0], 16, 20));
    println!("{}", send(1, [777, 0], 16, 16));
    println!("{}", send(1, [writer.as_raw_fd(), 1], 20, 20));
    let into = Part { at: got.as_mut_ptr().cast(), size: 8 };
    let mut control = Control { length: 0, level: 0, kind: 0, fds: [-1, -1] };
    let mut told = message(&into, &mut control, 20);
    println!("{}", result(unsafe { recvmsg(theirs.as_raw_fd(), &mut told, 0) } as i32));
    println!("{} {:#x} {} {:#x} {}", told.control_size, told.flags, control.length, control.level, control.kind);
    drop(writer);
    let mut copy = unsafe { std::fs::File::from_raw_fd(control.fds[0]) };
    copy.write_all(b"through").expect("room");
    drop(copy);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    println!("{text}");
    println!("{}", send(1, [1, 2], 20, 20));
    let mut told = message(&into, &mut control, 16);
    println!("{}", result(unsafe { recvmsg(theirs.as_raw_fd(), &mut told, 0) } as i32));
    println!("{} {:#x} {}", told.control_size, told.flags, control.length);
}

fn states() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let fd = listener.as_raw_fd();
    let address = listener.local_addr().expect("an address");
    let mut name = [0u8; 16];
    name[..8].copy_from_slice(&[16, 2, (address.port() >> 8) as u8, address.port() as u8, 127, 0, 0, 1]);
    let connect = |fd: RawFd| result(unsafe { connect(fd, name.as_ptr().cast(), 16) });
    println!("{}", result(unsafe { shutdown(fd, 2) }));
    println!("{}", connect(fd));
    let ours = new(2, 1);
    println!("{}", result(unsafe { shutdown(ours.as_raw_fd(), 2) }));
    println!("{}", connect(ours.as_raw_fd()));
    println!("{}", connect(ours.as_raw_fd()));
    println!("{}", result(unsafe { shutdown(ours.as_raw_fd(), 7) }));
    println!("{}", result(unsafe { listen(ours.as_raw_fd(), 1) }));
    drop(listener.accept().expect("a connection"));
    // Reset before it was accepted: it is accepted, and has no name.
    let gone = TcpStream::connect(address).expect("a connection");
    let now = [1i32, 0];
    unsafe { setsockopt(gone.as_raw_fd(), SOL_SOCKET, SO_LINGER, now.as_ptr().cast(), 8) };
    drop(gone);
    let (mut whose, mut size) = ([0u8; 16], 16);
    let accepted = unsafe { accept(fd, whose.as_mut_ptr().cast(), &mut size) };
    println!("{} {size} {}", accepted >= 0, whose[1]);
}

fn crowded() {
    let path = std::env::temp_dir().join(format!("crowded-{}", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut name = [0u8; 106];
    name[1] = 1;
    let text = path.as_os_str().as_encoded_bytes();
    name[2..2 + text.len()].copy_from_slice(text);
    unsafe { listen(listener.as_raw_fd(), 1) };
    let mut waiting = Vec::new();
    let refused = loop {
        let fd = new(1, 1);
        let connected = unsafe { connect(fd.as_raw_fd(), name.as_ptr().cast(), 106) };
        if connected < 0 {
            break errno();
        }
        waiting.push(fd);
    };
    println!("{} {refused}", waiting.len() <= 3);
    std::fs::remove_file(&path).expect("it is there");
}

fn exhausted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut ours = TcpStream::connect(address).expect("a connection");
    let mut all = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        all.push(file);
    }
    println!("{:?}", listener.accept().map(|_| ()).map_err(|e| e.raw_os_error()));
    println!("{:?}", ours.read(&mut [0; 1]).map_err(|e| e.raw_os_error()));
    // Without a descriptor, too, it is looked for a connection first.
    listener.set_nonblocking(true).expect("ioctl");
    println!("{:?}", listener.accept().map(|_| ()).map_err(|e| e.raw_os_error()));
    drop(all.pop());
    println!("{:?}", listener.accept().map(|_| ()).map_err(|e| e.raw_os_error()));
}

fn buffered() {
    let (mut ours, _theirs) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("ioctl");
    let mut written = 0;
    let error = loop {
        match ours.write(&[0; 1024]) {
            Ok(some) => written += some,
            Err(error) => break error.raw_os_error(),
        }
    };
    println!("{} {error:?}", (4096..=16384).contains(&written));
}

fn polled() {
    let ask = |fd: RawFd, events| {
        let mut asked = PollFd { fd, events, told: 0x7fff };
        let ready = unsafe { poll(&mut asked, 1, 0) };
        println!("{ready} {:#x}", asked.told);
    };
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ask(ours.as_raw_fd(), 0x5);
    ask(new(2, 1).as_raw_fd(), 0x5);
    drop(theirs);
    ask(ours.as_raw_fd(), 0x5);
    ask(ours.as_raw_fd(), 0x4);
    ask(ours.as_raw_fd(), 0);
    ask(777, 0x1);
    ask(-1, 0x1);
}

fn killed(how: &str) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    println!("{}", set(ours.as_raw_fd(), SOL_SOCKET, SO_NOSIGPIPE, i32::from(how == "silent")));
    drop(theirs);
    let (default, ignore) = (0, 1);
    unsafe { signal(13, if how == "ignored" { ignore } else { default }) };
    println!("{:?}", ours.write(b"a").map_err(|e| e.raw_os_error()));
}

fn hosts() {
    let mut found: Vec<_> = ("127.0.0.1", 80).to_socket_addrs().expect("itself").map(|a| a.to_string()).collect();
    found.extend(("::1", 80).to_socket_addrs().expect("itself").map(|a| a.to_string()));
    println!("{}", found.join(" "));
    println!("{}", ("no.such.host.invalid", 80).to_socket_addrs().expect_err("there is none"));
}

fn interfaces() {
    let mut list = null();
    println!("{}", result(unsafe { getifaddrs(&mut list) }));
    let mut at = list;
    while let Some(interface) = unsafe { at.as_ref() } {
        let name = unsafe { std::ffi::CStr::from_ptr(interface.name) }.to_str().expect("ASCII");
        let byte = |of: *const u8, index| if of.is_null() { 0 } else { unsafe { *of.add(index) } };
        let (length, family) = (byte(interface.address, 0), byte(interface.address, 1));
        if name == "lo0" {
            let flags = interface.flags;
            println!(
                "{family} {length} mask {} flags {flags:#x} data {}",
                byte(interface.mask, 0),
                !interface.data.is_null()
            );
        }
        if name == "lo0" && family == 18 {
            println!(
                "type {:#x} name {} address {}",
                byte(interface.address, 4),
                byte(interface.address, 5),
                byte(interface.address, 6)
            );
        }
        at = interface.next;
    }
    unsafe { freeifaddrs(list) };
    println!(
        "{} {}",
        unsafe { if_nametoindex(c"lo0".as_ptr()) } > 0,
        result(unsafe { if_nametoindex(c"lo".as_ptr()) } as i32)
    );
    println!("{}", errno());
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("inherited") => inherited(),
        Some("names") => names(),
        Some("options") => options(),
        Some("peers") => peers(),
        Some("rights") => rights(),
        Some("states") => states(),
        Some("crowded") => crowded(),
        Some("exhausted") => exhausted(),
        Some("buffered") => buffered(),
        Some("polled") => polled(),
        Some("killed") => killed(&words[2]),
        Some("hosts") => hosts(),
        Some("interfaces") => interfaces(),
        other => panic!("{other:?}"),
    }
}
