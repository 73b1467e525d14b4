//! What is imported: there, missing, and weak.

use std::arch::global_asm;
use std::ffi::c_void;

unsafe extern "C" {
    fn no_machine_has_this(argument: u64) -> u64;
    fn address_of_a_weak_one() -> *const c_void;
    fn address_of_one_that_is_there() -> *const c_void;
    fn others_might_have_it_too() -> u64;
    fn address_of_what_others_might_have() -> unsafe extern "C" fn() -> u64;
}

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".weak_reference _nor_this",
    ".weak_reference _getpid",
    ".globl _address_of_a_weak_one",
    "_address_of_a_weak_one:",
    "movq _nor_this@GOTPCREL(%rip), %rax",
    "retq",
    ".globl _address_of_one_that_is_there",
    "_address_of_one_that_is_there:",
    "movq _getpid@GOTPCREL(%rip), %rax",
    "retq",
    ".globl _others_might_have_it_too",
    ".weak_definition _others_might_have_it_too",
    "_others_might_have_it_too:",
    "movq $42, %rax",
    "retq",
    ".globl _address_of_what_others_might_have",
    "_address_of_what_others_might_have:",
    "movq _others_might_have_it_too@GOTPCREL(%rip), %rax",
    "retq",
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".weak_reference _nor_this",
    ".weak_reference _getpid",
    ".globl _address_of_a_weak_one",
    "_address_of_a_weak_one:",
    "adrp x0, _nor_this@GOTPAGE",
    "ldr x0, [x0, _nor_this@GOTPAGEOFF]",
    "ret",
    ".globl _address_of_one_that_is_there",
    "_address_of_one_that_is_there:",
    "adrp x0, _getpid@GOTPAGE",
    "ldr x0, [x0, _getpid@GOTPAGEOFF]",
    "ret",
    ".globl _others_might_have_it_too",
    ".weak_definition _others_might_have_it_too",
    "_others_might_have_it_too:",
    "mov x0, #42",
    "ret",
    ".globl _address_of_what_others_might_have",
    "_address_of_what_others_might_have:",
    "adrp x0, _others_might_have_it_too@GOTPAGE",
    "ldr x0, [x0, _others_might_have_it_too@GOTPAGEOFF]",
    "ret",
);

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn calls_what_is_missing(argument: u64) -> u64 {
    // SAFETY: it does not return.
    unsafe { no_machine_has_this(argument) + 1 }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("missing") => println!("{}", calls_what_is_missing(1)),
        // SAFETY: they take nothing and give an address.
        Some("weak") => unsafe {
            println!("{} {}", address_of_a_weak_one().is_null(), address_of_one_that_is_there().is_null());
        },
        // SAFETY: functions that take nothing.
        Some("coalesced") => unsafe {
            println!("{} {}", others_might_have_it_too(), address_of_what_others_might_have()());
        },
        other => println!("{other:?}"),
    }
}
