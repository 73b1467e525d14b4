// Where the program is, and the one true name of a path.
#include "system/errors.h"
#include "system/paths.h"
#include <limits.h>

static int darwin_chdir(const char *path) {
    struct place place;
    return locate_here(&place, path) ? chdir(place.path) : -1;
}
OURS(chdir)

static int darwin_chroot(const char *path) {
    (void)path;
    refuse("chroot is not modelled: the loader finds its files by path");
}
OURS(chroot)

// Libc's gen/FreeBSD/getcwd.c: without a place to put it, one of its own that is freed by free().
static char *darwin_getcwd(char *to, size_t size) {
    char of_linux[PATH_MAX], path[DARWIN_MAXPATHLEN];
    if (to && size == 0) {
        fail(DARWIN_EINVAL);
        return NULL;
    }
    if (getcwd(of_linux, sizeof of_linux) == NULL || !path_to_darwin(of_linux, path))
        return NULL;
    if (to == NULL)
        return strdup(path);
    if (strlen(path) >= size) {
        fail(DARWIN_ERANGE);
        return NULL;
    }
    return strcpy(to, path);
}
OURS(getcwd)

static char *darwin_realpath(const char *path, char *to) {
    struct place place;
    char real[PATH_MAX], answer[DARWIN_MAXPATHLEN];
    if (path == NULL) {
        fail(DARWIN_EINVAL);
        return NULL;
    }
    if (!locate_here(&place, path) || realpath(place.path, real) == NULL || !path_to_darwin(real, answer))
        return NULL;
    // `/private` itself is Linux' root.
    bool is_private = strcmp(answer, "/") == 0 && strncmp(path, "/private", strlen("/private")) == 0;
    const char *told = is_private ? "/private" : answer;
    return to ? strcpy(to, told) : strdup(told);
}
OURS(realpath)
SHIM("_realpath$DARWIN_EXTSN", darwin_realpath)
