//! The calls of macOS that no crate offers without `unsafe`: notifications of system power, the sockets that
//! launchd holds for us, whether the machine ends, the sync of one volume, and the list of all sockets.
//!
//! ```text
//!   IORegisterForSystemPower ─► run loop of this thread ─► heard ─► Power
//!   SCDynamicStore (safe) ────► the same run loop ───────► network
//! ```
//! `objc2-io-kit` declares the functions and their types and leaves the pointers to us. Nothing else is
//! in this file, so that it can be read in one go.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc::sysctlbyname;
use objc2_core_foundation::{CFRunLoop, kCFRunLoopDefaultMode};
use objc2_io_kit::{IOAllowPowerChange, IONotificationPort, IORegisterForSystemPower, io_service_t};
use system_configuration::core_foundation::array::CFArray;
use system_configuration::core_foundation::runloop;
use system_configuration::core_foundation::string::CFString;
use system_configuration::dynamic_store::{SCDynamicStore, SCDynamicStoreBuilder, SCDynamicStoreCallBackContext};

/// What IOKit says of the machine's power.
pub(super) enum Power {
    /// It will sleep when that is called, or after 30 seconds.
    WillSleep(Box<dyn FnOnce() + Send>),
    /// It has woken.
    HasPoweredOn,
    /// It is switched off or restarted.
    WillPowerOff,
}

// IOKit/IOMessage.h: iokit_common_msg(…).
const WILL_POWER_OFF: u32 = 0xe000_0250;
const CAN_SLEEP: u32 = 0xe000_0270;
const WILL_SLEEP: u32 = 0xe000_0280;
const HAS_POWERED_ON: u32 = 0xe000_0300;
const WILL_RESTART: u32 = 0xe000_0310;

/// What the callback of IOKit needs.
struct Context {
    /// The connection to the root power domain; 0 until there is one.
    root: AtomicU32,
    heard: Box<dyn Fn(Power) + Send>,
}

/// Hears for as long as the process lives. Returns only where that is not possible: a noun that says of
/// what nothing is heard.
pub(super) fn run(heard: Box<dyn Fn(Power) + Send>, network: Box<dyn Fn() + Send>) -> Result<(), &'static str> {
    let power = listen_to_power(heard);
    let network = listen_to_network(network);
    if power.is_ok() || network.is_ok() {
        if let Err(what) = power.and(network) {
            tracing::warn!("macOS does not tell of {what}");
        }
        CFRunLoop::run();
    }
    Err("its power and its network")
}

fn listen_to_power(heard: Box<dyn Fn(Power) + Send>) -> Result<(), &'static str> {
    // For ever: the callback may come as long as there is a process.
    let context: &'static Context = Box::leak(Box::new(Context { root: AtomicU32::new(0), heard }));
    let (mut port, mut notifier) = (null_mut(), 0);
    // SAFETY: `context` is never freed and is `Sync` where the callback uses it (an atomic, and a closure
    // that only the run loop of this thread calls); `port` and `notifier` live for the whole call, which
    // fills them; `power_changed` has the type that is asked for.
    let root = unsafe {
        IORegisterForSystemPower(
            std::ptr::from_ref(context).cast_mut().cast::<c_void>(),
            &raw mut port,
            Some(power_changed),
            &raw mut notifier,
        )
    };
    if root == 0 || port.is_null() {
        return Err("its power");
    }
    context.root.store(root, Ordering::Relaxed);
    // SAFETY: the port was just filled in by a call that succeeded, and is never destroyed.
    let source = unsafe { IONotificationPort::run_loop_source(port) };
    let current = CFRunLoop::current();
    let (Some(source), Some(current)) = (source, current) else { return Err("its power") };
    // SAFETY: a constant of CoreFoundation, which is loaded.
    let mode = unsafe { kCFRunLoopDefaultMode };
    current.add_source(Some(&source), mode);
    Ok(())
}

/// The callback of IOKit (`IOServiceInterestCallback`), on the run loop of the thread that registered it.
///
/// # Safety
/// `refcon` is a [`Context`] that lives for ever.
unsafe extern "C-unwind" fn power_changed(
    refcon: *mut c_void,
    _service: io_service_t,
    message: u32,
    argument: *mut c_void,
) {
    // SAFETY: what `listen_to_power` registered, which is leaked and only read.
    let context = unsafe { &*refcon.cast::<Context>() };
    let root = context.root.load(Ordering::Relaxed);
    // The argument is a number to answer with, dressed as a pointer.
    let notification = argument.addr().cast_signed();
    let allow = move || {
        // 0 or an error that nobody can do anything about: then the machine sleeps 30 seconds later.
        let _ = IOAllowPowerChange(root, notification);
    };
    match message {
        // An idle machine asks whether it may; it may.
        CAN_SLEEP => allow(),
        WILL_SLEEP => (context.heard)(Power::WillSleep(Box::new(allow))),
        HAS_POWERED_ON => (context.heard)(Power::HasPoweredOn),
        WILL_POWER_OFF | WILL_RESTART => (context.heard)(Power::WillPowerOff),
        _ => {}
    }
}

