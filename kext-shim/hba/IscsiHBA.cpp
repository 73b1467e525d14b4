// The HBA as the SCSI stack sets it up: what it can do, its beginning and its end.

#include "IscsiHBA.h"

#include <IOKit/IOKitKeys.h>
#include <IOKit/storage/IOStorageDeviceCharacteristics.h>
#include <libkern/c++/OSNumber.h>
#include <libkern/c++/OSString.h>

#include "IscsiSession.h"

#define super IOSCSIParallelInterfaceController
OSDefineMetaClassAndStructors(IscsiHBA, IOSCSIParallelInterfaceController);

// The initiator's own number: targets have 1 to ISCSI_SESSIONS_MOST.
static const uint64_t kInitiator = 0;

// Units up to this number (flat space addressing, SAM-5 §4.7.5).
static const uint64_t kHighestUnit = 16383;

// One transfer at most, in bytes, and its parts. Nothing here is done by DMA, so parts may be anywhere and of any size.
static const uint64_t kTransfer = 4 << 20;
static const uint64_t kSegments = kTransfer / 4096;

SCSILogicalUnitNumber IscsiHBA::ReportHBAHighestLogicalUnitNumber()
{
    return kHighestUnit;
}

bool IscsiHBA::DoesHBASupportSCSIParallelFeature(SCSIParallelFeature)
{
    // They are features of a parallel bus.
    return false;
}

bool IscsiHBA::InitializeTargetForID(SCSITargetIdentifier target)
{
    IscsiSession *session = sessions.withTarget(target);
    if (!session) {
        return false;
    }
    session->release();
    return true;
}

bool IscsiHBA::DoesHBAPerformAutoSense()
{
    return true;
}

static void constrain(OSDictionary *constraints, const char *key, uint64_t value)
{
    if (OSNumber *number = OSNumber::withNumber(value, 64)) {
        constraints->setObject(key, number);
        number->release();
    }
}

void IscsiHBA::ReportHBAConstraints(OSDictionary *constraints)
{
    // The first seven are required: without one of them the family stops the machine.
    constrain(constraints, kIOMaximumSegmentCountReadKey, kSegments);
    constrain(constraints, kIOMaximumSegmentCountWriteKey, kSegments);
    constrain(constraints, kIOMaximumSegmentByteCountReadKey, kTransfer);
    constrain(constraints, kIOMaximumSegmentByteCountWriteKey, kTransfer);
    constrain(constraints, kIOMinimumSegmentAlignmentByteCountKey, 1);
    constrain(constraints, kIOMaximumSegmentAddressableBitCountKey, 64);
    constrain(constraints, kIOMinimumHBADataAlignmentMaskKey, 0xffffffffffffffffull);
    constrain(constraints, kIOMaximumByteCountReadKey, kTransfer);
    constrain(constraints, kIOMaximumByteCountWriteKey, kTransfer);
    constraints->setObject(kIOHierarchicalLogicalUnitSupportKey, kOSBooleanTrue);
    // The family takes over only the keys it knows; the cluster layer reads these from the registry.
    setProperty(kIOMaximumByteCountReadKey, kTransfer, 64);
    setProperty(kIOMaximumByteCountWriteKey, kTransfer, 64);
}

SCSIInitiatorIdentifier IscsiHBA::ReportInitiatorIdentifier()
{
    return kInitiator;
}

SCSIDeviceIdentifier IscsiHBA::ReportHighestSupportedDeviceID()
{
    return ISCSI_SESSIONS_MOST;
}

UInt32 IscsiHBA::ReportMaximumTaskCount()
{
    return kTasks;
}

UInt32 IscsiHBA::ReportHBASpecificTaskDataSize()
{
    // The tag is the controller task identifier; nothing else is kept with a task.
    return 0;
}

UInt32 IscsiHBA::ReportHBASpecificDeviceDataSize()
{
    return 0;
}

bool IscsiHBA::DoesHBAPerformDeviceManagement()
{
    return true;
}

bool IscsiHBA::InitializeDMASpecification(IODMACommand *command)
{
    // Never used, but the family makes one per task.
    return command->initWithSpecification(kIODMACommandOutputHost64, 64, 0, IODMACommand::kMapped, kTransfer, 1);
}

IOInterruptEventSource *IscsiHBA::CreateDeviceInterrupt(IOInterruptEventSource::Action, IOFilterInterruptEventSource::Filter,
    IOService *)
{
    return nullptr;
}

void IscsiHBA::HandleInterruptRequest()
{
}

bool IscsiHBA::InitializeController()
{
    if (iscsi_abi_version() != ISCSI_ABI_VERSION) {
        IOLog("iscsi: the parts of this extension are of different versions\n");
        return false;
    }
    timerLock = IOLockAlloc();
    functionsLock = IOLockAlloc();
    listenerLock = IOLockAlloc();
    if (!timerLock || !functionsLock || !listenerLock || !sessions.init()) {
        return false;
    }
    armedFor = ISCSI_NEVER;
    orphanedAt = IscsiSession::now();

    if (OSString *vendor = OSString::withCString("iscsid")) {
        SetHBAProperty(kIOPropertyVendorNameKey, vendor);
        vendor->release();
    }
    if (OSString *product = OSString::withCString("iSCSI initiator")) {
        SetHBAProperty(kIOPropertyProductNameKey, product);
        product->release();
    }
    return true;
}

bool IscsiHBA::StartController()
{
    timer = IOTimerEventSource::timerEventSource(this, &IscsiHBA::timeout);
    if (!timer) {
        return false;
    }
    if (GetWorkLoop()->addEventSource(timer) != kIOReturnSuccess) {
        OSSafeReleaseNULL(timer);
        return false;
    }
    return true;
}

void IscsiHBA::StopController()
{
    // Only without a session, unless the machine is going down.
    while (IscsiSession *session = sessions.after(0)) {
        end(session);
        session->release();
    }
    // First nothing can arm the timer any more, then it goes.
    IOLockLock(timerLock);
    IOTimerEventSource *old = timer;
    timer = nullptr;
    IOLockUnlock(timerLock);
    if (old) {
        old->cancelTimeout();
        GetWorkLoop()->removeEventSource(old);
        old->release();
    }
}

void IscsiHBA::TerminateController()
{
    // The locks go with the object: others may still have a reference and use them.
}

void IscsiHBA::free()
{
    IOLock **locks[] = {&timerLock, &functionsLock, &listenerLock};
    for (IOLock **lock : locks) {
        if (*lock) {
            IOLockFree(*lock);
            *lock = nullptr;
        }
    }
    sessions.destroy();
    super::free();
}

bool IscsiHBA::terminate(IOOptionBits options)
{
    if (sessions.count() > 0) {
        IOLog("iscsi: there are sessions; log out before this extension is unloaded\n");
        return false;
    }
    return super::terminate(options);
}

bool IscsiHBA::listen(IscsiUserClient *client)
{
    IOLockLock(listenerLock);
    bool free = !listener || listener == client;
    if (free) {
        listener = client;
        orphanedAt = 0;
    }
    IOLockUnlock(listenerLock);
    return free;
}

void IscsiHBA::unlisten(IscsiUserClient *client)
{
    IOLockLock(listenerLock);
    bool was = listener == client;
    if (was) {
        listener = nullptr;
        orphanedAt = IscsiSession::now();
    }
    IOLockUnlock(listenerLock);
    if (was) {
        arm();
    }
}
