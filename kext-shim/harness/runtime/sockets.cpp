// Sockets and mbufs of the kernel, over the ones there are. Structs and numbers that differ are spelt out here, since the
// names mean something else in this system's own headers.

#include <IOKit/IOTypes.h>

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <mutex>
#include <random>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime.h"

namespace {

HarnessCount sockets("sockets");
HarnessCount mbufs("mbufs");

thread_local const int *descriptors;
thread_local unsigned descriptorCount;

unsigned long awkward;
std::mutex randomLock;
std::minstd_rand randomNumbers;

/// The number that macOS has for it.
int numberOf(int error)
{
    switch (error) {
    case 0:
    case EINTR:
    case EIO:
    case EBADF:
    case ENOMEM:
    case EINVAL:
    case EPIPE:
        return error;
    case EAGAIN:
        return 35;
    case EMSGSIZE:
        return 40;
    case ENOBUFS:
        return 55;
    case ECONNRESET:
        return 54;
    case ENOTCONN:
        return 57;
    default:
        return 5;
    }
}

/// msghdr of macOS.
struct KernelMessage {
    void *name;
    uint32_t name_length;
    iovec *parts;
    int part_count;
    void *control;
    uint32_t control_length;
    int flags;
};

const size_t kCluster = 16 << 10;
const unsigned kMostMbufs = 64;

}

struct socket {
    int fd;
    int references;
};

struct mbuf {
    mbuf *next;
    size_t length;
    uint8_t bytes[1];
};

void harnessSetDescriptors(const int *of, unsigned count)
{
    descriptors = of;
    descriptorCount = count;
}

void harnessBeAwkward(unsigned long seed)
{
    std::lock_guard<std::mutex> guard(randomLock);
    awkward = seed;
    randomNumbers.seed(static_cast<unsigned>(seed));
}

bool harnessIsAwkward()
{
    return awkward != 0;
}

unsigned harnessRandom(unsigned below)
{
    std::lock_guard<std::mutex> guard(randomLock);
    return static_cast<unsigned>(randomNumbers()) % below;
}

extern "C" int file_socket(int descriptor, struct socket **found)
{
    if (descriptor < 0 || static_cast<unsigned>(descriptor) >= descriptorCount) {
        return EBADF;
    }
    int type = 0;
    socklen_t length = sizeof(type);
    if (getsockopt(descriptors[descriptor], SOL_SOCKET, SO_TYPE, &type, &length) != 0) {
        return 38;
    }
    int fd = fcntl(descriptors[descriptor], F_DUPFD_CLOEXEC, 3);
    HARNESS_CHECK(fd >= 0, "no descriptor is left");
    sockets.add(1);
    *found = new (struct socket){fd, 1};
    return 0;
}

extern "C" void sock_release(struct socket *so)
{
    int before = __atomic_fetch_sub(&so->references, 1, __ATOMIC_ACQ_REL);
    HARNESS_CHECK(before > 0, "a socket is released too often");
    if (before == 1) {
        close(so->fd);
        delete so;
        sockets.add(-1);
    }
}

thread_local struct socket *lastFound;

extern "C" void sock_retain(struct socket *so)
{
    __atomic_fetch_add(&so->references, 1, __ATOMIC_RELAXED);
    lastFound = so;
}

// The file's own reference, which `file_socket` has taken; the only socket of a call.
extern "C" int file_drop(int)
{
    HARNESS_CHECK(lastFound, "a descriptor is dropped that was not looked up");
    sock_release(lastFound);
    lastFound = nullptr;
    return 0;
}

extern "C" int sock_gettype(struct socket *so, int *domain, int *type, int *protocol)
{
    sockaddr_storage name = {};
    socklen_t length = sizeof(name);
    if (getsockname(so->fd, reinterpret_cast<sockaddr *>(&name), &length) != 0) {
        return numberOf(errno);
    }
    *domain = name.ss_family == AF_INET6 ? 30 : name.ss_family == AF_INET ? 2 : 1;
    length = sizeof(*type);
    getsockopt(so->fd, SOL_SOCKET, SO_TYPE, type, &length);
    *protocol = 6;
    return 0;
}

