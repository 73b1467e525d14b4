// The SCSI stack above the HBA: tasks, their timers, targets and the units on them.
//
//   HarnessStack::find ── INQUIRY, REPORT LUNS, READ CAPACITY ──► units
//   HarnessStack::submit ── ProcessParallelTask ──► HBA ── CompleteParallelTask, in the gate ──► HarnessTask::done

#ifndef HARNESS_STACK_H
#define HARNESS_STACK_H

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <IOKit/IOTimerEventSource.h>
#include <IOKit/scsi/spi/IOSCSIParallelInterfaceController.h>

class HarnessStack;

/// A SCSI task, as the family keeps one.
class HarnessTask : public OSObject {
    OSDeclareDefaultStructors(HarnessTask);

public:
    static HarnessTask *make(uint64_t target, const uint8_t *lun, const uint8_t *cdb, unsigned direction, uint64_t count);
    void free() override;

    /// Of tasks that say nothing else, in milliseconds.
    static uint32_t usualTimeout;

    uint64_t target;
    uint8_t lun[8];
    uint8_t cdb[16];
    unsigned direction;
    uint64_t count;
    /// Where in `buffer` the task's data begins.
    uint64_t offset;
    IOMemoryDescriptor *buffer;
    uint32_t timeout;

    SCSIServiceResponse response;
    SCSITaskStatus status;
    uint64_t realized;
    uint8_t sense[96];
    unsigned senseLength;

    /// The last commands of a target that is not there any more.
    bool isLast;
    /// In the gate, once; the task is the caller's again.
    std::function<void(HarnessTask *)> *done;

private:
    friend class HarnessStack;
    friend class IOSCSIParallelInterfaceController;
    enum State { Idle, Submitted, Ended } state;
    UInt64 identifier;
    uint64_t deadline;
};

/// A disk that was found.
struct HarnessUnit {
    uint64_t target;
    uint8_t lun[8];
    unsigned number;
    uint64_t blocks;
    uint32_t blockSize;
    bool writeProtected;
};

/// The timer of tasks, on the HBA's workloop.
class HarnessTaskTimer : public IOEventSource {
    OSDeclareDefaultStructors(HarnessTaskTimer);

public:
    uint64_t harnessCheck(uint64_t now) override;
    HarnessStack *stack;
};

class HarnessStack {
public:
    explicit HarnessStack(IOSCSIParallelInterfaceController *hba);
    ~HarnessStack();
    static HarnessStack *of(IOSCSIParallelInterfaceController *hba);

    /// Issues a task; `done` follows, perhaps before this returns. False if there is no such target: then not.
    bool submit(HarnessTask *task);
    /// Issues a task and waits for it. Issues it again after a unit attention or where the unit is busy.
    bool execute(HarnessTask *task);
    /// The disks of all targets.
    std::vector<HarnessUnit> units();

    // The controller's.
    bool create(uint64_t target);
    void destroy(uint64_t target);
    bool rescan(uint64_t target);
    IOService *device(uint64_t target);
    void completed(HarnessTask *task, SCSITaskStatus status, SCSIServiceResponse response);
    void setTimeout(HarnessTask *task, uint32_t milliseconds);
    HarnessTask *find(uint64_t target, uint64_t tag);
    uint64_t expire(uint64_t now);
    unsigned outstandingCount();
    HarnessTask *taskOf(OSObject *identifier);

    IOWorkLoop *loop;
    IOCommandGate *gate;

private:
    struct Target {
        IOService *device;
        std::vector<HarnessUnit> units;
    };
    struct Leaving;
    static void leave(void *leaving, int);
    bool look(uint64_t target, std::vector<HarnessUnit> &found);
    bool lookAt(uint64_t target, const uint8_t *lun, std::vector<HarnessUnit> &found);
    bool read(uint64_t target, const uint8_t *lun, const uint8_t *cdb, std::vector<uint8_t> &data);

    IOSCSIParallelInterfaceController *hba;
    HarnessTaskTimer *timer;
    std::mutex lock;
    std::condition_variable room;
    std::map<uint64_t, Target> targets;
    std::set<HarnessTask *> outstanding;
    std::set<HarnessTask *> timed;
    uint64_t nextExpiry;
    unsigned most;
    friend class IOSCSIParallelInterfaceController;
};

#endif
