// What is mounted: statfs, fstatfs, getfsstat, getmntinfo, of Linux' own mounts as a Mac would tell them.
#include "system/statfs.h"
#include "system/errors.h"
#include <mntent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

// ---- what a Mac calls it --------------------------------------------------------------------------------------------

struct type { const char *of_linux, *darwin; };

// mount(8) of macOS. What keeps files on a disk here is what keeps them there: APFS.
static const struct type types[] = {
    {"ext4", "apfs"}, {"ext3", "apfs"}, {"ext2", "apfs"},   {"xfs", "apfs"},     {"btrfs", "apfs"}, {"overlay", "apfs"},
    {"nfs", "nfs"},   {"nfs4", "nfs"},  {"vfat", "msdos"},  {"exfat", "exfat"},  {"hfsplus", "hfs"}, {"cifs", "smbfs"},
    {"udf", "udf"},   {"iso9660", "cd9660"}, {"tmpfs", "tmpfs"}, {"devtmpfs", "devfs"}, {"autofs", "autofs"},
};

// NULL: a Mac has no such thing (proc, sysfs, cgroup2 …).
static const char *type_of(const char *of_linux) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].of_linux, of_linux) == 0)
            return types[i].darwin;
    return strncmp(of_linux, "fuse", strlen("fuse")) == 0 ? "macfuse" : NULL;
}

static bool is_remote(const char *type) {
    return strcmp(type, "nfs") == 0 || strcmp(type, "smbfs") == 0;
}

enum { APFS_IO_SIZE = 1048576 };   // f_iosize of APFS: what statvfs tells as f_bsize

static void fill(const struct statfs *from, const char *type, const char *source, struct darwin_statfs *to) {
    long flags = from->f_flags;
    to->block_size = (uint32_t)from->f_bsize;
    to->io_size = strcmp(type, "apfs") == 0 ? APFS_IO_SIZE : (int32_t)from->f_bsize;
    to->blocks = from->f_blocks;
    to->free = from->f_bfree;
    to->available = from->f_bavail;
    to->files = from->f_files;
    to->free_files = from->f_ffree;
    memcpy(to->id, &from->f_fsid, sizeof to->id);
    to->flags = (flags & ST_RDONLY ? DARWIN_MNT_RDONLY : 0) | (flags & ST_SYNCHRONOUS ? DARWIN_MNT_SYNCHRONOUS : 0)
        | (flags & ST_NOEXEC ? DARWIN_MNT_NOEXEC : 0) | (flags & ST_NOSUID ? DARWIN_MNT_NOSUID : 0)
        | (flags & ST_NODEV ? DARWIN_MNT_NODEV : 0) | (flags & ST_NOATIME ? DARWIN_MNT_NOATIME : 0)
        | (is_remote(type) ? 0 : DARWIN_MNT_LOCAL) | (strcmp(to->mounted_on, "/") == 0 ? DARWIN_MNT_ROOTFS : 0)
        | (strcmp(type, "devfs") == 0 || strcmp(type, "autofs") == 0 ? DARWIN_MNT_DONTBROWSE : 0);
    snprintf(to->type_name, sizeof to->type_name, "%s", type);
    snprintf(to->mounted_from, sizeof to->mounted_from, "%s", source);
}

// ---- Linux' list ----------------------------------------------------------------------------------------------------

// Called with each mount, in the order they were made; goes on while that answers true.
typedef bool each(void *context, const struct mntent *mount);

static void list(each *call, void *context) {
    struct mntent mount;
    char texts[3 * DARWIN_MAXPATHLEN];
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    if (mounts == NULL)
        refuse("the list of mounts cannot be read: %s", strerror(errno));
    while (getmntent_r(mounts, &mount, texts, sizeof texts) && call(context, &mount)) {}
    endmntent(mounts);
    errno = 0;
}

struct found { dev_t device; struct darwin_statfs *to; const struct statfs *from; bool is; };

// The first one of a device: what follows with its number are bind mounts.
static bool is_of_device(void *context, const struct mntent *mount) {
    struct found *found = context;
    struct stat root;
    const char *type = type_of(mount->mnt_type);
    if (type && stat(mount->mnt_dir, &root) == 0 && root.st_dev == found->device) {
        found->is = path_to_darwin(mount->mnt_dir, found->to->mounted_on);
        fill(found->from, type, mount->mnt_fsname, found->to);
        return false;
    }
    return true;
}

static int tell(const struct statfs *from, dev_t device, struct darwin_statfs *to) {
    struct found found = {device, to, from, false};
    *to = (struct darwin_statfs){0};
    list(is_of_device, &found);
    return found.is ? 0 : (int)fail(DARWIN_ENOENT);
}

