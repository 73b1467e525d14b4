#include "darwin.h"
#include "loader/imports.h"
#include "loader/opcodes.h"

enum { POINTER = sizeof(uint64_t) };

// The registers of both machines.
struct machine {
    const struct image *image;
    struct cursor code;
    uint64_t place;  // offset behind the header
    bool placed;
    const char *symbol;
    uint8_t flags;
    int64_t ordinal;
    int64_t addend;
    enum { STRONG, WEAK, LAZY } table;
};

static void set_place(struct machine *machine, uint8_t segment) {
    const struct image *image = machine->image;
    if (segment >= image->segment_count) malformed("%s: there is no segment %u", machine->code.in.name, segment);
    machine->place = image->segments[segment].address - image->address + cursor_uleb(&machine->code);
    machine->placed = true;
}

static uint64_t *pointer(struct machine *machine) {
    if (!machine->placed) malformed("%s: a pointer before its segment is told", machine->code.in.name);
    return image_pointer(machine->image, machine->place);
}

// How often something is done: a program cannot have more pointers than memory.
static uint64_t times_of(struct machine *machine) {
    uint64_t times = cursor_uleb(&machine->code);
    if (times > machine->image->size / POINTER) malformed("%s: there is no memory for so many", machine->code.in.name);
    return times;
}

// ---- rebase ---------------------------------------------------------------------------------------------------------

static void rebase(struct machine *machine, uint64_t times, uint64_t skip) {
    for (uint64_t i = 0; i < times; i++) {
        uint64_t value, *at = pointer(machine);
        memcpy(&value, at, sizeof value);
        value += (uint64_t)machine->image->slide;
        memcpy(at, &value, sizeof value);
        machine->place += POINTER + skip;
    }
}

static void run_rebases(struct machine *machine) {
    struct cursor *code = &machine->code;
    while (!cursor_at_end(code)) {
        uint8_t byte = cursor_byte(code), immediate = byte & IMMEDIATE_MASK;
        uint64_t times;
        switch (byte & OPCODE_MASK) {
        case REBASE_OPCODE_DONE: return;
        case REBASE_OPCODE_SET_TYPE_IMM:
            if (immediate != REBASE_TYPE_POINTER) malformed("%s are of type %u", code->in.name, immediate);
            break;
        case REBASE_OPCODE_SET_SEGMENT_AND_OFFSET_ULEB: set_place(machine, immediate); break;
        case REBASE_OPCODE_ADD_ADDR_ULEB: machine->place += cursor_uleb(code); break;
        case REBASE_OPCODE_ADD_ADDR_IMM_SCALED: machine->place += immediate * POINTER; break;
        case REBASE_OPCODE_DO_REBASE_IMM_TIMES: rebase(machine, immediate, 0); break;
        case REBASE_OPCODE_DO_REBASE_ULEB_TIMES: rebase(machine, times_of(machine), 0); break;
        case REBASE_OPCODE_DO_REBASE_ADD_ADDR_ULEB: rebase(machine, 1, cursor_uleb(code)); break;
        case REBASE_OPCODE_DO_REBASE_ULEB_TIMES_SKIPPING_ULEB:
            times = times_of(machine);
            rebase(machine, times, cursor_uleb(code));
            break;
        default: malformed("%s: opcode %#x is not known", code->in.name, byte);
        }
    }
}

// ---- bind -----------------------------------------------------------------------------------------------------------

static void bind(struct machine *machine, uint64_t skip) {
    if (!machine->symbol) malformed("%s: a pointer before its symbol is told", machine->code.in.name);
    uint64_t *at = pointer(machine);
    bool coalesced = machine->table == WEAK || machine->ordinal == BIND_SPECIAL_DYLIB_WEAK_LOOKUP;
    bool weak = machine->flags & BIND_SYMBOL_FLAGS_WEAK_IMPORT;
    uint64_t value = (uint64_t)import(machine->symbol, weak, coalesced) + (uint64_t)machine->addend;
    memcpy(at, &value, sizeof value);
    machine->place += POINTER + skip;
}

static void run_binds(struct machine *machine) {
    struct cursor *code = &machine->code;
    while (!cursor_at_end(code)) {
        uint8_t byte = cursor_byte(code), immediate = byte & IMMEDIATE_MASK;
        uint64_t times, skip;
        switch (byte & OPCODE_MASK) {
        case BIND_OPCODE_DONE:
            // Each of the lazy ones ends with it, so that the stub could begin anywhere.
            if (machine->table != LAZY) return;
            break;
        case BIND_OPCODE_SET_DYLIB_ORDINAL_IMM: machine->ordinal = immediate; break;
        case BIND_OPCODE_SET_DYLIB_ORDINAL_ULEB: machine->ordinal = (int64_t)cursor_uleb(code); break;
        case BIND_OPCODE_SET_DYLIB_SPECIAL_IMM:
            // The lower half of a negative number.
            machine->ordinal = immediate ? (int8_t)(OPCODE_MASK | immediate) : 0;
            break;
        case BIND_OPCODE_SET_SYMBOL_TRAILING_FLAGS_IMM:
            machine->flags = immediate;
            machine->symbol = cursor_text(code);
            break;
        case BIND_OPCODE_SET_TYPE_IMM:
            if (immediate != BIND_TYPE_POINTER) malformed("%s are of type %u", code->in.name, immediate);
            break;
        case BIND_OPCODE_SET_ADDEND_SLEB: machine->addend = cursor_sleb(code); break;
        case BIND_OPCODE_SET_SEGMENT_AND_OFFSET_ULEB: set_place(machine, immediate); break;
        case BIND_OPCODE_ADD_ADDR_ULEB: machine->place += cursor_uleb(code); break;
        case BIND_OPCODE_DO_BIND: bind(machine, 0); break;
        case BIND_OPCODE_DO_BIND_ADD_ADDR_ULEB: bind(machine, cursor_uleb(code)); break;
        case BIND_OPCODE_DO_BIND_ADD_ADDR_IMM_SCALED: bind(machine, immediate * POINTER); break;
        case BIND_OPCODE_DO_BIND_ULEB_TIMES_SKIPPING_ULEB:
            times = times_of(machine);
            skip = cursor_uleb(code);
            for (uint64_t i = 0; i < times; i++) bind(machine, skip);
            break;
        default: malformed("%s: opcode %#x is not known", code->in.name, byte);
        }
    }
}

bool opcodes_apply(const struct image *image) {
    struct bytes command = image_command(image, LC_DYLD_INFO_ONLY);
    if (!command.at) command = image_command(image, LC_DYLD_INFO);
    if (!command.at) return false;
    struct dyld_info_command info;
    BYTES_READ(command, 0, info);
    struct machine rebases = {.image = image};
    rebases.code.in = bytes_part(image->file, info.rebase_off, info.rebase_size, "the rebases");
    run_rebases(&rebases);
    const struct { uint32_t offset, size; const char *name; int table; } tables[] = {
        {info.bind_off, info.bind_size, "the binds", STRONG},
        {info.lazy_bind_off, info.lazy_bind_size, "the lazy binds", LAZY},
        {info.weak_bind_off, info.weak_bind_size, "the weak binds", WEAK},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct machine binds = {.image = image, .table = tables[i].table};
        binds.code.in = bytes_part(image->file, tables[i].offset, tables[i].size, tables[i].name);
        run_binds(&binds);
    }
    return true;
}
