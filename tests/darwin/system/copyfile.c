// Copies of whole files: fclonefileat (bsd/vfs/vfs_syscalls.c, clonefile_internal; bsd/sys/clonefile.h) and fcopyfile
// (copyfile-224, copyfile.c). Extended attributes and access control lists are not modelled: there are none here.
#include "system/allocate.h"
#include "system/errors.h"
#include "system/paths.h"
#include <fcntl.h>
#include <sys/stat.h>

// Copies from where both are; what was copied is added to *copied. 0, or -1 with errno.
static int copy_data(int from, int to, off_t *copied) {
    char part[1 << 16];
    ssize_t length;
    while ((length = read(from, part, sizeof part)) > 0)
        for (ssize_t done = 0; done < length;) {
            ssize_t written = write(to, part + done, (size_t)(length - done));
            if (written < 0)
                return -1;
            done += written;
            *copied += written;
        }
    return length < 0 ? -1 : 0;
}

static int copy_times(const struct stat *from, int to) {
    const struct timespec times[2] = {from->st_atim, from->st_mtim};
    return futimens(to, times);
}

// ---- fclonefileat ---------------------------------------------------------------------------------------------------

enum { DARWIN_CLONE_NOFOLLOW = 1, DARWIN_CLONE_NOOWNERCOPY = 2, DARWIN_CLONE_ACL = 4 };

// A clone of APFS shares its blocks with the first until one of them changes; a copy differs from it by its room alone.
static int fill_clone(int from, int to, const struct stat *file, int flags) {
    char path[64];
    off_t copied = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", from);
    // From its beginning, whatever is read through `from` meanwhile.
    int again = open(path, O_RDONLY | O_CLOEXEC);
    if (again < 0)
        return -1;
    int rc = copy_data(again, to, &copied);
    close(again);
    if (rc == 0 && geteuid() == 0 && !(flags & DARWIN_CLONE_NOOWNERCOPY))
        rc = fchown(to, file->st_uid, file->st_gid);
    if (rc == 0)
        rc = fchmod(to, file->st_mode & 07777);
    return rc == 0 ? copy_times(file, to) : rc;
}

static int darwin_fclonefileat(int from, int directory, const char *path, int flags) {
    struct place place;
    struct stat file, folder;
    if (flags & ~(DARWIN_CLONE_NOFOLLOW | DARWIN_CLONE_NOOWNERCOPY | DARWIN_CLONE_ACL))
        return (int)fail(DARWIN_EINVAL);
    if (fstat(from, &file) != 0 || !locate(&place, directory, path))
        return -1;
    if (S_ISDIR(file.st_mode))
        refuse("fclonefileat: a clone of a folder is not modelled");
    if (!S_ISREG(file.st_mode))
        return (int)fail(DARWIN_EINVAL);
    int to = openat(place.directory, place.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return -1;
    int rc = -1;
    if (fstat(to, &folder) == 0 && folder.st_dev != file.st_dev)
        errno = EXDEV;
    else
        rc = fill_clone(from, to, &file, flags);
    int why = errno;
    if (rc != 0)
        unlinkat(place.directory, place.path, 0);
    close(to);
    errno = why;
    return rc;
}
OURS(fclonefileat)

// ---- fcopyfile ------------------------------------------------------------------------------------------------------

enum {
    COPYFILE_ACL = 1,
    COPYFILE_STAT = 2,
    COPYFILE_XATTR = 4,
    COPYFILE_DATA = 8,
    COPYFILE_ALL = COPYFILE_ACL | COPYFILE_STAT | COPYFILE_XATTR | COPYFILE_DATA,
};
enum { COPYFILE_STATE_COPIED = 8 };

struct copy_state { off_t copied; };

static struct copy_state *darwin_copyfile_state_alloc(void) {
    return zeroed(1, sizeof(struct copy_state));
}
OURS(copyfile_state_alloc)

static int darwin_copyfile_state_free(struct copy_state *state) {
    free(state);
    return 0;
}
OURS(copyfile_state_free)

static int darwin_copyfile_state_get(struct copy_state *state, uint32_t what, void *to) {
    if (what != COPYFILE_STATE_COPIED)
        refuse("copyfile_state_get: %u is not modelled", what);
    *(off_t *)to = state->copied;
    return 0;
}
OURS(copyfile_state_get)

// copyfile_stat. An owner or a mode that cannot be given is not told: "If this fails, we don't care".
static int copy_stat(const struct stat *from, int to) {
    int unheeded = fchown(to, from->st_uid, from->st_gid);
    unheeded = fchmod(to, from->st_mode & 07777);
    (void)unheeded;
    return copy_times(from, to);
}

// The target ends where what was copied ends, wherever the writing began: "This is wrong if fcopyfile() is given a
// dst_fd with a non-zero starting offset, but we need to preserve the existing behavior" (copyfile_data).
static int copy(int from, int to, const struct stat *file, uint32_t flags, off_t *copied) {
    if (flags & COPYFILE_DATA && S_ISREG(file->st_mode))
        if (copy_data(from, to, copied) != 0 || ftruncate(to, *copied) != 0)
            return -1;
    return flags & COPYFILE_STAT ? copy_stat(file, to) : 0;
}

static int darwin_fcopyfile(int from, int to, struct copy_state *state, uint32_t flags) {
    struct stat file;
    off_t copied = 0;
    if (flags & ~(uint32_t)COPYFILE_ALL)
        refuse("fcopyfile: the flags %#x are not modelled", flags);
    if (from < 0 || to < 0)
        return (int)fail(DARWIN_EINVAL);
    if (fstat(from, &file) != 0)
        return -1;
    if (!S_ISREG(file.st_mode) && !S_ISDIR(file.st_mode) && !S_ISLNK(file.st_mode))
        return (int)fail(DARWIN_ENOTSUP);
    int rc = copy(from, to, &file, flags, &copied);
    if (state)
        state->copied = copied;
    return rc;
}
OURS(fcopyfile)
