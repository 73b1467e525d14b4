#include "IscsiSession.h"

#include <kern/clock.h>
#include <string.h>
#include <sys/kpi_mbuf.h>

#include "IscsiHBA.h"
#include "IscsiSocket.h"

OSDefineMetaClassAndStructors(IscsiSession, OSObject);

// Commands that a session of any depth takes on: as many as the HBA has tasks, and the daemon's own.
static const uint16_t kCommands = IscsiHBA::kTasks + 32;

static const uint64_t kMillisecond = 1000 * 1000;

// The answer to a task management function may take this long, in milliseconds. Who fuzzes has less time.
#ifndef ISCSI_FUNCTION_TIMEOUT
#define ISCSI_FUNCTION_TIMEOUT 10000
#endif
static const uint64_t kFunctionTimeout = ISCSI_FUNCTION_TIMEOUT * kMillisecond;

// Events handed on at a time.
static const unsigned kEvents = 16;

// A token is the address of a task, or of a waiter with its lowest bit set: both are aligned.
static const uint64_t kWaiter = 1;

static IscsiWaiter *waiterOf(uint64_t token)
{
    return (token & kWaiter) ? reinterpret_cast<IscsiWaiter *>(token & ~kWaiter) : nullptr;
}

static OSObject *taskOf(uint64_t token)
{
    return reinterpret_cast<OSObject *>(token);
}

uint64_t IscsiSession::now()
{
    uint64_t ticks = 0, nanoseconds = 0;
    clock_get_uptime(&ticks);
    absolutetime_to_nanoseconds(ticks, &nanoseconds);
    return nanoseconds;
}

IOReturn IscsiSession::make(IscsiHBA *hba, const IscsiSpec &spec, const IscsiHandoff &handoff, bool hold,
    IscsiSession **made)
{
    IscsiSession *session = OSTypeAlloc(IscsiSession);
    if (!session || !session->init()) {
        OSSafeReleaseNULL(session);
        return kIOReturnNoMemory;
    }
    session->hba = hba;
    session->spec = spec;
    session->handoff = handoff;
    session->lock = IOLockAlloc();
    if (!session->lock) {
        session->release();
        return kIOReturnNoMemory;
    }
    iscsi_config config = {};
    config.version = ISCSI_ABI_VERSION;
    config.depth = static_cast<uint16_t>(spec.depth);
    config.commands = kCommands;
    config.ping_interval = spec.ping_interval * kMillisecond;
    config.ping_timeout = spec.ping_timeout * kMillisecond;
    config.function_timeout = kFunctionTimeout;
    config.replacement_timeout = spec.replacement_timeout * kMillisecond;
    int32_t code = iscsi_session_create(&config, &handoff, now(), &session->core);
    if (code != ISCSI_OK) {
        session->release();
        return code == ISCSI_NO_MEMORY ? kIOReturnNoMemory : kIOReturnBadArgument;
    }
    if (hold) {
        iscsi_session_hold(session->core);
    }
    *made = session;
    return kIOReturnSuccess;
}

void IscsiSession::free()
{
    if (core && iscsi_session_destroy(core) != ISCSI_OK) {
        panic("iscsi: session %u is freed with commands under way", number);
    }
    if (lock) {
        IOLockFree(lock);
    }
    OSObject::free();
}

void IscsiSession::setNumbers(uint32_t its, uint32_t targets)
{
    number = its;
    target = targets;
}

IOReturn IscsiSession::connect(IscsiSocket *first)
{
    IOLockLock(lock);
    first->retain();
    socket = first;
    IOLockUnlock(lock);
    if (!first->start(this)) {
        lost(first, "there is no memory for its threads");
        return kIOReturnNoMemory;
    }
    hba->arm();
    return kIOReturnSuccess;
}

