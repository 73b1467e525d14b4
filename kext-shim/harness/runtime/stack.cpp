#include "stack.h"

#include <kern/clock.h>
#include <kern/thread.h>

#include <cstring>

#include "runtime.h"

OSDefineMetaClassAndStructors(HarnessTask, OSObject)
OSDefineMetaClassAndStructors(HarnessTaskTimer, IOEventSource)

// As the disk driver of macOS: so often, and so long between.
static const unsigned kAttempts = 20;
static const unsigned kBusyPause = 50;
uint32_t HarnessTask::usualTimeout = 30 * 1000;

HarnessTask *HarnessTask::make(uint64_t target, const uint8_t *lun, const uint8_t *cdb, unsigned direction, uint64_t count)
{
    // Allocations that fail are for the sources under test.
    HarnessTask *task = new HarnessTask;
    task = task ? task : new HarnessTask;
    HARNESS_CHECK(task, "no memory for a task");
    task->target = target;
    memcpy(task->lun, lun, sizeof(task->lun));
    memcpy(task->cdb, cdb, sizeof(task->cdb));
    task->direction = direction;
    task->count = count;
    task->timeout = usualTimeout;
    if (count > 0) {
        // Some buffers begin before the task's data do.
        task->offset = harnessIsAwkward() ? harnessRandom(3) * 512 : 0;
        task->buffer = IOMemoryDescriptor::harnessMake(task->offset + count, true);
    }
    return task;
}

void HarnessTask::free()
{
    HARNESS_CHECK(state != Submitted, "a task goes that is under way");
    OSSafeReleaseNULL(buffer);
    OSObject::free();
}

uint64_t HarnessTaskTimer::harnessCheck(uint64_t now)
{
    return stack->expire(now);
}

HarnessStack::HarnessStack(IOSCSIParallelInterfaceController *of) : hba(of), nextExpiry(UINT64_MAX), most(0)
{
    loop = IOWorkLoop::workLoop();
    gate = IOCommandGate::commandGate(of);
    loop->addEventSource(gate);
    timer = new HarnessTaskTimer;
    timer->stack = this;
    loop->addEventSource(timer);
}

HarnessStack::~HarnessStack()
{
    HARNESS_CHECK(outstanding.empty(), "%zu tasks are under way at the end", outstanding.size());
    HARNESS_CHECK(targets.empty(), "%zu targets are there at the end", targets.size());
    loop->removeEventSource(timer);
    loop->removeEventSource(gate);
    timer->release();
    gate->release();
    loop->release();
}

HarnessStack *HarnessStack::of(IOSCSIParallelInterfaceController *hba)
{
    return hba->stack;
}

HarnessTask *HarnessStack::taskOf(OSObject *identifier)
{
    HarnessTask *task = OSDynamicCast(HarnessTask, identifier);
    HARNESS_CHECK(task, "no task");
    HARNESS_CHECK(task->state == HarnessTask::Submitted, "a task is used that is not under way");
    return task;
}

bool HarnessStack::submit(HarnessTask *task)
{
    {
        std::unique_lock<std::mutex> guard(lock);
        if (!task->isLast && targets.find(task->target) == targets.end()) {
            return false;
        }
        // The workloop must not wait for itself.
        room.wait(guard, [this] { return outstanding.size() < most || loop->inGate(); });
        HARNESS_CHECK(task->state != HarnessTask::Submitted, "a task is issued twice");
        task->state = HarnessTask::Submitted;
        task->realized = 0;
        task->senseLength = 0;
        // What an earlier use has left behind.
        task->identifier = 0x5a5a5a5a5a5a5a5a;
        task->retain();
        outstanding.insert(task);
    }
    SCSIServiceResponse response = hba->ExecuteParallelTask(task);
    if (response != kSCSIServiceResponse_Request_In_Process) {
        gate->runAction(
            [](OSObject *, void *stack, void *ended, void *how, void *) -> IOReturn {
                static_cast<HarnessStack *>(stack)->completed(static_cast<HarnessTask *>(ended), kSCSITaskStatus_No_Status,
                    static_cast<SCSIServiceResponse>(reinterpret_cast<uintptr_t>(how)));
                return kIOReturnSuccess;
            },
            this, task, reinterpret_cast<void *>(static_cast<uintptr_t>(response)));
    }
    return true;
}

