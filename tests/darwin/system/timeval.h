// struct timeval (bsd/sys/_types/_timeval.h) as the program has it.
#pragma once
#include "darwin.h"

struct darwin_timeval {
    int64_t seconds;
    int32_t microseconds;
};
_Static_assert(sizeof(struct darwin_timeval) == 16, "struct timeval");
