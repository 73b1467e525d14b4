// The sessions of the HBA: by number, as the daemon knows them, and by target, as the SCSI stack does.

#ifndef ISCSI_SESSIONS_H
#define ISCSI_SESSIONS_H

#include <IOKit/IOLib.h>
#include <IOKit/IOLocks.h>

#include "iscsi_layout.h"

class IscsiSession;

class IscsiSessions {
public:
    bool init();
    void destroy();

    /// Keeps it, and gives it its numbers. kIOReturnNoResources where there are too many.
    IOReturn add(IscsiSession *session);
    /// Forgets it; false if it was not there (any more).
    bool remove(IscsiSession *session);

    /// Retained, or null.
    IscsiSession *withNumber(uint32_t number);
    /// Retained, or null.
    IscsiSession *withTarget(uint64_t target);
    /// The one with the lowest number above `number`. Retained, or null.
    IscsiSession *after(uint32_t number);
    unsigned count();

private:
    IOLock *lock;
    /// By target number - 1.
    IscsiSession *sessions[ISCSI_SESSIONS_MOST];
    uint32_t lastNumber;
    unsigned used;
};

#endif
