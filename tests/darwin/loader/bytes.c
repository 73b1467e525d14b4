#include "darwin.h"
#include "loader/bytes.h"
#include <inttypes.h>
#include <stdarg.h>
#include <sysexits.h>

const char *bytes_of_file = "?";

_Noreturn void malformed(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "machrun: %s: ", bytes_of_file);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    _exit(EX_DATAERR);
}

static void must_have(struct bytes bytes, uint64_t offset, uint64_t length) {
    if (offset > bytes.length || length > bytes.length - offset)
        malformed("%s: %" PRIu64 " bytes at %#" PRIx64 " are outside, it has %" PRIu64, bytes.name, length, offset,
                  bytes.length);
}

struct bytes bytes_part(struct bytes whole, uint64_t offset, uint64_t length, const char *name) {
    if (offset > whole.length || length > whole.length - offset)
        malformed("%s would be %" PRIu64 " bytes at %#" PRIx64 " of %s, which has %" PRIu64, name, length, offset,
                  whole.name, whole.length);
    return (struct bytes){whole.at + offset, length, name};
}

void bytes_copy(struct bytes from, uint64_t offset, void *to, uint64_t size) {
    must_have(from, offset, size);
    memcpy(to, from.at + offset, size);
}

const char *bytes_text(struct bytes from, uint64_t offset) {
    must_have(from, offset, 1);
    if (!memchr(from.at + offset, 0, from.length - offset))
        malformed("%s: the text at %#" PRIx64 " does not end", from.name, offset);
    return (const char *)from.at + offset;
}

bool cursor_at_end(const struct cursor *cursor) {
    return cursor->offset >= cursor->in.length;
}

uint8_t cursor_byte(struct cursor *cursor) {
    must_have(cursor->in, cursor->offset, 1);
    return cursor->in.at[cursor->offset++];
}

enum { LEB_MORE = 0x80, LEB_SIGN = 0x40, LEB_BITS = 7, WORD_BITS = 64 };

// The bits of a LEB128 number; `shift` tells how many there were, `last` the byte that ended it.
static uint64_t leb(struct cursor *cursor, unsigned *shift, uint8_t *last) {
    uint64_t value = 0;
    *shift = 0;
    do {
        if (*shift >= WORD_BITS) malformed("%s: a number at %#" PRIx64 " is too long", cursor->in.name, cursor->offset);
        *last = cursor_byte(cursor);
        value |= (uint64_t)(*last & ~LEB_MORE) << *shift;
        *shift += LEB_BITS;
    } while (*last & LEB_MORE);
    return value;
}

uint64_t cursor_uleb(struct cursor *cursor) {
    unsigned shift;
    uint8_t last;
    return leb(cursor, &shift, &last);
}

int64_t cursor_sleb(struct cursor *cursor) {
    unsigned shift;
    uint8_t last;
    uint64_t value = leb(cursor, &shift, &last);
    if ((last & LEB_SIGN) && shift < WORD_BITS) value |= ~0ull << shift;
    return (int64_t)value;
}

const char *cursor_text(struct cursor *cursor) {
    const char *text = bytes_text(cursor->in, cursor->offset);
    cursor->offset += strlen(text) + 1;
    return text;
}
