//! Objects of Core Foundation: what goes in comes out, and who releases too much is stopped.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};

type Object = *const c_void;

#[repr(C)]
struct Range {
    location: isize,
    length: isize,
}

#[link(name = "CoreFoundation", kind = "framework")]
unsafe extern "C" {
    static kCFAllocatorNull: Object;
    static kCFBooleanTrue: Object;
    static kCFTypeArrayCallBacks: c_void;
    static kCFTypeDictionaryKeyCallBacks: c_void;
    static kCFTypeDictionaryValueCallBacks: c_void;
    fn CFRetain(object: Object) -> Object;
    fn CFRelease(object: Object);
    fn CFEqual(one: Object, other: Object) -> u8;
    fn CFGetRetainCount(object: Object) -> isize;
    fn CFStringCreateWithBytes(from: Object, at: *const u8, length: isize, encoding: u32, external: u8) -> Object;
    fn CFStringCreateWithBytesNoCopy(
        from: Object,
        at: *const u8,
        length: isize,
        encoding: u32,
        external: u8,
        freed_by: Object,
    ) -> Object;
    fn CFStringGetLength(string: Object) -> isize;
    fn CFStringGetCStringPtr(string: Object, encoding: u32) -> *const c_char;
    fn CFStringGetBytes(
        string: Object,
        range: Range,
        encoding: u32,
        loss: u8,
        external: u8,
        to: *mut u8,
        room: isize,
        used: *mut isize,
    ) -> isize;
    fn CFNumberCreate(from: Object, kind: isize, value: *const c_void) -> Object;
    fn CFNumberGetValue(number: Object, kind: isize, value: *mut c_void) -> u8;
    fn CFArrayCreate(from: Object, items: *const Object, count: isize, callbacks: *const c_void) -> Object;
    fn CFArrayGetCount(array: Object) -> isize;
    fn CFArrayGetValueAtIndex(array: Object, index: isize) -> Object;
    fn CFDictionaryCreate(
        from: Object,
        keys: *const Object,
        values: *const Object,
        count: isize,
        of_keys: *const c_void,
        of_values: *const c_void,
    ) -> Object;
    fn CFDictionaryGetValueIfPresent(dictionary: Object, key: Object, value: *mut Object) -> u8;
}

const UTF8: u32 = 0x0800_0100;
const SINT32: isize = 3;
const SINT64: isize = 4;

fn string(text: &str) -> Object {
    unsafe { CFStringCreateWithBytes(null(), text.as_ptr(), text.len() as isize, UTF8, 0) }
}

/// As crates of Core Foundation read one: the length first, then the bytes.
fn bytes(string: Object, location: isize, length: isize, room: Option<usize>) -> (isize, String) {
    unsafe {
        let (mut used, range) = (0, || Range { location, length });
        CFStringGetBytes(string, range(), UTF8, 0, 0, null_mut(), 0, &mut used);
        let mut to = vec![0; room.unwrap_or(used as usize)];
        let units = CFStringGetBytes(string, range(), UTF8, 0, 0, to.as_mut_ptr(), to.len() as isize, &mut used);
        to.truncate(used as usize);
        (units, String::from_utf8(to).expect("whole characters"))
    }
}

fn strings() {
    unsafe {
        // Two units of UTF-16 for the last one.
        let text = "aä€𝄞";
        let mixed = string(text);
        assert_eq!(CFStringGetLength(mixed), 5);
        assert_eq!(bytes(mixed, 0, 5, None), (5, text.to_owned()));
        assert_eq!(bytes(mixed, 1, 2, None), (2, "ä€".to_owned()));
        assert_eq!(bytes(mixed, 0, 5, Some(5)), (2, "aä".to_owned()), "no half character");
        assert!(CFStringGetCStringPtr(mixed, UTF8).is_null(), "it is not kept as UTF-8");
        let plain = string("plain enough");
        assert_eq!(CStr::from_ptr(CFStringGetCStringPtr(plain, UTF8)), c"plain enough");
        let short = string("disk4");
        assert!(CFStringGetCStringPtr(short, UTF8).is_null(), "it is in its pointer");
        assert_eq!(bytes(short, 0, 5, None), (5, "disk4".to_owned()));
        let borrowed = CFStringCreateWithBytesNoCopy(null(), "plain enough?".as_ptr(), 12, UTF8, 0, kCFAllocatorNull);
        assert!(CFStringGetCStringPtr(borrowed, UTF8).is_null(), "no zero byte follows");
        assert_eq!(CFEqual(plain, borrowed), 1);
        assert_eq!(CFEqual(plain, mixed), 0);
        assert!(CFStringCreateWithBytes(null(), b"\xff".as_ptr(), 1, UTF8, 0).is_null());
        [mixed, plain, short, borrowed].into_iter().for_each(|object| CFRelease(object));
    }
}

fn collections() {
    unsafe {
        let (value, key, other) = (i64::from(i32::MAX) + 1, string("key"), string("other"));
        let number = CFNumberCreate(null(), SINT64, (&raw const value).cast());
        let (mut wide, mut narrow) = (0i64, 0i32);
        assert_eq!(CFNumberGetValue(number, SINT64, (&raw mut wide).cast()), 1);
        assert_eq!(wide, value);
        assert_eq!(CFNumberGetValue(number, SINT32, (&raw mut narrow).cast()), 0, "it does not fit");
        let array = CFArrayCreate(null(), [key, number].as_ptr(), 2, &raw const kCFTypeArrayCallBacks);
        assert_eq!((CFArrayGetCount(array), CFGetRetainCount(number)), (2, 2));
        assert_eq!(CFArrayGetValueAtIndex(array, 1), number);
        let dictionary = CFDictionaryCreate(
            null(),
            [key, other].as_ptr(),
            [array, kCFBooleanTrue].as_ptr(),
            2,
            &raw const kCFTypeDictionaryKeyCallBacks,
            &raw const kCFTypeDictionaryValueCallBacks,
        );
        [key, number, array].into_iter().for_each(|object| CFRelease(object));
        let (again, absent, mut found) = (string("key"), string("absent"), null());
        assert_eq!(CFDictionaryGetValueIfPresent(dictionary, again, &mut found), 1);
        assert_eq!(found, array);
        assert_eq!(CFDictionaryGetValueIfPresent(dictionary, absent, &mut found), 0);
        [other, again, absent, dictionary].into_iter().for_each(|object| CFRelease(object));
    }
}

fn main() {
    strings();
    collections();
    let object = string("still there");
    match std::env::args().nth(1).as_deref() {
        Some("held") => unsafe {
            CFRetain(object);
        },
        Some("released twice") => unsafe {
            CFRelease(object);
            CFRelease(object);
        },
        _ => unsafe { CFRelease(object) },
    }
    println!("balanced");
}
