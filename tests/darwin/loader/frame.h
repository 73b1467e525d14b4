// A frame as libgcc reads it, DWARF's CIE and FDE, made of Apple's compact encoding of it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct function {
    uint64_t begin;
    uint64_t end;
    uint32_t encoding;
    uint64_t personality;  // 0: none
    uint64_t lsda;         // 0: none
};

enum { FRAME_SIZE = 256 };
struct frame {
    uint8_t bytes[FRAME_SIZE];
};

// The FDE in `frame`, or NULL where the function has no frame, or none that could be unwound.
const void *frame_of(struct frame *frame, const struct function *function);
// Whether the encoding says no more than where DWARF's own entry is in __eh_frame.
bool frame_is_dwarf(uint32_t encoding);
