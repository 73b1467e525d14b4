// The HBA as the daemon uses it: sessions come, change and go, and time passes.

#include <kern/clock.h>
#include <kern/thread.h>
#include <mach/mach_types.h>
#include <string.h>

#include "IscsiHBA.h"
#include "IscsiSession.h"
#include "IscsiSocket.h"
#include "IscsiUserClient.h"

static const uint64_t kMillisecond = 1000 * 1000;
static const uint64_t kSecond = 1000 * kMillisecond;

// What a thread of its own is to do: it waits for commands, which nobody else may.
struct IscsiHBA::Order {
    IscsiHBA *hba;
    IscsiSession *session;
    bool publish;
};

IOReturn IscsiHBA::create(const IscsiCreateIn &in, IscsiCreateOut &out)
{
    IscsiSocket *socket = nullptr;
    IOReturn result = IscsiSocket::adopt(in.descriptor, &socket);
    if (result != kIOReturnSuccess) {
        return result;
    }
    bool hold = in.flags & ISCSI_FLAG_HOLD;
    IscsiSession *session = nullptr;
    result = IscsiSession::make(this, in.spec, in.handoff, hold, &session);
    if (result != kIOReturnSuccess) {
        socket->release();
        return result;
    }
    result = sessions.add(session);
    if (result == kIOReturnSuccess) {
        result = session->connect(socket);
        if (result == kIOReturnSuccess && !hold) {
            result = publish(session);
        }
        if (result == kIOReturnSuccess) {
            out.session = session->getNumber();
            out.target = session->getTarget();
        } else {
            end(session);
        }
    }
    session->release();
    socket->release();
    return result;
}

IOReturn IscsiHBA::replace(const IscsiReplaceIn &in)
{
    IscsiSession *session = sessions.withNumber(in.session);
    if (!session) {
        return kIOReturnNotFound;
    }
    IscsiSocket *socket = nullptr;
    IOReturn result = IscsiSocket::adopt(in.descriptor, &socket);
    if (result == kIOReturnSuccess) {
        result = session->replace(socket, in.handoff, in.flags & ISCSI_FLAG_HOLD);
        socket->release();
    }
    session->release();
    return result;
}

IOReturn IscsiHBA::drop(uint32_t number)
{
    IscsiSession *session = sessions.withNumber(number);
    if (!session) {
        return kIOReturnNotFound;
    }
    session->lost(nullptr, "the daemon has closed the connection");
    session->release();
    return kIOReturnSuccess;
}

IOReturn IscsiHBA::remove(uint32_t number, uint32_t what)
{
    IscsiSession *session = sessions.withNumber(number);
    if (!session) {
        return kIOReturnNotFound;
    }
    IOReturn result = kIOReturnSuccess;
    if (what == ISCSI_REMOVE_ALL) {
        end(session);
    } else if (session->isComing()) {
        // Their search may wait for a connection, and nobody may wait for that here.
        result = kIOReturnNotReady;
    } else {
        withdraw(session);
    }
    session->release();
    return result;
}

IOReturn IscsiHBA::resume(uint32_t number)
{
    IscsiSession *session = sessions.withNumber(number);
    if (!session) {
        return kIOReturnNotFound;
    }
    IOReturn result = session->resume();
    if (result == kIOReturnSuccess) {
        result = publish(session);
    }
    session->release();
    return result;
}

IOReturn IscsiHBA::rescan(uint32_t number)
{
    IscsiSession *session = sessions.withNumber(number);
    if (!session) {
        return kIOReturnNotFound;
    }
    IOService *device = OSDynamicCast(IOService, reinterpret_cast<OSObject *>(GetTargetForID(session->getTarget())));
    IOReturn result = device ? device->requestProbe(0) : kIOReturnNotReady;
    session->release();
    return result;
}

bool IscsiHBA::order(IscsiSession *session, bool publish)
{
    Order *made = IONew(Order, 1);
    if (!made) {
        return false;
    }
    *made = {this, session, publish};
    session->retain();
    retain();
    thread_t thread;
    if (kernel_thread_start(&IscsiHBA::orderMain, made, &thread) == KERN_SUCCESS) {
        thread_deallocate(thread);
        return true;
    }
    IODelete(made, Order, 1);
    session->release();
    release();
    return false;
}

