// dlsym: what newer systems have is looked for by name, and done without where it is not there.
#include "darwin.h"

extern const struct import *const __start_imports[], *const __stop_imports[];

// dlfcn.h: any library, in the order in which they were loaded.
#define RTLD_DEFAULT ((void *)-2)

// What is found is called without a thunk, so it is not among the imports that are counted.
static void *darwin_dlsym(void *handle, const char *name) {
    if (handle != RTLD_DEFAULT)
        refuse("dlsym: %s in one library is not modelled", name);
    for (const struct import *const *at = __start_imports; at < __stop_imports; at++) {
        if ((*at)->symbol[0] != '_' || strcmp((*at)->symbol + 1, name) != 0)
            continue;
        if ((*at)->kind == FIRST_OF_DOTS || (*at)->kind == LIST_OF_DOTS)
            refuse("dlsym: %s, with arguments by `...`, is not modelled", name);
        return (void *)(*at)->at;
    }
    return NULL;
}
OURS(dlsym)
