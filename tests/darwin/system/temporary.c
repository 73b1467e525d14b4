// Files and folders with names that nobody has yet: Libc's stdio/FreeBSD/mktemp.c.
#include "system/errors.h"
#include "system/paths.h"
#include <sys/stat.h>

enum { CHOSEN = 6 };   // the X at the end

// Calls `make` with the template where Linux has it, and puts what was chosen into the one that was given.
static int make_unique(char *given, int (*make)(char *)) {
    struct place place;
    char template[LINUX_ROOM];
    if (!locate_here(&place, given))
        return -1;
    snprintf(template, sizeof template, "%s", place.path);
    int made = make(template);
    size_t length = strlen(given);
    if (made >= 0)
        memcpy(given + length - CHOSEN, template + strlen(template) - CHOSEN, CHOSEN);
    return made;
}

static int make_folder(char *template) {
    return mkdtemp(template) ? 0 : -1;
}

static char *darwin_mkdtemp(char *template) {
    return make_unique(template, make_folder) < 0 ? NULL : template;
}
OURS(mkdtemp)

static int darwin_mkstemp(char *template) {
    return make_unique(template, mkstemp);
}
OURS(mkstemp)
