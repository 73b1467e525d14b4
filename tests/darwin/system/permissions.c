// Who may do what with a file, whose it is, and its times. bsd/vfs/vfs_syscalls.c.
#include "system/permissions.h"
#include "system/at_flags.h"
#include <sys/stat.h>

static int darwin_faccessat(int directory, const char *path, int how, int flags) {
    struct place place;
    if (!flags_allowed(flags, DARWIN_AT_EACCESS | DARWIN_AT_SYMLINK_NOFOLLOW) || !locate(&place, directory, path))
        return -1;
    return faccessat(place.directory, place.path, how, at_flags_to_linux(flags));
}
OURS(faccessat)

static int darwin_access(const char *path, int how) {
    return darwin_faccessat(DARWIN_AT_FDCWD, path, how, 0);
}
OURS(access)

static int darwin_chmod(const char *path, int mode) {
    struct place place;
    return locate_here(&place, path) ? chmod(place.path, (mode_t)mode & ALL_PERMISSIONS) : -1;
}
OURS(chmod)

static int darwin_fchmod(int fd, int mode) {
    return fchmod(fd, (mode_t)mode & ALL_PERMISSIONS);
}
OURS(fchmod)

static int darwin_chown(const char *path, uid_t user, gid_t group) {
    struct place place;
    return locate_here(&place, path) ? chown(place.path, user, group) : -1;
}
OURS(chown)

static int darwin_lchown(const char *path, uid_t user, gid_t group) {
    struct place place;
    return locate_here(&place, path) && !is_of_system(&place) ? lchown(place.path, user, group) : -1;
}
OURS(lchown)

enum { DARWIN_UTIME_NOW = -1, DARWIN_UTIME_OMIT = -2 };   // bsd/sys/stat.h

static struct timespec time_to_linux(struct timespec given) {
    switch (given.tv_nsec) {
    case DARWIN_UTIME_NOW: return (struct timespec){.tv_nsec = UTIME_NOW};
    case DARWIN_UTIME_OMIT: return (struct timespec){.tv_nsec = UTIME_OMIT};
    // Linux' words for these are no times on Darwin.
    case UTIME_NOW:
    case UTIME_OMIT: return (struct timespec){.tv_nsec = -1};
    default: return given;
    }
}

static int darwin_utimensat(int directory, const char *path, const struct timespec given[2], int flags) {
    struct place place;
    if (!flags_allowed(flags, DARWIN_AT_SYMLINK_NOFOLLOW) || !locate(&place, directory, path))
        return -1;
    struct timespec times[2];
    for (int i = 0; given && i < 2; i++)
        times[i] = time_to_linux(given[i]);
    return utimensat(place.directory, place.path, given ? times : NULL, at_flags_to_linux(flags));
}
OURS(utimensat)

static int darwin_futimens(int fd, const struct timespec given[2]) {
    struct timespec times[2];
    for (int i = 0; given && i < 2; i++)
        times[i] = time_to_linux(given[i]);
    return futimens(fd, given ? times : NULL);
}
OURS(futimens)

SAME(fchown)
SAME(umask)
