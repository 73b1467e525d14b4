// Bytes of the program's file, never read outside their bounds: what is cut short or lies ends in one sentence.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *at;
    uint64_t length;
    const char *name;  // for the sentence: "the load commands"
};

// The file's name, for sentences.
extern const char *bytes_of_file;

// The file is no program that could be run: one sentence, and the exit status EX_DATAERR.
_Noreturn void malformed(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A part of `whole`, from then on known as `name`.
struct bytes bytes_part(struct bytes whole, uint64_t offset, uint64_t length, const char *name);
// Some of them copied out, as they may be aligned to nothing.
void bytes_copy(struct bytes from, uint64_t offset, void *to, uint64_t size);
#define BYTES_READ(from, offset, variable) bytes_copy(from, offset, &(variable), sizeof(variable))
// Text that ends with a zero inside them.
const char *bytes_text(struct bytes from, uint64_t offset);

// Where a stream of opcodes is read.
struct cursor {
    struct bytes in;
    uint64_t offset;
};
bool cursor_at_end(const struct cursor *cursor);
uint8_t cursor_byte(struct cursor *cursor);
uint64_t cursor_uleb(struct cursor *cursor);
int64_t cursor_sleb(struct cursor *cursor);
const char *cursor_text(struct cursor *cursor);
