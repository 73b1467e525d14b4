#include "IscsiUserClient.h"

#include <IOKit/IOMemoryDescriptor.h>
#include <string.h>

#include "IscsiHBA.h"
#include "IscsiSession.h"

#define super IOUserClient
OSDefineMetaClassAndStructors(IscsiUserClient, IOUserClient);

static const uint32_t kVariable = kIOUCVariableStructureSize;

// In the order of the selectors. Scalars are not used.
const IOExternalMethodDispatch IscsiUserClient::methods[ISCSI_SELECTORS] = {
    {&IscsiUserClient::hello, 0, sizeof(IscsiHelloIn), 0, sizeof(IscsiHelloOut)},
    {&IscsiUserClient::listen, 0, sizeof(IscsiListenIn), 0, 0},
    {&IscsiUserClient::create, 0, sizeof(IscsiCreateIn), 0, sizeof(IscsiCreateOut)},
    {&IscsiUserClient::replace, 0, sizeof(IscsiReplaceIn), 0, 0},
    {&IscsiUserClient::drop, 0, sizeof(IscsiSessionIn), 0, 0},
    {&IscsiUserClient::remove, 0, sizeof(IscsiRemoveIn), 0, 0},
    {&IscsiUserClient::logout, 0, sizeof(IscsiLogoutIn), 0, 0},
    {&IscsiUserClient::sessions, 0, sizeof(IscsiSessionsIn), 0, sizeof(IscsiSessionsOut)},
    {&IscsiUserClient::connection, 0, sizeof(IscsiSessionIn), 0, sizeof(IscsiConnectionOut)},
    {&IscsiUserClient::statistics, 0, sizeof(IscsiSessionIn), 0, sizeof(IscsiStatisticsOut)},
    {&IscsiUserClient::rescan, 0, sizeof(IscsiSessionIn), 0, 0},
    {&IscsiUserClient::execute, 0, sizeof(IscsiExecuteIn), 0, kVariable},
    {&IscsiUserClient::resume, 0, sizeof(IscsiSessionIn), 0, 0},
    {&IscsiUserClient::fence, 0, sizeof(IscsiFenceIn), 0, 0},
};

static_assert(ISCSI_HELLO == 0 && ISCSI_LOGOUT == 6 && ISCSI_EXECUTE == 11 && ISCSI_FENCE == 13, "the table's order");

// Milliseconds: longer than a day is a mistake.
static const uint32_t kDay = 24 * 60 * 60 * 1000;
static const uint32_t kMostDepth = 1024;
static const uint32_t kMostPatience = 60 * 1000;

// A copy: the caller may change its own meanwhile.
template <typename T> static T input(const IOExternalMethodArguments *arguments)
{
    T copy;
    memcpy(&copy, arguments->structureInput, sizeof(copy));
    return copy;
}

template <typename T> static void output(IOExternalMethodArguments *arguments, const T &out)
{
    memcpy(arguments->structureOutput, &out, sizeof(out));
    arguments->structureOutputSize = sizeof(out);
}

static bool isGood(const IscsiSpec &spec)
{
    return spec.target[0] != 0 && memchr(spec.target, 0, sizeof(spec.target)) && spec.depth >= 1 && spec.depth <= kMostDepth
        && spec.ping_interval <= kDay && spec.ping_timeout <= kDay && spec.replacement_timeout <= kDay;
}

bool IscsiUserClient::initWithTask(task_t task, void *token, UInt32 type, OSDictionary *properties)
{
    if (!super::initWithTask(task, token, type, properties)) {
        return false;
    }
    return clientHasPrivilege(token, kIOClientPrivilegeAdministrator) == kIOReturnSuccess;
}

bool IscsiUserClient::start(IOService *provider)
{
    hba = OSDynamicCast(IscsiHBA, provider);
    return hba && super::start(provider);
}

void IscsiUserClient::stop(IOService *provider)
{
    leave();
    super::stop(provider);
}

IOReturn IscsiUserClient::clientClose()
{
    leave();
    if (!isInactive()) {
        terminate();
    }
    return kIOReturnSuccess;
}

IOReturn IscsiUserClient::clientDied()
{
    return clientClose();
}

void IscsiUserClient::free()
{
    // No notice goes to the client any more.
    if (__atomic_load_n(&listening, __ATOMIC_ACQUIRE)) {
        releaseAsyncReference64(port);
    }
    super::free();
}

void IscsiUserClient::leave()
{
    if (hba) {
        hba->unlisten(this);
    }
}

