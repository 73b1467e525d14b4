// Whether a descriptor can be read from or written to.
#include "system/readiness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/sockios.h>

#include "system/sockets.h"

enum descriptor_kind kind_of_descriptor(int fd) {
    struct stat about;
    if (fstat(fd, &about)) return NO_DESCRIPTOR;
    if (S_ISSOCK(about.st_mode)) return SOCKET;
    if (S_ISFIFO(about.st_mode)) return PIPE;
    if (S_ISREG(about.st_mode)) return REGULAR;
    return S_ISCHR(about.st_mode) && isatty(fd) ? TERMINAL : OTHER;
}

static int events_now(int fd, int events) {
    struct pollfd asked = {.fd = fd, .events = (short)events};
    if (poll(&asked, 1, 0) < 0) refuse("descriptor %d cannot be asked about: %m", fd);
    return asked.revents;
}

static int64_t count_of(int fd, unsigned long what) {
    int count = 0;
    return ioctl(fd, what, &count) ? 0 : count;
}

static int socket_number(int fd, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) ? 0 : value;
}

// ---- sockets: bsd/kern/uipc_socket.c --------------------------------------------------------------------------------

// How many wait to be accepted. Of a Unix socket Linux says no more than that there are some.
static int64_t waiting_connections(int fd) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)) return 1;
    return info.tcpi_unacked ? info.tcpi_unacked : 1;
}

// filt_soread_common. Linux tells that a peer is at its end by POLLRDHUP; POLLHUP alone is a socket that was never
// connected.
static struct readiness can_read_socket(int fd, int64_t low_water) {
    int events = events_now(fd, POLLIN | POLLRDHUP);
    if (socket_number(fd, SO_ACCEPTCONN)) {
        bool some = events & POLLIN;
        return (struct readiness){.ready = some, .data = some ? waiting_connections(fd) : 0};
    }
    struct readiness now = {.data = count_of(fd, FIONREAD)};
    if (events & POLLRDHUP) {
        now.ready = now.ended = true;
        now.error = socket_error(fd);
        return now;
    }
    if ((events & POLLERR) && socket_error(fd)) {
        now.ready = true;
        return now;
    }
    int own_low_water = socket_number(fd, SO_RCVLOWAT);
    if (low_water < own_low_water) low_water = own_low_water;
    // A datagram of no bytes is there all the same.
    now.ready = now.data ? now.data >= low_water : (events & POLLIN) && socket_number(fd, SO_TYPE) != SOCK_STREAM;
    return now;
}

static bool is_connected(int fd) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    return socket_number(fd, SO_TYPE) == SOCK_DGRAM || !getpeername(fd, (struct sockaddr *)&peer, &size);
}

// filt_sowrite_common. Room is what POLLOUT says there is, since it is by that that Linux tells of more.
static struct readiness can_write_socket(int fd, int64_t low_water) {
    int events = events_now(fd, POLLOUT | POLLRDHUP);
    struct socket *known = socket_of(fd);
    struct readiness now = {.data = socket_number(fd, SO_SNDBUF) / 2 - count_of(fd, SIOCOUTQ)};
    if (now.data < 1) now.data = events & POLLOUT ? 1 : 0;
    if ((known && known->cannot_send) || (events & (POLLHUP | POLLRDHUP)) == (POLLHUP | POLLRDHUP)) {
        now.ready = now.ended = true;
        now.error = socket_error(fd);
        return now;
    }
    if ((events & POLLERR) && socket_error(fd)) {
        now.ready = true;
        return now;
    }
    now.ready = (events & POLLOUT) && is_connected(fd) && now.data >= low_water;
    return now;
}

// ---- pipes: bsd/kern/sys_pipe.c -------------------------------------------------------------------------------------

// filt_piperead_common, filt_pipewrite_common, filt_pipe_draincommon: the end is told with no room, and with the bytes
// that are there.
static struct readiness can_read_pipe(int fd, int64_t low_water) {
    int64_t there = count_of(fd, FIONREAD);
    bool ended = events_now(fd, POLLIN) & POLLHUP;
    bool ready = ended || there >= (low_water > 1 ? low_water : 1);
    return (struct readiness){.ready = ready, .ended = ended, .data = there};
}

static struct readiness can_write_pipe(int fd, int64_t low_water) {
    enum { PIPE_BUF_OF_DARWIN = 512 };
    int events = events_now(fd, POLLOUT);
    if (events & POLLERR) return (struct readiness){.ready = true, .ended = true};
    int64_t room = fcntl(fd, F_GETPIPE_SZ) - count_of(fd, FIONREAD);
    bool enough = room >= (low_water > PIPE_BUF_OF_DARWIN ? low_water : PIPE_BUF_OF_DARWIN);
    return (struct readiness){.ready = (events & POLLOUT) && enough, .data = room};
}

// ---- terminals and files --------------------------------------------------------------------------------------------

// bsd/kern/tty.c, filt_tty_common.
static struct readiness can_use_terminal(int fd, int event) {
    int events = events_now(fd, event);
    struct readiness now = {.ended = events & POLLHUP, .data = event == POLLIN ? count_of(fd, FIONREAD) : 1};
    now.ready = now.ended || (events & event);
    return now;
}

// bsd/vfs/vfs_vnops.c, vnode_readable_data_count: what is between the place in the file and its end, which may be less
// than nothing.
static struct readiness can_read_file(int fd) {
    struct stat about;
    off_t at = lseek(fd, 0, SEEK_CUR);
    int64_t left = fstat(fd, &about) || at < 0 ? 0 : about.st_size - at;
    return (struct readiness){.ready = left != 0, .data = left};
}

struct readiness can_read(int fd, int64_t low_water) {
    switch (kind_of_descriptor(fd)) {
    case SOCKET: return can_read_socket(fd, low_water);
    case PIPE: return can_read_pipe(fd, low_water);
    case TERMINAL: return can_use_terminal(fd, POLLIN);
    case REGULAR: return can_read_file(fd);
    default: return (struct readiness){0};
    }
}

struct readiness can_write(int fd, int64_t low_water) {
    switch (kind_of_descriptor(fd)) {
    case SOCKET: return can_write_socket(fd, low_water);
    case PIPE: return can_write_pipe(fd, low_water);
    case TERMINAL: return can_use_terminal(fd, POLLOUT);
    case REGULAR: return (struct readiness){.ready = true, .data = INT64_MAX};
    default: return (struct readiness){0};
    }
}