IOReturn IscsiSession::replace(IscsiSocket *next, const IscsiHandoff &nextHandoff, bool hold)
{
    IOLockLock(lock);
    if (closed) {
        IOLockUnlock(lock);
        return kIOReturnNotFound;
    }
    IscsiSocket *old = part(nullptr, "the daemon has replaced the connection");
    int32_t code = iscsi_session_reinstate(core, &nextHandoff, hold, now());
    if (code == ISCSI_OK) {
        handoff = nextHandoff;
        next->retain();
        socket = next;
    }
    IOLockUnlock(lock);
    if (old) {
        old->shutdown();
        old->release();
    }
    settle();
    if (code != ISCSI_OK) {
        return kIOReturnBadArgument;
    }
    if (!next->start(this)) {
        lost(next, "there is no memory for its threads");
        return kIOReturnNoMemory;
    }
    next->kick();
    hba->arm();
    return kIOReturnSuccess;
}

IscsiSocket *IscsiSession::part(IscsiSocket *which, const char *why)
{
    if (!socket || (which && which != socket)) {
        return nullptr;
    }
    IscsiSocket *old = socket;
    socket = nullptr;
    pastReceives += old->receives();
    pastSends += old->sends();
    sending.part = Sending::Nothing;
    strlcpy(reason, why, sizeof(reason));
    iscsi_session_lost(core, now());
    return old;
}

void IscsiSession::lost(IscsiSocket *which, const char *why)
{
    IOLockLock(lock);
    IscsiSocket *old = part(which, why);
    bool expected = closed;
    IOLockUnlock(lock);
    if (!old) {
        return;
    }
    old->shutdown();
    old->release();
    if (!expected) {
        tellLost(why);
    }
    settle();
    hba->arm();
}

void IscsiSession::tellLost(const char *why)
{
    IscsiNotice notice = {};
    notice.kind = ISCSI_NOTICE_CONNECTION_LOST;
    notice.session = number;
    strlcpy(reinterpret_cast<char *>(notice.text), why, sizeof(notice.text));
    hba->notify(notice);
}

void IscsiSession::close()
{
    IOLockLock(lock);
    closed = true;
    IscsiSocket *old = part(nullptr, "the session has ended");
    iscsi_session_give_up(core, now());
    IOLockUnlock(lock);
    settle();
    if (old) {
        old->shutdown();
        old->join();
        old->release();
    }
    // The core must not go before the thread that hands on its events is done.
    IOLockLock(lock);
    while (settling) {
        IOLockSleep(lock, &settling, THREAD_UNINT);
    }
    IOLockUnlock(lock);
    settle();
}

int32_t IscsiSession::submit(OSObject *task, iscsi_command &command)
{
    command.token = reinterpret_cast<uint64_t>(task);
    uint64_t tag = 0;
    IOLockLock(lock);
    int32_t code = closed ? ISCSI_OFFLINE : iscsi_session_submit(core, &command, &tag);
    if (code == ISCSI_OK || code == ISCSI_ENDED) {
        hba->setTag(task, tag);
        // A thread in `settle` sends what its completions bring about, all of it together. The lock is held so that
        // the socket stays this session's.
        if (socket && !settling && iscsi_session_wants_transmit(core) == 1) {
            socket->kick();
        }
    }
    IOLockUnlock(lock);
    if (code != ISCSI_ENDED) {
        return code;
    }
    settle();
    return ISCSI_OK;
}

int32_t IscsiSession::manage(uint32_t function, const uint8_t *lun, uint64_t tag, uint64_t token)
{
    IOLockLock(lock);
    int32_t code = closed ? ISCSI_OFFLINE
                          : iscsi_session_manage(core, function, reinterpret_cast<const uint8_t(*)[8]>(lun), tag, token, now());
    if (code == ISCSI_OK && socket) {
        socket->kick();
    }
    IOLockUnlock(lock);
    settle();
    hba->arm();
    return code;
}

int32_t IscsiSession::overdue(uint64_t tag)
{
    IOLockLock(lock);
    int32_t code = iscsi_session_overdue(core, tag, now());
    if (code == ISCSI_OK && socket) {
        socket->kick();
    }
    IOLockUnlock(lock);
    settle();
    hba->arm();
    return code;
}

