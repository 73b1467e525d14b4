//! The calls of the border: `iscsi_session_*`.
//!
//! All of them: a pointer to a session is null or came from [`iscsi_session_create`] and has not been destroyed;
//! another pointer is null or leads to as many bytes as its type, or the length beside it, says, which nobody else
//! writes to during the call. Null, misaligned, too long, out of range: `ISCSI_BAD_ARGUMENT`, and nothing happens.
//! `now` is in nanoseconds of any clock that never goes back.

use alloc::boxed::Box;
use core::alloc::Layout;
use core::ffi::c_char;

use iscsi_proto::digest::Crc32c;
use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::{LogoutReason, TaskAttribute, TaskFunction};
use iscsi_proto::session::{Command, Data, Payload, PingTimers, RxPlan, trailer};
use iscsi_proto::time::{Duration, Instant};

use crate::abi::*;
use crate::digest::Hardware;
use crate::engine::{Config, Done, Engine, Link, Origin, Refusal};

/// What a session's first bytes are, as long as it is one.
const MARK: u64 = u64::from_be_bytes(*b"iSCSI\0\0\x01");

/// Lengths of buffers that C passes are at most this, in bytes: more is a mistake.
const MOST: usize = 1 << 30;

/// A session. Opaque.
pub struct iscsi_session {
    mark: u64,
    engine: Engine,
}

fn code(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::BadArgument => ISCSI_BAD_ARGUMENT,
        Refusal::NoMemory => ISCSI_NO_MEMORY,
        Refusal::Full => ISCSI_FULL,
        Refusal::NotFound => ISCSI_NOT_FOUND,
        Refusal::WrongState => ISCSI_WRONG_STATE,
        Refusal::Offline => ISCSI_OFFLINE,
        Refusal::Broken => ISCSI_BROKEN,
    }
}

fn answer(result: Result<(), Refusal>) -> i32 {
    result.map_or_else(code, |()| ISCSI_OK)
}

/// What `pointer` leads to; `None` if it is null or misaligned.
///
/// # Safety
/// Else it leads to a `T` that nobody writes to for as long as the result is used.
unsafe fn read<'a, T>(pointer: *const T) -> Option<&'a T> {
    if !pointer.is_aligned() {
        return None;
    }
    // SAFETY: aligned, and the caller's promise.
    unsafe { pointer.as_ref() }
}

/// The place `pointer` leads to; `None` if it is null or misaligned.
///
/// # Safety
/// Else it leads to a `T` that nobody else uses for as long as the result is used.
unsafe fn write<'a, T>(pointer: *mut T) -> Option<&'a mut T> {
    if !pointer.is_aligned() {
        return None;
    }
    // SAFETY: aligned, and the caller's promise.
    unsafe { pointer.as_mut() }
}

/// The bytes from `pointer` on; `None` if it is null, unless there are none, or if there are too many.
///
/// # Safety
/// Else it leads to `length` bytes that nobody writes to for as long as the result is used.
unsafe fn bytes<'a>(pointer: *const u8, length: usize) -> Option<&'a [u8]> {
    match (pointer.is_null(), length) {
        (_, 0) => Some(&[]),
        (true, _) => None,
        (false, 1..=MOST) => {
            // SAFETY: not null, no longer than memory can be, and the caller's promise.
            Some(unsafe { core::slice::from_raw_parts(pointer, length) })
        }
        (false, _) => None,
    }
}

/// The same, to be written to.
///
/// # Safety
/// As [`bytes`], and nobody else uses them.
unsafe fn bytes_mut<'a>(pointer: *mut u8, length: usize) -> Option<&'a mut [u8]> {
    match (pointer.is_null(), length) {
        (_, 0) => Some(&mut []),
        (true, _) => None,
        (false, 1..=MOST) => {
            // SAFETY: not null, no longer than memory can be, and the caller's promise.
            Some(unsafe { core::slice::from_raw_parts_mut(pointer, length) })
        }
        (false, _) => None,
    }
}

