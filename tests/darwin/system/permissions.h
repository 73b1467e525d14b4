// What the functions that take a path have in common with each other.
#pragma once
#include "system/errors.h"
#include "system/paths.h"
#include <stdbool.h>

enum { ACCESS_PERMISSIONS = 0777 };   // bsd/sys/stat.h, ACCESSPERMS: a new file or folder has no others
enum { ALL_PERMISSIONS = 07777 };     // ALLPERMS

// What stands between a Mac's user and the sealed system volume, where /var, /tmp and /etc are (EROFS for all).
static inline bool is_of_system(const struct place *place)
{
    if (place->link == NULL)
        return false;
    fail(DARWIN_EROFS);
    return true;
}

static inline bool flags_allowed(int flags, int allowed)
{
    if (!(flags & ~allowed))
        return true;
    fail(DARWIN_EINVAL);
    return false;
}