// With the lock.
bool IscsiSession::place(const iscsi_receive_plan &plan, const uint8_t *bytes, size_t length)
{
    if (IscsiWaiter *waiter = waiterOf(plan.token)) {
        if (plan.offset > waiter->length || length > waiter->length - plan.offset) {
            return false;
        }
        memcpy(waiter->buffer + plan.offset, bytes, length);
        return true;
    }
    return hba->writeTask(taskOf(plan.token), plan.offset, bytes, length);
}

// With the lock.
int32_t IscsiSession::feed(const uint8_t *bytes, size_t length)
{
    uint64_t time = now();
    while (length > 0) {
        iscsi_receive_plan plan;
        iscsi_session_receive_plan(core, &plan);
        size_t used = 0;
        int32_t code = ISCSI_BROKEN;
        if (plan.kind == ISCSI_RECEIVE_HERE) {
            code = iscsi_session_received(core, time, bytes, length, &used);
        } else if (plan.kind == ISCSI_RECEIVE_PLACE) {
            used = length < plan.length ? length : plan.length;
            code = place(plan, bytes, used) ? iscsi_session_placed(core, time, bytes, used) : ISCSI_BAD_ARGUMENT;
        }
        if (code != ISCSI_OK) {
            return code;
        }
        bytes += used;
        length -= used;
    }
    return ISCSI_OK;
}

bool IscsiSession::arrived(IscsiSocket *from, mbuf_t chain)
{
    char why[sizeof(reason)] = "";
    IOLockLock(lock);
    if (socket != from) {
        IOLockUnlock(lock);
        return false;
    }
    int32_t code = ISCSI_OK;
    for (mbuf_t part = chain; part && code == ISCSI_OK; part = mbuf_next(part)) {
        code = feed(static_cast<const uint8_t *>(mbuf_data(part)), mbuf_len(part));
    }
    if (code == ISCSI_BROKEN) {
        iscsi_session_reason(core, why, sizeof(why));
    }
    if (code == ISCSI_OK && iscsi_session_wants_transmit(core) == 1) {
        from->kick();
    }
    IOLockUnlock(lock);
    if (code == ISCSI_OK) {
        return true;
    }
    // What came before it counts; a logout that was answered is told first.
    settle();
    lost(from, why[0] ? why : "data has no place in its buffer");
    return false;
}

// With the lock.
bool IscsiSession::nextPdu()
{
    if (iscsi_session_transmit(core, &sending.pdu) != 1) {
        return false;
    }
    sending.part = Sending::Head;
    sending.done = 0;
    sending.crc = 0;
    sending.orphan = false;
    return true;
}

// With the lock: bytes of the task's buffer from `sending.done` on.
bool IscsiSession::payload(uint8_t *room, size_t length)
{
    if (sending.orphan) {
        bzero(room, length);
        return true;
    }
    return hba->readTask(taskOf(sending.pdu.token), static_cast<uint64_t>(sending.pdu.offset) + sending.done, room, length);
}

