//! Threads, their locks, and the semaphores of libdispatch. One line for each question.

use std::ffi::{CString, c_char, c_void};
use std::mem::zeroed;
use std::ptr::null_mut;

#[repr(C)]
struct Opaque<const SIZE: usize> {
    signature: usize,
    opaque: [u8; SIZE],
}
type Mutex = Opaque<56>;
type MutexAttr = Opaque<8>;
type Cond = Opaque<40>;
type RwLock = Opaque<192>;
type Attr = Opaque<56>;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn pthread_mutex_init(mutex: *mut Mutex, attr: *const MutexAttr) -> i32;
    fn pthread_mutex_lock(mutex: *mut Mutex) -> i32;
    fn pthread_mutex_trylock(mutex: *mut Mutex) -> i32;
    fn pthread_mutex_unlock(mutex: *mut Mutex) -> i32;
    fn pthread_mutex_destroy(mutex: *mut Mutex) -> i32;
    fn pthread_mutexattr_init(attr: *mut MutexAttr) -> i32;
    fn pthread_mutexattr_settype(attr: *mut MutexAttr, kind: i32) -> i32;
    fn pthread_cond_wait(cond: *mut Cond, mutex: *mut Mutex) -> i32;
    fn pthread_cond_signal(cond: *mut Cond) -> i32;
    fn pthread_cond_timedwait(cond: *mut Cond, mutex: *mut Mutex, until: *const Timespec) -> i32;
    fn pthread_cond_timedwait_relative_np(cond: *mut Cond, mutex: *mut Mutex, length: *const Timespec) -> i32;
    fn pthread_cond_destroy(cond: *mut Cond) -> i32;
    fn pthread_rwlock_rdlock(lock: *mut RwLock) -> i32;
    fn pthread_rwlock_wrlock(lock: *mut RwLock) -> i32;
    fn pthread_rwlock_unlock(lock: *mut RwLock) -> i32;
    fn pthread_rwlock_destroy(lock: *mut RwLock) -> i32;
    fn pthread_attr_init(attr: *mut Attr) -> i32;
    fn pthread_attr_setstacksize(attr: *mut Attr, size: usize) -> i32;
    fn pthread_attr_destroy(attr: *mut Attr) -> i32;
    fn pthread_create(
        to: *mut usize,
        attr: *const Attr,
        body: extern "C" fn(*mut c_void) -> *mut c_void,
        with: *mut c_void,
    ) -> i32;
    fn pthread_join(thread: usize, result: *mut *mut c_void) -> i32;
    fn pthread_self() -> usize;
    fn pthread_setname_np(name: *const c_char) -> i32;
    fn pthread_get_stacksize_np(thread: usize) -> usize;
    fn pthread_get_stackaddr_np(thread: usize) -> usize;
    fn pthread_threadid_np(thread: usize, number: *mut u64) -> i32;
    fn pthread_key_create(key: *mut usize, destructor: Option<extern "C" fn(*mut c_void)>) -> i32;
    fn pthread_key_delete(key: usize) -> i32;
    fn pthread_setspecific(key: usize, value: *const c_void) -> i32;
    fn pthread_getspecific(key: usize) -> usize;
    fn dispatch_semaphore_create(count: isize) -> *mut c_void;
    fn dispatch_semaphore_signal(semaphore: *mut c_void) -> isize;
    fn dispatch_semaphore_wait(semaphore: *mut c_void, until: u64) -> isize;
    fn dispatch_time(when: u64, nanoseconds: i64) -> u64;
    fn dispatch_release(object: *mut c_void);
}

const ONCE: Timespec = Timespec { seconds: 0, nanoseconds: 1_000_000 };

fn fixed<const SIZE: usize>(signature: usize) -> Opaque<SIZE> {
    Opaque { signature, opaque: [0; SIZE] }
}

fn locks() {
    unsafe {
        let mut plain: Mutex = fixed(0x32AAABA7);
        println!("{} {}", pthread_mutex_lock(&mut plain), pthread_mutex_trylock(&mut plain));
        println!("{:#x}", plain.signature);
        println!("{} {}", pthread_mutex_destroy(&mut plain), pthread_mutex_unlock(&mut plain));
        println!("{} {}", pthread_mutex_destroy(&mut plain), pthread_mutex_lock(&mut plain));
        let mut checked: Mutex = fixed(0x32AAABA1);
        println!("{} {}", pthread_mutex_lock(&mut checked), pthread_mutex_lock(&mut checked));
        println!("{} {}", pthread_mutex_unlock(&mut checked), pthread_mutex_unlock(&mut checked));
        let (mut again, mut attr): (Mutex, MutexAttr) = (zeroed(), zeroed());
        println!("{} {}", pthread_mutex_lock(&mut again), pthread_mutexattr_settype(&mut attr, 2));
        println!("{} {}", pthread_mutexattr_init(&mut attr), pthread_mutexattr_settype(&mut attr, 3));
        println!("{} {}", pthread_mutexattr_settype(&mut attr, 2), pthread_mutex_init(&mut again, &attr));
        println!("{} {}", pthread_mutex_lock(&mut again), pthread_mutex_lock(&mut again));
        let mut shared: RwLock = fixed(0x2DA8B3B4);
        println!("{} {}", pthread_rwlock_rdlock(&mut shared), pthread_rwlock_rdlock(&mut shared));
        println!("{} {}", pthread_rwlock_unlock(&mut shared), pthread_rwlock_unlock(&mut shared));
        println!("{} {:#x}", pthread_rwlock_wrlock(&mut shared), shared.signature);
        println!("{} {}", pthread_rwlock_unlock(&mut shared), pthread_rwlock_destroy(&mut shared));
        println!("{}", pthread_rwlock_rdlock(&mut shared));
    }
}

