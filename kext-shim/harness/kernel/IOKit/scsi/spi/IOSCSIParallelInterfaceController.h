// The SCSI parallel family, as IOSCSIParallelInterfaceController.h and SCSITask.h of the SDK declare it. The harness
// implements it with a SCSI stack that finds units and issues commands to them.
#ifndef HARNESS_IOSCSIPARALLELINTERFACECONTROLLER_H
#define HARNESS_IOSCSIPARALLELINTERFACECONTROLLER_H

#include <IOKit/IOCommandGate.h>
#include <IOKit/IODMACommand.h>
#include <IOKit/IOFilterInterruptEventSource.h>
#include <IOKit/IOMemoryDescriptor.h>
#include <IOKit/IOService.h>

typedef UInt64 SCSIDeviceIdentifier;
typedef SCSIDeviceIdentifier SCSIInitiatorIdentifier;
typedef SCSIDeviceIdentifier SCSITargetIdentifier;
typedef UInt64 SCSILogicalUnitNumber;
typedef UInt64 SCSITaggedTaskIdentifier;
typedef UInt8 SCSILogicalUnitBytes[8];
typedef UInt8 SCSICommandDescriptorBlock[16];
typedef OSObject *SCSIParallelTaskIdentifier;

enum SCSIServiceResponse {
    kSCSIServiceResponse_Request_In_Process = 0,
    kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE = 1,
    kSCSIServiceResponse_TASK_COMPLETE = 2,
    kSCSIServiceResponse_LINK_COMMAND_COMPLETE = 3,
    kSCSIServiceResponse_FUNCTION_COMPLETE = 4,
    kSCSIServiceResponse_FUNCTION_REJECTED = 5
};

enum SCSITaskStatus {
    kSCSITaskStatus_GOOD = 0x00,
    kSCSITaskStatus_CHECK_CONDITION = 0x02,
    kSCSITaskStatus_BUSY = 0x08,
    kSCSITaskStatus_TASK_SET_FULL = 0x28,
    kSCSITaskStatus_TaskTimeoutOccurred = 0x01,
    kSCSITaskStatus_DeviceNotResponding = 0x03,
    kSCSITaskStatus_DeviceNotPresent = 0x04,
    kSCSITaskStatus_DeliveryFailure = 0x05,
    kSCSITaskStatus_No_Status = 0xff
};

enum SCSITaskAttribute {
    kSCSITask_SIMPLE = 0,
    kSCSITask_ORDERED = 1,
    kSCSITask_HEAD_OF_QUEUE = 2,
    kSCSITask_ACA = 3
};

enum SCSIParallelFeature {
    kSCSIParallelFeature_WideDataTransfer = 0
};

enum {
    kSCSIDataTransfer_NoDataTransfer = 0x00,
    kSCSIDataTransfer_FromInitiatorToTarget = 0x01,
    kSCSIDataTransfer_FromTargetToInitiator = 0x02
};

struct SCSI_Sense_Data;
class IOSCSIParallelInterfaceDevice;

class IOSCSIParallelInterfaceController : public IOService {
    OSDeclareAbstractStructors(IOSCSIParallelInterfaceController);

public:
    SCSIParallelTaskIdentifier FindTaskForAddress(SCSIDeviceIdentifier target, SCSILogicalUnitNumber unit, SCSITaggedTaskIdentifier tag);
    SCSIServiceResponse ExecuteParallelTask(SCSIParallelTaskIdentifier task);
    virtual SCSILogicalUnitNumber ReportHBAHighestLogicalUnitNumber() = 0;
    virtual bool DoesHBASupportSCSIParallelFeature(SCSIParallelFeature feature) = 0;
    virtual bool InitializeTargetForID(SCSITargetIdentifier target) = 0;
    virtual SCSIServiceResponse AbortTaskRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit, SCSITaggedTaskIdentifier tag) = 0;
    virtual SCSIServiceResponse AbortTaskSetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) = 0;
    virtual SCSIServiceResponse ClearACARequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) = 0;
    virtual SCSIServiceResponse ClearTaskSetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) = 0;
    virtual SCSIServiceResponse LogicalUnitResetRequest(SCSITargetIdentifier target, SCSILogicalUnitNumber unit) = 0;
    virtual SCSIServiceResponse TargetResetRequest(SCSITargetIdentifier target) = 0;
    virtual bool DoesHBAPerformAutoSense();
    virtual void ReportHBAConstraints(OSDictionary *constraints);

    bool start(IOService *provider) override;
    void stop(IOService *provider) override;
    void free() override;

