//! Signals: sets, handlers, what they are told, and their stack. One line for each question.

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

#[repr(C)]
struct Action {
    handler: usize,
    mask: u32,
    flags: i32,
}

#[repr(C)]
struct Info {
    signal: i32,
    error: i32,
    code: i32,
    pid: i32,
    user: u32,
    status: i32,
    address: usize,
}

#[repr(C)]
struct Stack {
    base: *mut c_void,
    size: usize,
    flags: i32,
}

unsafe extern "C" {
    fn sigaction(number: i32, new: *const Action, old: *mut Action) -> i32;
    fn signal(number: i32, handler: usize) -> usize;
    fn sigprocmask(how: i32, new: *const u32, old: *mut u32) -> i32;
    fn pthread_sigmask(how: i32, new: *const u32, old: *mut u32) -> i32;
    fn sigaddset(set: *mut u32, number: i32) -> i32;
    fn sigfillset(set: *mut u32) -> i32;
    fn sigismember(set: *const u32, number: i32) -> i32;
    fn sigwait(set: *const u32, number: *mut i32) -> i32;
    fn sigaltstack(new: *const Stack, old: *mut Stack) -> i32;
    fn kill(process: i32, number: i32) -> i32;
    fn raise(number: i32) -> i32;
    fn getpid() -> i32;
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
    fn pause() -> i32;
}

const SIGABRT: i32 = 6;
const SIGEMT: i32 = 7;
const SIGKILL: i32 = 9;
const SIGBUS: i32 = 10;
const SIGSEGV: i32 = 11;
const SIGCHLD: i32 = 20;
const SIGINFO: i32 = 29;
const SIGUSR1: i32 = 30;
const SIGUSR2: i32 = 31;

static TOLD: [AtomicI32; 4] = [const { AtomicI32::new(0) }; 4];
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn told(number: i32, info: *const Info, _context: *const c_void) {
    let info = unsafe { &*info };
    for (to, value) in TOLD.iter().zip([number, info.code, info.pid, info.status]) {
        to.store(value, SeqCst);
    }
}

extern "C" fn fault(number: i32, info: *const Info, _context: *const c_void) {
    ADDRESS.store(unsafe { (*info).address }, SeqCst);
    println!("{number} {:#x}", ADDRESS.load(SeqCst));
    unsafe { _exit(0) };
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("a number")
}

fn handlers() {
    const SA_SIGINFO: i32 = 0x40;
    const SA_RESETHAND: i32 = 0x4;
    let mut old = Action { handler: 9, mask: 9, flags: 9 };
    unsafe {
        println!("{} {}", sigaction(SIGKILL, null(), &mut old), errno());
        println!("{} {}", sigaction(32, null(), &mut old), errno());
        let new = Action { handler: told as *const () as usize, mask: 1 << (SIGUSR2 - 1), flags: SA_SIGINFO | 0x700 };
        println!("{} {}", sigaction(SIGUSR1, &new, &mut old), old.handler);
        println!("{}", sigaction(SIGUSR1, null(), &mut old));
        println!("{} {:#x} {:#x}", old.handler == new.handler, old.mask, old.flags);
        println!("{}", kill(getpid(), SIGUSR1));
        let [number, code, pid, _] = TOLD.each_ref().map(|value| value.load(SeqCst));
        println!("{number} {code:#x} {}", pid == getpid());
        let once = Action { flags: SA_SIGINFO | SA_RESETHAND, ..new };
        for number in [SIGEMT, SIGINFO] {
            println!("{} {}", sigaction(number, &once, null_mut()), raise(number));
            println!("{}", TOLD[0].load(SeqCst));
        }
        // Nobody handles it any more, and what is done with it is nothing.
        println!("{} {}", raise(SIGINFO), signal(SIGINFO, 1));
        println!("{} {}", kill(getpid(), 99), errno());
    }
}

fn children() {
    unsafe {
        let new = Action { handler: told as *const () as usize, mask: 0, flags: 0x40 };
        let (blocked, none) = (1u32 << (SIGCHLD - 1), 0u32);
        sigaction(SIGCHLD, &new, null_mut());
        for number in [0, SIGBUS, SIGUSR1] {
            pthread_sigmask(1, &blocked, null_mut());
            let child = fork();
            if child == 0 {
                if number == 0 {
                    _exit(7);
                }
                signal(number, 0);
                pthread_sigmask(3, &none, null_mut());
                raise(number);
                pause();
            }
            pthread_sigmask(2, &blocked, null_mut());
            while TOLD[2].load(SeqCst) != child {
                std::thread::yield_now();
            }
            let [number, code, _, status] = TOLD.each_ref().map(|value| value.load(SeqCst));
            println!("{number} {code} {status}");
        }
    }
}

fn masks() {
    let (mut set, mut old) = (0u32, 9u32);
    unsafe {
        println!("{} {} {set:#x}", sigaddset(&mut set, SIGUSR1), sigaddset(&mut set, 99));
        println!("{} {}", sigismember(&set, SIGUSR1), sigismember(&set, SIGUSR2));
        println!("{} {old:#x}", sigprocmask(1, &set, &mut old));
        println!("{} {}", sigprocmask(4, &set, null_mut()), errno());
        println!("{}", pthread_sigmask(0, &set, null_mut()));
        kill(getpid(), SIGUSR1);
        let mut number = 0;
        println!("{} {number}", sigwait(&set, &mut number));
        println!("{number}");
        sigfillset(&mut set);
        println!("{set:#x}");
    }
}

fn stacks() {
    let mut memory = vec![0u8; 131_072];
    let mut stack = Stack { base: memory.as_mut_ptr().cast(), size: 8191, flags: 0 };
    let mut old = Stack { base: null_mut(), size: 0, flags: 9 };
    unsafe {
        println!("{} {}", sigaltstack(&stack, null_mut()), errno());
        stack.size = memory.len();
        stack.flags = 1;
        println!("{} {}", sigaltstack(&stack, null_mut()), errno());
        stack.flags = 0;
        println!("{}", sigaltstack(&stack, null_mut()));
        println!("{}", sigaltstack(null(), &mut old));
        println!("{} {} {}", old.base == stack.base, old.size, old.flags);
        stack.flags = 4;
        println!("{}", sigaltstack(&stack, &mut old));
        println!("{}", sigaltstack(null(), &mut old));
        println!("{}", old.flags);
    }
}

fn faults() {
    let new = Action { handler: fault as *const () as usize, mask: 0, flags: 0x40 };
    unsafe {
        sigaction(SIGSEGV, &new, null_mut());
        std::ptr::read_volatile(0x10 as *const u8);
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("handlers") => handlers(),
        Some("children") => children(),
        Some("masks") => masks(),
        Some("stacks") => stacks(),
        Some("faults") => faults(),
        Some("abort") => unsafe {
            raise(SIGABRT);
        },
        other => panic!("{other:?}"),
    }
}
