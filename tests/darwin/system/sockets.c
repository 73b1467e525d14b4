// Sockets: made, bound, connected, accepted, shut down.
#include "system/sockets.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "system/addresses.h"
#include "system/allocate.h"
#include "system/descriptors.h"
#include "system/errors.h"
#include "system/limits.h"

// ---- the records ----------------------------------------------------------------------------------------------------

// They are never freed: other threads, and handlers of signals, which can take no lock, may be at one that goes.
static struct socket *records[DESCRIPTORS_OF_PROCESS];
static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;

static int option_of(int fd, int level, int name) {
    int value;
    socklen_t size = sizeof value;
    int number = errno;
    if (getsockopt(fd, level, name, &value, &size)) value = -1;
    errno = number;
    return value;
}

struct socket *socket_of(int fd) {
    if (fd < 0 || fd >= DESCRIPTORS_OF_PROCESS) return NULL;
    struct socket *there = __atomic_load_n(&records[fd], __ATOMIC_ACQUIRE);
    if (there || option_of(fd, SOL_SOCKET, SO_TYPE) < 0) return there;
    pthread_mutex_lock(&keeping);
    there = records[fd];
    if (!there) {
        there = zeroed(1, sizeof *there);
        __atomic_store_n(&records[fd], there, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&keeping);
    return there;
}

void socket_before_close(int fd) {
    if (fd < 0 || fd >= DESCRIPTORS_OF_PROCESS || !records[fd]) return;
    pthread_mutex_lock(&keeping);
    __atomic_store_n(&records[fd], NULL, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&keeping);
}

void socket_after_copy(int from, int to) {
    if (from < 0 || from >= DESCRIPTORS_OF_PROCESS || to < 0 || to >= DESCRIPTORS_OF_PROCESS) return;
    struct socket *there = socket_of(from);
    pthread_mutex_lock(&keeping);
    __atomic_store_n(&records[to], there, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&keeping);
}

void sockets_hold(void) { pthread_mutex_lock(&keeping); }
void sockets_let_go(void) { pthread_mutex_unlock(&keeping); }

void socket_begins(int fd) {
    socket_before_close(fd);
    mark_descriptor(fd, NO_SIGPIPE, false);
}

// ---- how it stands with one -----------------------------------------------------------------------------------------

bool socket_is_tcp(int fd) { return option_of(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP; }
int socket_family(int fd) { return option_of(fd, SOL_SOCKET, SO_DOMAIN); }
static bool is_listening(int fd) { return option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1; }

static int events_of(int fd, short asked_for) {
    struct pollfd asked = {.fd = fd, .events = asked_for};
    int number = errno, found = poll(&asked, 1, 0);
    errno = number;
    return found == 1 ? asked.revents : 0;
}

// Linux tells of a socket that was never connected that it has hung up, but not that its peer has.
bool socket_closed_both_ways(int fd) {
    return (events_of(fd, POLLRDHUP) & (POLLHUP | POLLRDHUP)) == (POLLHUP | POLLRDHUP);
}

bool socket_peer_gone(int fd) {
    struct socket *known = socket_of(fd);
    return known && !known->shut_down && socket_closed_both_ways(fd);
}

bool socket_ended_unread(int fd, int linux_error) {
    return linux_error == ECONNRESET && socket_family(fd) == AF_UNIX;
}

int socket_error(int fd) {
    struct socket *known = socket_of(fd);
    if (!known) return 0;
    int linux_error = option_of(fd, SOL_SOCKET, SO_ERROR);
    if (linux_error > 0 && !socket_ended_unread(fd, linux_error)) known->error = errno_to_darwin(linux_error);
    return known->error;
}

int socket_take_error(int fd) {
    struct socket *known = socket_of(fd);
    if (!known) return 0;
    socket_error(fd);
    return atomic_exchange(&known->error, 0);
}

// ---- made -----------------------------------------------------------------------------------------------------------

// net.local.stream.sendspace and recvspace (bsd/kern/uipc_usrreq.c): 8 KiB lie between the two ends of a Unix socket,
// and whoever writes more waits. Linux counts the memory and doubles what it is told.
static void limit_buffer(int fd) {
    const int PIPSIZ = 8192;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &PIPSIZ, sizeof PIPSIZ)) refuse("SO_SNDBUF of a Unix socket: %m");
}

// bsd/kern/uipc_socket.c, socreate_internal. Nothing else goes with the type: SOCK_NONBLOCK is Linux'.
static int check_kind(int family, int type) {
    if (family_to_linux(family) <= 0) {
        if (family == DARWIN_AF_ROUTE || family == DARWIN_AF_SYSTEM)
            refuse("sockets of family %d are not modelled", family);
        return DARWIN_EAFNOSUPPORT;
    }
    return type >= SOCK_STREAM && type <= SOCK_SEQPACKET ? 0 : DARWIN_EPROTONOSUPPORT;
}

