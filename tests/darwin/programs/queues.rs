//! What kevent tells: one line for each event, `ident filter flags fflags data`, as scenarios ask for it.

use std::ffi::c_void;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr::null;

#[repr(C, packed(4))]
#[derive(Clone, Copy)]
struct Kevent {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    udata: *mut c_void,
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn kqueue() -> RawFd;
    fn kevent(
        queue: RawFd,
        changes: *const Kevent,
        count: i32,
        events: *mut Kevent,
        room: i32,
        wait: *const Timespec,
    ) -> i32;
    fn dup(fd: RawFd) -> RawFd;
    fn fork() -> i32;
    fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
    fn setsockopt(fd: RawFd, level: i32, name: i32, value: *const c_void, size: u32) -> i32;
    fn getsockopt(fd: RawFd, level: i32, name: i32, value: *mut c_void, size: *mut u32) -> i32;
    fn socket(family: i32, kind: i32, protocol: i32) -> RawFd;
    fn connect(fd: RawFd, address: *const c_void, size: u32) -> i32;
}

const READ: i16 = -1;
const WRITE: i16 = -2;
const TIMER: i16 = -7;
const USER: i16 = -10;
const ADD: u16 = 0x1;
const DELETE: u16 = 0x2;
const ENABLE: u16 = 0x4;
const DISABLE: u16 = 0x8;
const ONESHOT: u16 = 0x10;
const CLEAR: u16 = 0x20;
const RECEIPT: u16 = 0x40;
const DISPATCH: u16 = 0x80;

struct Queue(OwnedFd);

impl Queue {
    fn new() -> Queue {
        Queue(unsafe { OwnedFd::from_raw_fd(kqueue()) })
    }

    fn call(&self, changes: &[Kevent], room: usize, milliseconds: i64) -> Result<Vec<Kevent>, i32> {
        let mut events = vec![change(0, 0, 0); room];
        let wait = Timespec { seconds: milliseconds / 1000, nanoseconds: milliseconds % 1000 * 1_000_000 };
        let (count, fd) = (changes.len() as i32, self.0.as_raw_fd());
        let told = unsafe { kevent(fd, changes.as_ptr(), count, events.as_mut_ptr(), room as i32, &wait) };
        if told < 0 {
            return Err(std::io::Error::last_os_error().raw_os_error().expect("a number"));
        }
        events.truncate(told as usize);
        Ok(events)
    }

    fn change(&self, ident: usize, filter: i16, flags: u16) {
        self.call(&[change(ident, filter, flags)], 0, 0).unwrap_or_else(|error| panic!("{filter}: error {error}"));
    }

    /// What is there now, or comes soon.
    fn tell(&self) {
        self.tell_after(0);
    }

    fn tell_after(&self, milliseconds: i64) {
        let events = self.call(&[], 8, milliseconds).expect("kevent");
        if events.is_empty() {
            println!("nothing");
        }
        for event in events {
            let Kevent { ident, filter, flags, fflags, data, .. } = event;
            let ident = if filter == READ || filter == WRITE { 0 } else { ident };
            println!("{ident} {filter} {flags:#x} {fflags:#x} {data}");
        }
    }
}

fn change(ident: usize, filter: i16, flags: u16) -> Kevent {
    Kevent { ident, filter, flags, fflags: 0, data: 0, udata: null::<c_void>().cast_mut() }
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair")
}

fn fd(of: &impl AsRawFd) -> usize {
    of.as_raw_fd() as usize
}

fn edges() {
    let (ours, mut theirs) = pair();
    let queue = Queue::new();
    queue.change(fd(&ours), READ, ADD | CLEAR);
    queue.tell();
    theirs.write_all(b"hello").expect("room");
    queue.tell();
    queue.tell();
    theirs.write_all(b"abc").expect("room");
    queue.tell();
    queue.change(fd(&ours), READ, ADD | CLEAR);
    queue.tell();
    drop(theirs);
    queue.tell();
    queue.tell();
}

fn levels() {
    let (mut ours, mut theirs) = pair();
    let queue = Queue::new();
    theirs.write_all(b"hello").expect("room");
    queue.change(fd(&ours), READ, ADD);
    queue.tell();
    queue.tell();
    let mut some = [0; 5];
    ours.read_exact(&mut some).expect("bytes");
    queue.tell();
}

fn low_water() {
    let (ours, mut theirs) = pair();
    let queue = Queue::new();
    queue.call(&[Kevent { fflags: 1, data: 4, ..change(fd(&ours), READ, ADD | CLEAR) }], 0, 0).expect("kevent");
    theirs.write_all(b"abc").expect("room");
    queue.tell();
    theirs.write_all(b"d").expect("room");
    queue.tell();
}

