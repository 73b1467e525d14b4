// What goes over the control socket: a call of a user client, its answer, and notices.
//
//   request:  FrameRequest, then `input` bytes; descriptors beside the first byte (SCM_RIGHTS)
//   answer:   FrameAnswer of kind 0, then `length` bytes
//   notice:   FrameAnswer of kind 1, then 128 bytes (IscsiNotice)
//
// A connection is a user client: it is opened with it, and closes or dies with it. Selectors from FRAME_SIM on are the
// harness's own.

#ifndef HARNESS_FRAMES_H
#define HARNESS_FRAMES_H

#include <cstdint>

struct FrameRequest {
    uint32_t magic;
    uint32_t selector;
    uint32_t input;
    /// Room for the answer, in bytes.
    uint32_t output;
    uint64_t id;
};

struct FrameAnswer {
    uint32_t kind;
    /// IOReturn.
    uint32_t result;
    uint64_t id;
    uint32_t length;
    uint32_t reserved;
};

static const uint32_t FRAME_MAGIC = 0x69536b31;
/// Bytes of a call or of its answer: the longest task's data, and what stands before them.
static const uint32_t FRAME_TASK_MOST = 8 << 20;
static const uint32_t FRAME_MOST = FRAME_TASK_MOST + 4096;
static const unsigned FRAME_DESCRIPTORS = 4;

static const uint32_t FRAME_SIM = 0x8000;
/// The disks: FrameUnit each.
static const uint32_t FRAME_UNITS = FRAME_SIM + 0;
/// Unload the extension: kIOReturnSuccess, or kIOReturnError where it refuses. The process ends.
static const uint32_t FRAME_UNLOAD = FRAME_SIM + 1;
/// One allocation fails: the n-th from now on, n as a uint32_t.
static const uint32_t FRAME_FAIL_ALLOCATION = FRAME_SIM + 2;
/// The client closes (IOServiceClose) but the connection stays.
static const uint32_t FRAME_CLOSE = FRAME_SIM + 3;

/// I/O on the first disk, straight from the SCSI stack: FrameBench, FrameBenched.
static const uint32_t FRAME_BENCH = FRAME_SIM + 4;

struct FrameBench {
    uint32_t bytes;
    uint32_t depth;
    uint32_t milliseconds;
    uint32_t writes;
};

struct FrameBenched {
    uint64_t ios;
    uint64_t failed;
    uint64_t nanoseconds;
    /// Of the whole process.
    uint64_t cpu_nanoseconds;
};

/// A task through the SCSI stack, as the operating system's disk driver issues one: FrameTask, then the data that go to
/// the target; FrameTasked, then the data that came from it. Issued once: whether it is issued again is the caller's
/// business. Answers come in the order in which the tasks end.
static const uint32_t FRAME_TASK = FRAME_SIM + 5;

static const uint32_t FRAME_NO_DATA = 0;
static const uint32_t FRAME_FROM_TARGET = 1;
static const uint32_t FRAME_TO_TARGET = 2;

struct FrameTask {
    uint64_t target;
    uint8_t lun[8];
    uint8_t cdb[16];
    /// FRAME_NO_DATA and so on.
    uint32_t direction;
    /// Of the data, up to FRAME_TASK_MOST; 0 without a direction.
    uint32_t length;
};

/// kSCSIServiceResponse_TASK_COMPLETE; or anything else, also that there is no such target.
static const uint32_t FRAME_COMPLETE = 0;
static const uint32_t FRAME_FAILED = 1;

struct FrameTasked {
    uint32_t response;
    /// SCSITaskStatus.
    uint32_t status;
    uint64_t realized;
    uint32_t sense_length;
    uint8_t sense[100];
};

struct FrameUnit {
    uint64_t target;
    uint64_t blocks;
    uint32_t number;
    uint32_t block_size;
};

static_assert(sizeof(FrameRequest) == 24 && sizeof(FrameAnswer) == 24 && sizeof(FrameUnit) == 24, "as the other side has them");
static_assert(sizeof(FrameTask) == 40 && sizeof(FrameTasked) == 120, "as the other side has them");

#endif
