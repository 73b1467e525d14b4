// Compact encodings: libunwind include/mach-o/compact_unwind_encoding.h, src/CompactUnwinder.hpp (llvmorg-17.0.0).
// The entries: DWARF 4, 6.4, and the Linux Standard Base's augmentations (Core, generic part, 10.6.1).
#include "darwin.h"
#include "loader/frame.h"
#include "loader/macho.h"

enum {
    DW_CFA_def_cfa = 0x0c,
    DW_CFA_offset_extended = 0x05,
    DW_CFA_offset = 0x80,  // and the register
    DW_EH_PE_absptr = 0x00,
};

// ---- writing --------------------------------------------------------------------------------------------------------

struct writer {
    uint8_t *begin, *at, *end;
};

static void put(struct writer *to, const void *what, size_t size) {
    if (size > (size_t)(to->end - to->at)) refuse("a frame needs more than %d bytes", FRAME_SIZE);
    memcpy(to->at, what, size);
    to->at += size;
}

static void put8(struct writer *to, uint8_t value) {
    put(to, &value, sizeof value);
}

static void put32(struct writer *to, uint32_t value) {
    put(to, &value, sizeof value);
}

static void put64(struct writer *to, uint64_t value) {
    put(to, &value, sizeof value);
}

static void put_uleb(struct writer *to, uint64_t value) {
    for (; value > 0x7f; value >>= 7) put8(to, (uint8_t)(0x80 | (value & 0x7f)));
    put8(to, (uint8_t)value);
}

// An entry begins with its length; what fills it up to whole words are DW_CFA_nop.
static void end_entry(struct writer *to, uint8_t *entry) {
    while ((to->at - entry) % 8 != 4) put8(to, 0);
    uint32_t length = (uint32_t)(to->at - entry) - 4;
    memcpy(entry, &length, sizeof length);
}

static void def_cfa(struct writer *to, uint8_t of, uint64_t offset) {
    put8(to, DW_CFA_def_cfa);
    put8(to, of);
    put_uleb(to, offset);
}

// A register was saved `words` below the frame's address.
static void saved(struct writer *to, uint8_t which, uint64_t words) {
    if (which < 0x40) {
        put8(to, DW_CFA_offset | which);
    } else {
        put8(to, DW_CFA_offset_extended);
        put8(to, which);
    }
    put_uleb(to, words);
}

// ---- what each encoding says ----------------------------------------------------------------------------------------

#ifdef __x86_64__

// System V ABI for AMD64, figure 3.36: DWARF's numbers of the registers.
enum { RBX = 3, RBP = 6, RSP = 7, R12 = 12, R13 = 13, R14 = 14, R15 = 15, RETURN = 16 };
// UNWIND_X86_64_REG_NONE … RBP; 0 is none.
static const uint8_t numbers[8] = {0, RBX, R12, R13, R14, R15, RBP, 0};
enum { REGISTER_BITS = 3, REGISTER_MASK = 7, MOST_SAVED = 6 };

static bool by_rbp(struct writer *to, uint32_t encoding) {
    uint32_t registers = encoding & UNWIND_X86_64_RBP_FRAME_REGISTERS;
    uint64_t below = (encoding & UNWIND_X86_64_RBP_FRAME_OFFSET) / 0x10000;
    def_cfa(to, RBP, 16);
    saved(to, RETURN, 1);
    saved(to, RBP, 2);
    for (; registers; registers >>= REGISTER_BITS, below--) {
        uint8_t which = numbers[registers & REGISTER_MASK];
        if (which) saved(to, which, below + 2);
    }
    return true;
}

// The numbers of the saved registers, of which a permutation is told: each digit counts those still left.
static bool permuted(uint32_t count, uint32_t permutation, uint8_t to[MOST_SAVED]) {
    bool used[MOST_SAVED + 1] = {false};
    uint32_t weight = 1;
    for (uint32_t i = 1; i < count; i++) weight *= MOST_SAVED - i;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t digit = permutation / weight;
        permutation %= weight;
        if (i + 1 < count) weight /= MOST_SAVED - 1 - i;
        uint32_t which = 0;
        for (uint32_t number = 1; number <= MOST_SAVED; number++) {
            if (used[number]) continue;
            if (digit-- == 0) {
                which = number;
                break;
            }
        }
        if (!which) return false;
        used[which] = true;
        to[i] = numbers[which];
    }
    return true;
}

