// What a process may send to the user client, and a target to the socket that it hands over, made up by libFuzzer.
//
//   input: calls, each: selector, flags, lengths, bytes │ bytes of the target
//
// The extension is loaded once. Each input opens a user client, makes its calls, closes it; then every session is
// ended. A broken rule of the kernel, a sanitizer's complaint or something left behind is a finding.

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <memory>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "../../hba/IscsiHBA.h"
#include "../../hba/IscsiSession.h"
#include "../../hba/IscsiUserClient.h"
#include "../runtime/port.h"
#include "../runtime/runtime.h"
#include "../runtime/stack.h"

namespace {

class Root : public HarnessPort {
public:
    bool isAdministrator() const override { return true; }
};

/// Takes what there is of the input.
struct Input {
    const uint8_t *at;
    size_t left;

    uint8_t byte()
    {
        if (left == 0) {
            return 0;
        }
        --left;
        return *at++;
    }

    std::vector<uint8_t> bytes(size_t most)
    {
        size_t count = most < left ? most : left;
        std::vector<uint8_t> taken(at, at + count);
        at += count;
        left -= count;
        return taken;
    }
};

/// Two ends of a connection over the loopback.
bool connected(int ends[2])
{
    static int listener = -1;
    static sockaddr_in name;
    if (listener < 0) {
        listener = socket(AF_INET, SOCK_STREAM, 0);
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof(name);
        HARNESS_CHECK(bind(listener, reinterpret_cast<sockaddr *>(&name), sizeof(name)) == 0 && listen(listener, 8) == 0
                && getsockname(listener, reinterpret_cast<sockaddr *>(&name), &length) == 0,
            "no port");
    }
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(ends[0], reinterpret_cast<sockaddr *>(&name), sizeof(name)) != 0) {
        close(ends[0]);
        return false;
    }
    ends[1] = accept(listener, nullptr, nullptr);
    // Ports would run out: none of these waits for stragglers.
    linger none = {1, 0};
    setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    return ends[1] >= 0;
}

IscsiHandoff goodHandoff()
{
    IscsiHandoff handoff = {};
    handoff.version = ISCSI_HANDOFF_VERSION;
    handoff.cmd_sn = 1;
    handoff.exp_stat_sn = 1;
    handoff.max_cmd_sn = 8;
    handoff.first_burst_length = 8192;
    handoff.max_burst_length = 16384;
    handoff.max_recv_data_segment_length = 8192;
    handoff.max_send_data_segment_length = 8192;
    handoff.tsih = 1;
    handoff.max_outstanding_r2t = 1;
    handoff.immediate_data = 1;
    return handoff;
}

IscsiSpec goodSpec()
{
    IscsiSpec spec = {};
    memcpy(spec.target, "iqn.2026-11.test.fuzz:disk", 26);
    spec.depth = 4;
    spec.replacement_timeout = 1000;
    return spec;
}

/// A struct that is accepted, for calls that would otherwise never get further.
std::vector<uint8_t> goodInput(uint32_t selector, uint32_t session)
{
    std::vector<uint8_t> made;
    auto put = [&](const auto &what) {
        const uint8_t *bytes = reinterpret_cast<const uint8_t *>(&what);
        made.assign(bytes, bytes + sizeof(what));
    };
    switch (selector) {
    case ISCSI_HELLO:
        put(IscsiHelloIn{ISCSI_KEXT_VERSION, ISCSI_HANDOFF_VERSION});
        break;
    case ISCSI_LISTEN:
        put(IscsiListenIn{});
        break;
    case ISCSI_CREATE: {
        IscsiCreateIn in = {};
        in.spec = goodSpec();
        in.handoff = goodHandoff();
        put(in);
        break;
    }
    case ISCSI_REPLACE: {
        IscsiReplaceIn in = {};
        in.session = session;
        in.handoff = goodHandoff();
        put(in);
        break;
    }
    case ISCSI_REMOVE:
        put(IscsiRemoveIn{session, ISCSI_REMOVE_UNITS});
        break;
    case ISCSI_LOGOUT:
        put(IscsiLogoutIn{session, 0});
        break;
    case ISCSI_FENCE:
        put(IscsiFenceIn{session, 1, {}});
        break;
    case ISCSI_EXECUTE: {
        IscsiExecuteIn in = {};
        in.session = session;
        in.timeout = 1;
        in.length = 64;
        put(in);
        break;
    }
    default:
        put(IscsiSessionIn{session, 0});
        break;
    }
    return made;
}

