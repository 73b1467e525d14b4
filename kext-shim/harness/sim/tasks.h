// The tasks of one client (FRAME_TASK): issued and answered beside its calls.
//
//   client ── take ──► issuer ──► HarnessStack::submit ──► … ──► ended, in the gate ──► answerer ──► client
//
// The issuer may have to wait for room among the stack's tasks, and the answerer for a client that reads slowly: neither
// may stop the client's other calls, nor the gate.

#ifndef HARNESS_TASKS_H
#define HARNESS_TASKS_H

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <IOKit/IOTypes.h>

class HarnessStack;
class HarnessTask;
struct FrameTask;

class ClientTasks {
public:
    /// `answers`: sends the answer to the call of that id, frame and all.
    typedef std::function<void(std::vector<uint8_t> frame)> Answers;
    ClientTasks(HarnessStack *stack, Answers answers);
    ~ClientTasks();

    /// Takes a call on, which is answered in any case.
    void take(uint64_t id, std::vector<uint8_t> input);
    /// The client has gone. Returns when every task has ended.
    void finish();

private:
    struct Asked {
        uint64_t id;
        std::vector<uint8_t> input;
    };
    struct Operation;
    void issue();
    void issueOne(Asked asked);
    void answer();
    static std::vector<uint8_t> frameOf(uint64_t id, IOReturn result, const HarnessTask *task);
    void queue(std::vector<uint8_t> frame);

    HarnessStack *stack;
    Answers answers;
    std::mutex lock;
    std::condition_variable changed;
    std::deque<Asked> asked;
    std::deque<std::vector<uint8_t>> ended;
    unsigned pending;
    bool over;
    std::thread issuer;
    std::thread answerer;
};

#endif
