// Names in folders, and what is set through them: bsd/vfs/vfs_syscalls.c.
#include "system/at_flags.h"
#include "system/errors.h"
#include "system/paths.h"
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

// What stands between a Mac's user and the sealed system volume, where /var, /tmp and /etc are (EROFS for all).
static bool is_of_system(const struct place *place)
{
    if (place->link == NULL)
        return false;
    fail(DARWIN_EROFS);
    return true;
}

static bool flags_allowed(int flags, int allowed)
{
    if (!(flags & ~allowed))
        return true;
    fail(DARWIN_EINVAL);
    return false;
}

// ---- folders --------------------------------------------------------------------------------------------------------

enum { ACCESS_PERMISSIONS = 0777 };   // bsd/sys/stat.h, ACCESSPERMS
enum { ALL_PERMISSIONS = 07777 };     // ALLPERMS

static int darwin_mkdirat(int directory, const char *path, int mode)
{
    struct place place;
    return locate(&place, directory, path) ? mkdirat(place.directory, place.path, (mode_t)mode & ACCESS_PERMISSIONS) : -1;
}
OURS(mkdirat)

static int darwin_mkdir(const char *path, int mode)
{
    return darwin_mkdirat(DARWIN_AT_FDCWD, path, mode);
}
OURS(mkdir)

static int darwin_mkfifo(const char *path, int mode)
{
    struct place place;
    return locate_here(&place, path) ? mkfifo(place.path, (mode_t)mode & ALL_PERMISSIONS) : -1;
}
OURS(mkfifo)

// ---- the end of a name ----------------------------------------------------------------------------------------------

static bool is_folder(const struct place *place)
{
    struct stat file;
    return fstatat(place->directory, place->path, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(file.st_mode);
}

static int darwin_unlinkat(int directory, const char *path, int flags)
{
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

static int darwin_unlink(const char *path)
{
    return darwin_unlinkat(DARWIN_AT_FDCWD, path, 0);
}
OURS(unlink)

static int darwin_rmdir(const char *path)
{
    return darwin_unlinkat(DARWIN_AT_FDCWD, path, DARWIN_AT_REMOVEDIR);
}
OURS(rmdir)

// ---- other names ----------------------------------------------------------------------------------------------------

static int darwin_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    struct place old, new;
    if (!flags_allowed(flags, DARWIN_AT_SYMLINK_FOLLOW) || !locate(&old, from_directory, from) || !locate(&new, to_directory, to))
        return -1;
    return linkat(old.directory, old.path, new.directory, new.path, at_flags_to_linux(flags));
}
OURS(linkat)

// sys_link follows a link at the end of the old name, which Linux does not.
static int darwin_link(const char *from, const char *to)
{
    return darwin_linkat(DARWIN_AT_FDCWD, from, DARWIN_AT_FDCWD, to, DARWIN_AT_SYMLINK_FOLLOW);
}
OURS(link)

// rename(2): the last part of neither is `.` or `..`. Linux: EBUSY.
static bool ends_in_dots(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && path[start - 1] != '/')
        start--;
    size_t last = length - start;
    return (last == 1 && path[start] == '.') || (last == 2 && path[start] == '.' && path[start + 1] == '.');
}

static int darwin_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    struct place old, new;
    if (!locate(&old, from_directory, from) || !locate(&new, to_directory, to) || is_of_system(&old) || is_of_system(&new))
        return -1;
    if (ends_in_dots(from) || ends_in_dots(to))
        return (int)fail(DARWIN_EINVAL);
    return renameat(old.directory, old.path, new.directory, new.path);
}
OURS(renameat)

static int darwin_rename(const char *from, const char *to)
{
    return darwin_renameat(DARWIN_AT_FDCWD, from, DARWIN_AT_FDCWD, to);
}
OURS(rename)

// What a link holds is what was given, but for /private, which Linux would not find: it is put there as Linux has it, and
// read so.
static int darwin_symlinkat(const char *holds, int directory, const char *path)
{
    struct place place, held;
    if (!locate(&place, directory, path) || is_of_system(&place))
        return -1;
    bool private = strncmp(holds, "/private/", strlen("/private/")) == 0;
    if (private && !locate_here(&held, holds))
        return -1;
    return symlinkat(private ? held.path : holds, place.directory, place.path);
}
OURS(symlinkat)

static int darwin_symlink(const char *holds, const char *path)
{
    return darwin_symlinkat(holds, DARWIN_AT_FDCWD, path);
}
OURS(symlink)

