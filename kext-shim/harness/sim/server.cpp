#include "server.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "../../hba/IscsiHBA.h"
#include "../../hba/IscsiUserClient.h"
#include "../runtime/port.h"
#include "../runtime/runtime.h"
#include "../runtime/stack.h"
#include "frames.h"
#include "tasks.h"

namespace {

/// Structures up to this go within a message, longer ones as memory.
const uint32_t kInline = 4096;

bool readWhole(int fd, void *bytes, size_t length)
{
    uint8_t *at = static_cast<uint8_t *>(bytes);
    while (length > 0) {
        ssize_t got = read(fd, at, length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        length -= static_cast<size_t>(got);
    }
    return true;
}

class Client : public HarnessPort {
public:
    Client(int of, IscsiHBA *hba, HarnessStack *stack);
    ~Client() override;
    void run();
    bool isAdministrator() const override { return administrator; }
    void send(const FrameAnswer &answer, const void *bytes, bool mayDrop);
    /// Answers that are on their way still leave.
    void hangUp() { shutdown(fd, SHUT_RD); }

    static std::mutex &lock();
    static std::map<uint64_t, Client *> &all();
    static bool unloaded;

private:
    void sendWhole(const std::vector<uint8_t> &whole, bool mayDrop);
    void answer(const FrameRequest &request, std::vector<uint8_t> input, std::vector<int> descriptors);
    IOReturn call(const FrameRequest &request, const std::vector<uint8_t> &input, std::vector<uint8_t> &output);
    IOReturn own(const FrameRequest &request, const std::vector<uint8_t> &input, std::vector<uint8_t> &output);

    int fd;
    IscsiHBA *hba;
    HarnessStack *stack;
    IscsiUserClient *client;
    uint64_t name;
    bool administrator;
    std::mutex sending;
    std::mutex running;
    std::condition_variable idle;
    unsigned calls;
};

bool Client::unloaded;

std::mutex &Client::lock()
{
    static std::mutex one;
    return one;
}

std::map<uint64_t, Client *> &Client::all()
{
    static std::map<uint64_t, Client *> clients;
    return clients;
}

Client::Client(int of, IscsiHBA *its, HarnessStack *on) : fd(of), hba(its), stack(on), client(nullptr), calls(0)
{
    static uint64_t names;
    ucred peer = {};
    socklen_t length = sizeof(peer);
    administrator = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == geteuid();
    std::lock_guard<std::mutex> guard(lock());
    name = ++names;
    all()[name] = this;
}

Client::~Client()
{
    {
        std::lock_guard<std::mutex> guard(lock());
        all().erase(name);
    }
    close(fd);
}

void Client::send(const FrameAnswer &answer, const void *bytes, bool mayDrop)
{
    std::vector<uint8_t> whole(sizeof(answer) + answer.length);
    memcpy(whole.data(), &answer, sizeof(answer));
    if (answer.length > 0) {
        memcpy(whole.data() + sizeof(answer), bytes, answer.length);
    }
    sendWhole(whole, mayDrop);
}

void Client::sendWhole(const std::vector<uint8_t> &whole, bool mayDrop)
{
    std::lock_guard<std::mutex> guard(sending);
    size_t at = 0;
    while (at < whole.size()) {
        ssize_t sent = ::send(fd, whole.data() + at, whole.size() - at, MSG_NOSIGNAL | (mayDrop && at == 0 ? MSG_DONTWAIT : 0));
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            // A reader that is gone, or a port that is full.
            return;
        }
        at += static_cast<size_t>(sent);
    }
}

IOReturn Client::own(const FrameRequest &request, const std::vector<uint8_t> &input, std::vector<uint8_t> &output)
{
    switch (request.selector) {
    case FRAME_UNITS:
        for (const HarnessUnit &unit : stack->units()) {
            FrameUnit one = {unit.target, unit.blocks, unit.number, unit.blockSize};
            const uint8_t *bytes = reinterpret_cast<const uint8_t *>(&one);
            output.insert(output.end(), bytes, bytes + sizeof(one));
        }
        return kIOReturnSuccess;
    case FRAME_UNLOAD: {
        if (!hba->terminate()) {
            return kIOReturnError;
        }
        std::lock_guard<std::mutex> guard(lock());
        unloaded = true;
        return kIOReturnSuccess;
    }
    case FRAME_FAIL_ALLOCATION: {
        uint32_t n = 0;
        if (input.size() != sizeof(n)) {
            return kIOReturnBadArgument;
        }
        memcpy(&n, input.data(), sizeof(n));
        harnessFailAllocation(n);
        return kIOReturnSuccess;
    }
    case FRAME_BENCH: {
        FrameBench asked = {};
        FrameBenched done = {};
        if (input.size() != sizeof(asked)) {
            return kIOReturnBadArgument;
        }
        memcpy(&asked, input.data(), sizeof(asked));
        if (!bench(stack, asked, done)) {
            return kIOReturnNotFound;
        }
        const uint8_t *bytes = reinterpret_cast<const uint8_t *>(&done);
        output.assign(bytes, bytes + sizeof(done));
        return kIOReturnSuccess;
    }
    case FRAME_CLOSE:
        return client->clientClose();
    default:
        return kIOReturnUnsupported;
    }
}

IOReturn Client::call(const FrameRequest &request, const std::vector<uint8_t> &input, std::vector<uint8_t> &output)
{
    // As is_io_connect_async_method fills it in.
    OSAsyncReference64 reference = {name};
    IOExternalMethodArguments arguments = {};
    arguments.selector = request.selector;
    if (request.selector == ISCSI_LISTEN) {
        arguments.asyncWakePort = reinterpret_cast<mach_port_t>(this);
        arguments.asyncReference = reference;
        arguments.asyncReferenceCount = kOSAsyncRef64Count;
    }
    // Memory of exactly that size, so that a byte too many is seen.
    std::unique_ptr<uint8_t[]> in(new uint8_t[input.size()]);
    std::unique_ptr<uint8_t[]> out(new uint8_t[request.output]);
    std::copy(input.begin(), input.end(), in.get());
    IOMemoryDescriptor *longInput = nullptr, *longOutput = nullptr;
    if (input.size() > kInline) {
        longInput = IOMemoryDescriptor::harnessMake(input.size(), true);
        longInput->writeBytes(0, input.data(), input.size());
        longInput->complete();
        arguments.structureInputDescriptor = longInput;
    } else {
        arguments.structureInput = in.get();
        arguments.structureInputSize = static_cast<uint32_t>(input.size());
    }
    if (request.output > kInline) {
        longOutput = IOMemoryDescriptor::harnessMake(request.output, false);
        arguments.structureOutputDescriptor = longOutput;
        arguments.structureOutputDescriptorSize = request.output;
    } else {
        arguments.structureOutput = out.get();
        arguments.structureOutputSize = request.output;
    }
    IOReturn result = client->externalMethod(request.selector, &arguments, nullptr, nullptr, nullptr);
    if (result == kIOReturnSuccess) {
        uint32_t has = longOutput ? arguments.structureOutputDescriptorSize : arguments.structureOutputSize;
        HARNESS_CHECK(has <= request.output, "%u bytes for a caller with room for %u", has, request.output);
        output.resize(has);
        if (longOutput) {
            longOutput->prepare();
            longOutput->readBytes(0, output.data(), has);
            longOutput->complete();
        } else {
            std::copy(out.get(), out.get() + has, output.begin());
        }
    }
    OSSafeReleaseNULL(longInput);
    OSSafeReleaseNULL(longOutput);
    return result;
}

void Client::answer(const FrameRequest &request, std::vector<uint8_t> input, std::vector<int> descriptors)
{
    harnessSetDescriptors(descriptors.data(), static_cast<unsigned>(descriptors.size()));
    std::vector<uint8_t> output;
    IOReturn result = request.selector >= FRAME_SIM ? own(request, input, output) : call(request, input, output);
    for (int descriptor : descriptors) {
        close(descriptor);
    }
    FrameAnswer answer = {FRAME_ANSWER, static_cast<uint32_t>(result), request.id, static_cast<uint32_t>(output.size()), 0};
    send(answer, output.data(), false);
}

void Client::run()
{
    client = OSTypeAlloc(IscsiUserClient);
    if (!client || !client->initWithTask(nullptr, static_cast<HarnessPort *>(this), 0, nullptr) || !client->harnessStart(hba)) {
        FrameAnswer refused = {FRAME_ANSWER, static_cast<uint32_t>(kIOReturnNotPrivileged), 0, 0, 0};
        send(refused, nullptr, false);
        OSSafeReleaseNULL(client);
        return;
    }
    ClientTasks tasks(stack, [this](std::vector<uint8_t> frame) { sendWhole(frame, false); });
    for (;;) {
        FrameRequest request = {};
        char control[CMSG_SPACE(FRAME_DESCRIPTORS * sizeof(int))];
        iovec part = {&request, sizeof(request)};
        msghdr message = {};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (got <= 0) {
            break;
        }
        std::vector<int> descriptors;
        for (cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
                size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                descriptors.resize(count);
                memcpy(descriptors.data(), CMSG_DATA(header), count * sizeof(int));
            }
        }
        size_t first = static_cast<size_t>(got);
        bool whole = readWhole(fd, reinterpret_cast<uint8_t *>(&request) + first, sizeof(request) - first);
        whole = whole && request.magic == FRAME_MAGIC && request.input <= FRAME_MOST && request.output <= FRAME_MOST;
        std::vector<uint8_t> input(whole ? request.input : 0);
        if (!whole || !readWhole(fd, input.data(), input.size())) {
            for (int descriptor : descriptors) {
                close(descriptor);
            }
            break;
        }
        if (request.selector == FRAME_TASK) {
            for (int descriptor : descriptors) {
                close(descriptor);
            }
            tasks.take(request.id, std::move(input));
            continue;
        }
        // Calls come from the threads of a process.
        {
            std::lock_guard<std::mutex> guard(running);
            ++calls;
        }
        std::thread([this, request, input = std::move(input), descriptors = std::move(descriptors)]() mutable {
            answer(request, std::move(input), std::move(descriptors));
            std::lock_guard<std::mutex> guard(running);
            --calls;
            idle.notify_all();
        }).detach();
    }
    client->clientDied();
    tasks.finish();
    std::unique_lock<std::mutex> guard(running);
    idle.wait(guard, [this] { return calls == 0; });
    client->release();
}

}