fn once() {
    let (ours, mut theirs) = pair();
    theirs.write_all(b"a").expect("room");
    let queue = Queue::new();
    queue.change(fd(&ours), READ, ADD | ONESHOT);
    queue.tell();
    queue.tell();
    queue.change(fd(&ours), READ, ADD | DISPATCH);
    queue.tell();
    queue.tell();
    queue.change(fd(&ours), READ, ENABLE);
    queue.tell();
    queue.change(fd(&ours), READ, ENABLE);
    queue.change(fd(&ours), READ, DISABLE);
    queue.tell();
}

fn receipts() {
    let (ours, _theirs) = pair();
    let queue = Queue::new();
    let changes = [change(fd(&ours), READ, ADD | RECEIPT), change(fd(&ours), WRITE, DELETE | RECEIPT)];
    for event in queue.call(&changes, 2, 1000).expect("kevent") {
        let (flags, data) = (event.flags, event.data);
        println!("{flags:#x} {data}");
    }
    println!("{:?}", queue.call(&changes[1..], 0, 0).map(|_| ()));
    println!("{:?}", queue.call(&[change(9999, READ, ADD)], 0, 0).map(|_| ()));
    println!("{:?}", queue.call(&[change(0, 1, ADD)], 0, 0).map(|_| ()));
    println!("{:?}", queue.call(&[], 1, -1).map(|_| ()));
}

fn user() {
    const TRIGGER: u32 = 0x0100_0000;
    let queue = Queue::new();
    let touch = |flags, fflags| {
        queue.call(&[Kevent { fflags, data: 7, ..change(3, USER, flags) }], 0, 0).expect("kevent");
    };
    touch(ADD | CLEAR, 0xc000_0000 | 0xff);
    queue.tell();
    touch(0, 0xc000_0000 | TRIGGER | 0x0f);
    queue.tell();
    queue.tell();
    touch(0, 0x8000_0000 | 0xf0);
    touch(0, 0x4000_0000 | TRIGGER | 0x3c);
    queue.tell();
    touch(ADD | ONESHOT, TRIGGER);
    queue.tell();
    queue.change(3, USER, DELETE);
    touch(ADD | ONESHOT, TRIGGER);
    queue.tell();
    println!("{:?}", queue.call(&[change(3, USER, DELETE)], 0, 0).map(|_| ()));
}

fn woken() {
    let queue = Queue::new();
    queue.change(3, USER, ADD | CLEAR);
    let fd = queue.0.as_raw_fd();
    let waker = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let trigger = Kevent { fflags: 0x0100_0000, ..change(3, USER, 0) };
        unsafe { kevent(fd, &trigger, 1, null::<Kevent>().cast_mut(), 0, null()) }
    });
    queue.tell_after(20_000);
    println!("{}", waker.join().expect("a thread"));
}

fn timers() {
    const SECONDS: u32 = 1;
    const USECONDS: u32 = 2;
    const NSECONDS: u32 = 4;
    const ABSOLUTE: u32 = 8;
    let queue = Queue::new();
    let set = |ident, flags, fflags, data| {
        queue.call(&[Kevent { fflags, data, ..change(ident, TIMER, flags) }], 0, 0).map(|_| ())
    };
    println!("{:?}", set(1, ADD, SECONDS | USECONDS, 1));
    println!("{:?}", set(1, ADD, SECONDS, isize::MAX));
    println!("{:?}", set(1, ADD, SECONDS | ABSOLUTE, 1));
    queue.tell();
    queue.tell();
    println!("{:?}", set(2, ADD, 0, -5));
    queue.tell();
    queue.change(2, TIMER, DELETE);
    println!("{:?}", set(3, ADD, 0, 20));
    std::thread::sleep(std::time::Duration::from_millis(70));
    let events = queue.call(&[], 8, 0).expect("kevent");
    let (flags, data, count) = (events[0].flags, events[0].data, events.len());
    println!("{count} {flags:#x} {}", data >= 3);
    println!("{}", queue.call(&[], 8, 5000).expect("kevent").len());
    println!("{:?}", set(3, ADD, NSECONDS | ABSOLUTE, 1));
    queue.change(3, TIMER, DELETE);
    // Each interval counts, as long as nobody asks.
    println!("{:?}", set(4, ADD | ONESHOT, USECONDS, 500_000));
    queue.tell_after(5000);
    println!("{:?}", set(4, DELETE, 0, 0));
}

fn closed() {
    let (ours, mut theirs) = pair();
    let queue = Queue::new();
    queue.change(fd(&ours), READ, ADD);
    let copy = unsafe { OwnedFd::from_raw_fd(dup(ours.as_raw_fd())) };
    drop(ours);
    theirs.write_all(b"hello").expect("room");
    queue.tell();
    queue.change(fd(&copy), READ, ADD);
    queue.tell();
}