size_t IscsiSession::fill(IscsiSocket *to, uint8_t *room, size_t length)
{
    size_t used = 0;
    bool whole = true;
    IOLockLock(lock);
    while (socket == to && used < length && (sending.part != Sending::Nothing || nextPdu())) {
        const iscsi_transmit &pdu = sending.pdu;
        const uint8_t *from = nullptr;
        uint32_t total = 0;
        switch (sending.part) {
        case Sending::Head:
            from = pdu.head;
            total = pdu.head_length;
            break;
        case Sending::Payload:
            total = pdu.length;
            break;
        case Sending::Trailer:
            from = sending.trailer;
            total = sending.trailer_length;
            break;
        case Sending::Nothing:
            break;
        }
        uint32_t left = total - sending.done;
        uint32_t taken = length - used < left ? static_cast<uint32_t>(length - used) : left;
        if (sending.part == Sending::Payload && pdu.payload == ISCSI_PAYLOAD_CORE) {
            from = pdu.core;
        }
        if (from) {
            memcpy(room + used, from + sending.done, taken);
        } else if (!payload(room + used, taken)) {
            whole = false;
            break;
        } else if (pdu.data_digest) {
            sending.crc = iscsi_crc32c(sending.crc, room + used, taken);
        }
        used += taken;
        sending.done += taken;
        if (sending.done < total) {
            continue;
        }
        sending.done = 0;
        if (sending.part == Sending::Head && pdu.payload != ISCSI_PAYLOAD_NONE) {
            sending.part = Sending::Payload;
        } else if (sending.part == Sending::Payload && pdu.payload == ISCSI_PAYLOAD_TASK) {
            sending.trailer_length = iscsi_trailer(pdu.length, pdu.data_digest, sending.crc, &sending.trailer);
            sending.part = sending.trailer_length ? Sending::Trailer : Sending::Nothing;
        } else {
            sending.part = Sending::Nothing;
        }
    }
    IOLockUnlock(lock);
    if (!whole) {
        lost(to, "a buffer of the SCSI stack is shorter than its transfer");
        return 0;
    }
    return used;
}

void IscsiSession::settle()
{
    IOLockLock(lock);
    if (settling) {
        // Another thread is at it, and goes on until nothing is left.
        IOLockUnlock(lock);
        return;
    }
    settling = true;
    for (;;) {
        iscsi_event events[kEvents];
        unsigned count = 0;
        while (count < kEvents && iscsi_session_event(core, &events[count]) == 1) {
            const iscsi_event &event = events[count];
            if (event.kind != ISCSI_EVENT_TASK_DONE) {
                ++count;
                continue;
            }
            if (sending.part != Sending::Nothing && sending.pdu.token == event.token) {
                sending.orphan = true;
            }
            if (IscsiWaiter *waiter = waiterOf(event.token)) {
                waiter->event = event;
                waiter->done = true;
                IOLockWakeup(lock, waiter, false);
                continue;
            }
            ++count;
        }
        // Tasks that have ended make room for others, and have brought others about.
        if (socket && iscsi_session_wants_transmit(core) == 1) {
            socket->kick();
        }
        if (count == 0) {
            break;
        }
        IOLockUnlock(lock);
        hba->deliver(this, events, count);
        for (unsigned at = 0; at < count; ++at) {
            tell(events[at]);
        }
        IOLockLock(lock);
    }
    settling = false;
    IOLockWakeup(lock, &settling, false);
    IOLockUnlock(lock);
}

void IscsiSession::tell(const iscsi_event &event)
{
    IscsiNotice notice = {};
    notice.session = number;
    notice.code = event.code;
    notice.parameter[0] = event.parameter[0];
    notice.parameter[1] = event.parameter[1];
    memcpy(notice.lun, event.lun, sizeof(notice.lun));
    switch (event.kind) {
    case ISCSI_EVENT_LOGGED_OUT: {
        notice.kind = ISCSI_NOTICE_LOGGED_OUT;
        IOLockLock(lock);
        IscsiSocket *old = part(nullptr, "logged out");
        IOLockUnlock(lock);
        if (old) {
            old->shutdown();
            old->release();
        }
        break;
    }
    case ISCSI_EVENT_LOGOUT_REQUESTED:
        notice.kind = ISCSI_NOTICE_LOGOUT_REQUESTED;
        break;
    case ISCSI_EVENT_DROP_ANNOUNCED:
        notice.kind = ISCSI_NOTICE_DROP_ANNOUNCED;
        break;
    case ISCSI_EVENT_UNIT_REPORT:
        notice.kind = ISCSI_NOTICE_UNIT_REPORT;
        notice.parameter[0] = event.sense_length;
        memcpy(notice.text, event.sense, event.sense_length < sizeof(notice.text) ? event.sense_length : sizeof(notice.text));
        break;
    case ISCSI_EVENT_REJECTED:
        notice.kind = ISCSI_NOTICE_REJECTED;
        break;
    case ISCSI_EVENT_NOTICE:
        notice.kind = ISCSI_NOTICE_UNHANDLED;
        break;
    case ISCSI_EVENT_ESCALATED:
        notice.kind = ISCSI_NOTICE_ESCALATED;
        break;
    default:
        return;
    }
    hba->notify(notice);
}

