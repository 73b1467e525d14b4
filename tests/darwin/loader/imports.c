#include "darwin.h"
#include "loader/bytes.h"
#include "loader/imports.h"
#include "loader/symbols.h"
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

extern const struct import *const __start_imports[], *const __stop_imports[];

// An import of the program. A thunk finds the count at its beginning.
struct bound {
    uint64_t calls;
    const char *symbol;
    void *at;
    enum { CALLED_BY_THUNK, IS_DATA, IS_ABSENT, IS_MISSING } state;
};

enum { MOST = 16384 };
static struct bound bound[MOST];
static uint32_t bound_count;

// ---- thunks: templates of thunks_ARCH.S, each with the two words it needs at its end --------------------------------

enum { THUNK_SIZE = 64, THUNK_WORDS = 48 };
struct thunk_words {
    struct bound *bound;
    const void *target;
};
extern const uint8_t thunk_function[], thunk_missing[];
static uint8_t *thunks;

_Noreturn void import_missing(const struct bound *bound, uint64_t caller);

#ifdef __x86_64__
// What stands for `...` is in registers as if it had been declared: the kinds need no difference.
static const uint8_t *template_of(const struct import *found) {
    (void)found;
    return thunk_function;
}
#else
extern const uint8_t thunks_first_of_dots[], thunks_list_of_dots[];
enum { MOST_FIXED = 7 };

static const uint8_t *template_of(const struct import *found) {
    if (found->kind == FUNCTION) return thunk_function;
    if (found->fixed > MOST_FIXED) refuse("%s has %d arguments before its dots", found->symbol, found->fixed);
    const uint8_t *templates = found->kind == FIRST_OF_DOTS ? thunks_first_of_dots : thunks_list_of_dots;
    return templates + found->fixed * THUNK_SIZE;
}
#endif

static void *thunk(struct bound *of, const uint8_t *template, const void *target) {
    if (!thunks) {
        thunks = mmap(NULL, MOST * THUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (thunks == MAP_FAILED) malformed("there is no memory for its imports: %m");
    }
    uint8_t *code = thunks + (of - bound) * THUNK_SIZE;
    struct thunk_words words = {of, target};
    memcpy(code, template, THUNK_SIZE);
    memcpy(code + THUNK_WORDS, &words, sizeof words);
    return code;
}

void imports_seal(void) {
    if (!thunks) return;
    if (mprotect(thunks, MOST * THUNK_SIZE, PROT_READ | PROT_EXEC)) malformed("its imports cannot be executed: %m");
    __builtin___clear_cache((char *)thunks, (char *)thunks + MOST * THUNK_SIZE);
}

// ---- looking up -----------------------------------------------------------------------------------------------------

static int by_symbol(const void *a, const void *b) {
    return strcmp((*(const struct import *const *)a)->symbol, (*(const struct import *const *)b)->symbol);
}

static const struct import **shims;
static size_t shim_count;

static void sort_shims(void) {
    shim_count = (size_t)(__stop_imports - __start_imports);
    shims = calloc(shim_count + 1, sizeof *shims);
    if (!shims) malformed("there is no memory for its imports");
    memcpy(shims, __start_imports, shim_count * sizeof *shims);
    qsort(shims, shim_count, sizeof *shims, by_symbol);
    for (size_t i = 1; i < shim_count; i++)
        if (!by_symbol(&shims[i - 1], &shims[i])) refuse("two functions of the loader answer for %s", shims[i]->symbol);
}

static const struct import *shim_for(const char *symbol) {
    if (!shims) sort_shims();
    const struct import wanted = {.symbol = symbol}, *key = &wanted;
    const struct import **found = bsearch(&key, shims, shim_count, sizeof *shims, by_symbol);
    return found ? *found : NULL;
}

static void *answer(struct bound *of, bool weak, bool coalesced) {
    const struct import *found = shim_for(of->symbol);
    if (found && found->kind == ADDRESS) {
        of->state = IS_DATA;
        return (void *)found->at;
    }
    if (found) return thunk(of, template_of(found), found->at);
    of->state = IS_ABSENT;
    if (coalesced && symbol_defined(of->symbol)) return symbol_defined(of->symbol);
    if (weak) return NULL;
    of->state = IS_MISSING;
    return thunk(of, thunk_missing, import_missing);
}

void *import(const char *symbol, bool weak, bool coalesced) {
    for (uint32_t i = 0; i < bound_count; i++)
        if (!strcmp(bound[i].symbol, symbol)) return bound[i].at;
    if (bound_count == MOST) malformed("it has more than %d imports", MOST);
    struct bound *of = &bound[bound_count++];
    of->symbol = symbol;
    return of->at = answer(of, weak, coalesced);
}

_Noreturn void import_missing(const struct bound *bound, uint64_t caller) {
    uint64_t offset = 0;
    const char *who = symbol_before(caller - 1, &offset);
    refuse("%s is called and not there, by %s", bound->symbol, who ? who : "an unknown function");
}

// ---- what was called ------------------------------------------------------------------------------------------------

// In one piece, as other processes append to the same file.
static void append(const char *path, const char *text, size_t length) {
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0 || write(file, text, length) != (ssize_t)length || close(file))
        refuse("the imports cannot be told in %s: %m", path);
}

// One line an import: how often it was called, or that it is `data`, `absent` (a weak one) or `missing`.
void tell_imports(void) {
    static const char *const states[] = {[IS_DATA] = "data", [IS_ABSENT] = "absent", [IS_MISSING] = "missing"};
    const char *path = getenv("DARWIN_IMPORTS");
    if (!path) return;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) refuse("there is no memory to tell the imports");
    for (uint32_t i = 0; i < bound_count; i++) {
        if (bound[i].state == CALLED_BY_THUNK) fprintf(out, "%" PRIu64 " %s\n", bound[i].calls, bound[i].symbol);
        else fprintf(out, "%s %s\n", states[bound[i].state], bound[i].symbol);
    }
    if (fclose(out)) refuse("there is no memory to tell the imports");
    append(path, text, length);
    free(text);
}
