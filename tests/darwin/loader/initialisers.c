// In the order of the sections, and in each as they are listed (dyld dyld/Loader.cpp, tag dyld-1122.1:
// findAndRunAllInitializers, Header::forEachInitializer).
#include "darwin.h"
#include "loader/initialisers.h"

typedef void initialiser(int argc, char **argv, char **envp, char **apple, void *program_vars);

struct arguments {
    int argc;
    char **argv, **envp, **apple;
};

static void run(const struct image *image, uint64_t offset, const struct arguments *with) {
    if (!image_executes(image, offset)) malformed("an initialiser is at %#lx, which is no code", offset);
    initialiser *function = (initialiser *)(image->memory + offset);
    function(with->argc, with->argv, with->envp, with->apple, NULL);
}

// Pointers, which the fixups have made good.
static void run_pointers(const struct image *image, const struct section *section, const struct arguments *with) {
    const uint64_t *pointers = image_of(image, section);
    for (uint64_t i = 0; i < section->size / sizeof *pointers; i++)
        run(image, pointers[i] - (uint64_t)image->memory, with);
}

// Offsets behind the header, as linkers write them who write chained fixups.
static void run_offsets(const struct image *image, const struct section *section, const struct arguments *with) {
    const uint32_t *offsets = image_of(image, section);
    for (uint64_t i = 0; i < section->size / sizeof *offsets; i++) run(image, offsets[i], with);
}

void initialisers_run(const struct image *image, int argc, char **argv, char **envp, char **apple) {
    const struct arguments with = {argc, argv, envp, apple};
    for (uint32_t i = 0; i < image->section_count; i++) {
        const struct section *section = &image->sections[i];
        if (section->type == S_MOD_INIT_FUNC_POINTERS) run_pointers(image, section, &with);
        if (section->type == S_INIT_FUNC_OFFSETS) run_offsets(image, section, &with);
        if (section->type == S_MOD_TERM_FUNC_POINTERS && section->size)
            malformed("it has terminators, which are not run");
    }
}