void IscsiSession::tick(uint64_t time)
{
    char why[sizeof(reason)] = "";
    IOLockLock(lock);
    int32_t code = iscsi_session_deadline(core) <= time ? iscsi_session_tick(core, time) : ISCSI_OK;
    if (code == ISCSI_BROKEN) {
        iscsi_session_reason(core, why, sizeof(why));
    }
    if (socket && iscsi_session_wants_transmit(core) == 1) {
        socket->kick();
    }
    IOLockUnlock(lock);
    if (code == ISCSI_BROKEN) {
        lost(nullptr, why);
    }
    settle();
}

uint64_t IscsiSession::deadline()
{
    IOLockLock(lock);
    uint64_t answer = closed ? ISCSI_NEVER : iscsi_session_deadline(core);
    IOLockUnlock(lock);
    return answer;
}

bool IscsiSession::claimEnd()
{
    IOLockLock(lock);
    bool first = !endClaimed && !closed;
    endClaimed = true;
    IOLockUnlock(lock);
    return first;
}

void IscsiSession::unclaimEnd()
{
    IOLockLock(lock);
    endClaimed = false;
    IOLockUnlock(lock);
}

IOReturn IscsiSession::execute(const IscsiExecuteIn &in, uint8_t *buffer, IscsiExecuteOut &out)
{
    IscsiWaiter waiter = {};
    waiter.buffer = buffer;
    waiter.length = in.length;
    iscsi_command command = {};
    command.token = reinterpret_cast<uint64_t>(&waiter) | kWaiter;
    memcpy(command.lun, in.lun, sizeof(command.lun));
    memcpy(command.cdb, in.cdb, sizeof(command.cdb));
    command.data_length = in.length;
    command.direction = in.length ? ISCSI_DATA_IN : ISCSI_DATA_NONE;
    command.attribute = 1;
    command.origin = ISCSI_ORIGIN_DAEMON;

    uint64_t tag = 0;
    uint64_t deadline = 0;
    clock_interval_to_deadline(in.timeout, kMillisecondScale, &deadline);
    IOLockLock(lock);
    int32_t code = closed ? ISCSI_OFFLINE : iscsi_session_submit(core, &command, &tag);
    if (code != ISCSI_OK) {
        IOLockUnlock(lock);
        return code == ISCSI_FULL ? kIOReturnNoResources : kIOReturnNotReady;
    }
    if (socket) {
        socket->kick();
    }
    bool late = false;
    while (!waiter.done) {
        int slept = late ? IOLockSleep(lock, &waiter, THREAD_UNINT)
                         : IOLockSleepDeadline(lock, &waiter, *reinterpret_cast<AbsoluteTime *>(&deadline), THREAD_ABORTSAFE);
        if (waiter.done || late || slept == THREAD_AWAKENED) {
            continue;
        }
        // Its time is over, or its caller's: the target must be told before the buffer can go.
        int32_t ended = iscsi_session_overdue(core, tag, now());
        if (ended == ISCSI_WAITS) {
            ended = iscsi_session_manage(core, 1, nullptr, tag, 0, now());
        }
        if (socket) {
            socket->kick();
        }
        late = true;
        IOLockUnlock(lock);
        settle();
        hba->arm();
        IOLockLock(lock);
        if (ended != ISCSI_OK && ended != ISCSI_NOT_FOUND && !waiter.done) {
            // It cannot be asked for: without its connection nobody writes to the buffer.
            IOLockUnlock(lock);
            lost(nullptr, "a command could not be aborted");
            IOLockLock(lock);
        }
    }
    IOLockUnlock(lock);
    const iscsi_event &event = waiter.event;
    out.outcome = event.outcome;
    out.status = event.status;
    out.transferred = event.transferred < in.length ? event.transferred : in.length;
    out.sense_length = event.sense_length;
    memcpy(out.sense, event.sense, sizeof(out.sense));
    return kIOReturnSuccess;
}

