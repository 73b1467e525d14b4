//! `keychain [quietly] add|get|see|change|remove ACCOUNT [PASSWORD]`: prints what was found, and the status. `keychain
//! signed`: whether this program is a team's.

use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};

type Reference = *mut c_void;

#[link(name = "Security", kind = "framework")]
unsafe extern "C" {
    fn SecKeychainSetUserInteractionAllowed(allowed: u8) -> i32;
    fn SecKeychainOpen(path: *const c_char, keychain: *mut Reference) -> i32;
    fn SecKeychainFindGenericPassword(
        keychain: Reference,
        service_length: u32,
        service: *const u8,
        account_length: u32,
        account: *const u8,
        length: *mut u32,
        password: *mut *mut c_void,
        item: *mut Reference,
    ) -> i32;
    fn SecKeychainAddGenericPassword(
        keychain: Reference,
        service_length: u32,
        service: *const u8,
        account_length: u32,
        account: *const u8,
        length: u32,
        password: *const u8,
        item: *mut Reference,
    ) -> i32;
    fn SecKeychainItemModifyAttributesAndData(
        item: Reference,
        attributes: *const c_void,
        length: u32,
        password: *const u8,
    ) -> i32;
    fn SecKeychainItemDelete(item: Reference) -> i32;
    fn SecCodeCopySelf(flags: u32, code: *mut Reference) -> i32;
    fn SecRequirementCreateWithString(text: Reference, flags: u32, requirement: *mut Reference) -> i32;
    fn SecCodeCheckValidity(code: Reference, flags: u32, requirement: Reference) -> i32;
    fn SecKeychainItemFreeContent(attributes: *mut c_void, password: *mut c_void) -> i32;
}

#[link(name = "CoreFoundation", kind = "framework")]
unsafe extern "C" {
    fn CFRelease(object: Reference);
    fn CFStringCreateWithBytes(
        allocator: *const c_void,
        bytes: *const u8,
        length: isize,
        encoding: u32,
        external: u8,
    ) -> Reference;
}

/// kCFStringEncodingUTF8.
const UTF_8: u32 = 0x0800_0100;

const DEVELOPER_ID: &str = "anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] \
                            and certificate leaf[field.1.2.840.113635.100.6.1.13]";

fn signed() -> i32 {
    let (mut code, mut requirement) = (null_mut(), null_mut());
    unsafe {
        let text = CFStringCreateWithBytes(null(), DEVELOPER_ID.as_ptr(), DEVELOPER_ID.len() as isize, UTF_8, 0);
        assert_eq!(SecRequirementCreateWithString(text, 0, &mut requirement), 0);
        assert_eq!(SecCodeCopySelf(0, &mut code), 0);
        let status = SecCodeCheckValidity(code, 0, requirement);
        for object in [code, requirement, text] {
            CFRelease(object);
        }
        status
    }
}

const SERVICE: &str = "a service";

struct Keychain(Reference);

impl Keychain {
    fn find(&self, account: &str, data: bool) -> (i32, Option<String>, Reference) {
        let (mut length, mut password, mut item) = (0, null_mut(), null_mut());
        unsafe {
            let status = SecKeychainFindGenericPassword(
                self.0,
                SERVICE.len() as u32,
                SERVICE.as_ptr(),
                account.len() as u32,
                account.as_ptr(),
                if data { &mut length } else { null_mut() },
                if data { &mut password } else { null_mut() },
                &mut item,
            );
            let text = (!password.is_null()).then(|| {
                let bytes = std::slice::from_raw_parts(password.cast::<u8>(), length as usize);
                String::from_utf8_lossy(bytes).into_owned()
            });
            SecKeychainItemFreeContent(null_mut(), password);
            (status, text, item)
        }
    }

    fn add(&self, account: &str, password: &str) -> i32 {
        unsafe {
            SecKeychainAddGenericPassword(
                self.0,
                SERVICE.len() as u32,
                SERVICE.as_ptr(),
                account.len() as u32,
                account.as_ptr(),
                password.len() as u32,
                password.as_ptr(),
                null_mut(),
            )
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words[0] == "quietly" {
        words.remove(0);
        assert_eq!(unsafe { SecKeychainSetUserInteractionAllowed(0) }, 0);
    }
    if words == ["signed"] {
        println!("{}", signed());
        return;
    }
    let mut keychain = Keychain(null_mut());
    assert_eq!(unsafe { SecKeychainOpen(c"/Library/Keychains/System.keychain".as_ptr(), &mut keychain.0) }, 0);
    let mut held = null_mut();
    let status = match *words {
        ["add", account, password] => keychain.add(account, password),
        ["get", account] => {
            let (status, password, item) = keychain.find(account, true);
            held = item;
            password.iter().for_each(|password| println!("{password}"));
            status
        }
        ["see", account] => {
            let (status, _, item) = keychain.find(account, false);
            held = item;
            status
        }
        ["change", account, password] => {
            let (status, _, item) = keychain.find(account, false);
            held = item;
            assert_eq!(status, 0);
            let length = password.len() as u32;
            unsafe { SecKeychainItemModifyAttributesAndData(item, null(), length, password.as_ptr()) }
        }
        ["remove", account] => {
            let (status, _, item) = keychain.find(account, false);
            held = item;
            if status == 0 { unsafe { SecKeychainItemDelete(item) } } else { status }
        }
        _ => panic!("{words:?}"),
    };
    println!("{status}");
    unsafe {
        if !held.is_null() {
            CFRelease(held);
        }
        CFRelease(keychain.0);
    }
}
