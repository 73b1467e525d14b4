// Reading and writing descriptors. bsd/kern/sys_generic.c.
#include "system/descriptors.h"
#include "system/errors.h"
#include "system/sockets.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

enum { DARWIN_UIO_MAXIOV = 1024 };   // bsd/sys/uio.h

// dofileread, dofilewrite: more than an int counts is refused, where Linux reads less than was asked.
static bool too_long(size_t length) {
    if (length <= INT_MAX)
        return false;
    fail(DARWIN_EINVAL);
    return true;
}

// readv_uio, writev_uio: no buffer at all is refused, where Linux does nothing and is content.
static bool no_list(int count) {
    if (count > 0 && count <= DARWIN_UIO_MAXIOV)
        return false;
    fail(DARWIN_EINVAL);
    return true;
}

static ssize_t darwin_read(int fd, void *to, size_t length) {
    return too_long(length) ? -1 : socket_was_read(fd, read(fd, to, length));
}
OURS(read)

static ssize_t darwin_pread(int fd, void *to, size_t length, off_t at) {
    return too_long(length) ? -1 : pread(fd, to, length, at);
}
OURS(pread)

static ssize_t darwin_readv(int fd, const struct iovec *list, int count) {
    return no_list(count) ? -1 : socket_was_read(fd, readv(fd, list, count));
}
OURS(readv)

static ssize_t darwin_preadv(int fd, const struct iovec *list, int count, off_t at) {
    return no_list(count) ? -1 : preadv(fd, list, count, at);
}
OURS(preadv)

// Writes to what is no socket and has no reader, and takes the signal back that Linux sends for it.
static ssize_t write_without_signal(int fd, const struct iovec *list, int count) {
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    sigpending(&pending);
    ssize_t written = writev(fd, list, count);
    int why = errno;
    static const struct timespec at_once;
    if (written < 0 && why == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = why;
    return written;
}

static ssize_t write_list(int fd, const struct iovec *list, int count) {
    if (!descriptor_has(fd, NO_SIGPIPE))
        return writev(fd, list, count);
    struct msghdr message = {.msg_iov = (struct iovec *)list, .msg_iovlen = (size_t)count};
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    return sent < 0 && errno == ENOTSOCK ? write_without_signal(fd, list, count) : sent;
}

static ssize_t darwin_write(int fd, const void *from, size_t length) {
    if (too_long(length))
        return -1;
    struct iovec one = {(void *)from, length};
    return socket_was_written(fd, write_list(fd, &one, 1));
}
OURS(write)

static ssize_t darwin_writev(int fd, const struct iovec *list, int count) {
    return no_list(count) ? -1 : socket_was_written(fd, write_list(fd, list, count));
}
OURS(writev)

static ssize_t darwin_pwrite(int fd, const void *from, size_t length, off_t at) {
    return too_long(length) ? -1 : pwrite(fd, from, length, at);
}
OURS(pwrite)

static ssize_t darwin_pwritev(int fd, const struct iovec *list, int count, off_t at) {
    return no_list(count) ? -1 : pwritev(fd, list, count, at);
}
OURS(pwritev)

// bsd/sys/_types/_seek_set.h. Linux has the last two the other way round.
enum { DARWIN_SEEK_HOLE = 3, DARWIN_SEEK_DATA = 4 };

static off_t darwin_lseek(int fd, off_t offset, int whence) {
    switch (whence) {
    case DARWIN_SEEK_HOLE: return lseek(fd, offset, SEEK_HOLE);
    case DARWIN_SEEK_DATA: return lseek(fd, offset, SEEK_DATA);
    default: return lseek(fd, offset, whence);
    }
}
OURS(lseek)

SAME(ftruncate)

// fsync_common, sys_flock, by fp_getfvp: a socket or a pipe() has nothing of the kind.
static bool no_vnode(int fd) {
    if (fcntl(fd, F_GETFD) < 0)
        return true;
    if (is_vnode(fd))
        return false;
    fail(DARWIN_ENOTSUP);
    return true;
}

// Linux fails with EINVAL for a device or a FIFO; there nothing waits to be written on Darwin either (fifofs, spec).
static int darwin_fsync(int fd) {
    if (no_vnode(fd))
        return -1;
    if (fsync(fd) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    errno = 0;
    return 0;
}
OURS(fsync)

// LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN are the same four (bsd/sys/fcntl.h). None of the first two: EBADF.
static int darwin_flock(int fd, int how) {
    if (no_vnode(fd))
        return -1;
    if (!(how & (LOCK_SH | LOCK_EX | LOCK_UN)))
        return (int)fail(DARWIN_EBADF);
    int what = how & LOCK_UN ? LOCK_UN : how & LOCK_EX ? LOCK_EX : LOCK_SH;
    return flock(fd, what | (how & LOCK_NB));
}
OURS(flock)

SAME(pipe)
SAME(sync)
