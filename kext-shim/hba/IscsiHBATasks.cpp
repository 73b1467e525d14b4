// The HBA as the SCSI stack uses it: tasks and task management.

#include <string.h>

#include "IscsiHBA.h"
#include "IscsiSession.h"

// Codes of task management functions, RFC 7143 §11.5.1.
static const uint32_t kAbortTask = 1;
static const uint32_t kAbortTaskSet = 2;
static const uint32_t kLogicalUnitReset = 5;
static const uint32_t kTargetWarmReset = 6;

void IscsiHBA::setTag(OSObject *task, uint64_t tag)
{
    SetControllerTaskIdentifier(task, tag);
}

bool IscsiHBA::readTask(OSObject *task, uint64_t offset, uint8_t *bytes, size_t length)
{
    IOMemoryDescriptor *buffer = GetDataBuffer(task);
    offset += GetDataBufferOffset(task);
    return buffer && offset <= buffer->getLength() && length <= buffer->getLength() - offset
        && buffer->readBytes(offset, bytes, length) == length;
}

bool IscsiHBA::writeTask(OSObject *task, uint64_t offset, const uint8_t *bytes, size_t length)
{
    IOMemoryDescriptor *buffer = GetDataBuffer(task);
    offset += GetDataBufferOffset(task);
    return buffer && offset <= buffer->getLength() && length <= buffer->getLength() - offset
        && buffer->writeBytes(offset, bytes, length) == length;
}

static uint8_t attributeOf(SCSITaskAttribute attribute)
{
    switch (attribute) {
    case kSCSITask_ORDERED:
        return 2;
    case kSCSITask_HEAD_OF_QUEUE:
        return 3;
    case kSCSITask_ACA:
        return 4;
    case kSCSITask_SIMPLE:
    default:
        return 1;
    }
}

SCSIServiceResponse IscsiHBA::ProcessParallelTask(SCSIParallelTaskIdentifier task)
{
    iscsi_command command = {};
    SCSICommandDescriptorBlock cdb = {};
    SCSILogicalUnitBytes unit = {};
    if (!GetCommandDescriptorBlock(task, &cdb)) {
        return kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
    }
    memcpy(command.cdb, cdb, sizeof(command.cdb));
    GetLogicalUnitBytes(task, &unit);
    memcpy(command.lun, unit, sizeof(command.lun));
    command.attribute = attributeOf(GetTaskAttribute(task));
    command.origin = ISCSI_ORIGIN_STACK;
    uint64_t count = GetRequestedDataTransferCount(task);
    if (count > UINT32_MAX) {
        return kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
    }
    if (count > 0) {
        switch (GetDataTransferDirection(task)) {
        case kSCSIDataTransfer_FromTargetToInitiator:
            command.direction = ISCSI_DATA_IN;
            break;
        case kSCSIDataTransfer_FromInitiatorToTarget:
            command.direction = ISCSI_DATA_OUT;
            break;
        default:
            count = 0;
            break;
        }
    }
    command.data_length = static_cast<uint32_t>(count);

    // Before it can end: from then on the task is another's. Without a tag it is not late.
    SetControllerTaskIdentifier(task, 0);
    SetTimeoutForTask(task);
    IscsiSession *session = sessions.withTarget(GetTargetIdentifier(task));
    int32_t code = session ? session->submit(task, command) : ISCSI_NOT_FOUND;
    if (session) {
        session->release();
    }
    if (code != ISCSI_OK) {
        // A return value would not do: the timer knows the task, so it has to be completed.
        fail(task, code == ISCSI_NOT_FOUND ? kSCSITaskStatus_DeviceNotPresent : kSCSITaskStatus_DeviceNotResponding);
    }
    return kSCSIServiceResponse_Request_In_Process;
}