extern "C" int sock_isconnected(struct socket *so)
{
    sockaddr_storage name = {};
    socklen_t length = sizeof(name);
    return getpeername(so->fd, reinterpret_cast<sockaddr *>(&name), &length) == 0;
}

extern "C" int sock_ioctl(struct socket *so, unsigned long request, void *argument)
{
    HARNESS_CHECK(request == 0x8004667eul, "ioctl %#lx", request);
    return ioctl(so->fd, FIONBIO, argument) == 0 ? 0 : numberOf(errno);
}

extern "C" int sock_getsockopt(struct socket *so, int level, int name, void *value, int *length)
{
    HARNESS_CHECK(level == 0xffff && name == 0x1001 && *length == sizeof(int), "option %#x %#x", level, name);
    socklen_t room = sizeof(int);
    return getsockopt(so->fd, SOL_SOCKET, SO_SNDBUF, value, &room) == 0 ? 0 : numberOf(errno);
}

extern "C" int sock_shutdown(struct socket *so, int)
{
    // A connection that is gone already is shut down well enough.
    return shutdown(so->fd, SHUT_RDWR) == 0 ? 0 : numberOf(errno);
}

extern "C" void mbuf_freem(mbuf *at)
{
    while (at) {
        mbuf *next = at->next;
        free(at);
        mbufs.add(-1);
        at = next;
    }
}

extern "C" void *mbuf_data(mbuf *of)
{
    return of->bytes;
}

extern "C" size_t mbuf_len(mbuf *of)
{
    return of->length;
}

extern "C" mbuf *mbuf_next(mbuf *of)
{
    return of->next;
}

extern "C" int sock_receivembuf(struct socket *so, void *, mbuf **data, int flags, size_t *length)
{
    HARNESS_CHECK(harnessLocksHeld() == 0, "a receive that may wait, with a lock held");
    HARNESS_CHECK(flags == 0, "flags %#x", flags);
    if (awkward && harnessRandom(64) == 0) {
        return 35;
    }
    size_t wanted = *length;
    *data = nullptr;
    *length = 0;
    iovec parts[kMostMbufs];
    mbuf *made[kMostMbufs];
    unsigned count = 0;
    size_t room = 0;
    while (count < kMostMbufs && room < wanted) {
        size_t most = awkward ? 1 + harnessRandom(harnessRandom(2) ? 64 : 2048) : kCluster;
        size_t size = std::min(wanted - room, most);
        made[count] = static_cast<mbuf *>(malloc(sizeof(mbuf) + size));
        parts[count] = {made[count]->bytes, size};
        room += size;
        ++count;
    }
    mbufs.add(count);
    ssize_t got = readv(so->fd, parts, static_cast<int>(count));
    int error = got < 0 ? errno : 0;
    size_t left = got < 0 ? 0 : static_cast<size_t>(got);
    mbuf **end = data;
    for (unsigned at = 0; at < count; ++at) {
        made[at]->length = std::min(left, parts[at].iov_len);
        made[at]->next = nullptr;
        left -= made[at]->length;
        if (made[at]->length == 0) {
            mbuf_freem(made[at]);
            continue;
        }
        *end = made[at];
        end = &made[at]->next;
    }
    *length = got < 0 ? 0 : static_cast<size_t>(got);
    return numberOf(error);
}

extern "C" int sock_send(struct socket *so, const KernelMessage *message, int flags, size_t *sent)
{
    HARNESS_CHECK(harnessLocksHeld() == 0, "a send that may wait, with a lock held");
    HARNESS_CHECK(flags == 0 && message->part_count == 1, "flags %#x, %d parts", flags, message->part_count);
    *sent = 0;
    size_t length = message->parts[0].iov_len;
    if (awkward) {
        switch (harnessRandom(32)) {
        case 0:
            return 35;
        case 1:
            return 55;
        case 2:
            if (length > 4096) {
                return 40;
            }
            break;
        default:
            break;
        }
        if (harnessRandom(4) == 0) {
            length = 1 + harnessRandom(static_cast<unsigned>(length));
        }
    }
    ssize_t took = send(so->fd, message->parts[0].iov_base, length, MSG_NOSIGNAL);
    if (took < 0) {
        return numberOf(errno);
    }
    *sent = static_cast<size_t>(took);
    return 0;
}
