// Pages as the program has them: of 4096 bytes on Intel's processors, of 16384 on Apple's (osfmk/mach/arm/vm_param.h).
#pragma once
#include "darwin.h"

#ifdef __aarch64__
enum { DARWIN_PAGE = 16384 };
#else
enum { DARWIN_PAGE = 4096 };
#endif

static inline size_t round_page(size_t length)
{
    return (length + DARWIN_PAGE - 1) & ~(size_t)(DARWIN_PAGE - 1);
}

static inline size_t beyond_page(const void *at)
{
    return (uintptr_t)at & (DARWIN_PAGE - 1);
}