void HarnessStack::completed(HarnessTask *task, SCSITaskStatus status, SCSIServiceResponse response)
{
    HARNESS_CHECK(loop->inGate(), "a task is completed outside the gate");
    {
        std::lock_guard<std::mutex> guard(lock);
        HARNESS_CHECK(outstanding.erase(task) == 1, "a task is completed twice");
        timed.erase(task);
        task->state = HarnessTask::Ended;
        task->status = status;
        task->response = response;
        room.notify_one();
    }
    if (task->done) {
        (*task->done)(task);
    }
    task->release();
}

void HarnessStack::setTimeout(HarnessTask *task, uint32_t milliseconds)
{
    // As the family's: it closes the gate itself.
    loop->closeGate();
    bool earlier = false;
    {
        std::lock_guard<std::mutex> guard(lock);
        HARNESS_CHECK(outstanding.count(task) == 1, "a timer for a task that is not under way");
        clock_interval_to_deadline(milliseconds ? milliseconds : task->timeout, kMillisecondScale, &task->deadline);
        timed.insert(task);
        earlier = task->deadline < nextExpiry;
    }
    loop->openGate();
    if (earlier) {
        loop->harnessWake();
    }
}

uint64_t HarnessStack::expire(uint64_t now)
{
    for (;;) {
        HarnessTask *late = nullptr;
        uint64_t next = UINT64_MAX;
        {
            std::lock_guard<std::mutex> guard(lock);
            for (HarnessTask *task : timed) {
                if (task->deadline <= now) {
                    late = task;
                    break;
                }
                next = std::min(next, task->deadline);
            }
            if (late) {
                timed.erase(late);
            } else {
                nextExpiry = next;
            }
        }
        if (!late) {
            return next;
        }
        hba->HandleTimeout(late);
    }
}

HarnessTask *HarnessStack::find(uint64_t target, uint64_t tag)
{
    std::lock_guard<std::mutex> guard(lock);
    for (HarnessTask *task : outstanding) {
        if (task->target == target && reinterpret_cast<uint64_t>(task) == tag) {
            return task;
        }
    }
    return nullptr;
}

unsigned HarnessStack::outstandingCount()
{
    std::lock_guard<std::mutex> guard(lock);
    return static_cast<unsigned>(outstanding.size());
}

bool HarnessStack::execute(HarnessTask *task)
{
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
        std::mutex waiting;
        std::condition_variable woken;
        bool ended = false;
        std::function<void(HarnessTask *)> done = [&](HarnessTask *) {
            std::lock_guard<std::mutex> guard(waiting);
            ended = true;
            woken.notify_one();
        };
        task->done = &done;
        if (!submit(task)) {
            return false;
        }
        std::unique_lock<std::mutex> guard(waiting);
        woken.wait(guard, [&] { return ended; });
        task->done = nullptr;
        if (task->response != kSCSIServiceResponse_TASK_COMPLETE) {
            return false;
        }
        if (task->status == kSCSITaskStatus_BUSY || task->status == kSCSITaskStatus_TASK_SET_FULL) {
            IOSleep(kBusyPause);
            continue;
        }
        bool attention = task->status == kSCSITaskStatus_CHECK_CONDITION && task->senseLength > 2 && (task->sense[2] & 0x0f) == 6;
        if (!attention) {
            return task->status == kSCSITaskStatus_GOOD;
        }
    }
    return false;
}

bool HarnessStack::read(uint64_t target, const uint8_t *lun, const uint8_t *cdb, std::vector<uint8_t> &data)
{
    HarnessTask *task = HarnessTask::make(target, lun, cdb, kSCSIDataTransfer_FromTargetToInitiator, data.size());
    bool good = execute(task);
    data.resize(good ? task->realized : 0);
    if (!data.empty()) {
        task->buffer->readBytes(task->offset, data.data(), data.size());
    }
    task->release();
    return good;
}

static uint64_t number(const uint8_t *bytes, unsigned length)
{
    uint64_t value = 0;
    for (unsigned at = 0; at < length; ++at) {
        value = value << 8 | bytes[at];
    }
    return value;
}

bool HarnessStack::lookAt(uint64_t target, const uint8_t *lun, std::vector<HarnessUnit> &found)
{
    const uint8_t inquiry[16] = {0x12, 0, 0, 0, 96};
    std::vector<uint8_t> data(96);
    if (!read(target, lun, inquiry, data) || data.size() < 36 || (data[0] & 0xe0) != 0) {
        return false;
    }
    if ((data[0] & 0x1f) != 0) {
        return true;
    }
    const uint8_t capacity[16] = {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32};
    data.assign(32, 0);
    if (!read(target, lun, capacity, data) || data.size() < 12) {
        return false;
    }
    HarnessUnit unit = {};
    unit.target = target;
    memcpy(unit.lun, lun, sizeof(unit.lun));
    unit.number = static_cast<unsigned>(number(lun, 2)) & 0x3fff;
    unit.blocks = number(data.data(), 8) + 1;
    unit.blockSize = static_cast<uint32_t>(number(data.data() + 8, 4));
    found.push_back(unit);
    return true;
}