static int darwin_socket(int family, int type, int protocol) {
    int error = check_kind(family, type);
    if (error) return (int)fail(error);
    int fd = socket(family_to_linux(family), type, protocol);
    if (fd < 0) return fd;
    socket_begins(fd);
    if (family == DARWIN_AF_UNIX && type == SOCK_STREAM) limit_buffer(fd);
    return fd;
}
OURS(socket)

static int darwin_socketpair(int family, int type, int protocol, int fds[2]) {
    int error = check_kind(family, type);
    if (error) return (int)fail(error);
    if (socketpair(family_to_linux(family), type, protocol, fds)) return -1;
    for (int i = 0; i < 2; i++) {
        socket_begins(fds[i]);
        if (type == SOCK_STREAM) limit_buffer(fds[i]);
    }
    return 0;
}
OURS(socketpair)

// ---- bound and listening --------------------------------------------------------------------------------------------

// bsd/kern/uipc_syscalls.c, getsockaddr: AF_UNSPEC is AF_INET for a socket of IPv4. To Linux it would mean something:
// that a connection is to end.
static void unspecified_is_ipv4(int fd, union linux_address *address, socklen_t size) {
    if (address->any.sa_family == AF_UNSPEC && size == sizeof(struct sockaddr_in) && socket_family(fd) == AF_INET)
        address->any.sa_family = AF_INET;
}

static int darwin_bind(int fd, const void *name, socklen_t size) {
    union linux_address address;
    int error = address_to_linux(name, size, &address, &size);
    if (error) return (int)fail(error);
    unspecified_is_ipv4(fd, &address, size);
    if (socket_closed_both_ways(fd)) return (int)fail(DARWIN_EINVAL);
    return bind(fd, &address.any, size);
}
OURS(bind)

// bsd/kern/uipc_socket.c, solisten: none at all is as many as there may be, kern.ipc.somaxconn.
static int darwin_listen(int fd, int backlog) {
    enum { SOMAXCONN_OF_DARWIN = 128 };
    if (backlog <= 0 || backlog > SOMAXCONN_OF_DARWIN) backlog = SOMAXCONN_OF_DARWIN;
    return listen(fd, backlog);
}
OURS(listen)

// ---- connected ------------------------------------------------------------------------------------------------------

// A connection that was refused, reset or never answered takes the socket with it (netinet/tcp_subr.c, tcp_drop): Linux
// would connect it again.
static int dead_error(int fd, struct socket *known) {
    int error = socket_take_error(fd);
    if (error) {
        known->dead = true;
        return error;
    }
    return known->dead || socket_closed_both_ways(fd) ? DARWIN_EINVAL : 0;
}

static int check_connect(int fd, const union linux_address *address, struct socket *known) {
    if (is_listening(fd)) return DARWIN_EOPNOTSUPP;  // soconnectlock
    if (!socket_is_tcp(fd)) return 0;
    int error = dead_error(fd, known);
    if (error) return error;
    // netinet/in_pcb.c, in_pcbladdr; netinet6/in6_pcb.c, in6_pcbladdr; netinet/tcp_usrreq.c, tcp_usr_connect.
    if (address->any.sa_family != AF_INET && address->any.sa_family != AF_INET6) return DARWIN_EAFNOSUPPORT;
    if (address->any.sa_family == AF_INET && IN_MULTICAST(ntohl(address->in.sin_addr.s_addr)))
        return DARWIN_EAFNOSUPPORT;
    if (address->in.sin_port == 0) return DARWIN_EADDRNOTAVAIL;  // at the same place for IPv6
    return 0;
}

static void limit_connecting(int fd, struct socket *known) {
    unsigned milliseconds = (unsigned)known->connect_within * 1000;
    if (milliseconds && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds))
        refuse("TCP_CONNECTIONTIMEOUT by TCP_USER_TIMEOUT: %m");
}