/// The session `pointer` leads to; `None` if it is null, misaligned or without its mark.
///
/// # Safety
/// As the module says; and no other call for the session is under way.
unsafe fn engine<'a>(pointer: *mut iscsi_session) -> Option<&'a mut Engine> {
    // SAFETY: the caller's promise.
    let session = unsafe { write(pointer) }?;
    (session.mark == MARK).then_some(&mut session.engine)
}

/// As [`engine`], where nothing changes.
///
/// # Safety
/// As [`engine`].
unsafe fn engine_ref<'a>(pointer: *const iscsi_session) -> Option<&'a Engine> {
    // SAFETY: the caller's promise.
    let session = unsafe { read(pointer) }?;
    (session.mark == MARK).then_some(&session.engine)
}

fn span(nanos: u64) -> Option<Duration> {
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

fn config(c: &iscsi_config) -> Option<Config> {
    let is_one = c.version == ISCSI_ABI_VERSION
        && (1..=65_000).contains(&c.depth)
        && (c.depth..=65_000).contains(&c.commands)
        && c.function_timeout > 0;
    is_one.then(|| Config {
        depth: c.depth,
        commands: c.commands,
        pings: PingTimers { interval: span(c.ping_interval), timeout: span(c.ping_timeout) },
        function_timeout: Duration::from_nanos(c.function_timeout),
        replacement_timeout: Duration::from_nanos(c.replacement_timeout),
    })
}

fn command(c: &iscsi_command) -> Option<(Command, Origin)> {
    let data = match (c.direction, c.data_length) {
        (ISCSI_DATA_NONE, 0) => Data::None,
        (ISCSI_DATA_IN, length) => Data::In(length),
        (ISCSI_DATA_OUT, length) => Data::Out(length),
        _ => return None,
    };
    let attribute = match c.attribute {
        0 => TaskAttribute::Untagged,
        1 => TaskAttribute::Simple,
        2 => TaskAttribute::Ordered,
        3 => TaskAttribute::HeadOfQueue,
        4 => TaskAttribute::Aca,
        _ => return None,
    };
    let origin = match c.origin {
        ISCSI_ORIGIN_STACK => Origin::Stack,
        ISCSI_ORIGIN_DAEMON => Origin::Daemon,
        _ => return None,
    };
    Some((Command { lun: Lun(u64::from_be_bytes(c.lun)), cdb: c.cdb, attribute, data }, origin))
}

/// The version of the border that this side has.
#[unsafe(no_mangle)]
pub extern "C" fn iscsi_abi_version() -> u32 {
    ISCSI_ABI_VERSION
}

/// Makes a session over a connection that has just logged in, and writes it to `session`.
///
/// BAD_ARGUMENT if the configuration or the handoff makes no sense, NO_MEMORY.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_create(
    config: *const iscsi_config,
    handoff: *const IscsiHandoff,
    now: u64,
    session: *mut *mut iscsi_session,
) -> i32 {
    // SAFETY: the caller's promise, three times.
    let (config, handoff, session) = unsafe { (read(config), read(handoff), write(session)) };
    let (Some(config), Some(handoff), Some(session)) = (config.and_then(self::config), handoff, session) else {
        return ISCSI_BAD_ARGUMENT;
    };
    *session = core::ptr::null_mut();
    let engine = match Engine::new(&handoff.into(), config, Instant::from_nanos(now)) {
        Ok(engine) => engine,
        Err(refusal) => return code(refusal),
    };
    // `Box::new` would stop the machine where there is no memory.
    // SAFETY: the layout's size is not 0.
    let place = unsafe { alloc::alloc::alloc(Layout::new::<iscsi_session>()) }.cast::<iscsi_session>();
    if place.is_null() {
        return ISCSI_NO_MEMORY;
    }
    // SAFETY: memory for exactly this, aligned, and nobody else's.
    unsafe { place.write(iscsi_session { mark: MARK, engine }) };
    *session = place;
    ISCSI_OK
}

