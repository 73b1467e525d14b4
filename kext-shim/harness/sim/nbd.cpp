// The disks by NBD, as a kernel would have them as /dev/diskN: newstyle handshake, simple replies.
//
//   client ── request ──► a task for the SCSI stack ──► done, in the gate ──► the connection's writer ── reply ──► client

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <endian.h>
#include <functional>
#include <memory>
#include <mutex>
#include <poll.h>
#include <set>
#include <sys/socket.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "../runtime/runtime.h"
#include "../runtime/stack.h"
#include "server.h"

namespace {

const uint32_t kMost = 4 << 20;
const uint64_t kMagic = 0x49484156454f5054;
const uint32_t kRequest = 0x25609513, kReply = 0x67446698;
const uint16_t kHasFlags = 1, kSendFlush = 4, kSendFua = 8, kCanMultiConn = 0x100;
const unsigned kAttempts = 20;

std::mutex allLock;
std::condition_variable allGone;
std::set<int> all;
int listener = -1;
unsigned alive;
bool stopping;

struct Export {
    HarnessUnit unit;
    bool found;
};

struct Operation {
    uint64_t handle;
    uint16_t type;
    HarnessTask *task;
    std::vector<uint8_t> data;
    std::function<void(HarnessTask *)> done;
    unsigned attempts;
};

void put(std::vector<uint8_t> &to, const void *bytes, size_t length)
{
    const uint8_t *from = static_cast<const uint8_t *>(bytes);
    to.insert(to.end(), from, from + length);
}

template <typename T> void putNumber(std::vector<uint8_t> &to, T value)
{
    for (size_t at = sizeof(T); at-- > 0;) {
        to.push_back(static_cast<uint8_t>(value >> (8 * at)));
    }
}

template <typename T> T numberAt(const uint8_t *from)
{
    T value = 0;
    for (size_t at = 0; at < sizeof(T); ++at) {
        value = static_cast<T>(value << 8 | from[at]);
    }
    return value;
}

class Connection {
public:
    Connection(int of, HarnessStack *on) : fd(of), stack(on), pending(0), ends(false) {}
    void run();

private:
    bool shakeHands();
    bool option(uint32_t code, const std::vector<uint8_t> &data, bool &transmits);
    Export find(const std::string &name);
    void transmit();
    bool start(uint16_t flags, uint16_t type, uint64_t handle, uint64_t offset, uint32_t length);
    void ended(Operation *operation);
    void reply(uint64_t handle, uint32_t error, const std::vector<uint8_t> &data);
    void write();
    bool get(void *bytes, size_t length);
    bool send(const std::vector<uint8_t> &bytes);

