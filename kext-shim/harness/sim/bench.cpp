// I/O straight from the SCSI stack, without an export: what the extension's way costs, and the harness around it.

#include <condition_variable>
#include <cstring>
#include <ctime>
#include <endian.h>
#include <functional>
#include <mutex>
#include <vector>

#include "../runtime/runtime.h"
#include "../runtime/stack.h"
#include "frames.h"
#include "server.h"

static uint64_t clockOf(clockid_t which)
{
    timespec now = {};
    clock_gettime(which, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

bool bench(HarnessStack *stack, const FrameBench &asked, FrameBenched &done)
{
    std::vector<HarnessUnit> units = stack->units();
    if (units.empty() || asked.bytes == 0 || asked.bytes % units[0].blockSize || asked.depth == 0 || asked.depth > 1024) {
        return false;
    }
    const HarnessUnit unit = units[0];
    uint32_t blocks = asked.bytes / unit.blockSize;
    uint64_t places = unit.blocks / blocks;
    if (places == 0) {
        return false;
    }
    std::mutex lock;
    std::condition_variable ended;
    unsigned alive = asked.depth;
    uint64_t begin = clockOf(CLOCK_MONOTONIC), cpu = clockOf(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t until = begin + asked.milliseconds * 1000000ull;
    uint64_t random = 88172645463325252ull;

    auto aim = [&](HarnessTask *task) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint64_t lba = htobe64(random % places * blocks);
        memcpy(task->cdb + 2, &lba, sizeof(lba));
    };
    // In the gate, so one at a time.
    std::function<void(HarnessTask *)> next = [&](HarnessTask *task) {
        bool good = task->response == kSCSIServiceResponse_TASK_COMPLETE && task->status == kSCSITaskStatus_GOOD;
        ++(good ? done.ios : done.failed);
        if (good && clockOf(CLOCK_MONOTONIC) < until) {
            aim(task);
            if (stack->submit(task)) {
                return;
            }
        }
        std::lock_guard<std::mutex> guard(lock);
        --alive;
        ended.notify_one();
    };
    uint8_t cdb[16] = {static_cast<uint8_t>(asked.writes ? 0x8a : 0x88)};
    uint32_t count = htobe32(blocks);
    memcpy(cdb + 10, &count, sizeof(count));
    std::vector<HarnessTask *> tasks;
    for (unsigned at = 0; at < asked.depth; ++at) {
        HarnessTask *task = HarnessTask::make(unit.target, unit.lun, cdb,
            asked.writes ? kSCSIDataTransfer_FromInitiatorToTarget : kSCSIDataTransfer_FromTargetToInitiator, asked.bytes);
        task->done = &next;
        tasks.push_back(task);
    }
    stack->loop->closeGate();
    for (HarnessTask *task : tasks) {
        aim(task);
        if (!stack->submit(task)) {
            --alive;
        }
    }
    stack->loop->openGate();
    {
        std::unique_lock<std::mutex> guard(lock);
        ended.wait(guard, [&] { return alive == 0; });
    }
    done.nanoseconds = clockOf(CLOCK_MONOTONIC) - begin;
    done.cpu_nanoseconds = clockOf(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    for (HarnessTask *task : tasks) {
        task->done = nullptr;
        task->release();
    }
    return true;
}