/// Hears of links and addresses by the dynamic store.
fn listen_to_network(network: Box<dyn Fn() + Send>) -> Result<(), &'static str> {
    fn changed(_store: SCDynamicStore, _keys: CFArray<CFString>, network: &mut Box<dyn Fn() + Send>) {
        network();
    }

    let what = "its network";
    let context = SCDynamicStoreCallBackContext { callout: changed, info: network };
    let store = SCDynamicStoreBuilder::new("iscsid").callback_context(context).build().ok_or(what)?;
    let none: CFArray<CFString> = CFArray::from_CFTypes(&[]);
    let patterns =
        CFArray::from_CFTypes(&[CFString::from_static_string("State:/Network/Interface/.*/(Link|IPv4|IPv6)")]);
    if !store.set_notification_keys(&none, &patterns) {
        return Err(what);
    }
    let source = store.create_run_loop_source().ok_or(what)?;
    // SAFETY: a constant of CoreFoundation, which is loaded.
    let mode = unsafe { runloop::kCFRunLoopDefaultMode };
    runloop::CFRunLoop::get_current().add_source(&source, mode);
    // The source holds the store; and both are for ever.
    std::mem::forget(store);
    Ok(())
}

/// The sockets of that name in the job's property list. launchd gives them once.
///
/// # Errors
/// A clause: why there are none.
pub(crate) fn handed_by_launchd(name: &str) -> Result<Vec<OwnedFd>, String> {
    let sockets = raunch::activate_socket(name).map_err(|error| error.to_string())?;
    let adopt = |number| {
        // SAFETY: launchd has just opened the descriptor for this process, gives it to nobody else and
        // never again: it is ours to close.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        // The programs that the daemon runs must not hold it.
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|error| error.to_string())?;
        Ok(socket)
    };
    sockets.into_iter().map(adopt).collect()
}

/// Whether the machine is being switched off or restarted: launchd says so to the kernel before it ends its jobs.
pub(super) fn will_shut_down() -> bool {
    let (mut begun, mut length): (c_int, usize) = (0, size_of::<c_int>());
    let to = (&raw mut begun).cast::<c_void>();
    // SAFETY: the name is a text of C; `begun` is as long as `length` says, and both live for the whole call; nothing
    // is written to the kernel.
    let result = unsafe { sysctlbyname(c"kern.willshutdown".as_ptr(), to, &raw mut length, null_mut(), 0) };
    // ENOENT: the kernel does not say yet, long before a job could end.
    result == 0 && begun != 0
}

// unistd.h.
const SYNC_VOLUME_FULLSYNC: c_int = 1;
const SYNC_VOLUME_WAIT: c_int = 2;

unsafe extern "C" {
    /// Libc, gen/sync_volume_np.c: 0, or the number of the error.
    fn sync_volume_np(path: *const c_char, flags: c_int) -> c_int;
}

/// Writes the volume that is mounted there back, through its disk's cache, and waits for that.
///
/// # Errors
/// The system's.
pub(super) fn sync_volume(point: &Path) -> io::Result<()> {
    let path = CString::new(point.as_os_str().as_bytes())?;
    // SAFETY: a text of C, which lives for the whole call and is only read.
    match unsafe { sync_volume_np(path.as_ptr(), SYNC_VOLUME_FULLSYNC | SYNC_VOLUME_WAIT) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// All TCP sockets of the machine, as the kernel lists them for netstat(1).
///
/// # Errors
/// The system's.
pub(super) fn tcp_sockets() -> io::Result<Vec<u8>> {
    const NAME: &CStr = c"net.inet.tcp.pcblist_n";
    /// Between the question for the size and the one for the list, others may open sockets.
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        let mut size = 0;
        // SAFETY: the name ends with a zero byte; nothing is written but the size, to a variable of that type.
        let asked = unsafe { sysctlbyname(NAME.as_ptr(), null_mut(), &raw mut size, null_mut(), 0) };
        Errno::result(asked)?;
        let mut list = vec![0u8; size + size / 4 + 4096];
        size = list.len();
        // SAFETY: as above; and no more than `size` bytes are written to `list`, which has as many.
        let told = unsafe { sysctlbyname(NAME.as_ptr(), list.as_mut_ptr().cast(), &raw mut size, null_mut(), 0) };
        match Errno::result(told) {
            Ok(_) => {
                list.truncate(size);
                return Ok(list);
            }
            Err(Errno::ENOMEM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::ENOMEM.into())
}

#[cfg(test)]
mod tests {
    use super::tcp_sockets;
    use crate::export::nfs::Owners;

    // check: nfs-owners-by-list
    #[test]
    fn macos_shows_whose_our_own_connections_are() {
        assert!(Owners::new(Some(tcp_sockets)).expect("nothing to prepare").are_shown());
    }
}
