//! The kernel extension as IOKit shows it, on macOS. `harness.rs` is its twin.
//!
//! ```text
//!   Port::call ───────► IOConnectCallStructMethod ───────► IscsiUserClient::externalMethod, in this thread
//!   Port::listen ─────► IOConnectCallAsyncStructMethod ──► IscsiUserClient::listen: keeps port, function, Ears
//!   sender ◄── Ears ◄── heard ◄── run loop of a thread ◄── port ◄── sendAsyncResult64
//!   Port::device ─────► IORegistry: IscsiHBA ─ target's device ─ … ─ unit ─ … ─ the first IOMedia
//! ```
//! What IOKit hands out is given back by the `Drop` of a type of its own here. This is the only file of the daemon with
//! `unsafe`: each block says what makes it sound. "IOKitLib" is Apple's header and source of that name, "xnu" the
//! kernel's source.

use std::ffi::{CStr, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use bytemuck::{bytes_of, pod_read_unaligned};
use core_foundation::ConcreteCFType;
use core_foundation::base::{CFType, TCFType};
use core_foundation::boolean::CFBoolean;
use core_foundation::dictionary::CFDictionary;
use core_foundation::number::CFNumber;
use core_foundation::runloop::{
    CFRunLoop, CFRunLoopSource, CFRunLoopSourceContext, CFRunLoopSourceCreate, CFRunLoopSourceSignal, CFRunLoopWakeUp,
    kCFRunLoopDefaultMode,
};
use core_foundation::string::CFString;
use io_kit_sys::keys::{kIOGeneralInterest, kIOServicePlane};
use io_kit_sys::ret::{IOReturn, kIOReturnSuccess};
use io_kit_sys::types::{IO_OBJECT_NULL, io_connect_t, io_object_t};
use io_kit_sys::{
    IOConnectCallAsyncStructMethod, IOConnectCallStructMethod, IOIteratorNext, IONotificationPortCreate,
    IONotificationPortDestroy, IONotificationPortGetMachPort, IONotificationPortGetRunLoopSource,
    IONotificationPortRef, IOObjectConformsTo, IOObjectRelease, IORegistryEntryCreateCFProperty,
    IORegistryEntryGetChildIterator, IOServiceAddInterestNotification, IOServiceClose, IOServiceGetMatchingService,
    IOServiceMatching, IOServiceOpen,
};
use iscsi_kext_messages::io_return::Code;
use iscsi_kext_messages::{ISCSI_LISTEN, IscsiListenIn, IscsiNotice};
use mach2::port::{MACH_PORT_NULL, mach_port_t};
use mach2::traps::mach_task_self;
use nix::unistd::geteuid;
use tokio::sync::mpsc::UnboundedSender;

/// The extension's class, as its Info.plist says.
const SERVICE: &CStr = c"IscsiHBA";
/// A target of a SCSI controller, in the registry.
const TARGET_DEVICE: &CStr = c"IOSCSIParallelInterfaceDevice";
/// A disk or a partition.
const MEDIA: &CStr = c"IOMedia";

/// kIOPropertyProtocolCharacteristicsKey, a dictionary, and two of its keys (IOStorageProtocolCharacteristics.h).
const PROTOCOL: &str = "Protocol Characteristics";
const TARGET_NUMBER: &str = "SCSI Target Identifier";
const UNIT_NUMBER: &str = "SCSI Logical Unit Number";
/// kIOMediaWholeKey (IOMedia.h) and kIOBSDNameKey (IOBSD.h).
const WHOLE: &str = "Whole";
const BSD_NAME: &str = "BSD Name";

/// Between a unit and its disk there are about five; the registry has no end of its own.
const DEEPEST: usize = 16;

/// Words of an asynchronous call's reference (OSMessageNotification.h): the first is the kernel's, then
/// kIOAsyncCalloutFuncIndex and kIOAsyncCalloutRefconIndex.
const REFERENCE: u32 = 3;

/// kIOMessageServiceIsTerminated (IOMessage.h).
const TERMINATED: u32 = 0xe000_0010;

/// The extension's service, opened.
///
/// Dropping it closes the connection, so that the extension tells nothing more, then ends the thread, then releases
/// the ports: the order of the fields. The receiver of notices reads the end then, and already when the
/// extension has gone.
pub(super) struct Port {
    connection: Connection,
    listener: Listener,
    service: Object,
}

impl Port {
    /// Finds the service and opens a user client. `Err`: a sentence's end that says why not.
    pub(super) fn open(notices: UnboundedSender<IscsiNotice>) -> Result<Port, String> {
        let service = Object::matching(SERVICE).ok_or("no kernel extension is loaded")?;
        let connection = Connection::open(&service).map_err(|code| {
            // The extension asks for the administrator's privilege; a client that fails so early is reported by
            // IOService::newUserClient (xnu) as kIOReturnBadArgument.
            let why = if geteuid().is_root() {
                "the kernel extension does not accept this process"
            } else {
                "only an administrator may use the kernel extension"
            };
            format!("{why} (IOReturn {code:#010x})")
        })?;
        let listener = Listener::start(&service, notices)?;
        Ok(Port { connection, listener, service })
    }

    /// How the extension is told of a descriptor: the number that goes into the struct. Its method runs in this
    /// process' name, and looks the number up there.
    pub(super) fn descriptor(&self, fd: BorrowedFd<'_>) -> i32 {
        fd.as_raw_fd()
    }

    /// One call, blocking, from any thread, several at a time: `input` in, at most `room` bytes out. `pass` is for
    /// the twin, whose descriptors have to travel.
    ///
    /// The extension refuses (kIOReturnBadArgument) an `input` beyond 4096 bytes, and a `room` that is not exactly
    /// its struct where the answer is one.
    pub(super) fn call(
        &self,
        selector: u32,
        input: &[u8],
        room: usize,
        _pass: Option<BorrowedFd<'_>>,
    ) -> Result<Vec<u8>, Code> {
        let mut output = vec![0; room];
        let mut length = room;
        // SAFETY: `input` is read and `output` written for no more than the lengths that go with them, and both
        // outlive the call, which has ended when it returns: also with memory beyond 4096 bytes, that the kernel
        // maps meanwhile. A vector is shorter than kIOConnectMethodVarOutputSize, which would mean something else.
        // A connection may be used from many threads: a call is a message to the kernel.
        let code = unsafe {
            IOConnectCallStructMethod(
                self.connection.0,
                selector,
                input.as_ptr().cast(),
                input.len(),
                output.as_mut_ptr().cast(),
                &mut length,
            )
        };
        checked(code)?;
        output.truncate(length);
        Ok(output)
    }

    /// ISCSI_LISTEN: notices go to the sender given to [`Port::open`] from now on.
    pub(super) fn listen(&self) -> Result<(), Code> {
        let input = IscsiListenIn { reserved: 0 };
        let input = bytes_of(&input);
        let heard: unsafe extern "C" fn(*mut c_void, IOReturn, *mut *mut c_void, u32) = heard;
        let mut reference = [0, heard as usize as u64, Arc::as_ptr(&self.listener.ears) as usize as u64];
        // SAFETY: `input` and `reference` are as long as said. The extension answers to `wake` with the words of
        // `reference`, and the thread's run loop alone reads that port, and calls the function with the pointer.
        // They fit: the function is an IOAsyncCallback (IOKitLib), since a notice is more than two words, and the
        // pointer is to Ears, which outlive the port (see Listener). Nothing is written: no output was given.
        let code = unsafe {
            IOConnectCallAsyncStructMethod(
                self.connection.0,
                ISCSI_LISTEN,
                self.listener.port.wake,
                reference.as_mut_ptr(),
                REFERENCE,
                input.as_ptr().cast(),
                input.len(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        checked(code)
    }

    /// The device node of a unit, if the system has made one ("/dev/disk4"): it takes a moment after the session has
    /// been created, and is no event here. `target` is as ISCSI_CREATE answered, `lun` the unit's number.
    pub(super) fn device(&self, target: u32, lun: u64) -> Option<String> {
        let devices = self.service.children().filter(|child| child.is_a(TARGET_DEVICE));
        let mut ours = devices.filter(|device| device.protocol_number(TARGET_NUMBER) == Some(target.into()));
        let name = ours.find_map(|device| device.disk(lun, None, DEEPEST))?;
        // It becomes a path.
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        plain.then(|| format!("/dev/{name}"))
    }
}

/// Mach's own errors are among the codes: 0x1000_0003 where the extension is gone.
fn checked(code: IOReturn) -> Result<(), Code> {
    if code == kIOReturnSuccess { Ok(()) } else { Err(code.cast_unsigned()) }
}

/// A reference to something in the kernel: a service, an entry of the registry, an iterator, a notification.
struct Object(io_object_t);

impl Object {
    /// Takes over the reference that a function of IOKit returned.
    fn owned(object: io_object_t) -> Option<Object> {
        (object != IO_OBJECT_NULL).then(|| Object(object))
    }

    /// A service of that class, or of one derived from it.
    fn matching(class: &CStr) -> Option<Object> {
        // SAFETY: `class` ends with a zero byte. The dictionary, if there is one, is consumed by
        // IOServiceGetMatchingService, which also takes none; what that returns is ours. A null port is the default.
        let found = unsafe { IOServiceGetMatchingService(MACH_PORT_NULL, IOServiceMatching(class.as_ptr())) };
        Object::owned(found)
    }

    /// Whether it is of that class, or of one derived from it.
    fn is_a(&self, class: &CStr) -> bool {
        // SAFETY: the reference is ours while `self` lives, and `class` ends with a zero byte.
        unsafe { IOObjectConformsTo(self.0, class.as_ptr()) != 0 }
    }

    /// Whose provider this is. Fewer, or none, where the registry changes meanwhile.
    fn children(&self) -> impl Iterator<Item = Object> {
        let mut iterator = IO_OBJECT_NULL;
        // SAFETY: the reference is ours while `self` lives, the plane's name is a constant of the crate that ends with
        // a zero byte, and the iterator is written to a place of our own; it is ours then.
        let code = unsafe { IORegistryEntryGetChildIterator(self.0, kIOServicePlane, &mut iterator) };
        let iterator = checked(code).ok().and_then(|()| Object::owned(iterator));
        // SAFETY: the iterator is ours while the closure that owns it lives; each object that it returns is ours.
        std::iter::from_fn(move || Object::owned(unsafe { IOIteratorNext(iterator.as_ref()?.0) }))
    }

    /// A property, if there is one of that type.
    fn property<T: ConcreteCFType>(&self, key: &'static str) -> Option<T> {
        let key = CFString::from_static_string(key);
        // SAFETY: the reference is ours while `self` lives, as is the key; a null allocator is the default.
        let value = unsafe {
            IORegistryEntryCreateCFProperty(self.0, key.as_concrete_TypeRef(), ptr::null(), Default::default())
        };
        if value.is_null() {
            return None;
        }
        // SAFETY: it is not null, and "Create" in the function's name gives us the reference (Core Foundation's
        // create rule).
        unsafe { CFType::wrap_under_create_rule(value) }.downcast_into()
    }

    /// A number among the protocol's characteristics.
    fn protocol_number(&self, key: &'static str) -> Option<u64> {
        let protocol: CFDictionary = self.property(PROTOCOL)?;
        let key = CFString::from_static_string(key);
        let value = *protocol.find(key.as_CFTypeRef())?;
        if value.is_null() {
            return None;
        }
        // SAFETY: it is not null. A value in a property's dictionary is an object of Core Foundation, since IOKit made
        // it from the kernel's; the dictionary keeps it while we take a reference of our own (get rule).
        let number: CFNumber = unsafe { CFType::wrap_under_get_rule(value) }.downcast_into()?;
        u64::try_from(number.to_i64()?).ok()
    }

    /// The BSD name of the unit's disk below this entry, whose own unit is `above`. Not below a disk: a volume
    /// manager puts whole media of its own there.
    fn disk(&self, lun: u64, above: Option<u64>, deepest: usize) -> Option<String> {
        let deeper = deepest.checked_sub(1)?;
        self.children().find_map(|child| {
            if child.is_a(MEDIA) {
                let whole = child.property::<CFBoolean>(WHOLE).is_some_and(bool::from);
                return (whole && above == Some(lun))
                    .then(|| child.property::<CFString>(BSD_NAME))?
                    .map(|n| n.to_string());
            }
            let unit = child.protocol_number(UNIT_NUMBER).or(above);
            child.disk(lun, unit, deeper)
        })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and was released by nobody. Its result says no more than that.
        unsafe { IOObjectRelease(self.0) };
    }
}

/// A user client.
struct Connection(io_connect_t);

impl Connection {
    fn open(service: &Object) -> Result<Connection, Code> {
        let mut connection = IO_OBJECT_NULL;
        // SAFETY: the service's reference is ours during the call, and the connection is written to a place of our own;
        // it is ours then. mach_task_self_ is set before main, and not changed.
        let code = unsafe { IOServiceOpen(service.0, mach_task_self(), 0, &mut connection) };
        checked(code)?;
        Ok(Connection(connection))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection is ours, and was closed by nobody; this also releases the reference (IOKitLib). It
        // fails only where the extension has gone.
        unsafe { IOServiceClose(self.0) };
    }
}

/// A port for notices, and the run loop's source that reads it.
struct NotificationPort {
    port: IONotificationPortRef,
    wake: mach_port_t,
}

// SAFETY: it is memory of no thread in particular. After `create` it is used by `drop` alone, which has it exclusively.
unsafe impl Send for NotificationPort {}
// SAFETY: through a shared reference only `wake` is read.
unsafe impl Sync for NotificationPort {}

impl NotificationPort {
    fn create() -> Option<(NotificationPort, CFRunLoopSource)> {
        // SAFETY: a null port is the default; what is returned is ours.
        let port = unsafe { IONotificationPortCreate(MACH_PORT_NULL) };
        if port.is_null() {
            return None;
        }
        // SAFETY: the port is valid until it is destroyed.
        let wake = unsafe { IONotificationPortGetMachPort(port) };
        let owned = NotificationPort { port, wake };
        // SAFETY: as above, and nobody else uses it meanwhile: it makes the source.
        let source = unsafe { IONotificationPortGetRunLoopSource(port) };
        if source.is_null() {
            return None;
        }
        // SAFETY: it is not null, and the port keeps it while we take a reference of our own (get rule).
        Some((owned, unsafe { CFRunLoopSource::wrap_under_get_rule(source) }))
    }
}

impl Drop for NotificationPort {
    fn drop(&mut self) {
        // SAFETY: the port is ours, was destroyed by nobody, and the run loop that read it has ended or never began
        // (Listener). What the kernel still sends goes nowhere.
        unsafe { IONotificationPortDestroy(self.port) };
    }
}

/// Where notices go, until the run loop has ended.
struct Ears(Mutex<Option<UnboundedSender<IscsiNotice>>>);

impl Ears {
    fn hear(&self, notice: IscsiNotice) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.as_ref() {
            // A receiver that has gone wants none.
            let _unheard = sender.send(notice);
        }
    }

    fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The thread whose run loop reads the port.
///
/// Its `drop` ends the thread; the fields go after that, so that the callbacks of the run loop find them.
struct Listener {
    thread: Option<JoinHandle<()>>,
    stop: Stop,
    /// That the extension has gone, is told while we have this.
    _terminated: Object,
    port: NotificationPort,
    ears: Arc<Ears>,
}

impl Listener {
    fn start(service: &Object, notices: UnboundedSender<IscsiNotice>) -> Result<Listener, String> {
        let (port, source) = NotificationPort::create().ok_or("macOS gives no port for the extension's notices")?;
        let mut terminated = IO_OBJECT_NULL;
        // SAFETY: the port and the service are ours during the call, the name is a constant of the crate that ends with
        // a zero byte, and the notification is written to a place of our own; it is ours then. The function is called
        // by the run loop that reads the port, and does not use its reference, which is null.
        let code = unsafe {
            IOServiceAddInterestNotification(
                port.port,
                service.0,
                kIOGeneralInterest,
                changed,
                ptr::null_mut(),
                &mut terminated,
            )
        };
        let gone = |code: Code| format!("the kernel extension has just gone (IOReturn {code:#010x})");
        checked(code).map_err(gone)?;
        let terminated = Object::owned(terminated).ok_or("macOS does not watch the kernel extension")?;

        let ears = Arc::new(Ears(Mutex::new(Some(notices))));
        let sources = Sources { notices: source, stop: Stop::source() };
        let stop = sources.stop.clone();
        let (tell, told) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("kext notices".into())
            .spawn({
                let ears = Arc::clone(&ears);
                move || {
                    sources.run(&tell);
                    ears.close();
                }
            })
            .map_err(|error| format!("no thread for the extension's notices: {error}"))?;
        let run_loop = told.recv().map_err(|_| "the thread for the extension's notices has ended".to_owned())?;
        let stop = Stop { source: stop, run_loop };
        Ok(Listener { thread: Some(thread), stop, _terminated: terminated, port, ears })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !thread.is_finished() {
            self.stop.signal();
        }
        if thread.join().is_err() {
            tracing::error!("the thread for the kernel extension's notices panicked");
        }
    }
}

/// What the run loop waits for.
struct Sources {
    notices: CFRunLoopSource,
    stop: CFRunLoopSource,
}

// SAFETY: Core Foundation counts references atomically, and a source may be added to the run loop of any thread.
unsafe impl Send for Sources {}

impl Sources {
    /// Runs this thread's run loop, which it tells, until it is stopped.
    fn run(&self, tell: &mpsc::SyncSender<CFRunLoop>) {
        let run_loop = CFRunLoop::get_current();
        // SAFETY: a constant of Core Foundation, set when it is loaded.
        let mode = unsafe { kCFRunLoopDefaultMode };
        run_loop.add_source(&self.notices, mode);
        run_loop.add_source(&self.stop, mode);
        if tell.send(run_loop).is_ok() {
            CFRunLoop::run_current();
        }
    }
}

/// Ends a run loop from another thread. CFRunLoopStop alone would be lost if the loop had not begun; a source stays
/// signalled until it has been served.
struct Stop {
    source: CFRunLoopSource,
    run_loop: CFRunLoop,
}

// SAFETY: Core Foundation counts references atomically, and both functions that `signal` calls may be called from any
// thread; nothing else is done with a Stop.
unsafe impl Send for Stop {}
// SAFETY: as above.
unsafe impl Sync for Stop {}

impl Stop {
    fn source() -> CFRunLoopSource {
        let mut context = CFRunLoopSourceContext {
            version: 0,
            info: ptr::null_mut(),
            retain: None,
            release: None,
            copyDescription: None,
            equal: None,
            hash: None,
            schedule: None,
            cancel: None,
            perform: stopped,
        };
        // SAFETY: a null allocator is the default. The context is copied; of its version 0 only `perform` is needed,
        // and it does not use `info`. What is returned is ours (create rule), and not null, or this panics.
        unsafe { CFRunLoopSource::wrap_under_create_rule(CFRunLoopSourceCreate(ptr::null(), 0, &mut context)) }
    }

    fn signal(&self) {
        // SAFETY: both references are ours while `self` lives, also when the thread has ended; either function may be
        // called from any thread.
        unsafe {
            CFRunLoopSourceSignal(self.source.as_concrete_TypeRef());
            CFRunLoopWakeUp(self.run_loop.as_concrete_TypeRef());
        }
    }
}

/// A panic ends here, with its message: nothing may unwind into IOKit, and the daemon goes on without.
fn guarded(body: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        tracing::error!("a notice of the kernel extension was lost by a panic");
    }
}

/// Of the run loop: somebody has signalled the end.
extern "C" fn stopped(_info: *const c_void) {
    guarded(|| CFRunLoop::get_current().stop());
}

/// Of the run loop, IOServiceInterestCallback: something happened to the service.
unsafe extern "C" fn changed(_refcon: *mut c_void, _service: io_object_t, message: u32, _argument: *mut c_void) {
    if message == TERMINATED {
        guarded(|| CFRunLoop::get_current().stop());
    }
}

/// Of the run loop, IOAsyncCallback: a notice, as words.
///
/// # Safety
///
/// `refcon` is to [`Ears`] that live during the call, `words` to `count` words, aligned or not.
unsafe extern "C" fn heard(refcon: *mut c_void, _result: IOReturn, words: *mut *mut c_void, count: u32) {
    const LENGTH: usize = size_of::<IscsiNotice>();
    guarded(|| {
        if (count as usize) < LENGTH / size_of::<u64>() {
            tracing::error!("the kernel extension sent a notice of {count} words");
            return;
        }
        // SAFETY: there are that many bytes, as was just checked, and they are the message's, which nobody changes
        // during the call. The words follow a result of four bytes (IOAsyncCompletionContent,
        // OSMessageNotification.h), so they are not aligned: bytes need not be.
        let notice = unsafe { &*words.cast::<[u8; LENGTH]>() };
        // SAFETY: the caller's promise; they are only shared.
        let ears = unsafe { &*refcon.cast::<Ears>() };
        ears.hear(pod_read_unaligned(notice));
    });
}