protected:
    bool CreateTargetForID(SCSIDeviceIdentifier target);
    void DestroyTargetForID(SCSIDeviceIdentifier target);
    IOSCSIParallelInterfaceDevice *GetTargetForID(SCSIDeviceIdentifier target);
    bool SetHBAProperty(const char *key, OSObject *value);
    virtual SCSIInitiatorIdentifier ReportInitiatorIdentifier() = 0;
    virtual SCSIDeviceIdentifier ReportHighestSupportedDeviceID() = 0;
    virtual UInt32 ReportMaximumTaskCount() = 0;
    virtual UInt32 ReportHBASpecificTaskDataSize() = 0;
    virtual UInt32 ReportHBASpecificDeviceDataSize() = 0;
    virtual bool DoesHBAPerformDeviceManagement() = 0;
    virtual bool InitializeController() = 0;
    virtual void TerminateController() = 0;
    virtual bool StartController() = 0;
    virtual void StopController() = 0;
    virtual void HandleInterruptRequest() = 0;
    virtual SCSIServiceResponse ProcessParallelTask(SCSIParallelTaskIdentifier task) = 0;
    void CompleteParallelTask(SCSIParallelTaskIdentifier task, SCSITaskStatus status, SCSIServiceResponse response);
    void CompleteAbortTask(SCSITargetIdentifier target, SCSILogicalUnitNumber unit, SCSITaggedTaskIdentifier tag, SCSIServiceResponse response);
    void CompleteAbortTaskSet(SCSITargetIdentifier target, SCSILogicalUnitNumber unit, SCSIServiceResponse response);
    void CompleteLogicalUnitReset(SCSITargetIdentifier target, SCSILogicalUnitNumber unit, SCSIServiceResponse response);
    void CompleteTargetReset(SCSITargetIdentifier target, SCSIServiceResponse response);
    IOWorkLoop *GetWorkLoop() const;
    IOCommandGate *GetCommandGate();
    SCSITargetIdentifier GetTargetIdentifier(SCSIParallelTaskIdentifier task);
    void GetLogicalUnitBytes(SCSIParallelTaskIdentifier task, SCSILogicalUnitBytes *unit);
    SCSITaskAttribute GetTaskAttribute(SCSIParallelTaskIdentifier task);
    bool GetCommandDescriptorBlock(SCSIParallelTaskIdentifier task, SCSICommandDescriptorBlock *cdb);
    UInt8 GetDataTransferDirection(SCSIParallelTaskIdentifier task);
    UInt64 GetRequestedDataTransferCount(SCSIParallelTaskIdentifier task);
    bool SetRealizedDataTransferCount(SCSIParallelTaskIdentifier task, UInt64 count);
    IOMemoryDescriptor *GetDataBuffer(SCSIParallelTaskIdentifier task);
    UInt64 GetDataBufferOffset(SCSIParallelTaskIdentifier task);
    bool SetAutoSenseData(SCSIParallelTaskIdentifier task, SCSI_Sense_Data *sense, UInt8 length);
    void SetControllerTaskIdentifier(SCSIParallelTaskIdentifier task, UInt64 identifier);
    UInt64 GetControllerTaskIdentifier(SCSIParallelTaskIdentifier task);
    void SetTimeoutForTask(SCSIParallelTaskIdentifier task, UInt32 timeoutOverride = 0);
    virtual void HandleTimeout(SCSIParallelTaskIdentifier task);
    virtual bool InitializeDMASpecification(IODMACommand *command);
    virtual IOInterruptEventSource *CreateDeviceInterrupt(IOInterruptEventSource::Action action,
        IOFilterInterruptEventSource::Filter filter, IOService *provider);

private:
    friend class HarnessStack;
    class HarnessStack *stack;
};

#endif