struct Meeting {
    mutex: Mutex,
    cond: Cond,
    met: bool,
}

extern "C" fn meet(with: *mut c_void) -> *mut c_void {
    let meeting = with.cast::<Meeting>();
    unsafe {
        pthread_mutex_lock(&mut (*meeting).mutex);
        (*meeting).met = true;
        pthread_cond_signal(&mut (*meeting).cond);
        pthread_mutex_unlock(&mut (*meeting).mutex);
    }
    null_mut()
}

fn conditions() {
    unsafe {
        let mut meeting = Box::new(Meeting { mutex: fixed(0x32AAABA7), cond: fixed(0x3CB0B1BB), met: false });
        let (mutex, cond) = (&raw mut meeting.mutex, &raw mut meeting.cond);
        pthread_mutex_lock(mutex);
        println!("{}", pthread_cond_timedwait_relative_np(cond, mutex, &ONCE));
        println!("{:#x}", (*cond).signature);
        println!("{}", pthread_cond_timedwait(cond, mutex, &Timespec { seconds: 1, nanoseconds: 0 }));
        println!("{}", pthread_cond_timedwait(cond, mutex, &Timespec { seconds: 1, nanoseconds: -1 }));
        let mut thread = 0;
        let whole = (&raw mut *meeting).cast();
        println!("{}", pthread_create(&mut thread, std::ptr::null(), meet, whole));
        while !meeting.met {
            pthread_cond_wait(cond, mutex);
        }
        println!("{}", pthread_join(thread, null_mut()));
        println!("{} {}", pthread_cond_destroy(cond), pthread_cond_signal(cond));
    }
}

extern "C" fn stack(_: *mut c_void) -> *mut c_void {
    let here = 0u8;
    unsafe {
        let (top, size) = (pthread_get_stackaddr_np(pthread_self()), pthread_get_stacksize_np(pthread_self()));
        let at = &raw const here as usize;
        assert!(at < top && at > top - size, "{at:#x} is not in {size:#x} below {top:#x}");
        size as *mut c_void
    }
}

fn stacks() {
    unsafe {
        let mut attr: Attr = zeroed();
        println!("{}", pthread_attr_setstacksize(&mut attr, 1 << 20));
        println!("{}", pthread_attr_init(&mut attr));
        println!("{} {}", pthread_attr_setstacksize(&mut attr, 4096), pthread_attr_setstacksize(&mut attr, 65537));
        println!("{}", pthread_attr_setstacksize(&mut attr, 1 << 20));
        // The smaller one first: glibc would use the stack of the other again.
        for attr in [std::ptr::null(), &raw const attr] {
            let (mut thread, mut size) = (0, null_mut());
            pthread_create(&mut thread, attr, stack, null_mut());
            pthread_join(thread, &mut size);
            let expected = if attr.is_null() { 512 << 10 } else { 1 << 20 };
            println!("{}", (expected..expected + (128 << 10)).contains(&(size as usize)));
        }
        println!("{} {}", pthread_attr_destroy(&mut attr), pthread_attr_destroy(&mut attr));
    }
}

fn names() {
    unsafe {
        for length in [63, 64] {
            let name = CString::new("n".repeat(length)).expect("no NUL");
            println!("{}", pthread_setname_np(name.as_ptr()));
        }
        println!("{}", std::io::Error::last_os_error().raw_os_error().expect("a number"));
        let mut number = 0;
        println!("{} {}", pthread_threadid_np(0, &mut number), number > 0);
    }
}

extern "C" fn gone(value: *mut c_void) {
    println!("destroyed {}", value as usize);
}

fn keys() {
    unsafe {
        let mut key = 0;
        println!("{} {}", pthread_key_create(&mut key, Some(gone)), key >= 256);
        println!("{} {}", pthread_getspecific(key), pthread_setspecific(100_000, null_mut()));
        std::thread::spawn(move || println!("{}", pthread_setspecific(key, 7 as *const c_void)))
            .join()
            .expect("it ends");
        println!("{} {}", pthread_key_delete(key), pthread_key_delete(key));
        let mut all = Vec::new();
        let error = loop {
            match pthread_key_create(&mut key, None) {
                0 => all.push(key),
                error => break error,
            }
        };
        println!("{} {error}", (256..=512).contains(&all.len()));
    }
}

fn semaphores() {
    unsafe {
        let semaphore = dispatch_semaphore_create(0);
        println!("{} {}", dispatch_semaphore_create(-1).is_null(), dispatch_semaphore_wait(semaphore, 0) != 0);
        println!("{}", dispatch_semaphore_wait(semaphore, dispatch_time(0, 1_000_000)) != 0);
        dispatch_semaphore_signal(semaphore);
        println!("{}", dispatch_semaphore_wait(semaphore, u64::MAX));
        println!("{} {}", dispatch_time(u64::MAX, -1) == u64::MAX, dispatch_time(0, i64::MAX) == u64::MAX);
        dispatch_release(semaphore);
        let used = dispatch_semaphore_create(1);
        dispatch_semaphore_wait(used, 0);
        dispatch_release(used);
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("locks") => locks(),
        Some("conditions") => conditions(),
        Some("stacks") => stacks(),
        Some("names") => names(),
        Some("keys") => keys(),
        Some("semaphores") => semaphores(),
        other => panic!("{other:?}"),
    }
}
