// open and openat. bsd/vfs/vfs_syscalls.c (open1) and vfs_vnops.c (vn_open_auth) say what is refused.
#include "system/descriptors.h"
#include "system/errors.h"
#include "system/open_flags.h"
#include "system/permissions.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct flag { int darwin, of_linux; };

static const struct flag flags_of_both[] = {
    {DARWIN_O_NONBLOCK, O_NONBLOCK}, {DARWIN_O_APPEND, O_APPEND},       {DARWIN_O_SYNC, O_SYNC},
    {DARWIN_O_DSYNC, O_DSYNC},       {DARWIN_O_ASYNC, O_ASYNC},         {DARWIN_O_NOFOLLOW, O_NOFOLLOW},
    {DARWIN_O_CREAT, O_CREAT},       {DARWIN_O_TRUNC, O_TRUNC},         {DARWIN_O_EXCL, O_EXCL},
    {DARWIN_O_NOCTTY, O_NOCTTY},     {DARWIN_O_DIRECTORY, O_DIRECTORY}, {DARWIN_O_CLOEXEC, O_CLOEXEC},
};

enum {
    OF_LINUX_TOO = DARWIN_O_NONBLOCK | DARWIN_O_APPEND | DARWIN_O_SYNC | DARWIN_O_DSYNC | DARWIN_O_ASYNC
        | DARWIN_O_NOFOLLOW | DARWIN_O_CREAT | DARWIN_O_TRUNC | DARWIN_O_EXCL | DARWIN_O_NOCTTY | DARWIN_O_DIRECTORY
        | DARWIN_O_CLOEXEC,
    MODELLED = OF_LINUX_TOO | DARWIN_O_ACCMODE | DARWIN_O_SHLOCK | DARWIN_O_EXLOCK | DARWIN_O_EVTONLY | DARWIN_O_SYMLINK
        | DARWIN_O_NOFOLLOW_ANY,
};

int open_flags_to_linux(int flags) {
    int to = flags & DARWIN_O_ACCMODE;
    for (size_t i = 0; i < sizeof flags_of_both / sizeof *flags_of_both; i++)
        if (flags & flags_of_both[i].darwin)
            to |= flags_of_both[i].of_linux;
    return to;
}

int open_flags_to_darwin(int linux_flags) {
    int to = linux_flags & O_ACCMODE;
    to |= linux_flags & O_NONBLOCK ? DARWIN_O_NONBLOCK : 0;
    to |= linux_flags & O_APPEND ? DARWIN_O_APPEND : 0;
    to |= linux_flags & O_ASYNC ? DARWIN_O_ASYNC : 0;
    // Linux' O_SYNC has the bit of O_DSYNC in it.
    if ((linux_flags & O_SYNC) == O_SYNC)
        to |= DARWIN_O_SYNC;
    else if (linux_flags & O_DSYNC)
        to |= DARWIN_O_DSYNC;
    return to;
}

// A link itself: Linux has a descriptor for it that can be asked what it is, and no more.
static int open_link(const struct place *place, int flags) {
    struct stat link;
    if (fstatat(place->directory, place->path, &link, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    int through = S_ISLNK(link.st_mode) ? O_PATH | (flags & O_CLOEXEC) : flags;
    return openat(place->directory, place->path, through | O_NOFOLLOW);
}

static int open_without_links(const struct place *place, int flags, int mode) {
    if (place->through_link)
        return (int)fail(DARWIN_ELOOP);
    struct open_how how = {
        .flags = (unsigned)flags,
        .mode = flags & O_CREAT ? (unsigned)mode : 0,
        .resolve = RESOLVE_NO_SYMLINKS,
    };
    return (int)syscall(SYS_openat2, place->directory, place->path, &how, sizeof how);
}

// Locked as it is opened, and only then cut to nothing: who holds the lock keeps the contents.
static int lock_opened(int fd, int flags) {
    int how = (flags & DARWIN_O_EXLOCK ? LOCK_EX : LOCK_SH) | (flags & DARWIN_O_NONBLOCK ? LOCK_NB : 0);
    int rc = is_vnode(fd) ? flock(fd, how) : (int)fail(DARWIN_ENOTSUP);
    if (rc == 0 && flags & DARWIN_O_TRUNC)
        rc = ftruncate(fd, 0);
    if (rc == 0)
        return fd;
    int why = *darwin_error();
    close(fd);
    return (int)fail(why);
}

static int darwin_openat(int directory, const char *path, int flags, int mode) {
    if (flags & ~MODELLED)
        refuse("open: the flags %#x are not modelled", flags & ~MODELLED);
    int nothing_like_it = (flags & DARWIN_O_ACCMODE) == DARWIN_O_ACCMODE
        || (flags & DARWIN_O_CREAT && flags & DARWIN_O_DIRECTORY)
        || (flags & DARWIN_O_NOFOLLOW_ANY && flags & (DARWIN_O_SYMLINK | DARWIN_O_NOFOLLOW));
    if (nothing_like_it)
        return (int)fail(DARWIN_EINVAL);
    struct place place;
    if (!locate(&place, directory, path))
        return -1;
    if (place.link && flags & DARWIN_O_NOFOLLOW)
        return (int)fail(flags & DARWIN_O_DIRECTORY ? DARWIN_ENOTDIR : DARWIN_ELOOP);
    if (place.link && flags & DARWIN_O_SYMLINK)
        refuse("open: %s as a link is not modelled", path);

    int locks = flags & (DARWIN_O_EXLOCK | DARWIN_O_SHLOCK);
    int through = open_flags_to_linux(locks ? flags & ~DARWIN_O_TRUNC : flags);
    mode &= ACCESS_PERMISSIONS;
    int fd;
    if (flags & DARWIN_O_SYMLINK)
        fd = open_link(&place, through);
    else if (flags & DARWIN_O_NOFOLLOW_ANY)
        fd = open_without_links(&place, through, mode);
    else
        fd = openat(place.directory, place.path, through, mode);
    // vn_authorize_open_existing: a socket's name is no file to open. Linux: ENXIO, as for a FIFO without a reader.
    struct stat file;
    if (fd < 0 && errno == ENXIO && fstatat(place.directory, place.path, &file, 0) == 0)
        return (int)fail(S_ISSOCK(file.st_mode) ? DARWIN_EOPNOTSUPP : DARWIN_ENXIO);
    return fd >= 0 && locks ? lock_opened(fd, flags) : fd;
}
DOTS("_openat", darwin_openat, 3)

static int darwin_open(const char *path, int flags, int mode) {
    return darwin_openat(DARWIN_AT_FDCWD, path, flags, mode);
}
DOTS("_open", darwin_open, 2)
DOTS("_open$NOCANCEL", darwin_open, 2)