IOReturn IscsiUserClient::externalMethod(uint32_t selector, IOExternalMethodArguments *arguments, IOExternalMethodDispatch *,
    OSObject *, void *)
{
    if (selector >= ISCSI_SELECTORS) {
        return kIOReturnUnsupported;
    }
    if (isInactive()) {
        return kIOReturnNotAttached;
    }
    if (selector != ISCSI_HELLO && !__atomic_load_n(&greeted, __ATOMIC_ACQUIRE)) {
        return kIOReturnNotPermitted;
    }
    // Beyond what fits into a message, IOKit passes memory; only these two are as long as that.
    if (arguments->structureInputDescriptor || (arguments->structureOutputDescriptor && selector != ISCSI_EXECUTE)) {
        return kIOReturnBadArgument;
    }
    IOExternalMethodDispatch method = methods[selector];
    return super::externalMethod(selector, arguments, &method, this, nullptr);
}

void IscsiUserClient::tell(const IscsiNotice &notice)
{
    io_user_reference_t words[sizeof(IscsiNotice) / sizeof(io_user_reference_t)];
    static_assert(sizeof(words) == sizeof(IscsiNotice) && sizeof(words) / sizeof(words[0]) <= kMaxAsyncArgs, "a notice is a message");
    memcpy(words, &notice, sizeof(words));
    // A client that does not read finds a gap in the sequence.
    sendAsyncResult64(port, kIOReturnSuccess, words, sizeof(words) / sizeof(words[0]));
}

static IscsiUserClient *clientOf(OSObject *target)
{
    return static_cast<IscsiUserClient *>(target);
}

IOReturn IscsiUserClient::hello(OSObject *target, void *, Arguments *arguments)
{
    IscsiUserClient *self = clientOf(target);
    IscsiHelloIn in = input<IscsiHelloIn>(arguments);
    IscsiHelloOut out = {};
    out.version = ISCSI_KEXT_VERSION;
    out.handoff_version = ISCSI_HANDOFF_VERSION;
    out.accepted = in.version == ISCSI_KEXT_VERSION && in.handoff_version == ISCSI_HANDOFF_VERSION;
    out.sessions = self->hba->sessionCount();
    __atomic_store_n(&self->greeted, out.accepted != 0, __ATOMIC_RELEASE);
    output(arguments, out);
    return kIOReturnSuccess;
}

IOReturn IscsiUserClient::listen(OSObject *target, void *, Arguments *arguments)
{
    IscsiUserClient *self = clientOf(target);
    if (!arguments->asyncWakePort || !arguments->asyncReference || arguments->asyncReferenceCount > kOSAsyncRef64Count
        || arguments->asyncReferenceCount == 0) {
        return kIOReturnBadArgument;
    }
    // Once: the port of a client that is told something must not change.
    if (__atomic_exchange_n(&self->listening, true, __ATOMIC_ACQ_REL)) {
        return kIOReturnExclusiveAccess;
    }
    bzero(self->port, sizeof(self->port));
    memcpy(self->port, arguments->asyncReference, arguments->asyncReferenceCount * sizeof(self->port[0]));
    if (!self->hba->listen(self)) {
        __atomic_store_n(&self->listening, false, __ATOMIC_RELEASE);
        return kIOReturnExclusiveAccess;
    }
    return kIOReturnSuccess;
}

IOReturn IscsiUserClient::create(OSObject *target, void *, Arguments *arguments)
{
    IscsiCreateIn in = input<IscsiCreateIn>(arguments);
    if (!isGood(in.spec) || (in.flags & ~static_cast<uint32_t>(ISCSI_FLAG_HOLD)) || in.reserved != 0) {
        return kIOReturnBadArgument;
    }
    IscsiCreateOut out = {};
    IOReturn result = clientOf(target)->hba->create(in, out);
    output(arguments, out);
    return result;
}

IOReturn IscsiUserClient::replace(OSObject *target, void *, Arguments *arguments)
{
    IscsiReplaceIn in = input<IscsiReplaceIn>(arguments);
    if (in.flags & ~static_cast<uint32_t>(ISCSI_FLAG_HOLD)) {
        return kIOReturnBadArgument;
    }
    return clientOf(target)->hba->replace(in);
}

IOReturn IscsiUserClient::drop(OSObject *target, void *, Arguments *arguments)
{
    return clientOf(target)->hba->drop(input<IscsiSessionIn>(arguments).session);
}

IOReturn IscsiUserClient::remove(OSObject *target, void *, Arguments *arguments)
{
    IscsiRemoveIn in = input<IscsiRemoveIn>(arguments);
    if (in.what != ISCSI_REMOVE_UNITS && in.what != ISCSI_REMOVE_ALL) {
        return kIOReturnBadArgument;
    }
    return clientOf(target)->hba->remove(in.session, in.what);
}

IOReturn IscsiUserClient::logout(OSObject *target, void *, Arguments *arguments)
{
    IscsiLogoutIn in = input<IscsiLogoutIn>(arguments);
    IscsiSession *session = clientOf(target)->hba->copySession(in.session);
    if (!session) {
        return kIOReturnNotFound;
    }
    IOReturn result = session->logout(in.reason);
    session->release();
    return result;
}

