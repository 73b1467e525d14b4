#include "IscsiSessions.h"

#include "IscsiSession.h"

bool IscsiSessions::init()
{
    lock = IOLockAlloc();
    return lock != nullptr;
}

void IscsiSessions::destroy()
{
    if (lock) {
        IOLockFree(lock);
        lock = nullptr;
    }
}

IOReturn IscsiSessions::add(IscsiSession *session)
{
    IOReturn result = kIOReturnNoResources;
    IOLockLock(lock);
    for (uint32_t n = 0; n < ISCSI_SESSIONS_MOST; ++n) {
        // Not the one that went last: macOS may still have commands for its units.
        uint32_t at = (lastNumber + n) % ISCSI_SESSIONS_MOST;
        if (!sessions[at]) {
            session->retain();
            // Not used twice before four thousand million logins.
            session->setNumbers(++lastNumber, at + 1);
            sessions[at] = session;
            ++used;
            result = kIOReturnSuccess;
            break;
        }
    }
    IOLockUnlock(lock);
    return result;
}

bool IscsiSessions::remove(IscsiSession *session)
{
    bool found = false;
    IOLockLock(lock);
    uint32_t at = session->getTarget() - 1;
    if (at < ISCSI_SESSIONS_MOST && sessions[at] == session) {
        sessions[at] = nullptr;
        --used;
        found = true;
    }
    IOLockUnlock(lock);
    if (found) {
        session->release();
    }
    return found;
}

IscsiSession *IscsiSessions::withNumber(uint32_t number)
{
    IscsiSession *found = nullptr;
    IOLockLock(lock);
    for (IscsiSession *session : sessions) {
        if (session && session->getNumber() == number) {
            found = session;
            found->retain();
            break;
        }
    }
    IOLockUnlock(lock);
    return found;
}

IscsiSession *IscsiSessions::withTarget(uint64_t target)
{
    IscsiSession *found = nullptr;
    IOLockLock(lock);
    if (target >= 1 && target <= ISCSI_SESSIONS_MOST) {
        found = sessions[target - 1];
        if (found) {
            found->retain();
        }
    }
    IOLockUnlock(lock);
    return found;
}

IscsiSession *IscsiSessions::after(uint32_t number)
{
    IscsiSession *found = nullptr;
    IOLockLock(lock);
    for (IscsiSession *session : sessions) {
        if (session && session->getNumber() > number && (!found || session->getNumber() < found->getNumber())) {
            found = session;
        }
    }
    if (found) {
        found->retain();
    }
    IOLockUnlock(lock);
    return found;
}

unsigned IscsiSessions::count()
{
    IOLockLock(lock);
    unsigned answer = used;
    IOLockUnlock(lock);
    return answer;
}
