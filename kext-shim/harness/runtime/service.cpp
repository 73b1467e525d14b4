// Services and user clients.

#include <IOKit/IOService.h>
#include <IOKit/IOUserClient.h>

#include <cstring>

#include "port.h"
#include "runtime.h"

OSDefineMetaClassAndStructors(IOService, OSObject)
OSDefineMetaClassAndStructors(IOUserClient, IOService)

bool IOService::init()
{
    return init(nullptr);
}

bool IOService::init(OSDictionary *)
{
    properties = OSDictionary::withCapacity(1);
    return properties != nullptr;
}

void IOService::free()
{
    OSSafeReleaseNULL(properties);
    OSObject::free();
}

bool IOService::start(IOService *)
{
    return true;
}

void IOService::stop(IOService *)
{
}

bool IOService::harnessStart(IOService *to)
{
    if (to) {
        to->retain();
    }
    provider = to;
    if (start(to)) {
        return true;
    }
    provider = nullptr;
    if (to) {
        to->release();
    }
    return false;
}

bool IOService::terminate(IOOptionBits)
{
    if (__atomic_exchange_n(&inactive, true, __ATOMIC_ACQ_REL)) {
        return true;
    }
    IOService *of = provider;
    stop(of);
    provider = nullptr;
    if (of) {
        of->release();
    }
    return true;
}

bool IOService::isInactive() const
{
    return __atomic_load_n(&inactive, __ATOMIC_ACQUIRE);
}

IOReturn IOService::requestProbe(IOOptionBits)
{
    return kIOReturnUnsupported;
}

bool IOService::setProperty(const char *key, OSObject *value)
{
    return properties->setObject(key, value);
}

bool IOService::setProperty(const char *key, unsigned long long value, unsigned bits)
{
    OSNumber *number = OSNumber::withNumber(value, bits);
    bool set = number && properties->setObject(key, number);
    OSSafeReleaseNULL(number);
    return set;
}

OSObject *IOService::getProperty(const char *key) const
{
    return properties->getObject(key);
}

bool IOUserClient::initWithTask(task_t, void *, UInt32, OSDictionary *properties)
{
    return init(properties);
}

IOReturn IOUserClient::clientClose()
{
    return kIOReturnUnsupported;
}

IOReturn IOUserClient::clientDied()
{
    return clientClose();
}

IOReturn IOUserClient::clientHasPrivilege(void *token, const char *privilege)
{
    HARNESS_CHECK(strcmp(privilege, kIOClientPrivilegeAdministrator) == 0, "privilege %s", privilege);
    return static_cast<HarnessPort *>(token)->isAdministrator() ? kIOReturnSuccess : kIOReturnNotPrivileged;
}

// The checks of IOUserClient::externalMethod, in the kernel's order.
static HarnessCount asyncReferences("references of asynchronous calls");

IOReturn IOUserClient::externalMethod(uint32_t, IOExternalMethodArguments *arguments, IOExternalMethodDispatch *dispatch, OSObject *target,
    void *reference)
{
    HARNESS_CHECK(dispatch && dispatch->function, "a method without a function");
    uint32_t wanted = dispatch->checkScalarInputCount;
    if (wanted != kIOUCVariableStructureSize && wanted != arguments->scalarInputCount) {
        return kIOReturnBadArgument;
    }
    wanted = dispatch->checkStructureInputSize;
    if (wanted != kIOUCVariableStructureSize && wanted != arguments->structureInputSize) {
        return kIOReturnBadArgument;
    }
    wanted = dispatch->checkScalarOutputCount;
    if (wanted != kIOUCVariableStructureSize && wanted != arguments->scalarOutputCount) {
        return kIOReturnBadArgument;
    }
    wanted = dispatch->checkStructureOutputSize;
    uint32_t has = arguments->structureOutputDescriptor ? arguments->structureOutputDescriptorSize : arguments->structureOutputSize;
    if (wanted != kIOUCVariableStructureSize && wanted != has) {
        return kIOReturnBadArgument;
    }
    IOReturn result = dispatch->function(target ? target : this, reference, arguments);
    // What a method that fails was given, the kernel takes back itself.
    if (result == kIOReturnSuccess && arguments->asyncWakePort) {
        asyncReferences.add(1);
    }
    return result;
}

IOReturn IOUserClient::sendAsyncResult64(OSAsyncReference64 reference, IOReturn result, io_user_reference_t args[], UInt32 count)
{
    HARNESS_CHECK(count <= kMaxAsyncArgs, "%u arguments", count);
    HarnessPort::notify(reference[0], result, args, count);
    return kIOReturnSuccess;
}

IOReturn IOUserClient::releaseAsyncReference64(OSAsyncReference64)
{
    asyncReferences.add(-1);
    return kIOReturnSuccess;
}
