//! Clocks, one line for each question; or, with a word that says how, a wait of 300 ms of uptime.

use std::ffi::c_void;
use std::io::Write;
use std::ptr::{null, null_mut};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

#[repr(C)]
#[derive(Default)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

#[repr(C)]
struct Timeval {
    seconds: i64,
    microseconds: i32,
}

unsafe extern "C" {
    fn clock_gettime(which: i32, to: *mut Timespec) -> i32;
    fn clock_getres(which: i32, to: *mut Timespec) -> i32;
    fn gettimeofday(to: *mut Timeval, zone: *mut u8) -> i32;
    fn mach_absolute_time() -> u64;
    fn mach_continuous_time() -> u64;
    fn mach_timebase_info(to: *mut [u32; 2]) -> i32;
    fn nanosleep(length: *const Timespec, left: *mut Timespec) -> i32;
    fn kqueue() -> i32;
    fn kevent(
        queue: i32,
        changes: *const Kevent,
        count: i32,
        events: *mut Kevent,
        room: i32,
        wait: *const Timespec,
    ) -> i32;
    fn poll(fds: *mut c_void, count: u32, milliseconds: i32) -> i32;
    fn select(count: i32, reads: *mut c_void, writes: *mut c_void, errors: *mut c_void, wait: *const Timeval) -> i32;
}

#[repr(C, packed(4))]
struct Kevent {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    udata: *mut c_void,
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("a number")
}

const LENGTH: Duration = Duration::from_millis(300);

/// How many events there were.
fn wait(how: &str) -> i32 {
    let length = Timespec { seconds: 0, nanoseconds: LENGTH.as_nanos() as i64 };
    let event = || Kevent {
        ident: 1,
        filter: -7,
        flags: 0x11,
        fflags: 0,
        data: LENGTH.as_millis() as isize,
        udata: null_mut(),
    };
    let none = null_mut::<c_void>();
    unsafe {
        match how {
            "nanosleep" => nanosleep(&length, null_mut()),
            "kevent" => kevent(kqueue(), null(), 0, &mut event(), 1, &length),
            "timer" => kevent(kqueue(), &event(), 1, &mut event(), 1, null()),
            "poll" => poll(none, 0, LENGTH.as_millis() as i32),
            "select" => select(0, none, none, none, &Timeval { seconds: 0, microseconds: LENGTH.as_micros() as i32 }),
            "condition" => {
                let (lock, condition) = (Mutex::new(()), Condvar::new());
                let held = lock.lock().expect("nobody panicked");
                let waited = condition.wait_timeout_while(held, LENGTH, |_| true).expect("nobody panicked");
                i32::from(!waited.1.timed_out())
            }
            "park" => {
                std::thread::park_timeout(LENGTH);
                0
            }
            other => panic!("{other:?}"),
        }
    }
}

fn main() {
    if let Some(how) = std::env::args().nth(1) {
        println!("ready");
        std::io::stdout().flush().expect("somebody listens");
        // Rust's Instant is CLOCK_UPTIME_RAW on macOS.
        let before = Instant::now();
        let events = wait(&how);
        println!("{events} {}", before.elapsed() >= LENGTH);
        return;
    }
    let mut time = Timespec::default();
    unsafe {
        for which in [0, 4, 6, 8, 12, 16] {
            println!("{} {}", clock_getres(which, &mut time), time.nanoseconds);
            assert_eq!(clock_gettime(which, &mut time), 0);
        }
        println!("{} {}", clock_gettime(1, &mut time), errno());
        let micro = [0, 6].iter().all(|which| clock_gettime(*which, &mut time) == 0 && time.nanoseconds % 1000 == 0);
        let mut day = Timeval { seconds: 0, microseconds: -1 };
        println!("{micro} {}", gettimeofday(&mut day, std::ptr::null_mut()));
        println!("{} {}", day.seconds > 1_700_000_000, (0..1_000_000).contains(&day.microseconds));
        let mut base = [0; 2];
        println!("{} {base:?}", mach_timebase_info(&mut base));
        let (before, uptime) = (mach_absolute_time(), clock_gettime(8, &mut time));
        let now = time.seconds * 1_000_000_000 + time.nanoseconds;
        let nanoseconds = |ticks: u64| (ticks as u128 * base[0] as u128 / base[1] as u128) as i64;
        println!("{uptime} {}", (0..1_000_000_000).contains(&(now - nanoseconds(before))));
        println!("{}", mach_continuous_time() >= before);
        for (seconds, nanoseconds) in [(0, 1_000_000_000), (-1, 0), (0, 2_000_000)] {
            println!("{}", nanosleep(&Timespec { seconds, nanoseconds }, &mut time));
        }
        println!("{}", nanoseconds(mach_absolute_time() - before) >= 2_000_000);
    }
}
