//! Functions that run before main().

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicU32, Ordering};

type Initialiser = extern "C" fn(c_int, *const *const c_char, *const *const c_char, *const *const c_char);

static SEEN: AtomicU32 = AtomicU32::new(0);

/// The texts of a list that ends with NULL.
fn texts(mut list: *const *const c_char) -> Vec<String> {
    let mut found = Vec::new();
    // SAFETY: what main() and initialisers are given.
    while let Some(text) = unsafe { list.as_ref() }.filter(|text| !text.is_null()) {
        // SAFETY: text that ends with a zero.
        found.push(unsafe { CStr::from_ptr(*text) }.to_string_lossy().into_owned());
        // SAFETY: within the list, whose end was not reached.
        list = unsafe { list.add(1) };
    }
    found
}

extern "C" fn first(argc: c_int, argv: *const *const c_char, envp: *const *const c_char, apple: *const *const c_char) {
    println!("first {argc} {:?}", texts(argv).get(1));
    println!("{} {}", texts(envp).contains(&"NAMED=yes".to_owned()), texts(apple).join(" "));
    SEEN.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn second(_: c_int, _: *const *const c_char, _: *const *const c_char, _: *const *const c_char) {
    println!("second after {}", SEEN.fetch_add(1, Ordering::Relaxed));
}

#[used]
#[unsafe(link_section = "__DATA,__mod_init_func,mod_init_funcs")]
static INITIALISERS: [Initialiser; 2] = [first, second];

fn main() {
    println!("main after {}", SEEN.load(Ordering::Relaxed));
}