/// Frees a session. WRONG_STATE, and nothing is freed, while commands have not ended or events have not been
/// polled: `iscsi_session_give_up` first.
///
/// # Safety
/// As the module says; it is no session any more afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_destroy(session: *mut iscsi_session) -> i32 {
    // SAFETY: the caller's promise.
    match unsafe { engine(session) } {
        None => ISCSI_BAD_ARGUMENT,
        Some(engine) if !engine.is_idle() => ISCSI_WRONG_STATE,
        Some(_) => {
            // SAFETY: it came from `iscsi_session_create`, which allocated it as a box would.
            let mut session = unsafe { Box::from_raw(session) };
            session.mark = 0;
            ISCSI_OK
        }
    }
}

/// Takes a command on and writes its tag, never 0, to `tag`. It waits for its turn and for the connection. Its
/// buffer stays the session's until ISCSI_EVENT_TASK_DONE. ENDED, and that event is there already, for a unit that is
/// fenced (`iscsi_session_fence`).
///
/// FULL beyond the configured commands; OFFLINE if there has been no connection for too long; WRONG_STATE for a
/// command of the daemon without a connection.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_submit(
    session: *mut iscsi_session,
    command: *const iscsi_command,
    tag: *mut u64,
) -> i32 {
    // SAFETY: the caller's promise, three times.
    let (engine, from, tag) = unsafe { (engine(session), read(command), write(tag)) };
    let (Some(engine), Some(from), Some(tag)) = (engine, from, tag) else { return ISCSI_BAD_ARGUMENT };
    let Some((command, origin)) = self::command(from) else { return ISCSI_BAD_ARGUMENT };
    match engine.submit(from.token, command, origin) {
        Ok((made, done)) => {
            *tag = made;
            if done == Done::Now { ISCSI_ENDED } else { ISCSI_OK }
        }
        Err(refusal) => code(refusal),
    }
}

/// Requests the task management function of that code (RFC 7143 §11.5.1): 1 for the task `tag`, 2 and 5 for the
/// unit `lun` (eight bytes, may be null for the others), 6 and 7 for all. Ends with ISCSI_EVENT_FUNCTION_DONE and
/// that `token`, after the tasks that it ended.
///
/// BAD_ARGUMENT for another function, NOT_FOUND, FULL; WRONG_STATE without a connection.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_manage(
    session: *mut iscsi_session,
    function: u32,
    lun: *const [u8; 8],
    tag: u64,
    token: u64,
    now: u64,
) -> i32 {
    // SAFETY: the caller's promise, twice.
    let (engine, lun) = unsafe { (engine(session), read(lun)) };
    let (Some(engine), Ok(function)) = (engine, u8::try_from(function)) else { return ISCSI_BAD_ARGUMENT };
    let function = TaskFunction::from(function);
    let lun = match (lun, function) {
        (Some(lun), _) => Lun(u64::from_be_bytes(*lun)),
        (None, TaskFunction::AbortTaskSet | TaskFunction::LogicalUnitReset) => return ISCSI_BAD_ARGUMENT,
        (None, _) => Lun(0),
    };
    answer(engine.manage(function, lun, tag, token, Instant::from_nanos(now)))
}

/// A command takes too long: it is ended, by task management and by giving up the connection in the end, with
/// ISCSI_OUTCOME_TIMED_OUT. WAITS, and nothing is done, where it waits for the connection or for an earlier command to
/// the same blocks, or another one is being ended: ask again later. NOT_FOUND if it has ended.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_overdue(session: *mut iscsi_session, tag: u64, now: u64) -> i32 {
    // SAFETY: the caller's promise.
    let Some(engine) = (unsafe { engine(session) }) else { return ISCSI_BAD_ARGUMENT };
    match engine.overdue(tag, Instant::from_nanos(now)) {
        Ok(Done::Now) => ISCSI_OK,
        Ok(Done::Later) => ISCSI_WAITS,
        Err(refusal) => code(refusal),
    }
}

