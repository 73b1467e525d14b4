//! Says what it is told of the machine's power, and answers as it is told to: `allow`, `cancel`, `wrong`, `never`.
//! A line that says "clocks" prints how long the machine has run and how long it has been there, in milliseconds.

use std::ffi::c_void;
use std::io::{BufRead, Write};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

#[link(name = "IOKit", kind = "framework")]
unsafe extern "C" {
    fn IORegisterForSystemPower(
        refcon: *mut c_void,
        port: *mut *mut c_void,
        callback: unsafe extern "C" fn(*mut c_void, u32, u32, *mut c_void),
        notifier: *mut u32,
    ) -> u32;
    fn IONotificationPortGetRunLoopSource(port: *mut c_void) -> *mut c_void;
    fn IOAllowPowerChange(root: u32, number: isize) -> i32;
    fn IOCancelPowerChange(root: u32, number: isize) -> i32;
}

#[link(name = "CoreFoundation", kind = "framework")]
unsafe extern "C" {
    static kCFRunLoopDefaultMode: *const c_void;
    fn CFRunLoopGetCurrent() -> *mut c_void;
    fn CFRunLoopAddSource(to: *mut c_void, source: *mut c_void, mode: *const c_void);
    fn CFRunLoopRun();
}

#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: u32, time: *mut Time) -> i32;
}

const CLOCK_MONOTONIC: u32 = 6;
const CLOCK_UPTIME_RAW: u32 = 8;

const CAN_SLEEP: u32 = 0xe000_0270;
const WILL_SLEEP: u32 = 0xe000_0280;

static ROOT: AtomicU32 = AtomicU32::new(0);

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody listens");
}

fn milliseconds(clock: u32) -> i64 {
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    assert_eq!(unsafe { clock_gettime(clock, &mut time) }, 0);
    time.seconds * 1000 + time.nanoseconds / 1_000_000
}

unsafe extern "C" fn heard(refcon: *mut c_void, _service: u32, message: u32, argument: *mut c_void) {
    say(&format!("{message:#x}"));
    if message != CAN_SLEEP && message != WILL_SLEEP {
        return;
    }
    let (root, number) = (ROOT.load(Ordering::Relaxed), argument.addr() as isize);
    let how = unsafe { &*refcon.cast::<String>() };
    let answered = match how.as_str() {
        "allow" => unsafe { IOAllowPowerChange(root, number) },
        "cancel" => unsafe { IOCancelPowerChange(root, number) },
        "wrong" => unsafe { IOAllowPowerChange(root, number + 1) },
        _ => 0,
    };
    assert_eq!(answered, 0);
}

fn main() {
    let how = Box::leak(Box::new(std::env::args().nth(1).expect("how to answer")));
    let (mut port, mut notifier) = (null_mut(), 0);
    let refcon = std::ptr::from_mut(how).cast();
    let root = unsafe { IORegisterForSystemPower(refcon, &mut port, heard, &mut notifier) };
    assert!(root != 0 && notifier != 0 && !port.is_null());
    ROOT.store(root, Ordering::Relaxed);
    std::thread::spawn(|| {
        for line in std::io::stdin().lock().lines() {
            assert_eq!(line.expect("a line"), "clocks");
            say(&format!("{} {}", milliseconds(CLOCK_UPTIME_RAW), milliseconds(CLOCK_MONOTONIC)));
        }
        std::process::exit(0);
    });
    unsafe {
        let source = IONotificationPortGetRunLoopSource(port);
        CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopDefaultMode);
        say("ready");
        CFRunLoopRun();
    }
    unreachable!("the run loop has a source");
}
