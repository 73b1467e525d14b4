//! Watches the keys of a pattern in the dynamic store, and says which have changed; that of `last0` ends it.

use std::ffi::{c_char, c_void};
use std::io::Write;
use std::ptr::{null, null_mut};

type Object = *const c_void;

#[repr(C)]
struct Context {
    version: isize,
    info: *mut c_void,
    retain: Option<unsafe extern "C" fn(Object) -> Object>,
    release: Option<unsafe extern "C" fn(Object)>,
    describe: Option<unsafe extern "C" fn(Object) -> Object>,
}

#[link(name = "SystemConfiguration", kind = "framework")]
unsafe extern "C" {
    fn SCDynamicStoreCreateWithOptions(
        from: Object,
        name: Object,
        options: Object,
        changed: unsafe extern "C" fn(Object, Object, *mut c_void),
        context: *const Context,
    ) -> Object;
    fn SCDynamicStoreSetNotificationKeys(store: Object, keys: Object, patterns: Object) -> u8;
    fn SCDynamicStoreCreateRunLoopSource(from: Object, store: Object, order: isize) -> *mut c_void;
}

#[link(name = "CoreFoundation", kind = "framework")]
unsafe extern "C" {
    static kCFRunLoopDefaultMode: Object;
    static kCFTypeArrayCallBacks: c_void;
    fn CFRelease(object: Object);
    fn CFStringCreateWithBytes(from: Object, at: *const u8, length: isize, encoding: u32, external: u8) -> Object;
    fn CFStringGetCStringPtr(string: Object, encoding: u32) -> *const c_char;
    fn CFArrayCreate(from: Object, items: *const Object, count: isize, callbacks: *const c_void) -> Object;
    fn CFArrayGetCount(array: Object) -> isize;
    fn CFArrayGetValueAtIndex(array: Object, index: isize) -> Object;
    fn CFRunLoopGetCurrent() -> *mut c_void;
    fn CFRunLoopAddSource(to: *mut c_void, source: *mut c_void, mode: Object);
    fn CFRunLoopRemoveSource(from: *mut c_void, source: *mut c_void, mode: Object);
    fn CFRunLoopStop(which: *mut c_void);
    fn CFRunLoopRun();
}

const UTF8: u32 = 0x0800_0100;

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody listens");
}

fn string(text: &str) -> Object {
    unsafe { CFStringCreateWithBytes(null(), text.as_ptr(), text.len() as isize, UTF8, 0) }
}

unsafe extern "C" fn changed(_store: Object, keys: Object, _info: *mut c_void) {
    unsafe {
        for index in 0..CFArrayGetCount(keys) {
            let key = std::ffi::CStr::from_ptr(CFStringGetCStringPtr(CFArrayGetValueAtIndex(keys, index), UTF8));
            say(key.to_str().expect("UTF-8"));
            if key.to_bytes().ends_with(b"/last0/Link") {
                CFRunLoopStop(CFRunLoopGetCurrent());
            }
        }
    }
}

unsafe extern "C" fn released(_info: Object) {
    say("released");
}

fn main() {
    let pattern = string(&std::env::args().nth(1).expect("a pattern"));
    let name = string("a program");
    unsafe {
        let context = Context { version: 0, info: null_mut(), retain: None, release: Some(released), describe: None };
        let store = SCDynamicStoreCreateWithOptions(null(), name, null(), changed, &context);
        let patterns = CFArrayCreate(null(), &pattern, 1, &raw const kCFTypeArrayCallBacks);
        if SCDynamicStoreSetNotificationKeys(store, null(), patterns) == 0 {
            say("refused");
            return;
        }
        let source = SCDynamicStoreCreateRunLoopSource(null(), store, 0);
        CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopDefaultMode);
        [store, patterns, pattern, name].into_iter().for_each(|object| CFRelease(object));
        say("ready");
        CFRunLoopRun();
        CFRunLoopRemoveSource(CFRunLoopGetCurrent(), source, kCFRunLoopDefaultMode);
        CFRelease(source);
    }
    say("ended");
}
