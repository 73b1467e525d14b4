// What a process used: bsd/sys/resource.h.
#pragma once
#include "darwin.h"
#include "system/timeval.h"
#include <sys/resource.h>

struct darwin_rusage {
    struct darwin_timeval user, system;
    int64_t most_resident;   // in bytes; Linux: in 1024
    int64_t shared, data, stack, minor_faults, major_faults, swaps, blocks_in, blocks_out, sent, received, signals;
    int64_t voluntary_switches, involuntary_switches;
};
_Static_assert(sizeof(struct darwin_rusage) == 144, "struct rusage");

void usage_to_darwin(const struct rusage *from, struct darwin_rusage *to);
