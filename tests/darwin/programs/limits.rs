//! How many descriptors there are, and what may be said of it.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::process::Command;

unsafe extern "C" {
    fn getrlimit(which: c_int, limit: *mut Limit) -> c_int;
    fn setrlimit(which: c_int, limit: *const Limit) -> c_int;
    fn sysconf(name: c_int) -> i64;
}

/// `struct rlimit`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    soft: u64,
    hard: u64,
}

const RLIMIT_NOFILE: c_int = 8;
const SC_OPEN_MAX: c_int = 5;
const INFINITY: u64 = (1 << 63) - 1;
const OPEN_MAX: u64 = 10_240;

fn get() -> Limit {
    let mut limit = Limit { soft: 0, hard: 0 };
    // SAFETY: a place for the answer.
    assert_eq!(unsafe { getrlimit(RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit
}

fn set(soft: u64, hard: u64) -> Result<(), i32> {
    let limit = Limit { soft, hard };
    // SAFETY: a limit as macOS lays it out.
    match unsafe { setrlimit(RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().raw_os_error().expect("a number")),
    }
}

/// As many as can be opened, and what the next one fails with.
fn opened() -> (usize, Option<i32>) {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => return (files.len(), error.raw_os_error()),
        }
    }
}

fn main() {
    const EINVAL: i32 = 22;
    const EMFILE: i32 = 24;
    match std::env::args().nth(1).as_deref() {
        Some("at first") => {
            assert_eq!(get(), Limit { soft: 256, hard: INFINITY });
            // SAFETY: a name of macOS.
            assert_eq!(unsafe { sysconf(SC_OPEN_MAX) }, 256);
            let (count, error) = opened();
            assert_eq!(error, Some(EMFILE));
            assert!((240..=253).contains(&count), "{count} beside the standard ones and the loader's own");
        }
        Some("raised") => {
            assert_eq!(set(600, 500), Err(EINVAL));
            set(OPEN_MAX, INFINITY).expect("as many as OPEN_MAX");
            assert_eq!(get(), Limit { soft: OPEN_MAX, hard: INFINITY });
            assert!(opened().0 > 4000, "as many as Linux lets us have");
            // More than kern.maxfilesperproc is said and kept, and not had.
            set(1 << 40, INFINITY).expect("nothing is checked");
            assert_eq!(get().soft, 1 << 40);
        }
        Some("handed down") => {
            set(300, 4096).expect("less than there is");
            let said = Command::new(std::env::current_exe().expect("a path")).arg("tell").output().expect("ran");
            assert_eq!(String::from_utf8_lossy(&said.stdout), "Limit { soft: 300, hard: 4096 }\n", "{said:?}");
        }
        Some("tell") => println!("{:?}", get()),
        other => panic!("{other:?}"),
    }
}
