// The virtual host bus adapter: macOS' SCSI stack above, iSCSI sessions below.
//
//   IOSCSIParallelFamily ── ProcessParallelTask ──► session ──► core ──► socket
//   IOSCSIParallelFamily ◄── CompleteParallelTask, in the gate ── deliver ◄── settle
//   IscsiUserClient ── create, replace, remove, … ──►
//
// Each session is a target of one SCSI domain; its units are the target's. The SCSI stack may submit from any
// thread; what it is told, it is told in the command gate.

#ifndef ISCSI_HBA_H
#define ISCSI_HBA_H

#include <IOKit/IOTimerEventSource.h>
#include <IOKit/scsi/spi/IOSCSIParallelInterfaceController.h>

#include "IscsiSessions.h"
#include "iscsi_layout.h"

class IscsiSession;
class IscsiUserClient;

class IscsiHBA : public IOSCSIParallelInterfaceController {
    OSDeclareDefaultStructors(IscsiHBA);

public:
    /// Tasks at a time, over all targets.
    static const uint32_t kTasks = 1024;

    // For sessions.
    /// Tells the SCSI stack of tasks and functions that have ended. Any thread; no session's lock held.
    void deliver(IscsiSession *session, const iscsi_event *events, unsigned count);
    /// Tells the daemon, if one listens. Any thread, any lock but the listener's.
    void notify(IscsiNotice &notice);
    /// A deadline may have come nearer.
    void arm();
    void setTag(OSObject *task, uint64_t tag);
    /// Copies from and to a task's buffer; false beyond its end.
    bool readTask(OSObject *task, uint64_t offset, uint8_t *bytes, size_t length);
    bool writeTask(OSObject *task, uint64_t offset, const uint8_t *bytes, size_t length);

    // For the user client.
    IOReturn create(const IscsiCreateIn &in, IscsiCreateOut &out);
    IOReturn replace(const IscsiReplaceIn &in);
    IOReturn drop(uint32_t number);
    IOReturn remove(uint32_t number, uint32_t what);
    IOReturn resume(uint32_t number);
    IOReturn rescan(uint32_t number);
    IscsiSession *copySession(uint32_t number) { return sessions.withNumber(number); }
    IscsiSession *copySessionAfter(uint32_t number) { return sessions.after(number); }
    unsigned sessionCount() { return sessions.count(); }
    /// One listener at a time.
    bool listen(IscsiUserClient *client);
    void unlisten(IscsiUserClient *client);

    /// Refused while there are sessions: disks would go.
    bool terminate(IOOptionBits options = 0) APPLE_KEXT_OVERRIDE;
    void free() APPLE_KEXT_OVERRIDE;

    // IOSCSIParallelInterfaceController.
    SCSILogicalUnitNumber ReportHBAHighestLogicalUnitNumber() APPLE_KEXT_OVERRIDE;
    bool DoesHBASupportSCSIParallelFeature(SCSIParallelFeature feature) APPLE_KEXT_OVERRIDE;
    bool InitializeTargetForID(SCSITargetIdentifier target) APPLE_KEXT_OVERRIDE;
    SCSIServiceResponse AbortTaskRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit,
        SCSITaggedTaskIdentifier tag) APPLE_KEXT_OVERRIDE;
    SCSIServiceResponse AbortTaskSetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) APPLE_KEXT_OVERRIDE;
    SCSIServiceResponse ClearACARequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) APPLE_KEXT_OVERRIDE;
    SCSIServiceResponse ClearTaskSetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) APPLE_KEXT_OVERRIDE;
    SCSIServiceResponse LogicalUnitResetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) APPLE_KEXT_OVERRIDE;
    SCSIServiceResponse TargetResetRequest(SCSITargetIdentifier target) APPLE_KEXT_OVERRIDE;
    bool DoesHBAPerformAutoSense() APPLE_KEXT_OVERRIDE;
    void ReportHBAConstraints(OSDictionary *constraints) APPLE_KEXT_OVERRIDE;

protected:
    SCSIInitiatorIdentifier ReportInitiatorIdentifier() APPLE_KEXT_OVERRIDE;
    SCSIDeviceIdentifier ReportHighestSupportedDeviceID() APPLE_KEXT_OVERRIDE;
    UInt32 ReportMaximumTaskCount() APPLE_KEXT_OVERRIDE;
    UInt32 ReportHBASpecificTaskDataSize() APPLE_KEXT_OVERRIDE;
    UInt32 ReportHBASpecificDeviceDataSize() APPLE_KEXT_OVERRIDE;
    bool DoesHBAPerformDeviceManagement() APPLE_KEXT_OVERRIDE;
    bool InitializeController() APPLE_KEXT_OVERRIDE;
    void TerminateController() APPLE_KEXT_OVERRIDE;
    bool StartController() APPLE_KEXT_OVERRIDE;
    void StopController() APPLE_KEXT_OVERRIDE;
    void HandleInterruptRequest() APPLE_KEXT_OVERRIDE;
    SCSIServiceResponse ProcessParallelTask(SCSIParallelTaskIdentifier task) APPLE_KEXT_OVERRIDE;
    void HandleTimeout(SCSIParallelTaskIdentifier task) APPLE_KEXT_OVERRIDE;
    bool InitializeDMASpecification(IODMACommand *command) APPLE_KEXT_OVERRIDE;
    IOInterruptEventSource *CreateDeviceInterrupt(IOInterruptEventSource::Action action,
        IOFilterInterruptEventSource::Filter filter, IOService *provider) APPLE_KEXT_OVERRIDE;

private:
    /// A function that the SCSI stack waits for.
    struct Function {
        bool used;
        uint32_t function;
        SCSITargetIdentifier target;
        SCSILogicalUnitNumber unit;
        SCSITaggedTaskIdentifier tag;
    };
    static const unsigned kFunctions = 64;

    static IOReturn deliverInGate(OSObject *hba, void *session, void *events, void *count, void *);
    static void timeout(OSObject *hba, IOTimerEventSource *timer);
    struct Order;
    static void orderMain(void *order, int);
    bool order(IscsiSession *session, bool publish);
    void complete(const iscsi_event &event);
    void completeFunction(uint64_t token, uint32_t response);
    void fail(SCSIParallelTaskIdentifier task, SCSITaskStatus status);
    SCSIServiceResponse manage(uint32_t function, SCSITargetIdentifier target, SCSILogicalUnitNumber unit,
        SCSITaggedTaskIdentifier tag, uint64_t task);
    /// Makes the units of a session known to the SCSI stack, in a thread of its own: that takes commands to them.
    IOReturn publish(IscsiSession *session);
    void withdraw(IscsiSession *session);
    void end(IscsiSession *session);
    void tick();

    IscsiSessions sessions;
    IOTimerEventSource *timer;
    IOLock *timerLock;
    uint64_t armedFor;
    IOLock *functionsLock;
    Function functions[kFunctions];
    IOLock *listenerLock;
    IscsiUserClient *listener;
    uint64_t sequence;
    /// Since when nobody listens; 0 while somebody does.
    uint64_t orphanedAt;
};

#endif