bool HarnessStack::look(uint64_t target, std::vector<HarnessUnit> &found)
{
    const uint8_t none[8] = {};
    const uint8_t list[16] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0};
    std::vector<uint8_t> data(4096);
    if (!read(target, none, list, data) || data.size() < 8) {
        return false;
    }
    size_t length = std::min<size_t>(data.size(), 8 + number(data.data(), 4));
    for (size_t at = 8; at + 8 <= length; at += 8) {
        if (!lookAt(target, &data[at], found)) {
            IOLog("unit %u of target %llu does not answer as a unit does\n", static_cast<unsigned>(number(&data[at], 2)),
                static_cast<unsigned long long>(target));
        }
    }
    return true;
}

/// What the family makes of a target.
class HarnessDevice : public IOService {
    OSDeclareDefaultStructors(HarnessDevice);

public:
    IOReturn requestProbe(IOOptionBits) override { return stack->rescan(target) ? kIOReturnSuccess : kIOReturnError; }
    HarnessStack *stack;
    uint64_t target;
};

OSDefineMetaClassAndStructors(HarnessDevice, IOService)

bool HarnessStack::create(uint64_t target)
{
    HARNESS_CHECK(!loop->inGate() && harnessLocksHeld() == 0, "a target is made where its commands would wait for ever");
    HarnessDevice *device = new HarnessDevice;
    if (!device || !device->init()) {
        OSSafeReleaseNULL(device);
        return false;
    }
    device->stack = this;
    device->target = target;
    {
        std::lock_guard<std::mutex> guard(lock);
        HARNESS_CHECK(targets.find(target) == targets.end(), "a target is made twice");
        targets[target].device = device;
    }
    // A target without units is a target nevertheless.
    rescan(target);
    return true;
}

bool HarnessStack::rescan(uint64_t target)
{
    std::vector<HarnessUnit> found;
    bool good = look(target, found);
    std::lock_guard<std::mutex> guard(lock);
    auto of = targets.find(target);
    if (of == targets.end()) {
        return false;
    }
    if (good) {
        of->second.units = found;
    }
    return good;
}

/// A target that goes: its device is terminated by a thread of the kernel's, whom nobody waits for.
struct HarnessStack::Leaving {
    HarnessStack *stack;
    Target target;
};

void HarnessStack::leave(void *order, int)
{
    Leaving *leaving = static_cast<Leaving *>(order);
    // As the disk driver does when its disk goes.
    const uint8_t flush[16] = {0x35};
    for (const HarnessUnit &unit : leaving->target.units) {
        HarnessTask *task = HarnessTask::make(unit.target, unit.lun, flush, kSCSIDataTransfer_NoDataTransfer, 0);
        task->isLast = true;
        leaving->stack->execute(task);
        task->release();
    }
    leaving->target.device->release();
    delete leaving;
}

void HarnessStack::destroy(uint64_t target)
{
    HARNESS_CHECK(!loop->inGate() && harnessLocksHeld() == 0, "a target goes with a lock held");
    Leaving *leaving = nullptr;
    {
        std::lock_guard<std::mutex> guard(lock);
        auto found = targets.find(target);
        if (found == targets.end()) {
            return;
        }
        leaving = new Leaving{this, std::move(found->second)};
        targets.erase(found);
    }
    thread_t thread;
    while (kernel_thread_start(&HarnessStack::leave, leaving, &thread) != KERN_SUCCESS) {
    }
    thread_deallocate(thread);
}

IOService *HarnessStack::device(uint64_t target)
{
    std::lock_guard<std::mutex> guard(lock);
    auto found = targets.find(target);
    return found == targets.end() ? nullptr : found->second.device;
}

std::vector<HarnessUnit> HarnessStack::units()
{
    std::vector<HarnessUnit> all;
    std::lock_guard<std::mutex> guard(lock);
    for (const auto &target : targets) {
        all.insert(all.end(), target.second.units.begin(), target.second.units.end());
    }
    return all;
}