IOReturn IscsiSession::logout(uint32_t reason)
{
    IOLockLock(lock);
    int32_t code = closed ? ISCSI_OFFLINE : iscsi_session_logout(core, reason);
    if (code == ISCSI_OK && socket) {
        socket->kick();
    }
    IOLockUnlock(lock);
    settle();
    switch (code) {
    case ISCSI_OK:
        return kIOReturnSuccess;
    case ISCSI_BAD_ARGUMENT:
        return kIOReturnBadArgument;
    case ISCSI_FULL:
        return kIOReturnNoResources;
    default:
        return kIOReturnNotReady;
    }
}

IOReturn IscsiSession::resume()
{
    IOLockLock(lock);
    iscsi_session_resume(core);
    if (socket) {
        socket->kick();
    }
    IOLockUnlock(lock);
    return kIOReturnSuccess;
}

IOReturn IscsiSession::fence(const IscsiFenceIn &in)
{
    IOLockLock(lock);
    int32_t code = iscsi_session_fence(core, &in.lun, in.fence);
    IOLockUnlock(lock);
    settle();
    switch (code) {
    case ISCSI_OK:
        return kIOReturnSuccess;
    case ISCSI_FULL:
        return kIOReturnNoResources;
    case ISCSI_NO_MEMORY:
        return kIOReturnNoMemory;
    default:
        return kIOReturnBadArgument;
    }
}

void IscsiSession::describe(IscsiSessionInfo &info)
{
    iscsi_state state = {};
    IOLockLock(lock);
    iscsi_session_state(core, &state);
    info.session = number;
    info.target = target;
    info.link = state.link;
    info.held = state.held;
    info.spec = spec;
    IOLockUnlock(lock);
}

void IscsiSession::describe(IscsiConnectionOut &out)
{
    iscsi_state state = {};
    IOLockLock(lock);
    iscsi_session_state(core, &state);
    out.session = number;
    out.link = state.link;
    out.handoff = handoff;
    strlcpy(reinterpret_cast<char *>(out.reason), reason, sizeof(out.reason));
    IOLockUnlock(lock);
}

void IscsiSession::describe(IscsiStatisticsOut &out)
{
    iscsi_state state = {};
    IOLockLock(lock);
    iscsi_session_state(core, &state);
    out.commands = state.commands;
    out.errors = state.errors;
    out.bytes_read = state.bytes_read;
    out.bytes_written = state.bytes_written;
    out.pdus_in = state.pdus_in;
    out.pdus_out = state.pdus_out;
    out.receives = pastReceives + (socket ? socket->receives() : 0);
    out.sends = pastSends + (socket ? socket->sends() : 0);
    out.reconnects = state.reconnects;
    out.in_flight = state.in_flight;
    out.waiting = state.waiting;
    IOLockUnlock(lock);
}

bool IscsiSession::move(IscsiUnits from, IscsiUnits to)
{
    IOLockLock(lock);
    bool moves = units == from;
    if (moves) {
        units = to;
        IOLockWakeup(lock, &units, false);
    }
    IOLockUnlock(lock);
    return moves;
}

bool IscsiSession::isComing()
{
    IOLockLock(lock);
    bool answer = units == IscsiUnits::Coming;
    IOLockUnlock(lock);
    return answer;
}

void IscsiSession::awaitUnits()
{
    IOLockLock(lock);
    while (units == IscsiUnits::Coming) {
        IOLockSleep(lock, &units, THREAD_UNINT);
    }
    IOLockUnlock(lock);
}