void IscsiHBA::fail(SCSIParallelTaskIdentifier task, SCSITaskStatus status)
{
    iscsi_event event = {};
    event.kind = ISCSI_EVENT_TASK_DONE;
    event.token = reinterpret_cast<uint64_t>(task);
    event.outcome = ISCSI_OUTCOME_LOST;
    event.code = status;
    deliver(nullptr, &event, 1);
}

void IscsiHBA::deliver(IscsiSession *session, const iscsi_event *events, unsigned count)
{
    bool any = false;
    for (unsigned at = 0; at < count; ++at) {
        any = any || events[at].kind == ISCSI_EVENT_TASK_DONE || events[at].kind == ISCSI_EVENT_FUNCTION_DONE;
    }
    if (any) {
        GetCommandGate()->runAction(&IscsiHBA::deliverInGate, session, const_cast<iscsi_event *>(events), &count);
    }
}

IOReturn IscsiHBA::deliverInGate(OSObject *hba, void *, void *events, void *count, void *)
{
    const iscsi_event *event = static_cast<const iscsi_event *>(events);
    for (unsigned left = *static_cast<unsigned *>(count); left > 0; --left, ++event) {
        if (event->kind == ISCSI_EVENT_TASK_DONE) {
            static_cast<IscsiHBA *>(hba)->complete(*event);
        } else if (event->kind == ISCSI_EVENT_FUNCTION_DONE) {
            static_cast<IscsiHBA *>(hba)->completeFunction(event->token, event->code);
        }
    }
    return kIOReturnSuccess;
}

// In the gate. The task is the family's again afterwards.
void IscsiHBA::complete(const iscsi_event &event)
{
    SCSIParallelTaskIdentifier task = reinterpret_cast<SCSIParallelTaskIdentifier>(event.token);
    SCSITaskStatus status = kSCSITaskStatus_DeliveryFailure;
    SCSIServiceResponse response = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
    switch (event.outcome) {
    case ISCSI_OUTCOME_STATUS:
        status = static_cast<SCSITaskStatus>(event.status);
        response = kSCSIServiceResponse_TASK_COMPLETE;
        break;
    case ISCSI_OUTCOME_TIMED_OUT:
        status = kSCSITaskStatus_TaskTimeoutOccurred;
        break;
    case ISCSI_OUTCOME_LOST:
        // Where the HBA itself refuses a task, it says how.
        status = event.code ? static_cast<SCSITaskStatus>(event.code) : kSCSITaskStatus_DeviceNotResponding;
        break;
    case ISCSI_OUTCOME_TARGET_FAILURE:
    case ISCSI_OUTCOME_REJECTED:
    case ISCSI_OUTCOME_ABORTED:
    default:
        break;
    }
    if (event.sense_length > 0) {
        uint8_t sense[ISCSI_SENSE_LENGTH];
        memcpy(sense, event.sense, sizeof(sense));
        SetAutoSenseData(task, reinterpret_cast<SCSI_Sense_Data *>(sense), event.sense_length);
    }
    SetRealizedDataTransferCount(task, event.transferred);
    SetControllerTaskIdentifier(task, 0);
    CompleteParallelTask(task, status, response);
}

// On the workloop: the task is the family's timer's, so it has not been completed yet.
void IscsiHBA::HandleTimeout(SCSIParallelTaskIdentifier task)
{
    IscsiSession *session = sessions.withTarget(GetTargetIdentifier(task));
    uint64_t tag = GetControllerTaskIdentifier(task);
    int32_t code = session && tag ? session->overdue(tag) : ISCSI_NOT_FOUND;
    if (session) {
        session->release();
    }
    if (code == ISCSI_WAITS || code == ISCSI_NOT_FOUND) {
        // It waits for the connection, or another task is being aborted, or it is about to be completed.
        SetTimeoutForTask(task);
    }
}