uint32_t outputOf(uint32_t selector)
{
    switch (selector) {
    case ISCSI_HELLO:
        return sizeof(IscsiHelloOut);
    case ISCSI_CREATE:
        return sizeof(IscsiCreateOut);
    case ISCSI_SESSIONS:
        return sizeof(IscsiSessionsOut);
    case ISCSI_CONNECTION:
        return sizeof(IscsiConnectionOut);
    case ISCSI_STATISTICS:
        return sizeof(IscsiStatisticsOut);
    case ISCSI_EXECUTE:
        return sizeof(IscsiExecuteOut) + 64;
    default:
        return 0;
    }
}

void call(IscsiUserClient *client, Input &input, uint32_t &session, const std::vector<int> &descriptors)
{
    uint32_t selector = input.byte() % (ISCSI_SELECTORS + 1);
    uint8_t flags = input.byte();
    std::vector<uint8_t> in = goodInput(selector, session);
    if (flags & 1) {
        // Some of its bytes are others.
        for (unsigned changes = input.byte() % 8; changes > 0 && !in.empty(); --changes) {
            size_t at = (input.byte() | input.byte() << 8) % in.size();
            in[at] = input.byte();
        }
    }
    if (flags & 2) {
        in = input.bytes(input.byte());
    }
    uint32_t room = flags & 4 ? input.byte() : outputOf(selector);
    std::unique_ptr<uint8_t[]> structure(new uint8_t[in.size()]), out(new uint8_t[room]);
    std::copy(in.begin(), in.end(), structure.get());
    OSAsyncReference64 reference = {};
    IOExternalMethodArguments arguments = {};
    arguments.selector = selector;
    arguments.structureInput = structure.get();
    arguments.structureInputSize = static_cast<uint32_t>(in.size());
    arguments.structureOutput = out.get();
    arguments.structureOutputSize = room;
    arguments.asyncWakePort = flags & 8 ? reinterpret_cast<mach_port_t>(client) : nullptr;
    arguments.asyncReference = reference;
    arguments.asyncReferenceCount = flags & 16 ? input.byte() : kOSAsyncRef64Count;
    if (arguments.asyncReferenceCount > kOSAsyncRef64Count && selector == ISCSI_LISTEN) {
        // There is no such memory; the extension has to look before it reads.
        arguments.asyncReferenceCount = 200;
    }
    harnessSetDescriptors(descriptors.data(), static_cast<unsigned>(descriptors.size()));
    IOReturn result = client->externalMethod(selector, &arguments, nullptr, nullptr, nullptr);
    harnessSetDescriptors(nullptr, 0);
    HARNESS_CHECK(arguments.structureOutputSize <= room, "more than there was room for");
    if (selector == ISCSI_CREATE && result == kIOReturnSuccess) {
        memcpy(&session, out.get(), sizeof(session));
    }
}

}

void HarnessPort::notify(uint64_t, IOReturn, const io_user_reference_t *, unsigned)
{
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static IscsiHBA *hba = [] {
        IscsiHBA *made = OSTypeAlloc(IscsiHBA);
        HARNESS_CHECK(made && made->init() && made->harnessStart(nullptr), "the HBA does not start");
        HarnessTask::usualTimeout = 20;
        return made;
    }();
    static Root root;

    Input input = {data, size};
    int ends[2] = {-1, -1};
    if (!connected(ends)) {
        return -1;
    }
    harnessBeAwkward(1 + input.byte());
    harnessFailAllocation(input.byte() % 64);
    IscsiUserClient *client = OSTypeAlloc(IscsiUserClient);
    if (client && client->initWithTask(nullptr, static_cast<HarnessPort *>(&root), 0, nullptr) && client->harnessStart(hba)) {
        uint32_t session = 1;
        for (unsigned calls = input.byte() % 8; calls > 0; --calls) {
            call(client, input, session, {ends[0], ends[1]});
            std::vector<uint8_t> target = input.bytes(input.byte() * 2);
            if (!target.empty()) {
                send(ends[1], target.data(), target.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            }
        }
        client->clientDied();
    }
    harnessFailAllocation(0);
    OSSafeReleaseNULL(client);
    close(ends[0]);
    close(ends[1]);
    while (IscsiSession *session = hba->copySessionAfter(0)) {
        hba->remove(session->getNumber(), ISCSI_REMOVE_ALL);
        session->release();
    }
    harnessJoinThreads();
    HARNESS_CHECK(hba->getRetainCount() == 1, "%d references to the HBA are left", hba->getRetainCount());
    return 0;
}
