// stat, lstat, fstat, fstatat.
#include "system/stat.h"
#include "system/at_flags.h"
#include "system/errors.h"
#include "system/paths.h"
#include <sys/stat.h>

int32_t darwin_device(unsigned major_number, unsigned minor_number) {
    return (int32_t)(major_number << 24 | (minor_number & 0xffffff));
}

static struct timespec time_of(struct statx_timestamp stamp) {
    return (struct timespec){stamp.tv_sec, stamp.tv_nsec};
}

// What kind of file it is and who may do what has the same bits on both (bsd/sys/_types/_s_ifmt.h).
static void to_darwin(const struct statx *from, struct darwin_stat *to) {
    *to = (struct darwin_stat){
        .device = darwin_device(from->stx_dev_major, from->stx_dev_minor),
        .mode = from->stx_mode,
        .links = (uint16_t)from->stx_nlink,
        .inode = from->stx_ino,
        .user = from->stx_uid,
        .group = from->stx_gid,
        .raw_device = darwin_device(from->stx_rdev_major, from->stx_rdev_minor),
        .accessed = time_of(from->stx_atime),
        .modified = time_of(from->stx_mtime),
        .changed = time_of(from->stx_ctime),
        // A file system that keeps no time of birth: APFS has one for each, which is never after the others.
        .born = time_of(from->stx_mask & STATX_BTIME ? from->stx_btime : from->stx_mtime),
        .size = (int64_t)from->stx_size,
        .blocks = (int64_t)from->stx_blocks,
        .block_size = (int32_t)from->stx_blksize,
    };
}

// /var itself, as the sealed system volume has it.
static int stat_of_system_link(const char *holds, struct darwin_stat *to) {
    struct statx root;
    if (statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS | STATX_BTIME, &root) != 0)
        return -1;
    to_darwin(&root, to);
    to->mode = S_IFLNK | 0755;
    to->links = 1;
    // A number that no file has: it is no other file, and the same at each call.
    to->inode = UINT64_MAX - (uint64_t)holds[strlen("private/")];
    to->size = (int64_t)strlen(holds);
    to->blocks = 0;
    return 0;
}

static int darwin_fstatat(int directory, const char *path, struct darwin_stat *to, int flags) {
    struct place place;
    struct statx file;
    if (flags & ~DARWIN_AT_SYMLINK_NOFOLLOW)
        return (int)fail(DARWIN_EINVAL);
    if (!locate(&place, directory, path))
        return -1;
    if (place.link && flags & DARWIN_AT_SYMLINK_NOFOLLOW)
        return stat_of_system_link(place.link, to);
    int rc = statx(place.directory, place.path, at_flags_to_linux(flags), STATX_BASIC_STATS | STATX_BTIME, &file);
    if (rc == 0)
        to_darwin(&file, to);
    return rc;
}
INODE64(fstatat)

static int darwin_stat(const char *path, struct darwin_stat *to) {
    return darwin_fstatat(DARWIN_AT_FDCWD, path, to, 0);
}
INODE64(stat)

static int darwin_lstat(const char *path, struct darwin_stat *to) {
    return darwin_fstatat(DARWIN_AT_FDCWD, path, to, DARWIN_AT_SYMLINK_NOFOLLOW);
}
INODE64(lstat)

static int darwin_fstat(int fd, struct darwin_stat *to) {
    struct statx file;
    int rc = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &file);
    if (rc == 0)
        to_darwin(&file, to);
    return rc;
}
INODE64(fstat)
