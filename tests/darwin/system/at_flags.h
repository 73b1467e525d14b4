// Flags of the functions with `at`: bsd/sys/fcntl.h. Which of them a function takes is checked by xnu in each
// (bsd/vfs/vfs_syscalls.c); the others are EINVAL.
#pragma once
#include "darwin.h"
#include <fcntl.h>

enum {
    DARWIN_AT_EACCESS = 0x10,
    DARWIN_AT_SYMLINK_NOFOLLOW = 0x20,
    DARWIN_AT_SYMLINK_FOLLOW = 0x40,
    DARWIN_AT_REMOVEDIR = 0x80,
};

static inline int at_flags_to_linux(int flags)
{
    return (flags & DARWIN_AT_EACCESS ? AT_EACCESS : 0) | (flags & DARWIN_AT_SYMLINK_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0)
        | (flags & DARWIN_AT_SYMLINK_FOLLOW ? AT_SYMLINK_FOLLOW : 0) | (flags & DARWIN_AT_REMOVEDIR ? AT_REMOVEDIR : 0);
}
