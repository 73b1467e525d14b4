// fcntl: bsd/sys/fcntl.h, bsd/kern/kern_descrip.c (sys_fcntl_nocancel).
#include "system/descriptors.h"
#include "system/errors.h"
#include "system/open_flags.h"
#include "system/paths.h"
#include <fcntl.h>
#include <sys/stat.h>

enum darwin_fcntl {
    DARWIN_F_DUPFD = 0,
    DARWIN_F_GETFD = 1,
    DARWIN_F_SETFD = 2,
    DARWIN_F_GETFL = 3,
    DARWIN_F_SETFL = 4,
    DARWIN_F_GETLK = 7,
    DARWIN_F_SETLK = 8,
    DARWIN_F_SETLKW = 9,
    DARWIN_F_PREALLOCATE = 42,
    DARWIN_F_RDADVISE = 44,
    DARWIN_F_RDAHEAD = 45,
    DARWIN_F_NOCACHE = 48,
    DARWIN_F_GETPATH = 50,
    DARWIN_F_FULLFSYNC = 51,
    DARWIN_F_DUPFD_CLOEXEC = 67,
    DARWIN_F_SETNOSIGPIPE = 73,
    DARWIN_F_GETNOSIGPIPE = 74,
    DARWIN_F_BARRIERFSYNC = 85,
    DARWIN_F_OFD_SETLK = 90,
    DARWIN_F_OFD_SETLKW = 91,
    DARWIN_F_OFD_GETLK = 92,
    DARWIN_F_PUNCHHOLE = 99,
    DARWIN_F_GETPATH_NOFIRMLINK = 102,
    DARWIN_F_LAST = 113,   // F_ADDSIGS_MAIN_BINARY
};
enum { DARWIN_FD_CLOEXEC = 1, DARWIN_FD_CLOFORK = 2 };

// ---- locks ----------------------------------------------------------------------------------------------------------

enum { DARWIN_F_RDLCK = 1, DARWIN_F_UNLCK = 2, DARWIN_F_WRLCK = 3 };

struct darwin_flock {
    int64_t start, length;
    int32_t pid;
    int16_t type, whence;
};
_Static_assert(sizeof(struct darwin_flock) == 24, "struct flock");
_Static_assert(offsetof(struct darwin_flock, type) == 20, "l_type");

static int type_to_linux(int type) {
    switch (type) {
    case DARWIN_F_RDLCK: return F_RDLCK;
    case DARWIN_F_WRLCK: return F_WRLCK;
    case DARWIN_F_UNLCK: return F_UNLCK;
    default: return -1;
    }
}

static int lock(int fd, int how, struct darwin_flock *given) {
    if (!is_vnode(fd))
        return (int)fail(DARWIN_EBADF);
    int type = type_to_linux(given->type);
    if (type < 0)
        return (int)fail(DARWIN_EINVAL);
    // l_pid is for the answer; Linux wants 0 there for a lock of the open file.
    struct flock of_linux = {
        .l_type = (short)type,
        .l_whence = given->whence,
        .l_start = given->start,
        .l_len = given->length,
    };
    int rc = fcntl(fd, how, &of_linux);
    if (rc != 0 || (how != F_GETLK && how != F_OFD_GETLK))
        return rc;
    if (of_linux.l_type == F_UNLCK) {
        given->type = DARWIN_F_UNLCK;
        return 0;
    }
    *given = (struct darwin_flock){
        .start = of_linux.l_start,
        .length = of_linux.l_len,
        .pid = of_linux.l_pid,
        .type = of_linux.l_type == F_WRLCK ? DARWIN_F_WRLCK : DARWIN_F_RDLCK,
        .whence = of_linux.l_whence,
    };
    return 0;
}

// ---- what is on the medium ------------------------------------------------------------------------------------------

// F_BARRIERFSYNC is the stronger one where a file system has no barriers, and so here. Neither is for what has no name
// (EBADF). A device gets it as an ioctl, which it does not know.
static int full_sync(int fd) {
    struct stat file;
    if (!is_vnode(fd))
        return (int)fail(DARWIN_EBADF);
    if (fstat(fd, &file) != 0)
        return -1;
    if (!S_ISREG(file.st_mode) && !S_ISDIR(file.st_mode))
        return (int)fail(DARWIN_ENOTTY);
    return fsync(fd);
}

struct darwin_fstore {
    uint32_t flags;
    int32_t position_mode;
    int64_t offset, length, allocated;
};
_Static_assert(sizeof(struct darwin_fstore) == 32, "fstore_t");
enum { DARWIN_F_PEOFPOSMODE = 3 };

static int preallocate(int fd, struct darwin_fstore *store) {
    struct stat file;
    if (!is_vnode(fd) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return (int)fail(DARWIN_EBADF);
    store->allocated = 0;
    if (store->position_mode != DARWIN_F_PEOFPOSMODE || store->offset != 0)
        return (int)fail(DARWIN_EINVAL);
    if (fstat(fd, &file) != 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, file.st_size, store->length) != 0)
        return errno == EOPNOTSUPP ? (int)fail(DARWIN_ENOTSUP) : -1;
    store->allocated = store->length;
    return 0;
}