fn child() {
    let queue = Queue::new();
    queue.change(3, USER, ADD);
    let child = unsafe { fork() };
    if child == 0 {
        let error = queue.call(&[], 1, 0).map(|_| ());
        unsafe { _exit(if error == Err(9) { 3 } else { 4 }) };
    }
    let mut status = 0;
    unsafe { waitpid(child, &mut status, 0) };
    println!("{:#x}", status);
}

/// Both ends of a connection, the second of which sends a reset when it is closed.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ours = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let theirs = listener.accept().expect("a connection").0;
    let now = [1i32, 0];
    const SO_LINGER: i32 = 0x80;
    assert_eq!(unsafe { setsockopt(theirs.as_raw_fd(), 0xffff, SO_LINGER, now.as_ptr().cast(), 8) }, 0);
    (ours, theirs)
}

fn reset() {
    let (mut ours, theirs) = connection();
    let queue = Queue::new();
    queue.change(fd(&ours), READ, ADD | CLEAR);
    queue.change(fd(&ours), WRITE, ADD | CLEAR);
    queue.call(&[], 8, 0).expect("kevent");
    drop(theirs);
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(queue.call(&[], 8, 5000).expect("kevent"));
    }
    events.sort_by_key(|event| event.filter);
    for Kevent { filter, flags, fflags, .. } in events {
        println!("{filter} {flags:#x} {fflags:#x}");
    }
    println!("{:?}", ours.write(b"a").map_err(|e| e.raw_os_error()));
    println!("{:?}", ours.read(&mut [0; 1]).map_err(|e| e.raw_os_error()));
    println!("{:?}", ours.read(&mut [0; 1]).map_err(|e| e.raw_os_error()));
    println!("{:?}", ours.peer_addr().map_err(|e| e.raw_os_error()));
}

fn unread() {
    let (mut ours, theirs) = pair();
    ours.write_all(b"hello").expect("room");
    let queue = Queue::new();
    drop(theirs);
    queue.change(fd(&ours), READ, ADD | CLEAR);
    queue.tell();
    println!("{:?}", ours.take_error().map(|error| error.map(|e| e.raw_os_error())));
    println!("{:?}", ours.read(&mut [0; 1]).map_err(|e| e.raw_os_error()));
    let (mut ours, theirs) = pair();
    ours.write_all(b"hello").expect("room");
    drop(theirs);
    println!("{:?}", ours.read(&mut [0; 1]).map_err(|e| e.raw_os_error()));
}

fn refused() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let ours = unsafe { OwnedFd::from_raw_fd(socket(2, 1, 0)) };
    let raw = ours.as_raw_fd();
    let stream = TcpStream::from(ours);
    stream.set_nonblocking(true).expect("ioctl");
    let mut address = [0u8; 16];
    address[..8].copy_from_slice(&[16, 2, (port >> 8) as u8, port as u8, 127, 0, 0, 1]);
    let connect = || {
        let result = unsafe { connect(raw, address.as_ptr().cast(), 16) };
        println!("{result} {:?}", std::io::Error::last_os_error().raw_os_error());
    };
    let queue = Queue::new();
    queue.change(fd(&stream), WRITE, ADD | CLEAR);
    queue.tell();
    connect();
    queue.tell_after(5000);
    let mut error = [0i32];
    let mut size = 4;
    let got = unsafe { getsockopt(raw, 0xffff, 0x1007, error.as_mut_ptr().cast(), &mut size) };
    println!("{got} {} {size}", error[0]);
    connect();
}

fn pipes() {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let queue = Queue::new();
    queue.change(fd(&reader), READ, ADD | CLEAR);
    queue.change(fd(&writer), WRITE, ADD | ONESHOT);
    queue.tell();
    writer.write_all(b"hello").expect("room");
    queue.tell();
    drop(writer);
    queue.tell();
    reader.read_to_end(&mut Vec::new()).expect("its end");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    queue.change(fd(&writer), WRITE, ADD | CLEAR);
    queue.tell();
}

fn listening() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let queue = Queue::new();
    queue.change(fd(&listener), READ, ADD | CLEAR);
    queue.tell();
    let address = listener.local_addr().expect("an address");
    let _connections = [(); 3].map(|()| TcpStream::connect(address).expect("a connection"));
    queue.tell_after(1000);
    queue.tell();
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("edges") => edges(),
        Some("levels") => levels(),
        Some("low-water") => low_water(),
        Some("once") => once(),
        Some("receipts") => receipts(),
        Some("user") => user(),
        Some("woken") => woken(),
        Some("timers") => timers(),
        Some("closed") => closed(),
        Some("child") => child(),
        Some("reset") => reset(),
        Some("unread") => unread(),
        Some("refused") => refused(),
        Some("pipes") => pipes(),
        Some("listening") => listening(),
        other => panic!("{other:?}"),
    }
}