static ssize_t darwin_readlinkat(int directory, const char *path, char *to, size_t size)
{
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

static ssize_t darwin_readlink(const char *path, char *to, size_t size)
{
    return darwin_readlinkat(DARWIN_AT_FDCWD, path, to, size);
}
OURS(readlink)

// ---- who may, and when ----------------------------------------------------------------------------------------------

static int darwin_faccessat(int directory, const char *path, int how, int flags)
{
    struct place place;
    if (!flags_allowed(flags, DARWIN_AT_EACCESS | DARWIN_AT_SYMLINK_NOFOLLOW) || !locate(&place, directory, path))
        return -1;
    return faccessat(place.directory, place.path, how, at_flags_to_linux(flags));
}
OURS(faccessat)

static int darwin_access(const char *path, int how)
{
    return darwin_faccessat(DARWIN_AT_FDCWD, path, how, 0);
}
OURS(access)

static int darwin_chmod(const char *path, int mode)
{
    struct place place;
    return locate_here(&place, path) ? chmod(place.path, (mode_t)mode & ALL_PERMISSIONS) : -1;
}
OURS(chmod)

static int darwin_fchmod(int fd, int mode)
{
    return fchmod(fd, (mode_t)mode & ALL_PERMISSIONS);
}
OURS(fchmod)

static int darwin_chown(const char *path, uid_t user, gid_t group)
{
    struct place place;
    return locate_here(&place, path) ? chown(place.path, user, group) : -1;
}
OURS(chown)

static int darwin_lchown(const char *path, uid_t user, gid_t group)
{
    struct place place;
    return locate_here(&place, path) && !is_of_system(&place) ? lchown(place.path, user, group) : -1;
}
OURS(lchown)

enum { DARWIN_UTIME_NOW = -1, DARWIN_UTIME_OMIT = -2 };   // bsd/sys/stat.h

static struct timespec time_to_linux(struct timespec given)
{
    switch (given.tv_nsec) {
    case DARWIN_UTIME_NOW: return (struct timespec){.tv_nsec = UTIME_NOW};
    case DARWIN_UTIME_OMIT: return (struct timespec){.tv_nsec = UTIME_OMIT};
    // Linux' words for these are no times on Darwin.
    case UTIME_NOW:
    case UTIME_OMIT: return (struct timespec){.tv_nsec = -1};
    default: return given;
    }
}

static int darwin_utimensat(int directory, const char *path, const struct timespec given[2], int flags)
{
    struct place place;
    if (!flags_allowed(flags, DARWIN_AT_SYMLINK_NOFOLLOW) || !locate(&place, directory, path))
        return -1;
    struct timespec times[2];
    for (int i = 0; given && i < 2; i++)
        times[i] = time_to_linux(given[i]);
    return utimensat(place.directory, place.path, given ? times : NULL, at_flags_to_linux(flags));
}
OURS(utimensat)

static int darwin_futimens(int fd, const struct timespec given[2])
{
    struct timespec times[2];
    for (int i = 0; given && i < 2; i++)
        times[i] = time_to_linux(given[i]);
    return futimens(fd, given ? times : NULL);
}
OURS(futimens)

SAME(fchown)
SAME(umask)

// ---- where we are ---------------------------------------------------------------------------------------------------

static int darwin_chdir(const char *path)
{
    struct place place;
    return locate_here(&place, path) ? chdir(place.path) : -1;
}
OURS(chdir)

static int darwin_chroot(const char *path)
{
    (void)path;
    refuse("chroot is not modelled: the loader finds its files by path");
}
OURS(chroot)

// Libc's gen/FreeBSD/getcwd.c: without a place to put it, one of its own that is freed by free().
static char *darwin_getcwd(char *to, size_t size)
{
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

static char *darwin_realpath(const char *path, char *to)
{
    struct place place;
    char real[PATH_MAX], answer[DARWIN_MAXPATHLEN];
    if (path == NULL) {
        fail(DARWIN_EINVAL);
        return NULL;
    }
    if (!locate_here(&place, path) || realpath(place.path, real) == NULL || !path_to_darwin(real, answer))
        return NULL;
    return to ? strcpy(to, answer) : strdup(answer);
}
OURS(realpath)
SHIM("_realpath$DARWIN_EXTSN", darwin_realpath)

// ---- names that nobody has yet --------------------------------------------------------------------------------------

enum { CHOSEN = 6 };   // the X at the end

// Calls `make` with the template where Linux has it, and puts what was chosen into the one that was given.
static int make_unique(char *given, int (*make)(char *))
{
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

static int make_folder(char *template)
{
    return mkdtemp(template) ? 0 : -1;
}

static char *darwin_mkdtemp(char *template)
{
    return make_unique(template, make_folder) < 0 ? NULL : template;
}
OURS(mkdtemp)

static int darwin_mkstemp(char *template)
{
    return make_unique(template, mkstemp);
}
OURS(mkstemp)
