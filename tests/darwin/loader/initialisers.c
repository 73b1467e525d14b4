// In the order of the sections, and in each as they are listed (dyld dyld/Loader.cpp, tag dyld-1122.1:
// findAndRunAllInitializers, Header::forEachInitializer).
#include "darwin.h"
#include "loader/initialisers.h"

typedef void initialiser(int argc, char **argv, char **envp, char **apple, void *program_vars);

// How many functions a section lists.
static uint64_t count_of(const struct section *section) {
    switch (section->type) {
    case S_MOD_INIT_FUNC_POINTERS: return section->size / sizeof(uint64_t);
    case S_INIT_FUNC_OFFSETS: return section->size / sizeof(uint32_t);
    default: return 0;
    }
}

// One of them, as an offset behind the header: so those are listed whose linker writes chained fixups; the others are
// pointers, which the fixups have made good.
static uint64_t offset_of(const struct image *image, const struct section *section, uint64_t which) {
    const uint8_t *list = image_of(image, section);
    uint64_t pointer;
    uint32_t offset;
    if (section->type == S_INIT_FUNC_OFFSETS) {
        memcpy(&offset, list + which * sizeof offset, sizeof offset);
        return offset;
    }
    memcpy(&pointer, list + which * sizeof pointer, sizeof pointer);
    return pointer - (uint64_t)image->memory;
}

void initialisers_check(const struct image *image) {
    for (uint32_t i = 0; i < image->section_count; i++) {
        const struct section *section = &image->sections[i];
        if (section->type == S_MOD_TERM_FUNC_POINTERS && section->size)
            malformed("it has terminators, which are not run");
        for (uint64_t which = 0; which < count_of(section); which++) {
            uint64_t offset = offset_of(image, section, which);
            if (!image_executes(image, offset)) malformed("an initialiser is at %#lx, which is no code", offset);
        }
    }
}

void initialisers_run(const struct image *image, int argc, char **argv, char **envp, char **apple) {
    for (uint32_t i = 0; i < image->section_count; i++) {
        const struct section *section = &image->sections[i];
        for (uint64_t which = 0; which < count_of(section); which++) {
            initialiser *function = (initialiser *)(image->memory + offset_of(image, section, which));
            function(argc, argv, envp, apple, NULL);
        }
    }
}
