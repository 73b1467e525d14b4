// The class above the HBA, as the family has it.

#include <IOKit/IOKitKeys.h>

#include <cstring>

#include "runtime.h"
#include "stack.h"

OSDefineMetaClassAndStructors(IOSCSIParallelInterfaceController, IOService)

// The family stops the machine without them.
static const char *const kRequired[] = {kIOMaximumSegmentCountReadKey, kIOMaximumSegmentCountWriteKey, kIOMaximumSegmentByteCountReadKey,
    kIOMaximumSegmentByteCountWriteKey, kIOMinimumSegmentAlignmentByteCountKey, kIOMaximumSegmentAddressableBitCountKey,
    kIOMinimumHBADataAlignmentMaskKey};

bool IOSCSIParallelInterfaceController::start(IOService *provider)
{
    if (!IOService::start(provider)) {
        return false;
    }
    stack = new HarnessStack(this);
    HARNESS_CHECK(!CreateDeviceInterrupt(nullptr, nullptr, provider), "a virtual HBA has no interrupt");
    if (!InitializeController()) {
        delete stack;
        stack = nullptr;
        return false;
    }
    HARNESS_CHECK(ReportInitiatorIdentifier() < 1 || ReportInitiatorIdentifier() > ReportHighestSupportedDeviceID(),
        "the initiator's number is a target's");
    stack->most = ReportMaximumTaskCount();
    OSDictionary *constraints = OSDictionary::withCapacity(8);
    ReportHBAConstraints(constraints);
    for (const char *key : kRequired) {
        HARNESS_CHECK(OSDynamicCast(OSNumber, constraints->getObject(key)), "%s is missing", key);
    }
    HARNESS_CHECK(OSDynamicCast(OSBoolean, constraints->getObject(kIOHierarchicalLogicalUnitSupportKey)), "units above 255 are not there");
    constraints->release();
    IODMACommand *command = new IODMACommand;
    HARNESS_CHECK(InitializeDMASpecification(command), "the DMA specification is refused");
    command->release();
    HARNESS_CHECK(DoesHBAPerformDeviceManagement() && DoesHBAPerformAutoSense(), "the stack would do these itself");
    if (!StartController()) {
        TerminateController();
        delete stack;
        stack = nullptr;
        return false;
    }
    return true;
}

void IOSCSIParallelInterfaceController::stop(IOService *provider)
{
    StopController();
    TerminateController();
    IOService::stop(provider);
}

void IOSCSIParallelInterfaceController::free()
{
    delete stack;
    IOService::free();
}

bool IOSCSIParallelInterfaceController::DoesHBAPerformAutoSense()
{
    return false;
}

void IOSCSIParallelInterfaceController::ReportHBAConstraints(OSDictionary *)
{
}

void IOSCSIParallelInterfaceController::HandleTimeout(SCSIParallelTaskIdentifier task)
{
    CompleteParallelTask(task, kSCSITaskStatus_TaskTimeoutOccurred, kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE);
}

bool IOSCSIParallelInterfaceController::InitializeDMASpecification(IODMACommand *command)
{
    return command->initWithSpecification(kIODMACommandOutputHost64, 32, 4096);
}

IOInterruptEventSource *IOSCSIParallelInterfaceController::CreateDeviceInterrupt(IOInterruptEventSource::Action,
    IOFilterInterruptEventSource::Filter, IOService *)
{
    panic("a virtual HBA has no interrupt");
}

SCSIServiceResponse IOSCSIParallelInterfaceController::ExecuteParallelTask(SCSIParallelTaskIdentifier task)
{
    return ProcessParallelTask(task);
}

SCSIParallelTaskIdentifier IOSCSIParallelInterfaceController::FindTaskForAddress(SCSIDeviceIdentifier target, SCSILogicalUnitNumber,
    SCSITaggedTaskIdentifier tag)
{
    return stack->find(target, tag);
}

bool IOSCSIParallelInterfaceController::CreateTargetForID(SCSIDeviceIdentifier target)
{
    return InitializeTargetForID(target) && stack->create(target);
}

void IOSCSIParallelInterfaceController::DestroyTargetForID(SCSIDeviceIdentifier target)
{
    stack->destroy(target);
}

IOSCSIParallelInterfaceDevice *IOSCSIParallelInterfaceController::GetTargetForID(SCSIDeviceIdentifier target)
{
    return reinterpret_cast<IOSCSIParallelInterfaceDevice *>(stack->device(target));
}

bool IOSCSIParallelInterfaceController::SetHBAProperty(const char *key, OSObject *value)
{
    return setProperty(key, value);
}

void IOSCSIParallelInterfaceController::CompleteParallelTask(SCSIParallelTaskIdentifier task, SCSITaskStatus status,
    SCSIServiceResponse response)
{
    stack->completed(stack->taskOf(task), status, response);
}

