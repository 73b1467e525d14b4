// Bytes and words. What C and POSIX say of these leaves nothing to a system.
#include "darwin.h"
#include <stdarg.h>
#include <strings.h>

SAME(memchr)
SAME(memcmp)
SAME(memcpy)
SAME(memmove)
SAME(memset)
SAME(strcmp)
SAME(strlen)
SAME(strncmp)
SAME(strncpy)
SAME(bzero)
SHIM("___bzero", bzero)

// memset_pattern16(3): the 16 bytes again and again, the last time as many as there is room for.
static void darwin_memset_pattern16(void *to, const void *pattern, size_t length) {
    enum { PATTERN = 16 };
    for (size_t at = 0; at < length; at += PATTERN)
        memcpy((char *)to + at, pattern, length - at < PATTERN ? length - at : PATTERN);
}
OURS(memset_pattern16)

#ifdef __aarch64__
// A va_list of Linux (Procedure Call Standard for the Arm 64-bit Architecture, appendix A) that has nothing left in
// registers: all of Darwin's `...` is on the stack, eight bytes each, as Linux' is when the registers are used up.
static int darwin_snprintf(char *to, size_t size, const char *format, void *dots) {
    struct { void *stack, *general_top, *vector_top; int general_left, vector_left; } all_on_stack = {.stack = dots};
    va_list list;
    _Static_assert(sizeof list == sizeof all_on_stack, "va_list");
    memcpy(&list, &all_on_stack, sizeof list);
    return vsnprintf(to, size, format, list);
}
LIST("_snprintf", darwin_snprintf, 3)
#else
LIST("_snprintf", snprintf, 3)
#endif
