// Names in folders: what makes them, ends them, changes them. bsd/vfs/vfs_syscalls.c.
#include "system/at_flags.h"
#include "system/errors.h"
#include "system/paths.h"
#include "system/permissions.h"
#include <stdbool.h>
#include <sys/stat.h>

// ---- folders --------------------------------------------------------------------------------------------------------

static int darwin_mkdirat(int directory, const char *path, int mode) {
    struct place place;
    if (!locate(&place, directory, path))
        return -1;
    return mkdirat(place.directory, place.path, (mode_t)mode & ACCESS_PERMISSIONS);
}
OURS(mkdirat)

static int darwin_mkdir(const char *path, int mode) {
    return darwin_mkdirat(DARWIN_AT_FDCWD, path, mode);
}
OURS(mkdir)

static int darwin_mkfifo(const char *path, int mode) {
    struct place place;
    return locate_here(&place, path) ? mkfifo(place.path, (mode_t)mode & ALL_PERMISSIONS) : -1;
}
OURS(mkfifo)

// ---- the end of a name ----------------------------------------------------------------------------------------------

static bool is_folder(const struct place *place) {
    struct stat file;
    return fstatat(place->directory, place->path, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(file.st_mode);
}

static int darwin_unlinkat(int directory, const char *path, int flags) {
    struct place place;
    if (!flags_allowed(flags, DARWIN_AT_REMOVEDIR) || !locate(&place, directory, path) || is_of_system(&place))
        return -1;
    if (unlinkat(place.directory, place.path, at_flags_to_linux(flags)) == 0)
        return 0;
    // A folder is nothing to unlink: EPERM (unlink(2) of macOS, and POSIX), where Linux says EISDIR.
    int why = errno;
    if (why == EISDIR && !(flags & DARWIN_AT_REMOVEDIR) && is_folder(&place))
        return (int)fail(DARWIN_EPERM);
    errno = why;
    return -1;
}
OURS(unlinkat)

static int darwin_unlink(const char *path) {
    return darwin_unlinkat(DARWIN_AT_FDCWD, path, 0);
}
OURS(unlink)

static int darwin_rmdir(const char *path) {
    return darwin_unlinkat(DARWIN_AT_FDCWD, path, DARWIN_AT_REMOVEDIR);
}
OURS(rmdir)

// ---- other names ----------------------------------------------------------------------------------------------------

static int darwin_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    struct place old, new;
    if (!flags_allowed(flags, DARWIN_AT_SYMLINK_FOLLOW) || !locate(&old, from_directory, from)
        || !locate(&new, to_directory, to))
        return -1;
    return linkat(old.directory, old.path, new.directory, new.path, at_flags_to_linux(flags));
}
OURS(linkat)

// sys_link follows a link at the end of the old name, which Linux does not.
static int darwin_link(const char *from, const char *to) {
    return darwin_linkat(DARWIN_AT_FDCWD, from, DARWIN_AT_FDCWD, to, DARWIN_AT_SYMLINK_FOLLOW);
}
OURS(link)

// rename(2): the last part of neither is `.` or `..`. Linux: EBUSY.
static bool ends_in_dots(const char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && path[start - 1] != '/')
        start--;
    size_t last = length - start;
    return (last == 1 && path[start] == '.') || (last == 2 && path[start] == '.' && path[start + 1] == '.');
}

static int darwin_renameat(int from_directory, const char *from, int to_directory, const char *to) {
    struct place old, new;
    if (!locate(&old, from_directory, from) || !locate(&new, to_directory, to) || is_of_system(&old)
        || is_of_system(&new))
        return -1;
    if (ends_in_dots(from) || ends_in_dots(to))
        return (int)fail(DARWIN_EINVAL);
    return renameat(old.directory, old.path, new.directory, new.path);
}
OURS(renameat)

static int darwin_rename(const char *from, const char *to) {
    return darwin_renameat(DARWIN_AT_FDCWD, from, DARWIN_AT_FDCWD, to);
}
OURS(rename)

// bsd/sys/stdio.h. RENAME_SECLUDE is for the system's own.
enum { DARWIN_RENAME_SWAP = 0x2, DARWIN_RENAME_EXCL = 0x4 };

static int darwin_renameatx_np(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    struct place old, new;
    bool both = flags & DARWIN_RENAME_SWAP && flags & DARWIN_RENAME_EXCL;
    if (flags & ~(unsigned)(DARWIN_RENAME_SWAP | DARWIN_RENAME_EXCL))
        refuse("renameatx_np: the flags %#x are not modelled", flags);
    if (both || ends_in_dots(from) || ends_in_dots(to))
        return (int)fail(DARWIN_EINVAL);
    if (!locate(&old, from_directory, from) || !locate(&new, to_directory, to) || is_of_system(&old)
        || is_of_system(&new))
        return -1;
    unsigned through = (flags & DARWIN_RENAME_SWAP ? RENAME_EXCHANGE : 0)
        | (flags & DARWIN_RENAME_EXCL ? RENAME_NOREPLACE : 0);
    int rc = renameat2(old.directory, old.path, new.directory, new.path, through);
    // A file system that cannot: Linux says EINVAL.
    return rc != 0 && errno == EINVAL ? (int)fail(DARWIN_ENOTSUP) : rc;
}
OURS(renameatx_np)

// What a link holds is what was given, but for /private, which Linux would not find: it is put there as Linux has it,
// and read so.
static int darwin_symlinkat(const char *holds, int directory, const char *path) {
    struct place place, held;
    if (!locate(&place, directory, path) || is_of_system(&place))
        return -1;
    bool private = strncmp(holds, "/private/", strlen("/private/")) == 0;
    if (private && !locate_here(&held, holds))
        return -1;
    return symlinkat(private ? held.path : holds, place.directory, place.path);
}
OURS(symlinkat)

static int darwin_symlink(const char *holds, const char *path) {
    return darwin_symlinkat(holds, DARWIN_AT_FDCWD, path);
}
OURS(symlink)

static ssize_t darwin_readlinkat(int directory, const char *path, char *to, size_t size) {
    struct place place;
    if (!locate(&place, directory, path))
        return -1;
    if (place.link == NULL)
        return readlinkat(place.directory, place.path, to, size);
    size_t length = strlen(place.link);
    memcpy(to, place.link, length < size ? length : size);
    return (ssize_t)(length < size ? length : size);
}
OURS(readlinkat)

static ssize_t darwin_readlink(const char *path, char *to, size_t size) {
    return darwin_readlinkat(DARWIN_AT_FDCWD, path, to, size);
}
OURS(readlink)
