// A user client of the extension in its harness, iscsi-kernel-sim, over its socket: what a kernel would do for IOKit.
// Its frames are those of kext-shim/messages/src/harness.rs.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel_sim;

// What the other side says unasked, in a thread of the connection's. `words` is NULL when it has gone: the last time.
typedef void kernel_sim_heard(void *context, const uint64_t *words, uint32_t count);

// NULL: nobody is there. DARWIN_KERNEL_SIM names the socket.
struct kernel_sim *kernel_sim_open(kernel_sim_heard *heard, void *context);
// A call, from any thread: at most `*room` bytes of output, and then how many there are. An IOReturn. A descriptor goes
// beside it; -1: none does.
int kernel_sim_call(struct kernel_sim *sim, uint32_t selector, const void *input, size_t length, int descriptor,
                    void *output, size_t *room);
// Nothing is heard any more when it returns.
void kernel_sim_close(struct kernel_sim *sim);

// A disk that the SCSI stack has found: FrameUnit.
struct kernel_sim_unit { uint64_t target, blocks; uint32_t number, block_size; };
_Static_assert(sizeof(struct kernel_sim_unit) == 24, "FrameUnit");
enum { KERNEL_SIM_UNITS = 0x8000 };  // FRAME_UNITS: the selector that lists them