void IscsiHBA::orderMain(void *made, int)
{
    Order todo = *static_cast<Order *>(made);
    IODelete(static_cast<Order *>(made), Order, 1);
    if (todo.publish) {
        bool there = todo.hba->CreateTargetForID(todo.session->getTarget());
        todo.session->move(IscsiUnits::Coming, there ? IscsiUnits::There : IscsiUnits::Absent);
    } else {
        todo.hba->end(todo.session);
    }
    todo.session->release();
    todo.hba->release();
    thread_terminate(current_thread());
}

IOReturn IscsiHBA::publish(IscsiSession *session)
{
    if (!session->move(IscsiUnits::Absent, IscsiUnits::Coming)) {
        return kIOReturnSuccess;
    }
    if (order(session, true)) {
        return kIOReturnSuccess;
    }
    session->move(IscsiUnits::Coming, IscsiUnits::Absent);
    return kIOReturnNoMemory;
}

void IscsiHBA::withdraw(IscsiSession *session)
{
    if (session->move(IscsiUnits::There, IscsiUnits::Leaving)) {
        DestroyTargetForID(session->getTarget());
        session->move(IscsiUnits::Leaving, IscsiUnits::Absent);
    }
}

void IscsiHBA::end(IscsiSession *session)
{
    // Commands fail from now on, also those that look for units: so that ends soon.
    session->close();
    session->awaitUnits();
    withdraw(session);
    // Its target number may be another's afterwards.
    if (sessions.remove(session)) {
        IscsiNotice notice = {};
        notice.kind = ISCSI_NOTICE_TERMINATING;
        notice.session = session->getNumber();
        notify(notice);
    }
}

void IscsiHBA::notify(IscsiNotice &notice)
{
    IOLockLock(listenerLock);
    notice.sequence = ++sequence;
    if (listener) {
        listener->tell(notice);
    }
    IOLockUnlock(listenerLock);
}

void IscsiHBA::arm()
{
    uint64_t now = IscsiSession::now();
    uint64_t nearest = ISCSI_NEVER;
    IOLockLock(listenerLock);
    uint64_t orphaned = orphanedAt;
    IOLockUnlock(listenerLock);
    uint32_t number = 0;
    while (IscsiSession *session = sessions.after(number)) {
        number = session->getNumber();
        uint64_t due = session->deadline();
        nearest = due < nearest ? due : nearest;
        if (orphaned) {
            uint64_t end = orphaned + session->getSpec().replacement_timeout * kMillisecond;
            // One that could not be ended yet is looked at again.
            end = end > now ? end : now + kSecond;
            nearest = end < nearest ? end : nearest;
        }
        session->release();
    }
    IOLockLock(timerLock);
    if (timer && nearest < armedFor) {
        armedFor = nearest;
        uint64_t wait = nearest > now ? nearest - now : 0;
        // Never earlier than it is due.
        timer->setTimeoutMS(static_cast<UInt32>(wait / kMillisecond < 0x7fffffff ? wait / kMillisecond + 1 : 0x7fffffff));
    }
    IOLockUnlock(timerLock);
}

void IscsiHBA::timeout(OSObject *hba, IOTimerEventSource *)
{
    static_cast<IscsiHBA *>(hba)->tick();
}

// On the workloop.
void IscsiHBA::tick()
{
    IOLockLock(timerLock);
    armedFor = ISCSI_NEVER;
    IOLockUnlock(timerLock);
    uint64_t now = IscsiSession::now();
    IOLockLock(listenerLock);
    uint64_t orphaned = orphanedAt;
    IOLockUnlock(listenerLock);
    uint32_t number = 0;
    while (IscsiSession *session = sessions.after(number)) {
        number = session->getNumber();
        session->tick(now);
        if (orphaned && orphaned + session->getSpec().replacement_timeout * kMillisecond <= now) {
            // No daemon has adopted it. Another thread ends it: the session's users may wait for this workloop.
            if (session->claimEnd() && !order(session, false)) {
                session->unclaimEnd();
            }
        }
        session->release();
    }
    arm();
}
