#include "darwin.h"
#include "loader/packed.h"
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sysexits.h>

static const char mark[8] = "machrun\n";
struct trailer {
    uint64_t offset;
    uint64_t length;
    char mark[sizeof mark];
};
// Pages of 16 KiB of an arm64 program would begin at pages of any Linux.
enum { ALIGNMENT = 0x4000 };

_Noreturn static void fails(const char *what, const char *path) {
    fprintf(stderr, "machrun: %s cannot be %s: %m\n", path, what);
    _exit(EX_IOERR);
}

static bool trailer_of(int fd, struct trailer *trailer, uint64_t *size) {
    struct stat about;
    if (fstat(fd, &about)) return false;
    *size = (uint64_t)about.st_size;
    if (*size < sizeof *trailer) return false;
    off_t at = about.st_size - (off_t)sizeof *trailer;
    if (pread(fd, trailer, sizeof *trailer, at) != sizeof *trailer) return false;
    if (memcmp(trailer->mark, mark, sizeof mark)) return false;
    uint64_t end = *size - sizeof *trailer;
    return trailer->offset <= end && trailer->length == end - trailer->offset;
}

bool packed(struct where *where) {
    struct trailer trailer;
    uint64_t size;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) fails("read", "/proc/self/exe");
    if (!trailer_of(fd, &trailer, &size)) {
        close(fd);
        return false;
    }
    *where = (struct where){fd, trailer.offset, trailer.length};
    return true;
}

static void copy(int to, const char *to_path, int from, const char *from_path, uint64_t length) {
    while (length) {
        ssize_t sent = sendfile(to, from, NULL, length);
        if (sent <= 0) fails(sent ? "written" : "read", sent ? to_path : from_path);
        length -= (uint64_t)sent;
    }
}

static uint64_t size_of(int fd, const char *path) {
    struct stat about;
    if (fstat(fd, &about)) fails("read", path);
    return (uint64_t)about.st_size;
}

void pack(const char *program, const char *out) {
    const char *self = "/proc/self/exe";
    int loader = open(self, O_RDONLY | O_CLOEXEC);
    if (loader < 0) fails("read", self);
    int from = open(program, O_RDONLY | O_CLOEXEC);
    if (from < 0) fails("read", program);
    // A file of another name first: what runs now under that name goes on.
    char *fresh = NULL;
    if (asprintf(&fresh, "%s.%d", out, getpid()) < 0) refuse("there is no memory to write %s", out);
    int to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (to < 0) fails("written", fresh);
    // A packed one may pack another program.
    struct trailer trailer = {0};
    uint64_t whole, head = trailer_of(loader, &trailer, &whole) ? trailer.offset : size_of(loader, self);
    copy(to, fresh, loader, self, head);
    trailer.offset = (head + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    trailer.length = size_of(from, program);
    memcpy(trailer.mark, mark, sizeof mark);
    if (lseek(to, (off_t)trailer.offset, SEEK_SET) < 0) fails("written", fresh);
    copy(to, fresh, from, program, trailer.length);
    if (write(to, &trailer, sizeof trailer) != sizeof trailer || close(to)) fails("written", fresh);
    if (rename(fresh, out)) fails("written", out);
    free(fresh);
    close(from);
    close(loader);
}
