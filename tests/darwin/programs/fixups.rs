//! Pointers in data, to what is in the program and to what is not.

use std::ffi::{c_char, c_int};

unsafe extern "C" {
    fn strlen(text: *const c_char) -> usize;
    fn getpid() -> c_int;
}

type Named = (&'static str, fn(u32) -> u32);

fn twice(n: u32) -> u32 {
    n * 2
}

fn thrice(n: u32) -> u32 {
    n * 3
}

static FUNCTIONS: [Named; 4] = [("twice", twice), ("thrice", thrice), ("twice", twice), ("thrice", thrice)];
static IMPORTED: [unsafe extern "C" fn(*const c_char) -> usize; 3] = [strlen; 3];
static MORE: unsafe extern "C" fn() -> c_int = getpid;
static BEHIND: [&u8; 2] = [&TABLE[1], &TABLE[2999]];
static TABLE: [u8; 3000] = [5; 3000];
/// Over several pages, each of which has a chain of its own.
static MANY: [&str; 3000] = ["many"; 3000];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("place") {
        return println!("{:p}", &TABLE);
    }
    let functions = std::hint::black_box(&FUNCTIONS);
    println!("{:?}", functions.each_ref().map(|(name, function)| (*name, function(7))));
    let imported = std::hint::black_box(&IMPORTED);
    // SAFETY: text that ends with a zero.
    println!("{:?}", imported.map(|length| unsafe { length(c"four".as_ptr()) }));
    // SAFETY: it takes nothing.
    println!("{}", unsafe { std::hint::black_box(&MORE)() } == std::process::id() as c_int);
    println!("{}", std::hint::black_box(&BEHIND).iter().map(|&&n| u32::from(n)).sum::<u32>());
    println!("{}", std::hint::black_box(&MANY).iter().filter(|&&word| word == "many").count());
}