/// Logs out: reason 0 ends the session, 1 the connection (RFC 7143 §11.14.1). Nothing is sent afterwards;
/// ISCSI_EVENT_LOGGED_OUT follows, if the target answers.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_logout(session: *mut iscsi_session, reason: u32) -> i32 {
    // SAFETY: the caller's promise.
    let Some(engine) = (unsafe { engine(session) }) else { return ISCSI_BAD_ARGUMENT };
    match reason {
        0 => answer(engine.logout(LogoutReason::CloseSession)),
        1 => answer(engine.logout(LogoutReason::CloseConnection)),
        _ => ISCSI_BAD_ARGUMENT,
    }
}

/// Commands of the stack wait from now on; those of the daemon go out.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_hold(session: *mut iscsi_session) -> i32 {
    // SAFETY: the caller's promise.
    let Some(engine) = (unsafe { engine(session) }) else { return ISCSI_BAD_ARGUMENT };
    engine.hold();
    ISCSI_OK
}

/// Commands of the stack go on.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_resume(session: *mut iscsi_session) -> i32 {
    // SAFETY: the caller's promise.
    let Some(engine) = (unsafe { engine(session) }) else { return ISCSI_BAD_ARGUMENT };
    engine.resume();
    ISCSI_OK
}

/// Commands of the stack for the unit `lun` end from now on (`fence` 1) with CHECK CONDITION, ILLEGAL REQUEST, LOGICAL
/// UNIT NOT SUPPORTED, also those that wait; or go out again (0). It holds for every connection of the session. What
/// the target has been sent already ends with its answer. REPORT LUNS asks the target and not the unit: it goes out.
/// Poll the events afterwards.
///
/// FULL beyond ISCSI_FENCED_MOST units, NO_MEMORY.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_fence(session: *mut iscsi_session, lun: *const [u8; 8], fence: u32) -> i32 {
    // SAFETY: the caller's promise, twice.
    let (Some(engine), Some(lun)) = (unsafe { (engine(session), read(lun)) }) else { return ISCSI_BAD_ARGUMENT };
    if fence > 1 {
        return ISCSI_BAD_ARGUMENT;
    }
    answer(engine.fence(Lun(u64::from_be_bytes(*lun)), fence == 1))
}

/// Writes to `plan` where the next bytes of the stream belong.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_receive_plan(
    session: *const iscsi_session,
    plan: *mut iscsi_receive_plan,
) -> i32 {
    // SAFETY: the caller's promise, twice.
    let (Some(engine), Some(out)) = (unsafe { (engine_ref(session), write(plan)) }) else { return ISCSI_BAD_ARGUMENT };
    *out = match engine.plan() {
        (RxPlan::Scratch { .. }, _) => iscsi_receive_plan { kind: ISCSI_RECEIVE_HERE, ..Default::default() },
        (RxPlan::Place { offset, len, .. }, token) => {
            iscsi_receive_plan { kind: ISCSI_RECEIVE_PLACE, offset, length: len, reserved: 0, token }
        }
        (RxPlan::Stop, _) => iscsi_receive_plan { kind: ISCSI_RECEIVE_STOP, ..Default::default() },
    };
    ISCSI_OK
}

/// Takes bytes of the stream, and writes to `used` how many: all of them, or up to a place where another plan is
/// due, or a bounded part. Poll the events after each call.
///
/// BROKEN if the target broke the protocol.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_received(
    session: *mut iscsi_session,
    now: u64,
    bytes: *const u8,
    length: usize,
    used: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise, three times.
    let parts = unsafe { (engine(session), self::bytes(bytes, length), write(used)) };
    let (Some(engine), Some(bytes), Some(used)) = parts else { return ISCSI_BAD_ARGUMENT };
    *used = 0;
    match engine.received(Instant::from_nanos(now), bytes) {
        Ok(n) => {
            *used = n;
            ISCSI_OK
        }
        Err(refusal) => code(refusal),
    }
}

