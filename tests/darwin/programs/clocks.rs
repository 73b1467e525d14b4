//! Clocks, and waiting by them. One line for each question.

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
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("a number")
}

fn main() {
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
