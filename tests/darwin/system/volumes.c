// What is written to a volume and not on its medium yet: Libc's gen/sync_volume_np.c over fsctl (bsd/vfs/vfs_syscalls.c,
// FSIOC_SYNC_VOLUME). The number of the error is what is returned, and errno stays as it was. Any name on the volume will do.
#include "system/errors.h"
#include "system/paths.h"
#include <fcntl.h>

// include/unistd.h of Libc
enum { DARWIN_SYNC_VOLUME_FULLSYNC = 1, DARWIN_SYNC_VOLUME_WAIT = 2 };

static int sync_volume_of(const char *path) {
    struct place place;
    if (!locate_here(&place, path))
        return *darwin_error();
    int fd = open(place.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int why = fd >= 0 && syncfs(fd) == 0 ? 0 : errno_to_darwin(errno);
    if (fd >= 0)
        close(fd);
    return why;
}

static int darwin_sync_volume_np(const char *path, int flags) {
    int before = *darwin_error();
    if (!(flags & DARWIN_SYNC_VOLUME_WAIT))
        refuse("sync_volume_np: not to wait (%#x) is not modelled", flags);
    int why = sync_volume_of(path);
    fail(before);
    return why;
}
OURS(sync_volume_np)