/// Takes note of bytes that have been copied to where the last plan said; `bytes` are those, for the digest.
///
/// BROKEN if the target broke the protocol, or for bytes that no plan asked for.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_placed(
    session: *mut iscsi_session,
    now: u64,
    bytes: *const u8,
    length: usize,
) -> i32 {
    // SAFETY: the caller's promise, twice.
    match unsafe { (engine(session), self::bytes(bytes, length)) } {
        (Some(engine), Some(bytes)) => answer(engine.placed(Instant::from_nanos(now), bytes)),
        _ => ISCSI_BAD_ARGUMENT,
    }
}

/// Writes the next PDU to send to `transmit` and returns 1; 0 if there is nothing, or nothing may be sent now. What
/// was polled must be sent, whole and in that order.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_transmit(session: *mut iscsi_session, transmit: *mut iscsi_transmit) -> i32 {
    // SAFETY: the caller's promise, twice.
    let (Some(engine), Some(out)) = (unsafe { (engine(session), write(transmit)) }) else { return ISCSI_BAD_ARGUMENT };
    let Some((head, transmit, token)) = engine.transmit() else { return 0 };
    let (payload, core, offset, length) = match transmit.payload {
        Payload::None => (ISCSI_PAYLOAD_NONE, core::ptr::null(), 0, 0),
        Payload::Task { offset, len, .. } => (ISCSI_PAYLOAD_TASK, core::ptr::null(), offset, len),
        Payload::Core(bytes) => (ISCSI_PAYLOAD_CORE, bytes.as_ptr(), 0, bytes.len() as u32),
    };
    let data_digest = transmit.data_digest.into();
    for (to, from) in out.head.iter_mut().zip(head) {
        *to = *from;
    }
    (out.token, out.core, out.payload, out.offset, out.length) = (token, core, payload, offset, length);
    (out.head_length, out.data_digest) = (head.len() as u32, data_digest);
    1
}

/// Whether `iscsi_session_transmit` may have something: 1 or 0.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_wants_transmit(session: *const iscsi_session) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { engine_ref(session) }.map_or(ISCSI_BAD_ARGUMENT, |engine| engine.wants_to_transmit().into())
}

/// The CRC32C of everything that `crc` covers so far (0: nothing), followed by `bytes`; `crc` itself if those
/// cannot be bytes.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_crc32c(crc: u32, bytes: *const u8, length: usize) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { self::bytes(bytes, length) }.map_or(crc, |bytes| Hardware::append(crc, bytes))
}

/// Writes what follows a payload of `length` bytes to `out`: padding and, if `data_digest` is not 0, the digest, where
/// `crc` covers the payload. Says how many bytes, 0 to 7; of the 8, the others are not touched.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_trailer(length: u32, data_digest: u32, crc: u32, out: *mut [u8; 8]) -> u32 {
    // SAFETY: the caller's promise.
    let Some(out) = (unsafe { write(out) }) else { return 0 };
    let trailer = trailer::<Hardware>(length as usize, (data_digest != 0).then_some(crc));
    for (to, from) in out.iter_mut().zip(trailer.bytes()) {
        *to = *from;
    }
    trailer.bytes().len() as u32
}

/// Writes what happened next to `event` and returns 1; 0 if there is nothing new.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_event(session: *mut iscsi_session, event: *mut iscsi_event) -> i32 {
    // SAFETY: the caller's promise, twice.
    let (Some(engine), Some(out)) = (unsafe { (engine(session), write(event)) }) else { return ISCSI_BAD_ARGUMENT };
    match engine.event() {
        Some(event) => {
            *out = event;
            1
        }
        None => 0,
    }
}

/// When `iscsi_session_tick` is due; ISCSI_NEVER. Ask again after every call that changes something.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_deadline(session: *const iscsi_session) -> u64 {
    // SAFETY: the caller's promise.
    let deadline = unsafe { engine_ref(session) }.and_then(Engine::deadline);
    deadline.map_or(ISCSI_NEVER, Instant::as_nanos)
}