struct darwin_fpunchhole {
    uint32_t flags, reserved;
    int64_t offset, length;
};
_Static_assert(sizeof(struct darwin_fpunchhole) == 24, "fpunchhole_t");
// fcntl(2): both must be whole blocks of the file system. APFS' are 4096 bytes.
enum { APFS_BLOCK = 4096 };

static int punch_hole(int fd, const struct darwin_fpunchhole *hole) {
    if (!is_vnode(fd))
        return (int)fail(DARWIN_EBADF);
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return (int)fail(DARWIN_EPERM);
    if (hole->flags || hole->reserved || hole->offset % APFS_BLOCK || hole->length % APFS_BLOCK || hole->length <= 0)
        return (int)fail(DARWIN_EINVAL);
    int rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole->offset, hole->length);
    return rc != 0 && errno == EOPNOTSUPP ? (int)fail(DARWIN_ENOTSUP) : rc;
}

// ---- hints ----------------------------------------------------------------------------------------------------------

struct darwin_radvisory {
    int64_t offset;
    int32_t count;
};
_Static_assert(sizeof(struct darwin_radvisory) == 16, "struct radvisory");

static int read_ahead(int fd, const struct darwin_radvisory *what) {
    if (!is_vnode(fd))
        return (int)fail(DARWIN_EBADF);
    if (what->offset < 0 || what->count < 0)
        return (int)fail(DARWIN_EINVAL);
    return 0;
}

// ---- flags ----------------------------------------------------------------------------------------------------------

static int set_flags(int fd, int flags) {
    int before = fcntl(fd, F_GETFL);
    if (before < 0)
        return -1;
    int durable = DARWIN_O_SYNC | DARWIN_O_DSYNC;
    // Linux leaves these as they were and says that it changed them.
    if ((flags & durable) != (open_flags_to_darwin(before) & durable))
        refuse("fcntl(F_SETFL, %#x): O_SYNC and O_DSYNC of an open file are not modelled", flags);
    return fcntl(fd, F_SETFL, open_flags_to_linux(flags & (DARWIN_O_NONBLOCK | DARWIN_O_APPEND | DARWIN_O_ASYNC)));
}

static int get_flags(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : open_flags_to_darwin(flags);
}

static int set_descriptor_flags(int fd, long flags) {
    if (flags & DARWIN_FD_CLOFORK)
        refuse("fcntl(F_SETFD, %#lx): FD_CLOFORK is not modelled", flags);
    return fcntl(fd, F_SETFD, flags & DARWIN_FD_CLOEXEC ? FD_CLOEXEC : 0);
}

static int get_path(int fd, char to[DARWIN_MAXPATHLEN]) {
    int why = path_of_descriptor(fd, to);
    return why == 0 ? 0 : (int)fail(why);
}

static int darwin_fcntl(int fd, int command, long argument) {
    if (fcntl(fd, F_GETFD) < 0)
        return -1;
    void *there = (void *)argument;
    switch ((enum darwin_fcntl)command) {
    case DARWIN_F_DUPFD: return copy_descriptor(fd, (int)argument, false);
    case DARWIN_F_DUPFD_CLOEXEC: return copy_descriptor(fd, (int)argument, true);
    case DARWIN_F_GETFD: return fcntl(fd, F_GETFD) & FD_CLOEXEC ? DARWIN_FD_CLOEXEC : 0;
    case DARWIN_F_SETFD: return set_descriptor_flags(fd, argument);
    case DARWIN_F_GETFL: return get_flags(fd);
    case DARWIN_F_SETFL: return set_flags(fd, (int)argument);
    case DARWIN_F_GETLK: return lock(fd, F_GETLK, there);
    case DARWIN_F_SETLK: return lock(fd, F_SETLK, there);
    case DARWIN_F_SETLKW: return lock(fd, F_SETLKW, there);
    case DARWIN_F_OFD_GETLK: return lock(fd, F_OFD_GETLK, there);
    case DARWIN_F_OFD_SETLK: return lock(fd, F_OFD_SETLK, there);
    case DARWIN_F_OFD_SETLKW: return lock(fd, F_OFD_SETLKW, there);
    case DARWIN_F_FULLFSYNC:
    case DARWIN_F_BARRIERFSYNC: return full_sync(fd);
    case DARWIN_F_PREALLOCATE: return preallocate(fd, there);
    case DARWIN_F_PUNCHHOLE: return punch_hole(fd, there);
    case DARWIN_F_RDADVISE: return read_ahead(fd, there);
    // How much is cached and read ahead changes nothing of what is read.
    case DARWIN_F_RDAHEAD:
    case DARWIN_F_NOCACHE: return is_vnode(fd) ? 0 : (int)fail(DARWIN_EBADF);
    case DARWIN_F_GETPATH:
    case DARWIN_F_GETPATH_NOFIRMLINK: return get_path(fd, there);
    case DARWIN_F_SETNOSIGPIPE: mark_descriptor(fd, NO_SIGPIPE, (int)argument != 0); return 0;
    case DARWIN_F_GETNOSIGPIPE: return descriptor_has(fd, NO_SIGPIPE);
    case DARWIN_F_LAST: break;
    }
    if (command >= 0 && command <= DARWIN_F_LAST)
        refuse("fcntl: command %d is not modelled", command);
    return (int)fail(DARWIN_EINVAL);
}
DOTS("_fcntl", darwin_fcntl, 2)
DOTS("_fcntl$NOCANCEL", darwin_fcntl, 2)
