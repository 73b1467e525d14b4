//! Frames that no compiler of ours makes, to be unwound by Apple's compact encoding of them: without a frame pointer,
//! with a size that is in the code only, and with a personality of their own.

use std::arch::global_asm;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{self, AssertUnwindSafe};

type Callback = extern "C-unwind" fn();

unsafe extern "C-unwind" {
    fn through_a_frame(callback: Callback);
    fn through_a_personality(callback: Callback);
    #[cfg(target_arch = "x86_64")]
    fn without_a_frame(callback: Callback);
    #[cfg(target_arch = "x86_64")]
    fn with_a_large_stack(callback: Callback);
    fn _Unwind_GetLanguageSpecificData(context: *mut c_void) -> *const c_char;
}

// Each saves registers, spoils them and calls.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _through_a_frame",
    "_through_a_frame:",
    ".cfi_startproc",
    "pushq %rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset %rbp, -16",
    "movq %rsp, %rbp",
    ".cfi_def_cfa_register %rbp",
    "pushq %r15",
    "pushq %r12",
    "pushq %rbx",
    "pushq %rax",
    ".cfi_offset %rbx, -40",
    ".cfi_offset %r12, -32",
    ".cfi_offset %r15, -24",
    "movq $1, %rbx",
    "movq $2, %r12",
    "movq $5, %r15",
    "callq *%rdi",
    "addq $8, %rsp",
    "popq %rbx",
    "popq %r12",
    "popq %r15",
    "popq %rbp",
    "retq",
    ".cfi_endproc",
    ".globl _without_a_frame",
    "_without_a_frame:",
    ".cfi_startproc",
    "pushq %rbp",
    ".cfi_def_cfa_offset 16",
    "pushq %r15",
    ".cfi_def_cfa_offset 24",
    "pushq %r14",
    ".cfi_def_cfa_offset 32",
    "pushq %r13",
    ".cfi_def_cfa_offset 40",
    "pushq %r12",
    ".cfi_def_cfa_offset 48",
    "pushq %rbx",
    ".cfi_def_cfa_offset 56",
    "subq $40, %rsp",
    ".cfi_def_cfa_offset 96",
    ".cfi_offset %rbx, -56",
    ".cfi_offset %r12, -48",
    ".cfi_offset %r13, -40",
    ".cfi_offset %r14, -32",
    ".cfi_offset %r15, -24",
    ".cfi_offset %rbp, -16",
    "movq $1, %rbx",
    "movq $2, %r12",
    "movq $5, %r15",
    "movq $3, %r13",
    "movq $4, %r14",
    "movq $6, %rbp",
    "callq *%rdi",
    "addq $40, %rsp",
    "popq %rbx",
    "popq %r12",
    "popq %r13",
    "popq %r14",
    "popq %r15",
    "popq %rbp",
    "retq",
    ".cfi_endproc",
    ".globl _with_a_large_stack",
    "_with_a_large_stack:",
    ".cfi_startproc",
    "pushq %r15",
    ".cfi_def_cfa_offset 16",
    "pushq %r12",
    ".cfi_def_cfa_offset 24",
    "pushq %rbx",
    ".cfi_def_cfa_offset 32",
    "subq $20480, %rsp",
    ".cfi_def_cfa_offset 20512",
    ".cfi_offset %rbx, -32",
    ".cfi_offset %r12, -24",
    ".cfi_offset %r15, -16",
    "movq $1, %rbx",
    "movq $2, %r12",
    "movq $5, %r15",
    "callq *%rdi",
    "addq $20480, %rsp",
    "popq %rbx",
    "popq %r12",
    "popq %r15",
    "retq",
    ".cfi_endproc",
    ".globl _through_a_personality",
    "_through_a_personality:",
    ".cfi_startproc",
    ".cfi_personality 155, ___gxx_personality_v0",
    ".cfi_lsda 16, Lannounced",
    "pushq %rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset %rbp, -16",
    "movq %rsp, %rbp",
    ".cfi_def_cfa_register %rbp",
    "callq *%rdi",
    "popq %rbp",
    "retq",
    ".cfi_endproc",
    ".section __TEXT,__gcc_except_tab",
    ".p2align 2",
    "Lannounced: .asciz \"what goes with it\"",
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _through_a_frame",
    ".p2align 2",
    "_through_a_frame:",
    ".cfi_startproc",
    "stp d9, d8, [sp, #-48]!",
    "stp x20, x19, [sp, #16]",
    "stp x29, x30, [sp, #32]",
    "add x29, sp, #32",
    ".cfi_def_cfa w29, 16",
    ".cfi_offset w30, -8",
    ".cfi_offset w29, -16",
    ".cfi_offset w19, -24",
    ".cfi_offset w20, -32",
    ".cfi_offset b8, -40",
    ".cfi_offset b9, -48",
    "mov x19, #1",
    "mov x20, #2",
    "fmov d8, #3.0",
    "fmov d9, #4.0",
    "blr x0",
    "ldp x29, x30, [sp, #32]",
    "ldp x20, x19, [sp, #16]",
    "ldp d9, d8, [sp], #48",
    "ret",
    ".cfi_endproc",
    ".globl _through_a_personality",
    ".p2align 2",
    "_through_a_personality:",
    ".cfi_startproc",
    ".cfi_personality 155, ___gxx_personality_v0",
    ".cfi_lsda 16, Lannounced",
    "stp x29, x30, [sp, #-16]!",
    "mov x29, sp",
    ".cfi_def_cfa w29, 16",
    ".cfi_offset w30, -8",
    ".cfi_offset w29, -16",
    "blr x0",
    "ldp x29, x30, [sp], #16",
    "ret",
    ".cfi_endproc",
    ".section __TEXT,__gcc_except_tab",
    ".p2align 2",
    "Lannounced: .asciz \"what goes with it\"",
);

