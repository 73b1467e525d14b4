//! Variables of a thread: with values, zero, aligned, and dropped when it ends.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Barrier};
use std::thread;

#[repr(align(64))]
struct Aligned(Cell<u8>);

struct Told(&'static str);

impl Drop for Told {
    fn drop(&mut self) {
        // One that lives longer, or is made anew.
        let count = COUNT.with(|count| count.replace(count.get() + 1));
        println!("dropped {} as number {count}", self.0);
    }
}

thread_local! {
    static VALUE: Cell<u64> = const { Cell::new(0x1234_5678_9abc_def0) };
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static ZEROS: RefCell<[u8; 5000]> = const { RefCell::new([0; 5000]) };
    static ALIGNED: Aligned = const { Aligned(Cell::new(7)) };
    static FIRST: RefCell<Told> = const { RefCell::new(Told("the first")) };
    static SECOND: RefCell<Told> = const { RefCell::new(Told("the second")) };
}

/// What a thread finds, and leaves changed.
fn visit() -> (u64, bool, bool, u8) {
    let value = VALUE.with(|value| value.replace(1));
    let zero = ZEROS.with_borrow_mut(|zeros| {
        let zero = zeros.iter().all(|&byte| byte == 0);
        zeros.fill(0xff);
        zero
    });
    let (aligned, seven) = ALIGNED.with(|it| (&raw const *it as usize % 64 == 0, it.0.replace(8)));
    (value, zero, aligned, seven)
}

/// Arguments and results in every kind of register, while a variable is asked for the first time in its thread.
#[inline(never)]
fn registers(a: f64, b: u64, c: f64, d: u64, e: f64, f: u64) -> (f64, u64) {
    let value = VALUE.with(Cell::get);
    (a * c + e, b ^ d ^ f ^ value)
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("values") => {
            let found: Vec<_> = (0..20).map(|_| thread::spawn(visit).join().expect("a thread")).collect();
            visit();
            println!("{}", found.iter().all(|it| *it == (0x1234_5678_9abc_def0, true, true, 7)));
            println!("{:?}", visit());
        }
        Some("apart") => {
            // All at once: a place that is given back may be given out again.
            let all = Arc::new(Barrier::new(16));
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    let all = Arc::clone(&all);
                    thread::spawn(move || {
                        all.wait();
                        let place = VALUE.with(|value| &raw const *value as usize);
                        all.wait();
                        place
                    })
                })
                .collect();
            let mut places: Vec<_> = threads.into_iter().map(|it| it.join().expect("a thread")).collect();
            places.sort_unstable();
            places.dedup();
            println!("{}", places.len());
        }
        Some("registers") => {
            let found = thread::spawn(|| registers(1.5, 2, 2.5, 4, 0.25, 8)).join().expect("a thread");
            println!("{} {:#x}", found.0, found.1);
        }
        Some("dropped") => {
            let touch = || {
                FIRST.with_borrow(|_| ());
                SECOND.with_borrow(|_| ());
            };
            thread::spawn(touch).join().expect("a thread");
            println!("the thread is gone");
            touch();
        }
        other => panic!("{other:?}"),
    }
}