/// Does what is due: pings, escalation by task management, the end of waiting. BROKEN if the target is silent, or
/// nothing has helped.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_tick(session: *mut iscsi_session, now: u64) -> i32 {
    // SAFETY: the caller's promise.
    match unsafe { engine(session) } {
        Some(engine) => answer(engine.tick(Instant::from_nanos(now))),
        None => ISCSI_BAD_ARGUMENT,
    }
}

/// The connection is gone: commands wait for the next one, or end with ISCSI_OUTCOME_LOST.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_lost(session: *mut iscsi_session, now: u64) -> i32 {
    // SAFETY: the caller's promise.
    let Some(engine) = (unsafe { engine(session) }) else { return ISCSI_BAD_ARGUMENT };
    engine.lost(Instant::from_nanos(now));
    ISCSI_OK
}

/// Goes on over another connection (session reinstatement, RFC 7143 §6.3.5); with `hold` not 0, commands of the
/// stack wait for `iscsi_session_resume`. WRONG_STATE while there is a connection.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_reinstate(
    session: *mut iscsi_session,
    handoff: *const IscsiHandoff,
    hold: u32,
    now: u64,
) -> i32 {
    // SAFETY: the caller's promise, twice.
    match unsafe { (engine(session), read(handoff)) } {
        (Some(engine), Some(handoff)) => answer(engine.reinstate(&handoff.into(), hold != 0, Instant::from_nanos(now))),
        _ => ISCSI_BAD_ARGUMENT,
    }
}

/// The session is over: the connection is lost, and every command ends.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_give_up(session: *mut iscsi_session, now: u64) -> i32 {
    // SAFETY: the caller's promise.
    let Some(engine) = (unsafe { engine(session) }) else { return ISCSI_BAD_ARGUMENT };
    engine.give_up(Instant::from_nanos(now));
    ISCSI_OK
}

/// Copies why the last call returned BROKEN to `text`, one sentence, cut at `length` - 1, and ends it with a zero byte.
/// Says how many bytes stand before that.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_reason(
    session: *const iscsi_session,
    text: *mut c_char,
    length: usize,
) -> usize {
    // SAFETY: the caller's promise, twice.
    let (Some(engine), Some(room)) = (unsafe { (engine_ref(session), bytes_mut(text.cast(), length)) }) else {
        return 0;
    };
    let Some((end, room)) = room.split_last_mut() else { return 0 };
    *end = 0;
    let mut used = 0;
    for (to, from) in room.iter_mut().zip(engine.reason()) {
        *to = *from;
        used += 1;
    }
    if let Some(end) = room.get_mut(used) {
        *end = 0;
    }
    used
}

/// Writes where the session stands to `state`.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscsi_session_state(session: *const iscsi_session, state: *mut iscsi_state) -> i32 {
    // SAFETY: the caller's promise, twice.
    let (Some(engine), Some(out)) = (unsafe { (engine_ref(session), write(state)) }) else { return ISCSI_BAD_ARGUMENT };
    let counters = engine.counters();
    *out = iscsi_state {
        commands: counters.commands,
        errors: counters.errors,
        bytes_read: counters.bytes_read,
        bytes_written: counters.bytes_written,
        pdus_in: engine.pdus_in(),
        pdus_out: counters.pdus_out,
        reconnects: counters.reconnects,
        link: match engine.link() {
            Link::Up => ISCSI_LINK_UP,
            Link::Leaving => ISCSI_LINK_LEAVING,
            Link::Down { .. } => ISCSI_LINK_DOWN,
            Link::GivenUp => ISCSI_LINK_GIVEN_UP,
        },
        held: engine.is_held().into(),
        in_flight: engine.in_flight() as u32,
        waiting: engine.waiting() as u32,
    };
    ISCSI_OK
}
