// What the parts of the harness know of each other, beyond what kernels declare.

#ifndef HARNESS_RUNTIME_H
#define HARNESS_RUNTIME_H

#include <IOKit/IOLib.h>
#include <IOKit/IOTypes.h>

/// Stops the process with a sentence: the sources under test have broken a rule of the kernel.
#define HARNESS_CHECK(condition, ...)                                                                                              \
    do {                                                                                                                           \
        if (!(condition)) {                                                                                                        \
            panic("rule broken: " #condition ": " __VA_ARGS__);                                                                    \
        }                                                                                                                          \
    } while (0)

/// Locks that the calling thread holds.
unsigned harnessLocksHeld();

/// The descriptors that came with the call that this thread serves, as its process' table.
void harnessSetDescriptors(const int *descriptors, unsigned count);

/// From the n-th allocation of the C++ on, one fails; 0: none does.
void harnessFailAllocation(unsigned n);

/// Cuts what is received and sent at awkward places, by that seed; 0 does not.
void harnessBeAwkward(unsigned long seed);
bool harnessIsAwkward();
/// A number below `below`.
unsigned harnessRandom(unsigned below);

/// Waits until every kernel thread has ended.
void harnessJoinThreads();
/// Names what is left and says how much that is: objects, memory, locks, sockets, mbufs.
unsigned harnessLeaks();

/// Counts things of a kind that must be gone in the end.
struct HarnessCount {
    const char *name;
    long alive;
    HarnessCount *next;
    explicit HarnessCount(const char *of);
    void add(long by) { __atomic_fetch_add(&alive, by, __ATOMIC_RELAXED); }
};

#endif