void HarnessPort::notify(uint64_t name, IOReturn result, const io_user_reference_t *words, unsigned count)
{
    std::lock_guard<std::mutex> guard(Client::lock());
    auto found = Client::all().find(name);
    if (found != Client::all().end()) {
        FrameAnswer notice = {FRAME_NOTICE, static_cast<uint32_t>(result), 0, static_cast<uint32_t>(count * sizeof(words[0])), 0};
        found->second->send(notice, words, true);
    }
}

int listenAt(const std::string &path)
{
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    HARNESS_CHECK(path.size() < sizeof(name.sun_path), "%s is too long", path.c_str());
    memcpy(name.sun_path, path.c_str(), path.size());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HARNESS_CHECK(fd >= 0 && bind(fd, reinterpret_cast<sockaddr *>(&name), sizeof(name)) == 0 && listen(fd, 64) == 0,
        "cannot listen at %s: %s", path.c_str(), strerror(errno));
    return fd;
}

void serveClients(const std::string &path, IscsiHBA *hba, HarnessStack *stack)
{
    int listener = listenAt(path);
    printf("ready\n");
    fflush(stdout);
    std::mutex lock;
    std::condition_variable gone;
    unsigned alive = 0;
    for (;;) {
        pollfd waits = {listener, POLLIN, 0};
        poll(&waits, 1, 50);
        {
            std::lock_guard<std::mutex> guard(Client::lock());
            if (Client::unloaded) {
                break;
            }
        }
        if (!(waits.revents & POLLIN)) {
            continue;
        }
        int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        {
            std::lock_guard<std::mutex> guard(lock);
            ++alive;
        }
        std::thread([&, fd] {
            {
                Client client(fd, hba, stack);
                client.run();
            }
            std::lock_guard<std::mutex> guard(lock);
            --alive;
            gone.notify_all();
        }).detach();
    }
    close(listener);
    unlink(path.c_str());
    {
        std::lock_guard<std::mutex> guard(Client::lock());
        for (auto &one : Client::all()) {
            one.second->hangUp();
        }
    }
    std::unique_lock<std::mutex> guard(lock);
    gone.wait(guard, [&] { return alive == 0; });
}