    int fd;
    HarnessStack *stack;
    HarnessUnit unit;
    std::mutex lock;
    std::condition_variable changed;
    std::deque<std::vector<uint8_t>> replies;
    unsigned pending;
    bool ends;
};

bool Connection::get(void *bytes, size_t length)
{
    uint8_t *at = static_cast<uint8_t *>(bytes);
    while (length > 0) {
        ssize_t got = recv(fd, at, length, 0);
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

bool Connection::send(const std::vector<uint8_t> &bytes)
{
    for (size_t at = 0; at < bytes.size();) {
        ssize_t sent = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        at += static_cast<size_t>(sent);
    }
    return true;
}

Export Connection::find(const std::string &name)
{
    for (const HarnessUnit &one : stack->units()) {
        if (name == std::to_string(one.target) + "/" + std::to_string(one.number)) {
            return {one, true};
        }
    }
    return {{}, false};
}

bool Connection::option(uint32_t code, const std::vector<uint8_t> &data, bool &transmits)
{
    auto answer = [&](uint32_t kind, const std::vector<uint8_t> &payload) {
        std::vector<uint8_t> out;
        putNumber<uint64_t>(out, 0x0003e889045565a9);
        putNumber<uint32_t>(out, code);
        putNumber<uint32_t>(out, kind);
        putNumber<uint32_t>(out, static_cast<uint32_t>(payload.size()));
        put(out, payload.data(), payload.size());
        return send(out);
    };
    const uint32_t acknowledge = 1, info = 3, unknown = 0x80000006, unsupported = 0x80000001, invalid = 0x80000003;
    const uint16_t flags = kHasFlags | kSendFlush | kSendFua | kCanMultiConn;
    switch (code) {
    case 2:
        answer(acknowledge, {});
        return false;
    case 3: {
        for (const HarnessUnit &one : stack->units()) {
            std::string name = std::to_string(one.target) + "/" + std::to_string(one.number);
            std::vector<uint8_t> server;
            putNumber<uint32_t>(server, static_cast<uint32_t>(name.size()));
            put(server, name.data(), name.size());
            if (!answer(2, server)) {
                return false;
            }
        }
        return answer(acknowledge, {});
    }
    case 6:
    case 7: {
        if (data.size() < 6) {
            return answer(invalid, {});
        }
        uint32_t length = numberAt<uint32_t>(data.data());
        if (length > data.size() - 6) {
            return answer(invalid, {});
        }
        Export found = find(std::string(data.begin() + 4, data.begin() + 4 + length));
        if (!found.found) {
            return answer(unknown, {});
        }
        unit = found.unit;
        std::vector<uint8_t> size, block;
        putNumber<uint16_t>(size, 0);
        putNumber<uint64_t>(size, unit.blocks * unit.blockSize);
        putNumber<uint16_t>(size, flags);
        putNumber<uint16_t>(block, 3);
        putNumber<uint32_t>(block, unit.blockSize);
        putNumber<uint32_t>(block, std::max<uint32_t>(unit.blockSize, 4096));
        putNumber<uint32_t>(block, kMost);
        transmits = code == 7;
        return answer(info, size) && answer(info, block) && answer(acknowledge, {});
    }
    default:
        return answer(unsupported, {});
    }
}

bool Connection::shakeHands()
{
    std::vector<uint8_t> hello;
    put(hello, "NBDMAGICIHAVEOPT", 16);
    putNumber<uint16_t>(hello, 3);
    uint8_t flags[4];
    if (!send(hello) || !get(flags, sizeof(flags))) {
        return false;
    }
    for (bool transmits = false; !transmits;) {
        uint8_t head[16];
        if (!get(head, sizeof(head)) || numberAt<uint64_t>(head) != kMagic) {
            return false;
        }
        uint32_t length = numberAt<uint32_t>(head + 12);
        if (length > 4096) {
            return false;
        }
        std::vector<uint8_t> data(length);
        if (!get(data.data(), length) || !option(numberAt<uint32_t>(head + 8), data, transmits)) {
            return false;
        }
    }
    return true;
}

void Connection::reply(uint64_t handle, uint32_t error, const std::vector<uint8_t> &data)
{
    std::vector<uint8_t> out;
    out.reserve(16 + data.size());
    putNumber<uint32_t>(out, kReply);
    putNumber<uint32_t>(out, error);
    putNumber<uint64_t>(out, handle);
    put(out, data.data(), data.size());
    std::lock_guard<std::mutex> guard(lock);
    replies.push_back(std::move(out));
    changed.notify_all();
}

// In the gate.
void Connection::ended(Operation *operation)
{
    HarnessTask *task = operation->task;
    bool answered = task->response == kSCSIServiceResponse_TASK_COMPLETE;
    bool good = answered && task->status == kSCSITaskStatus_GOOD && task->realized == task->count;
    bool attention = answered && task->status == kSCSITaskStatus_CHECK_CONDITION && task->senseLength > 2 && (task->sense[2] & 0x0f) == 6;
    bool busy = answered && (task->status == kSCSITaskStatus_BUSY || task->status == kSCSITaskStatus_TASK_SET_FULL);
    if ((attention || busy) && ++operation->attempts < kAttempts && stack->submit(task)) {
        return;
    }
    std::vector<uint8_t> data;
    if (good && operation->type == 0) {
        data.resize(task->count);
        task->buffer->readBytes(task->offset, data.data(), data.size());
    }
    reply(operation->handle, good ? 0 : EIO, data);
    task->done = nullptr;
    task->release();
    delete operation;
    std::lock_guard<std::mutex> guard(lock);
    --pending;
    changed.notify_all();
}

bool Connection::start(uint16_t flags, uint16_t type, uint64_t handle, uint64_t offset, uint32_t length)
{
    uint8_t cdb[16] = {};
    unsigned direction = kSCSIDataTransfer_NoDataTransfer;
    std::vector<uint8_t> data;
    if (type == 1) {
        if (length > kMost) {
            return false;
        }
        data.resize(length);
        if (!get(data.data(), length)) {
            return false;
        }
    }
    switch (type) {
    case 0:
        cdb[0] = 0x88;
        direction = kSCSIDataTransfer_FromTargetToInitiator;
        break;
    case 1:
        cdb[0] = 0x8a;
        cdb[1] = flags & 1 ? 0x08 : 0;
        direction = kSCSIDataTransfer_FromInitiatorToTarget;
        break;
    case 3:
        cdb[0] = 0x91;
        length = 0;
        break;
    default:
        reply(handle, EINVAL, {});
        return true;
    }
    uint64_t size = unit.blocks * unit.blockSize;
    if (type != 3) {
        if (length == 0 || length > kMost || offset % unit.blockSize || length % unit.blockSize || offset > size || length > size - offset) {
            reply(handle, EINVAL, {});
            return true;
        }
        uint64_t lba = htobe64(offset / unit.blockSize);
        uint32_t blocks = htobe32(length / unit.blockSize);
        memcpy(cdb + 2, &lba, sizeof(lba));
        memcpy(cdb + 10, &blocks, sizeof(blocks));
    }
    Operation *operation = new Operation{handle, type, HarnessTask::make(unit.target, unit.lun, cdb, direction, length), {}, {}, 0};
    if (type == 1) {
        operation->task->buffer->writeBytes(operation->task->offset, data.data(), data.size());
    }
    operation->done = [this, operation](HarnessTask *) { ended(operation); };
    operation->task->done = &operation->done;
    {
        std::lock_guard<std::mutex> guard(lock);
        ++pending;
    }
    if (!stack->submit(operation->task)) {
        reply(handle, EIO, {});
        operation->task->release();
        delete operation;
        std::lock_guard<std::mutex> guard(lock);
        --pending;
    }
    return true;
}

void Connection::write()
{
    std::unique_lock<std::mutex> guard(lock);
    for (;;) {
        changed.wait(guard, [this] { return !replies.empty() || (ends && pending == 0); });
        if (replies.empty()) {
            return;
        }
        std::vector<uint8_t> next = std::move(replies.front());
        replies.pop_front();
        guard.unlock();
        // Who has gone does not read its answers.
        send(next);
        guard.lock();
    }
}

void Connection::transmit()
{
    std::thread writer([this] { write(); });
    for (;;) {
        uint8_t head[28];
        if (!get(head, sizeof(head)) || numberAt<uint32_t>(head) != kRequest) {
            break;
        }
        uint16_t type = numberAt<uint16_t>(head + 6);
        if (type == 2
            || !start(numberAt<uint16_t>(head + 4), type, numberAt<uint64_t>(head + 8), numberAt<uint64_t>(head + 16),
                numberAt<uint32_t>(head + 24))) {
            break;
        }
    }
    {
        std::lock_guard<std::mutex> guard(lock);
        ends = true;
        changed.notify_all();
    }
    writer.join();
}

void Connection::run()
{
    if (shakeHands()) {
        transmit();
    }
}

}

void serveDisks(const std::string &path, HarnessStack *stack)
{
    int fd = listenAt(path);
    {
        std::lock_guard<std::mutex> guard(allLock);
        listener = fd;
    }
    for (;;) {
        int client = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
        std::lock_guard<std::mutex> guard(allLock);
        if (client < 0 || stopping) {
            if (client >= 0) {
                close(client);
            }
            if (stopping) {
                break;
            }
            continue;
        }
        all.insert(client);
        ++alive;
        std::thread([client, stack] {
            Connection(client, stack).run();
            std::lock_guard<std::mutex> guard(allLock);
            all.erase(client);
            close(client);
            --alive;
            allGone.notify_all();
        }).detach();
    }
    close(fd);
    unlink(path.c_str());
}

void stopDisks()
{
    std::unique_lock<std::mutex> guard(allLock);
    stopping = true;
    if (listener >= 0) {
        shutdown(listener, SHUT_RDWR);
    }
    for (int client : all) {
        shutdown(client, SHUT_RDWR);
    }
    allGone.wait(guard, [] { return alive == 0; });
}