static bool without_frame(struct writer *to, const struct function *function) {
    uint32_t encoding = function->encoding;
    uint64_t size = (encoding & UNWIND_X86_64_FRAMELESS_STACK_SIZE) / 0x10000;
    uint32_t adjust = (encoding & UNWIND_X86_64_FRAMELESS_STACK_ADJUST) / 0x2000;
    uint32_t count = (encoding & UNWIND_X86_64_FRAMELESS_STACK_REG_COUNT) / 0x400;
    uint32_t permutation = encoding & UNWIND_X86_64_FRAMELESS_STACK_REG_PERMUTATION;
    uint8_t registers[MOST_SAVED];
    if (count > MOST_SAVED || !permuted(count, permutation, registers)) return false;
    if ((encoding & UNWIND_MODE_MASK) == UNWIND_X86_64_MODE_STACK_IND) {
        // The size is in the function: what its `subq $size, %rsp` takes.
        uint32_t taken;
        if (function->begin + size + sizeof taken > function->end) return false;
        memcpy(&taken, (const void *)(function->begin + size), sizeof taken);
        size = taken / 8 + adjust;
    }
    def_cfa(to, RSP, size * 8);
    saved(to, RETURN, 1);
    for (uint32_t i = 0; i < count; i++) saved(to, registers[i], count + 1 - i);
    return true;
}

static bool rules(struct writer *to, const struct function *function) {
    switch (function->encoding & UNWIND_MODE_MASK) {
    case UNWIND_X86_64_MODE_RBP_FRAME: return by_rbp(to, function->encoding);
    case UNWIND_X86_64_MODE_STACK_IMMD:
    case UNWIND_X86_64_MODE_STACK_IND: return without_frame(to, function);
    default: return false;
    }
}

bool frame_is_dwarf(uint32_t encoding) {
    return (encoding & UNWIND_MODE_MASK) == UNWIND_X86_64_MODE_DWARF;
}

#else

// DWARF for the Arm 64-bit Architecture, 4.1: DWARF's numbers of the registers.
enum { X19 = 19, X29 = 29, RETURN = 30, SP = 31, D8 = 72 };

static const struct {
    uint32_t bit;
    uint8_t first;
} pairs[] = {
    {UNWIND_ARM64_FRAME_X19_X20_PAIR, X19},   {UNWIND_ARM64_FRAME_X21_X22_PAIR, X19 + 2},
    {UNWIND_ARM64_FRAME_X23_X24_PAIR, X19 + 4}, {UNWIND_ARM64_FRAME_X25_X26_PAIR, X19 + 6},
    {UNWIND_ARM64_FRAME_X27_X28_PAIR, X19 + 8}, {UNWIND_ARM64_FRAME_D8_D9_PAIR, D8},
    {UNWIND_ARM64_FRAME_D10_D11_PAIR, D8 + 2},  {UNWIND_ARM64_FRAME_D12_D13_PAIR, D8 + 4},
    {UNWIND_ARM64_FRAME_D14_D15_PAIR, D8 + 6},
};

// Pairs lie below each other in this order, the first of them nearer to the frame's address.
static void save_pairs(struct writer *to, uint32_t encoding, uint64_t words) {
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (!(encoding & pairs[i].bit)) continue;
        saved(to, pairs[i].first, words++);
        saved(to, pairs[i].first + 1, words++);
    }
}

static bool rules(struct writer *to, const struct function *function) {
    uint32_t encoding = function->encoding;
    switch (encoding & UNWIND_MODE_MASK) {
    case UNWIND_ARM64_MODE_FRAME:
        def_cfa(to, X29, 16);
        saved(to, RETURN, 1);
        saved(to, X29, 2);
        save_pairs(to, encoding, 3);
        return true;
    case UNWIND_ARM64_MODE_FRAMELESS:
        // The size is told in units of 16 bytes; the return address is still in its register.
        def_cfa(to, SP, (encoding & UNWIND_ARM64_FRAMELESS_STACK_SIZE_MASK) / 0x1000 * 16);
        save_pairs(to, encoding, 1);
        return true;
    default: return false;
    }
}

bool frame_is_dwarf(uint32_t encoding) {
    return (encoding & UNWIND_MODE_MASK) == UNWIND_ARM64_MODE_DWARF;
}

#endif

// ---- the two entries ------------------------------------------------------------------------------------------------

// What is the same for every function that has this personality.
static uint8_t *put_cie(struct writer *to, uint64_t personality) {
    uint8_t *cie = to->at;
    put32(to, 0);  // the length, later
    put32(to, 0);  // a CIE
    put8(to, 1);   // version
    put(to, "zPLR", 5);
    put_uleb(to, 1);  // code alignment
    put8(to, 0x78);   // data alignment: -8
    put8(to, RETURN);
    put_uleb(to, 1 + sizeof personality + 2);
    put8(to, DW_EH_PE_absptr);
    put64(to, personality);
    put8(to, DW_EH_PE_absptr);  // of the LSDA
    put8(to, DW_EH_PE_absptr);  // of the function
    end_entry(to, cie);
    return cie;
}

const void *frame_of(struct frame *frame, const struct function *function) {
    struct writer to = {frame->bytes, frame->bytes, frame->bytes + sizeof frame->bytes};
    uint8_t *cie = put_cie(&to, function->personality);
    uint8_t *fde = to.at;
    put32(&to, 0);  // the length, later
    put32(&to, (uint32_t)(to.at - cie));
    put64(&to, function->begin);
    put64(&to, function->end - function->begin);
    put_uleb(&to, sizeof function->lsda);
    put64(&to, function->lsda);
    if (!rules(&to, function)) return NULL;
    end_entry(&to, fde);
    return fde;
}
