#include "darwin.h"
#include "system/descriptors.h"
#include "system/limits.h"
#include <fcntl.h>

static _Atomic unsigned char marks[DESCRIPTORS_OF_PROCESS];

void (*before_close)(int fd);
void (*after_copy)(int from, int to);

static bool known(int fd) {
    return fd >= 0 && fd < DESCRIPTORS_OF_PROCESS;
}

void mark_descriptor(int fd, enum descriptor_mark mark, bool set) {
    if (!known(fd))
        refuse("descriptor %d: a Mac has none above %d", fd, DESCRIPTORS_OF_PROCESS - 1);
    if (set)
        marks[fd] |= (unsigned char)mark;
    else
        marks[fd] &= (unsigned char)~mark;
}

bool descriptor_has(int fd, enum descriptor_mark mark) {
    return known(fd) && marks[fd] & mark;
}

static void forget(int fd) {
    if (before_close)
        before_close(fd);
    if (known(fd))
        marks[fd] = 0;
}

// The program's own close() reports EINTR as Linux does, and the descriptor is gone all the same, as on Darwin
// (bsd/kern/kern_descrip.c, fp_close_and_unlock).
int close_descriptor(int fd) {
    forget(fd);
    return close(fd);
}
SHIM("_close", close_descriptor)
SHIM("_close$NOCANCEL", close_descriptor)

static int copied(int from, int to) {
    if (to < 0)
        return to;
    if (known(from) && known(to))
        marks[to] = marks[from];
    if (after_copy)
        after_copy(from, to);
    return to;
}

int copy_descriptor(int fd, int at_least, bool close_on_exec) {
    return copied(fd, fcntl(fd, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, at_least));
}

static int darwin_dup(int fd) {
    return copy_descriptor(fd, 0, false);
}
OURS(dup)

static int darwin_dup2(int from, int to) {
    // Nothing is closed where the two are one, or where `from` is none (bsd/kern/kern_descrip.c, sys_dup2).
    if (from == to || fcntl(from, F_GETFD) < 0)
        return dup2(from, to);
    if (known(to))
        forget(to);
    return copied(from, dup2(from, to));
}
OURS(dup2)

bool is_vnode(int fd) {
    char link[64], name[2];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, name, sizeof name) > 0 && name[0] == '/';
}
