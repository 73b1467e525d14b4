// By the sorted table that the linker makes, .eh_frame_hdr (Linux Standard Base, Core, generic part, 10.6.2), as GNU ld
// and lld encode it: the addresses in it are offsets from its own beginning.
#include "darwin.h"
#include "loader/elf_frames.h"
#include <dlfcn.h>

enum { VERSION = 1, UDATA4 = 0x03, DATAREL_SDATA4 = 0x3b };

struct eh_frame_hdr {
    uint8_t version, eh_frame_ptr_enc, fde_count_enc, table_enc;
    int32_t eh_frame_ptr;
    uint32_t fde_count;
};

struct row {
    int32_t function, fde;
};

// The beginning of an entry whose pointers are of four bytes, which those that the table lists are.
struct fde {
    uint32_t length, cie, begin, size;
};

const void *elf_frame(void *pc, void **function) {
    struct dl_find_object object;
    if (_dl_find_object(pc, &object) || !object.dlfo_eh_frame) return NULL;
    const struct eh_frame_hdr *table = object.dlfo_eh_frame;
    if (table->version != VERSION || table->fde_count_enc != UDATA4 || table->table_enc != DATAREL_SDATA4) return NULL;
    const uint8_t *base = object.dlfo_eh_frame;
    const struct row *rows = (const struct row *)(table + 1);
    int64_t offset = (const uint8_t *)pc - base;
    uint32_t low = 0, high = table->fde_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rows[middle].function <= offset) low = middle + 1;
        else high = middle;
    }
    if (!low) return NULL;
    const struct row *row = &rows[low - 1];
    const struct fde *fde = (const struct fde *)(base + row->fde);
    if (offset >= row->function + (int64_t)fde->size) return NULL;
    *function = (void *)(base + row->function);
    return fde;
}
