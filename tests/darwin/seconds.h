// What a second is made of, under the names of Darwin's osfmk/mach/clock_types.h.
#pragma once

enum {
    NSEC_PER_SEC = 1000000000,
    NSEC_PER_MSEC = 1000000,
    NSEC_PER_USEC = 1000,
    USEC_PER_SEC = 1000000,
    MSEC_PER_SEC = 1000,
};
