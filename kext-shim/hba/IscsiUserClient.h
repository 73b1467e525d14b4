// What the daemon calls. Administrators only; their values are checked all the same.
//
//   hello ──► listen, create, replace, … ──► IscsiHBA
//   IscsiNotice ◄── tell ◄── IscsiHBA::notify
//
// Sessions are the HBA's, not a client's: they outlive it, for the daemon that starts next.

#ifndef ISCSI_USER_CLIENT_H
#define ISCSI_USER_CLIENT_H

#include <IOKit/IOLocks.h>
#include <IOKit/IOUserClient.h>

#include "iscsi_layout.h"

class IscsiHBA;

class IscsiUserClient : public IOUserClient {
    OSDeclareDefaultStructors(IscsiUserClient);

public:
    bool initWithTask(task_t task, void *token, UInt32 type, OSDictionary *properties) APPLE_KEXT_OVERRIDE;
    bool start(IOService *provider) APPLE_KEXT_OVERRIDE;
    void stop(IOService *provider) APPLE_KEXT_OVERRIDE;
    IOReturn clientClose() APPLE_KEXT_OVERRIDE;
    IOReturn clientDied() APPLE_KEXT_OVERRIDE;
    void free() APPLE_KEXT_OVERRIDE;
    IOReturn externalMethod(uint32_t selector, IOExternalMethodArguments *arguments, IOExternalMethodDispatch *dispatch,
        OSObject *target, void *reference) APPLE_KEXT_OVERRIDE;

    /// Tells the daemon. With the HBA's lock of its listener.
    void tell(const IscsiNotice &notice);

private:
    typedef IOExternalMethodArguments Arguments;
    static IOReturn hello(OSObject *, void *, Arguments *);
    static IOReturn listen(OSObject *, void *, Arguments *);
    static IOReturn create(OSObject *, void *, Arguments *);
    static IOReturn replace(OSObject *, void *, Arguments *);
    static IOReturn drop(OSObject *, void *, Arguments *);
    static IOReturn remove(OSObject *, void *, Arguments *);
    static IOReturn logout(OSObject *, void *, Arguments *);
    static IOReturn sessions(OSObject *, void *, Arguments *);
    static IOReturn connection(OSObject *, void *, Arguments *);
    static IOReturn statistics(OSObject *, void *, Arguments *);
    static IOReturn rescan(OSObject *, void *, Arguments *);
    static IOReturn execute(OSObject *, void *, Arguments *);
    static IOReturn resume(OSObject *, void *, Arguments *);
    static IOReturn fence(OSObject *, void *, Arguments *);
    static const IOExternalMethodDispatch methods[ISCSI_SELECTORS];

    void leave();

    IscsiHBA *hba;
    bool greeted;
    bool listening;
    OSAsyncReference64 port;
};

#endif
