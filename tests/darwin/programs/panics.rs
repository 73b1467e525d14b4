//! Panics through frames that have something to drop, across threads, caught, and told with names.

use std::ffi::{c_int, c_void};
use std::panic::{self, AssertUnwindSafe};
use std::thread;

struct Told(&'static str);

impl Drop for Told {
    fn drop(&mut self) {
        println!("dropped {}{}", self.0, if thread::panicking() { " in a panic" } else { "" });
    }
}

#[inline(never)]
fn deep(left: u32) {
    let _told = Told("a frame");
    if left == 0 {
        panic!("the deepest");
    }
    deep(left - 1);
}

/// Many saved registers, so that each has to come back as it was.
#[inline(never)]
fn keeps(seed: u64) -> u64 {
    let (mut a, mut b, mut c, mut d, mut e) = (seed, seed * 3, seed * 5, seed * 7, seed * 11);
    for turn in 0..4 {
        let caught = panic::catch_unwind(AssertUnwindSafe(|| deep(turn))).is_err();
        a += u64::from(caught);
        b ^= a << 1;
        c = c.wrapping_mul(b | 1);
        d = d.rotate_left(3) ^ c;
        e = e.wrapping_add(d);
    }
    a ^ b ^ c ^ d ^ e
}

type Visitor = extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int;

unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(visitor: Visitor, argument: *mut c_void) -> c_int;
}

extern "C-unwind" fn panics(_: *mut c_void, _: *mut c_void) -> c_int {
    let _told = Told("what was called back");
    panic!("in a function that a library calls");
}

fn main() {
    let quiet = |_: &panic::PanicHookInfo| {};
    match std::env::args().nth(1).as_deref() {
        Some("caught") => {
            panic::set_hook(Box::new(quiet));
            println!("{}", panic::catch_unwind(|| deep(2)).is_err());
        }
        Some("registers") => {
            panic::set_hook(Box::new(quiet));
            println!("{:#x}", keeps(0x0123_4567_89ab));
        }
        Some("threads") => {
            let others: Vec<_> = (0..8)
                .map(|n| {
                    thread::spawn(move || {
                        if n % 2 == 0 {
                            deep(n)
                        }
                    })
                })
                .collect();
            println!("{:?}", others.into_iter().map(|other| other.join().is_err()).collect::<Vec<_>>());
        }
        Some("library") => {
            panic::set_hook(Box::new(quiet));
            // SAFETY: it calls back, with what may be unwound.
            let visited = panic::catch_unwind(|| unsafe { _Unwind_Backtrace(panics, std::ptr::null_mut()) });
            println!("{}", visited.is_err());
        }
        Some("payload") => {
            panic::set_hook(Box::new(quiet));
            let first = panic::catch_unwind(|| panic::panic_any(42u32)).unwrap_err();
            let second = panic::catch_unwind(AssertUnwindSafe(|| panic::resume_unwind(first))).unwrap_err();
            println!("{:?}", second.downcast_ref::<u32>());
        }
        Some("twice") => {
            struct Bad;
            impl Drop for Bad {
                fn drop(&mut self) {
                    panic!("while it panics");
                }
            }
            let _bad = Bad;
            panic!("the first");
        }
        Some("backtrace") => println!("{}", named_by_the_backtrace()),
        _ => deep(0),
    }
}

#[inline(never)]
fn named_by_the_backtrace() -> std::backtrace::Backtrace {
    std::hint::black_box(std::backtrace::Backtrace::force_capture())
}
