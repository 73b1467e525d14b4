#include "tasks.h"

#include <algorithm>
#include <cstring>

#include "../runtime/runtime.h"
#include "../runtime/stack.h"
#include "frames.h"

struct ClientTasks::Operation {
    uint64_t id;
    HarnessTask *task;
    std::function<void(HarnessTask *)> done;
};

ClientTasks::ClientTasks(HarnessStack *on, Answers through) : stack(on), answers(std::move(through)), pending(0), over(false)
{
}

ClientTasks::~ClientTasks()
{
    finish();
}

void ClientTasks::take(uint64_t id, std::vector<uint8_t> input)
{
    std::lock_guard<std::mutex> guard(lock);
    // Most clients have none.
    if (!issuer.joinable()) {
        issuer = std::thread([this] { issue(); });
        answerer = std::thread([this] { answer(); });
    }
    asked.push_back({id, std::move(input)});
    changed.notify_all();
}

void ClientTasks::finish()
{
    {
        std::lock_guard<std::mutex> guard(lock);
        over = true;
        // Their client does not listen any more.
        asked.clear();
        changed.notify_all();
    }
    if (issuer.joinable()) {
        issuer.join();
        answerer.join();
    }
}

void ClientTasks::issue()
{
    std::unique_lock<std::mutex> guard(lock);
    for (;;) {
        changed.wait(guard, [this] { return over || !asked.empty(); });
        if (asked.empty()) {
            return;
        }
        Asked next = std::move(asked.front());
        asked.pop_front();
        ++pending;
        guard.unlock();
        issueOne(std::move(next));
        guard.lock();
    }
}

void ClientTasks::issueOne(Asked next)
{
    FrameTask in = {};
    size_t data = next.input.size() < sizeof(in) ? 0 : next.input.size() - sizeof(in);
    if (next.input.size() >= sizeof(in)) {
        memcpy(&in, next.input.data(), sizeof(in));
    }
    bool good = next.input.size() >= sizeof(in) && in.direction <= FRAME_TO_TARGET && in.length <= FRAME_TASK_MOST
        && (in.length == 0 || in.direction != FRAME_NO_DATA) && data == (in.direction == FRAME_TO_TARGET ? in.length : 0);
    if (!good) {
        queue(frameOf(next.id, kIOReturnBadArgument, nullptr));
        return;
    }
    unsigned direction = in.direction == FRAME_FROM_TARGET ? kSCSIDataTransfer_FromTargetToInitiator
        : in.direction == FRAME_TO_TARGET                  ? kSCSIDataTransfer_FromInitiatorToTarget
                                                           : kSCSIDataTransfer_NoDataTransfer;
    Operation *operation = new Operation{next.id, HarnessTask::make(in.target, in.lun, in.cdb, direction, in.length), {}};
    if (data > 0) {
        operation->task->buffer->writeBytes(operation->task->offset, next.input.data() + sizeof(in), data);
    }
    // In the gate. It ends with the operation, so what it needs afterwards is on the stack.
    operation->done = [this, operation](HarnessTask *task) {
        ClientTasks *self = this;
        std::vector<uint8_t> frame = frameOf(operation->id, kIOReturnSuccess, task);
        task->done = nullptr;
        task->release();
        delete operation;
        self->queue(std::move(frame));
    };
    operation->task->done = &operation->done;
    if (!stack->submit(operation->task)) {
        // As the family does it for a device that is not there any more.
        operation->task->response = kSCSIServiceResponse_SERVICE_DELIVERY_OR_TARGET_FAILURE;
        operation->task->status = kSCSITaskStatus_DeviceNotPresent;
        operation->done(operation->task);
    }
}

std::vector<uint8_t> ClientTasks::frameOf(uint64_t id, IOReturn result, const HarnessTask *task)
{
    FrameTasked out = {};
    size_t data = 0;
    if (task) {
        out.response = task->response == kSCSIServiceResponse_TASK_COMPLETE ? FRAME_COMPLETE : FRAME_FAILED;
        out.status = static_cast<uint32_t>(task->status);
        out.realized = task->realized;
        out.sense_length = task->senseLength;
        static_assert(sizeof(out.sense) >= sizeof(task->sense), "room for all of it");
        memcpy(out.sense, task->sense, task->senseLength);
        data = task->direction == kSCSIDataTransfer_FromTargetToInitiator && task->buffer ? task->realized : 0;
    }
    size_t length = task ? sizeof(out) + data : 0;
    FrameAnswer head = {FRAME_ANSWER, static_cast<uint32_t>(result), id, static_cast<uint32_t>(length), 0};
    std::vector<uint8_t> frame(sizeof(head) + length);
    memcpy(frame.data(), &head, sizeof(head));
    if (task) {
        memcpy(frame.data() + sizeof(head), &out, sizeof(out));
    }
    if (data > 0) {
        task->buffer->readBytes(task->offset, frame.data() + sizeof(head) + sizeof(out), data);
    }
    return frame;
}

void ClientTasks::queue(std::vector<uint8_t> frame)
{
    std::lock_guard<std::mutex> guard(lock);
    ended.push_back(std::move(frame));
    --pending;
    changed.notify_all();
}

void ClientTasks::answer()
{
    std::unique_lock<std::mutex> guard(lock);
    for (;;) {
        changed.wait(guard, [this] { return !ended.empty() || (over && asked.empty() && pending == 0); });
        if (ended.empty()) {
            return;
        }
        std::vector<uint8_t> next = std::move(ended.front());
        ended.pop_front();
        guard.unlock();
        answers(std::move(next));
        guard.lock();
    }
}