IOReturn IscsiUserClient::sessions(OSObject *target, void *, Arguments *arguments)
{
    uint32_t after = input<IscsiSessionsIn>(arguments).after;
    // Too long for a kernel's stack.
    IscsiSessionsOut *out = IONew(IscsiSessionsOut, 1);
    if (!out) {
        return kIOReturnNoMemory;
    }
    bzero(out, sizeof(*out));
    while (IscsiSession *session = clientOf(target)->hba->copySessionAfter(after)) {
        if (out->count == ISCSI_SESSIONS_AT_ONCE) {
            out->more = 1;
            session->release();
            break;
        }
        session->describe(out->sessions[out->count]);
        after = out->sessions[out->count].session;
        ++out->count;
        session->release();
    }
    output(arguments, *out);
    IODelete(out, IscsiSessionsOut, 1);
    return kIOReturnSuccess;
}

// What a session says of itself.
template <typename Out> static IOReturn describe(IscsiHBA *hba, IOExternalMethodArguments *arguments)
{
    IscsiSession *session = hba->copySession(input<IscsiSessionIn>(arguments).session);
    if (!session) {
        return kIOReturnNotFound;
    }
    Out out = {};
    session->describe(out);
    session->release();
    output(arguments, out);
    return kIOReturnSuccess;
}

IOReturn IscsiUserClient::connection(OSObject *target, void *, Arguments *arguments)
{
    return describe<IscsiConnectionOut>(clientOf(target)->hba, arguments);
}

IOReturn IscsiUserClient::statistics(OSObject *target, void *, Arguments *arguments)
{
    return describe<IscsiStatisticsOut>(clientOf(target)->hba, arguments);
}

IOReturn IscsiUserClient::rescan(OSObject *target, void *, Arguments *arguments)
{
    return clientOf(target)->hba->rescan(input<IscsiSessionIn>(arguments).session);
}

IOReturn IscsiUserClient::resume(OSObject *target, void *, Arguments *arguments)
{
    return clientOf(target)->hba->resume(input<IscsiSessionIn>(arguments).session);
}

IOReturn IscsiUserClient::fence(OSObject *target, void *, Arguments *arguments)
{
    IscsiFenceIn in = input<IscsiFenceIn>(arguments);
    IscsiSession *session = clientOf(target)->hba->copySession(in.session);
    if (!session) {
        return kIOReturnNotFound;
    }
    IOReturn result = session->fence(in);
    session->release();
    return result;
}

// Writes the answer to wherever IOKit wants it.
static IOReturn deliver(IOExternalMethodArguments *arguments, const IscsiExecuteOut &out, const uint8_t *data)
{
    IOMemoryDescriptor *memory = arguments->structureOutputDescriptor;
    size_t length = sizeof(out) + out.transferred;
    if (!memory) {
        memcpy(arguments->structureOutput, &out, sizeof(out));
        if (out.transferred > 0) {
            memcpy(static_cast<uint8_t *>(arguments->structureOutput) + sizeof(out), data, out.transferred);
        }
        arguments->structureOutputSize = static_cast<uint32_t>(length);
        return kIOReturnSuccess;
    }
    IOReturn result = memory->prepare();
    if (result != kIOReturnSuccess) {
        return result;
    }
    bool whole = memory->writeBytes(0, &out, sizeof(out)) == sizeof(out)
        && (out.transferred == 0 || memory->writeBytes(sizeof(out), data, out.transferred) == out.transferred);
    memory->complete();
    arguments->structureOutputDescriptorSize = static_cast<uint32_t>(length);
    return whole ? kIOReturnSuccess : kIOReturnVMError;
}

IOReturn IscsiUserClient::execute(OSObject *target, void *, Arguments *arguments)
{
    IscsiExecuteIn in = input<IscsiExecuteIn>(arguments);
    uint64_t room = arguments->structureOutputDescriptor ? arguments->structureOutputDescriptorSize : arguments->structureOutputSize;
    if (in.timeout == 0 || in.timeout > kMostPatience || in.length > ISCSI_EXECUTE_MOST || in.reserved != 0
        || room < sizeof(IscsiExecuteOut) + static_cast<uint64_t>(in.length)) {
        return kIOReturnBadArgument;
    }
    IscsiSession *session = clientOf(target)->hba->copySession(in.session);
    if (!session) {
        return kIOReturnNotFound;
    }
    uint8_t *buffer = nullptr;
    if (in.length > 0) {
        buffer = static_cast<uint8_t *>(IOMalloc(in.length));
        if (!buffer) {
            session->release();
            return kIOReturnNoMemory;
        }
        bzero(buffer, in.length);
    }
    IscsiExecuteOut out = {};
    IOReturn result = session->execute(in, buffer, out);
    session->release();
    if (result == kIOReturnSuccess) {
        result = deliver(arguments, out, buffer);
    }
    if (buffer) {
        IOFree(buffer, in.length);
    }
    return result;
}