/// The name that a compact encoding takes for a personality; it goes on, having told what goes with the function.
#[unsafe(no_mangle)]
extern "C" fn __gxx_personality_v0(_: c_int, action: c_int, _: u64, _: *mut c_void, context: *mut c_void) -> c_int {
    const CONTINUE_UNWIND: c_int = 8;
    const SEARCH_PHASE: c_int = 1;
    // SAFETY: the text of the function that is unwound.
    let announced = unsafe { CStr::from_ptr(_Unwind_GetLanguageSpecificData(context)) };
    println!("{} {announced:?}", if action & SEARCH_PHASE != 0 { "searched past" } else { "unwound past" });
    CONTINUE_UNWIND
}

extern "C-unwind" fn panics() {
    panic!("below");
}

/// What is kept in registers while `through` is unwound.
#[inline(never)]
fn keeps(through: unsafe extern "C-unwind" fn(Callback), seed: u64) -> (u64, f64) {
    let mut kept = [1, 3, 5, 7, 11, 13].map(|factor| seed * factor);
    let (mut real, mut other) = (seed as f64, seed as f64 / 2.0);
    for turn in 0..3 {
        // SAFETY: it calls what it is given.
        let caught = panic::catch_unwind(AssertUnwindSafe(|| unsafe { through(panics) })).is_err();
        let [a, b, c, d, e, f] = kept;
        kept = [b + u64::from(caught), c ^ turn, d + e, e.rotate_left(5), f ^ a, a + 1];
        (real, other) = (other + 1.0, real * 2.0);
    }
    (kept.into_iter().fold(0, |sum, one| sum * 31 % 1_000_003 + one % 1_000_003), real - other)
}

fn main() {
    panic::set_hook(Box::new(|_| {}));
    let through: unsafe extern "C-unwind" fn(Callback) = match std::env::args().nth(1).as_deref() {
        Some("frame") => through_a_frame,
        Some("personality") => through_a_personality,
        #[cfg(target_arch = "x86_64")]
        Some("frameless") => without_a_frame,
        #[cfg(target_arch = "x86_64")]
        Some("large") => with_a_large_stack,
        other => panic!("{other:?}"),
    };
    println!("{:?}", keeps(std::hint::black_box(through), 77));
}
