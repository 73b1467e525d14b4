#include "darwin.h"
#include "loader/fixups.h"
#include "loader/imports.h"
#include <inttypes.h>

// An import as the three formats tell it.
struct wanted {
    int ordinal;
    bool weak;
    uint64_t name;
    uint64_t addend;
};

// What an import is bound to.
struct target {
    uint64_t at;
    uint64_t addend;
};

struct chains {
    const struct image *image;
    struct bytes all;
    struct target *targets;
    uint32_t target_count;
};

// ---- imports --------------------------------------------------------------------------------------------------------

static uint64_t import_size(uint32_t format) {
    switch (format) {
    case DYLD_CHAINED_IMPORT: return sizeof(struct dyld_chained_import);
    case DYLD_CHAINED_IMPORT_ADDEND: return sizeof(struct dyld_chained_import_addend);
    case DYLD_CHAINED_IMPORT_ADDEND64: return sizeof(struct dyld_chained_import_addend64);
    default: malformed("its imports are of format %u, which is not known", format);
    }
}

static struct wanted wanted_of(struct bytes imports, uint32_t format, uint32_t index) {
    uint64_t at = index * import_size(format);
    if (format == DYLD_CHAINED_IMPORT) {
        struct dyld_chained_import from;
        BYTES_READ(imports, at, from);
        return (struct wanted){from.lib_ordinal, from.weak_import, from.name_offset, 0};
    }
    if (format == DYLD_CHAINED_IMPORT_ADDEND) {
        struct dyld_chained_import_addend from;
        BYTES_READ(imports, at, from);
        return (struct wanted){from.lib_ordinal, from.weak_import, from.name_offset, (uint64_t)(int64_t)from.addend};
    }
    struct dyld_chained_import_addend64 from;
    BYTES_READ(imports, at, from);
    return (struct wanted){from.lib_ordinal, from.weak_import, from.name_offset, from.addend};
}

static void bind_imports(struct chains *chains, const struct dyld_chained_fixups_header *header) {
    uint64_t size = header->imports_count * import_size(header->imports_format);
    struct bytes imports = bytes_part(chains->all, header->imports_offset, size, "the imports");
    if (header->symbols_offset > chains->all.length) malformed("the names of the imports are outside the fixups");
    struct bytes names = bytes_part(chains->all, header->symbols_offset, chains->all.length - header->symbols_offset,
                                    "the names of the imports");
    chains->targets = calloc(header->imports_count + 1ul, sizeof *chains->targets);
    if (!chains->targets) malformed("there is no memory for its imports");
    chains->target_count = header->imports_count;
    for (uint32_t i = 0; i < header->imports_count; i++) {
        struct wanted wanted = wanted_of(imports, header->imports_format, i);
        const char *symbol = bytes_text(names, wanted.name);
        bool coalesced = wanted.ordinal == BIND_SPECIAL_DYLIB_WEAK_LOOKUP;
        chains->targets[i] = (struct target){(uint64_t)import(symbol, wanted.weak, coalesced), wanted.addend};
    }
}

// ---- chains ---------------------------------------------------------------------------------------------------------

// The top byte of a pointer is kept apart, as tags of Objective-C want.
enum { HIGH8_SHIFT = 56 };

static uint64_t bound_value(const struct chains *chains, struct dyld_chained_ptr_64_bind bind) {
    if (bind.ordinal >= chains->target_count)
        malformed("a fixup wants import %u of %u", (unsigned)bind.ordinal, chains->target_count);
    const struct target *target = &chains->targets[bind.ordinal];
    return target->at + target->addend + bind.addend;
}

static uint64_t rebased_value(const struct chains *chains, uint16_t format, struct dyld_chained_ptr_64_rebase rebase) {
    const struct image *image = chains->image;
    uint64_t base = format == DYLD_CHAINED_PTR_64_OFFSET ? (uint64_t)image->memory : (uint64_t)image->slide;
    return (base + rebase.target) | (uint64_t)rebase.high8 << HIGH8_SHIFT;
}

// Every pointer of a page, each of which tells how far it is to the next.
static void walk(const struct chains *chains, uint16_t format, uint64_t offset, uint64_t end) {
    for (;;) {
        if (offset >= end) malformed("a chain of fixups leaves its page at %#" PRIx64, offset);
        void *place = image_pointer(chains->image, offset);
        struct dyld_chained_ptr_64_bind bind;
        struct dyld_chained_ptr_64_rebase rebase;
        memcpy(&bind, place, sizeof bind);
        memcpy(&rebase, place, sizeof rebase);
        uint64_t value = bind.bind ? bound_value(chains, bind) : rebased_value(chains, format, rebase);
        memcpy(place, &value, sizeof value);
        if (!rebase.next) return;
        offset += rebase.next * DYLD_CHAINED_PTR_64_STRIDE;
    }
}

static void fix_segment(const struct chains *chains, struct bytes starts, uint32_t at) {
    struct dyld_chained_starts_in_segment segment;
    BYTES_READ(starts, at, segment);
    if (segment.pointer_format != DYLD_CHAINED_PTR_64 && segment.pointer_format != DYLD_CHAINED_PTR_64_OFFSET)
        malformed("its pointers are of format %u, which is not known", segment.pointer_format);
    for (uint32_t page = 0; page < segment.page_count; page++) {
        uint16_t first;
        BYTES_READ(starts, at + sizeof segment + page * sizeof first, first);
        if (first == DYLD_CHAINED_PTR_START_NONE) continue;
        if (first & DYLD_CHAINED_PTR_START_MULTI) malformed("a page has several chains, which is for 32 bits only");
        uint64_t begin = segment.segment_offset + (uint64_t)page * segment.page_size;
        walk(chains, segment.pointer_format, begin + first, begin + segment.page_size);
    }
}

bool fixups_apply(const struct image *image) {
    struct chains chains = {.image = image, .all = image_linkedit(image, LC_DYLD_CHAINED_FIXUPS, "the fixups")};
    if (!chains.all.at) return false;
    struct dyld_chained_fixups_header header;
    BYTES_READ(chains.all, 0, header);
    if (header.fixups_version) malformed("its fixups are of version %u, which is not known", header.fixups_version);
    if (header.symbols_format) malformed("the names of its imports are compressed");
    bind_imports(&chains, &header);
    if (header.starts_offset > chains.all.length) malformed("the chains are outside the fixups");
    uint64_t length = chains.all.length - header.starts_offset;
    struct bytes starts = bytes_part(chains.all, header.starts_offset, length, "the chains");
    uint32_t count;
    BYTES_READ(starts, 0, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at;
        BYTES_READ(starts, sizeof count + (uint64_t)i * sizeof at, at);
        if (at) fix_segment(&chains, starts, at);
    }
    free(chains.targets);
    return true;
}
