#include "darwin.h"
#include "loader/symbols.h"

static const struct image *of;
static struct bytes table;
static struct bytes names;

void symbols_read(const struct image *image) {
    struct bytes command = image_command(image, LC_SYMTAB);
    of = image;
    if (!command.at) return;
    struct symtab_command symtab;
    BYTES_READ(command, 0, symtab);
    uint64_t size = (uint64_t)symtab.nsyms * sizeof(struct nlist_64);
    table = bytes_part(image->file, symtab.symoff, size, "the symbols");
    names = bytes_part(image->file, symtab.stroff, symtab.strsize, "the names of the symbols");
}

// A symbol that is somewhere in the program, no note for debuggers.
static bool is_place(const struct nlist_64 *symbol) {
    return !(symbol->n_type & N_STAB) && (symbol->n_type & N_TYPE) == N_SECT;
}

// Its name, or NULL where the table lies: messages ask, and must not fail in turn.
static const char *name_of(const struct nlist_64 *symbol) {
    if (symbol->n_strx >= names.length) return NULL;
    const char *name = (const char *)names.at + symbol->n_strx;
    return memchr(name, 0, names.length - symbol->n_strx) ? name : NULL;
}

const char *symbol_before(uint64_t at, uint64_t *offset) {
    struct nlist_64 symbol, best = {0};
    if (!of || !of->memory || at - (uint64_t)of->memory >= of->size) return NULL;
    uint64_t address = at - (uint64_t)of->slide;
    for (uint64_t from = 0; from < table.length; from += sizeof symbol) {
        BYTES_READ(table, from, symbol);
        if (is_place(&symbol) && symbol.n_value <= address && symbol.n_value > best.n_value && name_of(&symbol))
            best = symbol;
    }
    if (!best.n_value) return NULL;
    *offset = address - best.n_value;
    return name_of(&best);
}

void *symbol_defined(const char *name) {
    struct nlist_64 symbol;
    for (uint64_t from = 0; from < table.length; from += sizeof symbol) {
        BYTES_READ(table, from, symbol);
        const char *its = name_of(&symbol);
        if (!is_place(&symbol) || !(symbol.n_type & N_EXT) || !its || strcmp(its, name)) continue;
        return (void *)(symbol.n_value + (uint64_t)of->slide);
    }
    return NULL;
}
