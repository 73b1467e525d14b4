// Folders, entry by entry. bsd/sys/dirent.h, Libc's gen/FreeBSD/opendir.c and readdir.c.
#include "system/errors.h"
#include "system/paths.h"
#include <dirent.h>
#include <fcntl.h>

// __DARWIN_STRUCT_DIRENTRY. What kind of file an entry is has the same number on both (DT_…).
struct darwin_dirent {
    uint64_t inode, seek_offset;
    uint16_t length, name_length;
    uint8_t type;
    char name[DARWIN_MAXPATHLEN];
};
_Static_assert(sizeof(struct darwin_dirent) == 1048, "struct dirent");
_Static_assert(offsetof(struct darwin_dirent, name) == 21, "d_name");

static DIR *darwin_opendir(const char *path) {
    struct place place;
    return locate_here(&place, path) ? opendir(place.path) : NULL;
}
INODE64(opendir)

// Sets *out to NULL at the end. The order is the file system's own, and `.` and `..` are among them, as on APFS.
static int darwin_readdir_r(DIR *directory, struct darwin_dirent *entry, struct darwin_dirent **out) {
    *out = NULL;
    errno = 0;
    struct dirent *next = readdir(directory);
    if (next == NULL) {
        int why = errno_to_darwin(errno);
        errno = 0;
        return why;
    }
    size_t length = strlen(next->d_name);
    entry->inode = next->d_ino;
    entry->seek_offset = (uint64_t)next->d_off;
    entry->type = next->d_type;
    entry->name_length = (uint16_t)length;
    // As long as the name needs, in steps of eight bytes.
    entry->length = (uint16_t)((offsetof(struct darwin_dirent, name) + length + 1 + 7) & ~7ul);
    memcpy(entry->name, next->d_name, length + 1);
    *out = entry;
    return 0;
}
INODE64(readdir_r)

static DIR *darwin_fdopendir(int fd) {
    return fdopendir(fd);
}
INODE64(fdopendir)

SAME(closedir)
SAME(dirfd)
