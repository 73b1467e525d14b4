// Memory that is there, or the end: nothing here could be told to the program as its own want of memory.
#pragma once
#include "darwin.h"

static inline void *zeroed(size_t count, size_t size) {
    void *at = calloc(count, size);
    if (!at) refuse("no memory for %zu times %zu bytes", count, size);
    return at;
}