static int darwin_statfs(const char *path, struct darwin_statfs *to) {
    struct place place;
    struct statfs from;
    struct stat file;
    if (!locate_here(&place, path) || statfs(place.path, &from) != 0 || stat(place.path, &file) != 0)
        return -1;
    return tell(&from, file.st_dev, to);
}
INODE64(statfs)

static int darwin_fstatfs(int fd, struct darwin_statfs *to) {
    struct statfs from;
    struct stat file;
    if (fstatfs(fd, &from) != 0 || fstat(fd, &file) != 0)
        return -1;
    return tell(&from, file.st_dev, to);
}
INODE64(fstatfs)

// ---- the whole list -------------------------------------------------------------------------------------------------

enum { DARWIN_MNT_WAIT = 1, DARWIN_MNT_NOWAIT = 2, DARWIN_MNT_DWAIT = 4 };

struct filling { struct darwin_statfs *to; int room, count; };

static bool add(void *context, const struct mntent *mount) {
    struct filling *filling = context;
    struct statfs from;
    const char *type = type_of(mount->mnt_type);
    if (type == NULL || statfs(mount->mnt_dir, &from) != 0)
        return true;
    if (filling->to && filling->count == filling->room)
        return false;
    if (filling->to) {
        struct darwin_statfs *to = &filling->to[filling->count];
        *to = (struct darwin_statfs){0};
        if (!path_to_darwin(mount->mnt_dir, to->mounted_on))
            return true;
        fill(&from, type, mount->mnt_fsname, to);
    }
    filling->count++;
    return true;
}

// How many there are, or as many as there is room for (bsd/vfs/vfs_syscalls.c, getfsstat).
static int darwin_getfsstat(struct darwin_statfs *to, int size, int flags) {
    if (flags & ~(DARWIN_MNT_WAIT | DARWIN_MNT_NOWAIT | DARWIN_MNT_DWAIT) || (to && size < 0))
        return (int)fail(DARWIN_EINVAL);
    struct filling filling = {.to = to, .room = to ? size / (int)sizeof *to : 0};
    list(add, &filling);
    return filling.count;
}
INODE64(getfsstat)

// Libc's gen/FreeBSD/getmntinfo.c: what it hands out is its own, and the next call's.
static int darwin_getmntinfo(struct darwin_statfs **out, int flags) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct darwin_statfs *own;
    pthread_mutex_lock(&lock);
    int count = darwin_getfsstat(NULL, 0, flags);
    struct darwin_statfs *room = count < 0 ? NULL : realloc(own, (size_t)count * sizeof *own);
    if (room) {
        own = room;
        count = darwin_getfsstat(own, count * (int)sizeof *own, flags);
        *out = own;
    }
    pthread_mutex_unlock(&lock);
    // Zero is what says that it failed.
    return room && count > 0 ? count : 0;
}
INODE64(getmntinfo)

// ---- POSIX' way -----------------------------------------------------------------------------------------------------

// include/sys/statvfs.h and emulated/statvfs.c, Libc-1725.0.11. Blocks are counted in 32 bits, and what does not fit in
// them is cut off; they are of f_frsize bytes, and f_bsize is what is best read at once.
struct darwin_statvfs {
    uint64_t block_size, fragment_size;
    uint32_t blocks, free, available, files, free_files, available_files;
    uint64_t id, flags, longest_name;
};
_Static_assert(sizeof(struct darwin_statvfs) == 64, "struct statvfs");
enum { DARWIN_ST_RDONLY = 1, DARWIN_ST_NOSUID = 2, DARWIN_NAME_MAX = 255 };

static void posix(const struct statfs *from, struct darwin_statvfs *to) {
    *to = (struct darwin_statvfs){
        .block_size = APFS_IO_SIZE,
        .fragment_size = (uint64_t)from->f_bsize,
        .blocks = (uint32_t)(from->f_blocks),
        .free = (uint32_t)(from->f_bfree),
        .available = (uint32_t)(from->f_bavail),
        .files = (uint32_t)(from->f_files),
        .free_files = (uint32_t)(from->f_ffree),
        .available_files = (uint32_t)(from->f_ffree),
        .flags = (from->f_flags & ST_RDONLY ? DARWIN_ST_RDONLY : 0)
            | (from->f_flags & ST_NOSUID ? DARWIN_ST_NOSUID : 0),
        .longest_name = DARWIN_NAME_MAX,
    };
    memcpy(&to->id, &from->f_fsid, sizeof(uint32_t));
}

static int darwin_statvfs(const char *path, struct darwin_statvfs *to) {
    struct place place;
    struct statfs from;
    if (!locate_here(&place, path) || statfs(place.path, &from) != 0)
        return -1;
    posix(&from, to);
    return 0;
}
OURS(statvfs)

static int darwin_fstatvfs(int fd, struct darwin_statvfs *to) {
    struct statfs from;
    if (fstatfs(fd, &from) != 0)
        return -1;
    posix(&from, to);
    return 0;
}
OURS(fstatvfs)