SCSIServiceResponse IscsiHBA::manage(uint32_t function, SCSITargetIdentifier target, SCSILogicalUnitNumber unit,
    SCSITaggedTaskIdentifier tag, uint64_t task)
{
    IscsiSession *session = sessions.withTarget(target);
    if (!session) {
        return kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
    }
    uint64_t token = 0;
    IOLockLock(functionsLock);
    for (unsigned at = 0; at < kFunctions && !token; ++at) {
        if (!functions[at].used) {
            functions[at] = {true, function, target, unit, tag};
            token = at + 1;
        }
    }
    IOLockUnlock(functionsLock);
    int32_t code = ISCSI_FULL;
    if (token) {
        // The family's numbers are of a single level (SAM-5 §4.7): peripheral device, flat space.
        uint8_t lun[8] = {};
        lun[0] = static_cast<uint8_t>(unit > 0xff ? 0x40 | (unit >> 8) : 0);
        lun[1] = static_cast<uint8_t>(unit);
        code = session->manage(function, lun, task, token);
    }
    session->release();
    if (code == ISCSI_OK) {
        return kSCSIServiceResponse_Request_In_Process;
    }
    if (token) {
        IOLockLock(functionsLock);
        functions[token - 1].used = false;
        IOLockUnlock(functionsLock);
    }
    // A task that is not there any more has been aborted well enough.
    return code == ISCSI_NOT_FOUND ? kSCSIServiceResponse_FUNCTION_COMPLETE
                                   : kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
}

// In the gate.
void IscsiHBA::completeFunction(uint64_t token, uint32_t response)
{
    if (token == 0 || token > kFunctions) {
        return;
    }
    IOLockLock(functionsLock);
    Function ended = functions[token - 1];
    functions[token - 1].used = false;
    IOLockUnlock(functionsLock);
    if (!ended.used) {
        return;
    }
    SCSIServiceResponse answer = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
    switch (response) {
    case 0:
    case 1:
        // Done; or the task has ended by itself.
        answer = kSCSIServiceResponse_FUNCTION_COMPLETE;
        break;
    case ISCSI_NO_ANSWER:
        break;
    default:
        answer = kSCSIServiceResponse_FUNCTION_REJECTED;
        break;
    }
    switch (ended.function) {
    case kAbortTask:
        CompleteAbortTask(ended.target, ended.unit, ended.tag, answer);
        break;
    case kAbortTaskSet:
        CompleteAbortTaskSet(ended.target, ended.unit, answer);
        break;
    case kLogicalUnitReset:
        CompleteLogicalUnitReset(ended.target, ended.unit, answer);
        break;
    case kTargetWarmReset:
        CompleteTargetReset(ended.target, answer);
        break;
    default:
        break;
    }
}

SCSIServiceResponse IscsiHBA::AbortTaskRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit,
    SCSITaggedTaskIdentifier tag)
{
    SCSIParallelTaskIdentifier task = FindTaskForAddress(target, unit, tag);
    uint64_t ours = task ? GetControllerTaskIdentifier(task) : 0;
    return ours ? manage(kAbortTask, target, unit, tag, ours) : kSCSIServiceResponse_FUNCTION_COMPLETE;
}

SCSIServiceResponse IscsiHBA::AbortTaskSetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit)
{
    return manage(kAbortTaskSet, target, unit, 0, 0);
}

SCSIServiceResponse IscsiHBA::ClearACARequest(SCSITargetIdentifier, SCSILogicalUnitNumber)
{
    return kSCSIServiceResponse_FUNCTION_REJECTED;
}

SCSIServiceResponse IscsiHBA::ClearTaskSetRequest(SCSITargetIdentifier, SCSILogicalUnitNumber)
{
    return kSCSIServiceResponse_FUNCTION_REJECTED;
}

SCSIServiceResponse IscsiHBA::LogicalUnitResetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit)
{
    return manage(kLogicalUnitReset, target, unit, 0, 0);
}

SCSIServiceResponse IscsiHBA::TargetResetRequest(SCSITargetIdentifier target)
{
    return manage(kTargetWarmReset, target, 0, 0, 0);
}