// bsd/kern/uipc_usrreq.c, unp_connect: a file that is no socket is ENOTSOCK, and a listener without room refuses at
// once, where Linux would wait.
static int connect_path(int fd, const union linux_address *address, socklen_t size) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -1;
    if (!(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    int result = connect(fd, &address->any, size), number = errno;
    if (!(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags);
    errno = number;
    struct stat about;
    if (result && number == EAGAIN) return (int)fail(DARWIN_ECONNREFUSED);
    if (result && number == ECONNREFUSED && !stat(address->path.sun_path, &about) && !S_ISSOCK(about.st_mode))
        return (int)fail(DARWIN_ENOTSOCK);
    errno = number;
    return result;
}

static int darwin_connect(int fd, const void *name, socklen_t size) {
    union linux_address address;
    int error = address_to_linux(name, size, &address, &size);
    if (error) return (int)fail(error);
    struct socket *known = socket_of(fd);
    if (!known) return connect(fd, &address.any, size);  // for its error
    if (option_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM) unspecified_is_ipv4(fd, &address, size);
    error = check_connect(fd, &address, known);
    if (error) return (int)fail(error);
    if (address.any.sa_family == AF_UNIX) return connect_path(fd, &address, size);
    if (socket_is_tcp(fd)) limit_connecting(fd, known);
    int result = connect(fd, &address.any, size);
    if (result && (errno == ECONNREFUSED || errno == ETIMEDOUT || errno == ECONNRESET)) known->dead = true;
    return result;
}
OURS(connect)

// bsd/kern/uipc_syscalls.c, accept_nocancel: for a connection that finds no descriptor, the connection is dropped.
// Linux keeps it for later, and looks for a descriptor before it looks for a connection. It is taken by the descriptor
// after the last that the process may have, if that can be had.
static void drop_connection(int fd) {
    struct rlimit limit, more;
    if (getrlimit(RLIMIT_NOFILE, &limit)) refuse("the limit of descriptors: %m");
    more = (struct rlimit){limit.rlim_cur + 1, limit.rlim_max > limit.rlim_cur ? limit.rlim_max : limit.rlim_cur + 1};
    if (setrlimit(RLIMIT_NOFILE, &more)) return;
    int dropped = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (dropped >= 0) close(dropped);
    if (setrlimit(RLIMIT_NOFILE, &limit)) refuse("the limit of descriptors: %m");
}

// bsd/kern/uipc_syscalls.c, accept_nocancel, and uipc_socket2.c, sonewconn_internal: the new one is as blocking as the
// listener, and signals or not as that does. What was reset before it was accepted is accepted and has no name: a
// length of nothing, and no error (tcp_usr_accept's ECONNABORTED is dropped).
static int darwin_accept(int fd, void *name, socklen_t *size) {
    union linux_address address = {0};
    socklen_t room = sizeof address;
    int new = accept(fd, &address.any, &room);
    if (new < 0 && errno == EMFILE) {
        if (fcntl(fd, F_GETFL) & O_NONBLOCK && !(events_of(fd, POLLIN) & POLLIN)) return (int)fail(DARWIN_EAGAIN);
        drop_connection(fd);
        return (int)fail(DARWIN_EMFILE);
    }
    if (new < 0) return new;
    socket_begins(new);
    mark_descriptor(new, NO_SIGPIPE, descriptor_has(fd, NO_SIGPIPE));
    int flags = fcntl(fd, F_GETFL);
    if (flags & O_NONBLOCK) fcntl(new, F_SETFL, O_RDWR | O_NONBLOCK);
    if (address.any.sa_family == AF_UNIX)
        limit_buffer(new);
    else if (socket_closed_both_ways(new)) {
        if (size) *size = 0;
        return new;
    }
    address_to_darwin(&address, room, name, size);
    return new;
}
OURS(accept)

// ---- ended ----------------------------------------------------------------------------------------------------------

// Of TCP: neither connected nor about to be. See socket_closed_both_ways.
static bool is_unconnected(int fd) {
    return socket_is_tcp(fd) && (events_of(fd, POLLRDHUP) & (POLLHUP | POLLRDHUP)) == POLLHUP;
}

// bsd/kern/uipc_socket.c, soshutdown: only what has a connection, or is about to. Linux wakes a listener by it, and
// shuts down what it says ENOTCONN of.
static int darwin_shutdown(int fd, int how) {
    if (how < SHUT_RD || how > SHUT_RDWR) return (int)fail(DARWIN_EINVAL);
    struct socket *known = socket_of(fd);
    if (known && (is_listening(fd) || is_unconnected(fd) || socket_peer_gone(fd))) return (int)fail(DARWIN_ENOTCONN);
    int result = shutdown(fd, how);
    if (result || !known) return result;
    if (how != SHUT_RD) known->cannot_send = true;
    if (socket_closed_both_ways(fd)) known->shut_down = true;
    return result;
}
OURS(shutdown)

// ---- named ----------------------------------------------------------------------------------------------------------

static int darwin_getsockname(int fd, void *name, socklen_t *size) {
    union linux_address address = {0};
    socklen_t room = sizeof address;
    if (getsockname(fd, &address.any, &room)) return -1;
    address_to_darwin(&address, room, name, size);
    return 0;
}
OURS(getsockname)

// bsd/kern/uipc_syscalls.c, getpeername: what is closed both ways is not asked about its peer any more.
static int darwin_getpeername(int fd, void *name, socklen_t *size) {
    union linux_address address = {0};
    socklen_t room = sizeof address;
    if (socket_of(fd) && socket_closed_both_ways(fd)) return (int)fail(DARWIN_EINVAL);
    if (getpeername(fd, &address.any, &room)) return -1;
    address_to_darwin(&address, room, name, size);
    return 0;
}
OURS(getpeername)
