// User clients, as far as they are used: an external method by a table, and asynchronous answers.
#ifndef HARNESS_IOUSERCLIENT_H
#define HARNESS_IOUSERCLIENT_H

#include <IOKit/IOMemoryDescriptor.h>
#include <IOKit/IOService.h>

enum { kIOUCVariableStructureSize = 0xffffffff };
enum { kMaxAsyncArgs = 16 };
enum { kOSAsyncRef64Count = 8 };
typedef io_user_reference_t OSAsyncReference64[kOSAsyncRef64Count];

#define kIOClientPrivilegeAdministrator "root"

struct IOExternalMethodArguments {
    uint32_t version;
    uint32_t selector;
    mach_port_t asyncWakePort;
    io_user_reference_t *asyncReference;
    uint32_t asyncReferenceCount;
    const uint64_t *scalarInput;
    uint32_t scalarInputCount;
    const void *structureInput;
    uint32_t structureInputSize;
    IOMemoryDescriptor *structureInputDescriptor;
    uint64_t *scalarOutput;
    uint32_t scalarOutputCount;
    void *structureOutput;
    uint32_t structureOutputSize;
    IOMemoryDescriptor *structureOutputDescriptor;
    uint32_t structureOutputDescriptorSize;
};

typedef IOReturn (*IOExternalMethodAction)(OSObject *target, void *reference, IOExternalMethodArguments *arguments);

struct IOExternalMethodDispatch {
    IOExternalMethodAction function;
    uint32_t checkScalarInputCount;
    uint32_t checkStructureInputSize;
    uint32_t checkScalarOutputCount;
    uint32_t checkStructureOutputSize;
};

class IOUserClient : public IOService {
    OSDeclareAbstractStructors(IOUserClient);

public:
    virtual bool initWithTask(task_t task, void *token, UInt32 type, OSDictionary *properties);
    virtual IOReturn clientClose();
    virtual IOReturn clientDied();
    virtual IOReturn externalMethod(uint32_t selector, IOExternalMethodArguments *arguments, IOExternalMethodDispatch *dispatch = nullptr,
        OSObject *target = nullptr, void *reference = nullptr);
    static IOReturn clientHasPrivilege(void *token, const char *privilege);

protected:
    static IOReturn sendAsyncResult64(OSAsyncReference64 reference, IOReturn result, io_user_reference_t args[], UInt32 count);
    static IOReturn releaseAsyncReference64(OSAsyncReference64 reference);
};

#endif