void IOSCSIParallelInterfaceController::CompleteAbortTask(SCSITargetIdentifier, SCSILogicalUnitNumber, SCSITaggedTaskIdentifier,
    SCSIServiceResponse response)
{
    IOLog("ABORT TASK has ended: %d\n", response);
}

void IOSCSIParallelInterfaceController::CompleteAbortTaskSet(SCSITargetIdentifier, SCSILogicalUnitNumber, SCSIServiceResponse response)
{
    IOLog("ABORT TASK SET has ended: %d\n", response);
}

void IOSCSIParallelInterfaceController::CompleteLogicalUnitReset(SCSITargetIdentifier, SCSILogicalUnitNumber, SCSIServiceResponse response)
{
    IOLog("LOGICAL UNIT RESET has ended: %d\n", response);
}

void IOSCSIParallelInterfaceController::CompleteTargetReset(SCSITargetIdentifier, SCSIServiceResponse response)
{
    IOLog("TARGET RESET has ended: %d\n", response);
}

IOWorkLoop *IOSCSIParallelInterfaceController::GetWorkLoop() const
{
    return stack->loop;
}

IOCommandGate *IOSCSIParallelInterfaceController::GetCommandGate()
{
    return stack->gate;
}

SCSITargetIdentifier IOSCSIParallelInterfaceController::GetTargetIdentifier(SCSIParallelTaskIdentifier task)
{
    return stack->taskOf(task)->target;
}

void IOSCSIParallelInterfaceController::GetLogicalUnitBytes(SCSIParallelTaskIdentifier task, SCSILogicalUnitBytes *unit)
{
    memcpy(unit, stack->taskOf(task)->lun, sizeof(*unit));
}

SCSITaskAttribute IOSCSIParallelInterfaceController::GetTaskAttribute(SCSIParallelTaskIdentifier)
{
    return kSCSITask_SIMPLE;
}

bool IOSCSIParallelInterfaceController::GetCommandDescriptorBlock(SCSIParallelTaskIdentifier task, SCSICommandDescriptorBlock *cdb)
{
    memcpy(cdb, stack->taskOf(task)->cdb, sizeof(*cdb));
    return true;
}

UInt8 IOSCSIParallelInterfaceController::GetDataTransferDirection(SCSIParallelTaskIdentifier task)
{
    return static_cast<UInt8>(stack->taskOf(task)->direction);
}

UInt64 IOSCSIParallelInterfaceController::GetRequestedDataTransferCount(SCSIParallelTaskIdentifier task)
{
    return stack->taskOf(task)->count;
}

bool IOSCSIParallelInterfaceController::SetRealizedDataTransferCount(SCSIParallelTaskIdentifier task, UInt64 count)
{
    HarnessTask *of = stack->taskOf(task);
    HARNESS_CHECK(count <= of->count, "%llu bytes of %llu were transferred", count, static_cast<UInt64>(of->count));
    of->realized = count;
    return true;
}

IOMemoryDescriptor *IOSCSIParallelInterfaceController::GetDataBuffer(SCSIParallelTaskIdentifier task)
{
    return stack->taskOf(task)->buffer;
}

UInt64 IOSCSIParallelInterfaceController::GetDataBufferOffset(SCSIParallelTaskIdentifier task)
{
    return stack->taskOf(task)->offset;
}

bool IOSCSIParallelInterfaceController::SetAutoSenseData(SCSIParallelTaskIdentifier task, SCSI_Sense_Data *sense, UInt8 length)
{
    HarnessTask *of = stack->taskOf(task);
    HARNESS_CHECK(length <= sizeof(of->sense), "%u bytes of sense data", length);
    memcpy(of->sense, sense, length);
    of->senseLength = length;
    return true;
}

void IOSCSIParallelInterfaceController::SetControllerTaskIdentifier(SCSIParallelTaskIdentifier task, UInt64 identifier)
{
    __atomic_store_n(&stack->taskOf(task)->identifier, identifier, __ATOMIC_RELAXED);
}

UInt64 IOSCSIParallelInterfaceController::GetControllerTaskIdentifier(SCSIParallelTaskIdentifier task)
{
    return __atomic_load_n(&stack->taskOf(task)->identifier, __ATOMIC_RELAXED);
}

void IOSCSIParallelInterfaceController::SetTimeoutForTask(SCSIParallelTaskIdentifier task, UInt32 timeoutOverride)
{
    HARNESS_CHECK(harnessLocksHeld() == 0 || stack->loop->inGate(), "the gate is closed with a lock held");
    stack->setTimeout(stack->taskOf(task), timeoutOverride);
}
