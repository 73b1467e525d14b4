// Options of sockets. Those that the program may set are listed; another is ENOPROTOOPT, and a line on stderr.
#include "darwin.h"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>

#include "machine/machine.h"
#include "seconds.h"
#include "system/descriptors.h"
#include "system/errors.h"
#include "system/peers.h"
#include "system/sockets.h"
#include "system/timeval.h"

// ---- what there is --------------------------------------------------------------------------------------------------

enum shape {
    NUMBER,       // an int, the same on either
    FLAG,         // an int; what is on is told as the option's own number (so_options & name)
    NODELAY,      // TCP_NODELAY: told as TF_NODELAY (netinet/tcp_var.h)
    BUFFER,       // SO_SNDBUF, SO_RCVBUF
    TIME,         // a struct timeval
    LINGER_TICKS, // struct linger in hundredths of a second
    LINGER,       // struct linger in seconds
    TOLD,         // an int that cannot be set
    PENDING,      // bytes that wait
    ERROR,        // SO_ERROR
    NOSIGPIPE,
    INTERFACE,    // an interface's index
    CONNECT_WITHIN,
    MEMBERSHIP,   // struct ip_mreq, ipv6_mreq: the same
};
enum level { OF_SOCKET = 0xffff, OF_IP = 0, OF_TCP = 6, OF_IPV6 = 41 };  // SOL_SOCKET, IPPROTO_…

// bsd/sys/socket.h, netinet/in.h, netinet/tcp.h, netinet6/in6.h.
static const struct option { enum level level; int name; int linux_level, linux_name; enum shape shape; } options[] = {
    {OF_SOCKET, 0x0002, SOL_SOCKET, SO_ACCEPTCONN, TOLD},
    {OF_SOCKET, 0x0004, SOL_SOCKET, SO_REUSEADDR, FLAG},
    {OF_SOCKET, 0x0008, SOL_SOCKET, SO_KEEPALIVE, FLAG},
    {OF_SOCKET, 0x0010, SOL_SOCKET, SO_DONTROUTE, FLAG},
    {OF_SOCKET, 0x0020, SOL_SOCKET, SO_BROADCAST, FLAG},
    {OF_SOCKET, 0x0080, SOL_SOCKET, SO_LINGER, LINGER_TICKS},
    {OF_SOCKET, 0x0100, SOL_SOCKET, SO_OOBINLINE, FLAG},
    {OF_SOCKET, 0x0200, SOL_SOCKET, SO_REUSEPORT, FLAG},
    {OF_SOCKET, 0x1001, SOL_SOCKET, SO_SNDBUF, BUFFER},
    {OF_SOCKET, 0x1002, SOL_SOCKET, SO_RCVBUF, BUFFER},
    {OF_SOCKET, 0x1004, SOL_SOCKET, SO_RCVLOWAT, NUMBER},
    {OF_SOCKET, 0x1005, SOL_SOCKET, SO_SNDTIMEO, TIME},
    {OF_SOCKET, 0x1006, SOL_SOCKET, SO_RCVTIMEO, TIME},
    {OF_SOCKET, 0x1007, SOL_SOCKET, SO_ERROR, ERROR},
    {OF_SOCKET, 0x1008, SOL_SOCKET, SO_TYPE, TOLD},
    {OF_SOCKET, 0x1020, 0, FIONREAD, PENDING},   // SO_NREAD
    {OF_SOCKET, 0x1022, 0, 0, NOSIGPIPE},        // SO_NOSIGPIPE
    {OF_SOCKET, 0x1024, 0, SIOCOUTQ, PENDING},   // SO_NWRITE
    {OF_SOCKET, 0x1080, SOL_SOCKET, SO_LINGER, LINGER},  // SO_LINGER_SEC
    {OF_TCP, 0x01, IPPROTO_TCP, TCP_NODELAY, NODELAY},
    {OF_TCP, 0x02, IPPROTO_TCP, TCP_MAXSEG, NUMBER},
    {OF_TCP, 0x10, IPPROTO_TCP, TCP_KEEPIDLE, NUMBER},     // TCP_KEEPALIVE
    {OF_TCP, 0x20, 0, 0, CONNECT_WITHIN},                  // TCP_CONNECTIONTIMEOUT
    {OF_TCP, 0x101, IPPROTO_TCP, TCP_KEEPINTVL, NUMBER},
    {OF_TCP, 0x102, IPPROTO_TCP, TCP_KEEPCNT, NUMBER},
    {OF_TCP, 0x201, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NUMBER},
    {OF_IP, 3, IPPROTO_IP, IP_TOS, NUMBER},
    {OF_IP, 4, IPPROTO_IP, IP_TTL, NUMBER},
    {OF_IP, 10, IPPROTO_IP, IP_MULTICAST_TTL, NUMBER},
    {OF_IP, 11, IPPROTO_IP, IP_MULTICAST_LOOP, NUMBER},
    {OF_IP, 12, IPPROTO_IP, IP_ADD_MEMBERSHIP, MEMBERSHIP},
    {OF_IP, 13, IPPROTO_IP, IP_DROP_MEMBERSHIP, MEMBERSHIP},
    {OF_IP, 25, SOL_SOCKET, SO_BINDTOIFINDEX, INTERFACE},  // IP_BOUND_IF
    {OF_IPV6, 4, IPPROTO_IPV6, IPV6_UNICAST_HOPS, NUMBER},
    {OF_IPV6, 9, IPPROTO_IPV6, IPV6_MULTICAST_IF, NUMBER},
    {OF_IPV6, 10, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, NUMBER},
    {OF_IPV6, 11, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, NUMBER},
    {OF_IPV6, 12, IPPROTO_IPV6, IPV6_JOIN_GROUP, MEMBERSHIP},
    {OF_IPV6, 13, IPPROTO_IPV6, IPV6_LEAVE_GROUP, MEMBERSHIP},
    {OF_IPV6, 27, IPPROTO_IPV6, IPV6_V6ONLY, NUMBER},
    {OF_IPV6, 36, IPPROTO_IPV6, IPV6_TCLASS, NUMBER},
    {OF_IPV6, 125, SOL_SOCKET, SO_BINDTOIFINDEX, INTERFACE},  // IPV6_BOUND_IF
};
enum { OPTIONS = sizeof options / sizeof *options };

static const struct option *find(int level, int name) {
    for (int i = 0; i < OPTIONS; i++)
        if ((int)options[i].level == level && options[i].name == name) return &options[i];
    fprintf(stderr, "machrun: socket option %#x of level %#x is not modelled\n", name, level);
    return NULL;
}

// ---- the shapes that are not an int ---------------------------------------------------------------------------------

// bsd/sys/socketvar.h, SB_MAX, as sysctl kern.ipc.maxsockbuf tells it; bsd/kern/uipc_socket2.c, sbreserve of xnu-8796
// (macOS 13): of that, what the heads of the buffers leave. More is ENOBUFS, and the size stays.
enum { SB_MAX = 8 * 1024 * 1024, MCLBYTES = 2048, MSIZE = 256 };
static const int64_t LARGEST_BUFFER = (int64_t)SB_MAX * MCLBYTES / (MSIZE + MCLBYTES);

// Linux doubles what it is told, for its own use, and holds all but root to a limit of its own.
static int set_buffer(int fd, const struct option *option, int size) {
    if (size < 1) return DARWIN_EINVAL;
    if (size > LARGEST_BUFFER) return DARWIN_ENOBUFS;
    int forced = option->linux_name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;
    if (!setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size)) return 0;
    return setsockopt(fd, SOL_SOCKET, option->linux_name, &size, sizeof size) ? errno_to_darwin(errno) : 0;
}

// bsd/kern/uipc_socket.c, sooptcopyin_timeval.
static int set_time(int fd, const struct option *option, const struct darwin_timeval *to) {
    if (to->seconds < 0 || to->microseconds < 0 || to->microseconds >= USEC_PER_SEC) return DARWIN_EDOM;
    struct timeval time = {.tv_sec = to->seconds, .tv_usec = to->microseconds};
    return setsockopt(fd, option->linux_level, option->linux_name, &time, sizeof time) ? errno_to_darwin(errno) : 0;
}

enum { HZ_OF_DARWIN = 100 };

// so_linger is a short, in hundredths of a second: longer ones are cut off.
static int set_linger(int fd, const struct option *option, const struct linger *to) {
    int ticks = option->shape == LINGER ? to->l_linger * HZ_OF_DARWIN : to->l_linger;
    struct linger linger = {.l_onoff = to->l_onoff, .l_linger = ((int16_t)ticks + HZ_OF_DARWIN - 1) / HZ_OF_DARWIN};
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) ? errno_to_darwin(errno) : 0;
}

// netinet/in_pcb.c, inp_bindif: an interface that is not there is ENXIO.
static int set_interface(int fd, const struct option *option, int index) {
    char name[IF_NAMESIZE];
    if (index && (!if_indextoname((unsigned)index, name) || machine_interface_gone(name))) return DARWIN_ENXIO;
    return setsockopt(fd, option->linux_level, option->linux_name, &index, sizeof index) ? errno_to_darwin(errno) : 0;
}

// ---- setsockopt -----------------------------------------------------------------------------------------------------

// bsd/kern/uipc_socket.c, sooptcopyin: what is shorter than the option is EINVAL.
static size_t size_of(enum shape shape) {
    switch (shape) {
    case TIME: return sizeof(struct darwin_timeval);
    case LINGER:
    case LINGER_TICKS: return sizeof(struct linger);
    case MEMBERSHIP: return sizeof(struct ip_mreq);
    default: return sizeof(int);
    }
}

static int set(int fd, const struct option *option, const void *value, socklen_t size) {
    if (option->shape == TOLD || option->shape == PENDING || option->shape == ERROR) return DARWIN_ENOPROTOOPT;
    if (size < size_of(option->shape)) return DARWIN_EINVAL;
    int number = *(const int *)value;
    switch (option->shape) {
    case BUFFER: return set_buffer(fd, option, number);
    case TIME: return set_time(fd, option, value);
    case LINGER:
    case LINGER_TICKS: return set_linger(fd, option, value);
    case INTERFACE: return set_interface(fd, option, number);
    case NOSIGPIPE: mark_descriptor(fd, NO_SIGPIPE, number != 0); return 0;
    case CONNECT_WITHIN:
        if (number < 0) return DARWIN_EINVAL;
        socket_of(fd)->connect_within = number;
        return 0;
    case MEMBERSHIP: break;
    default: size = sizeof(int);
    }
    return setsockopt(fd, option->linux_level, option->linux_name, value, size) ? errno_to_darwin(errno) : 0;
}

// bsd/kern/uipc_socket.c, sosetoptlock: a socket that is closed both ways takes no option, not even when the other end
// did that. Linux would set it.
static int darwin_setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    if (!socket_of(fd)) return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, value, size);  // for its error
    if (socket_closed_both_ways(fd)) return (int)fail(DARWIN_EINVAL);
    if (level == DARWIN_SOL_LOCAL && socket_family(fd) == AF_UNIX) return (int)fail(DARWIN_EOPNOTSUPP);
    const struct option *option = find(level, name);
    int error = option ? set(fd, option, value, size) : DARWIN_ENOPROTOOPT;
    return error ? (int)fail(error) : 0;
}
OURS(setsockopt)

// ---- getsockopt -----------------------------------------------------------------------------------------------------

enum { TF_NODELAY = 0x4 };

union value { int number; struct darwin_timeval time; struct linger linger; };

static int get_linux(int fd, const struct option *option, void *to, socklen_t size) {
    return getsockopt(fd, option->linux_level, option->linux_name, to, &size) ? errno_to_darwin(errno) : 0;
}

static int get_time(int fd, const struct option *option, struct darwin_timeval *to) {
    struct timeval time;
    int error = get_linux(fd, option, &time, sizeof time);
    *to = (struct darwin_timeval){time.tv_sec, (int32_t)time.tv_usec};
    return error;
}

static int get(int fd, const struct option *option, union value *to) {
    int error;
    switch (option->shape) {
    case NUMBER:
    case TOLD:
    case INTERFACE: return get_linux(fd, option, &to->number, sizeof to->number);
    case FLAG:
        error = get_linux(fd, option, &to->number, sizeof to->number);
        if (to->number) to->number = option->name;
        return error;
    case NODELAY:
        error = get_linux(fd, option, &to->number, sizeof to->number);
        if (to->number) to->number = TF_NODELAY;
        return error;
    case BUFFER:
        error = get_linux(fd, option, &to->number, sizeof to->number);
        to->number /= 2;
        return error;
    case TIME: return get_time(fd, option, &to->time);
    case LINGER:
    case LINGER_TICKS:
        error = get_linux(fd, option, &to->linger, sizeof to->linger);
        if (option->shape == LINGER_TICKS) to->linger.l_linger *= HZ_OF_DARWIN;
        return error;
    case PENDING: return ioctl(fd, (unsigned long)option->linux_name, &to->number) ? errno_to_darwin(errno) : 0;
    case ERROR: to->number = socket_take_error(fd); return 0;
    case NOSIGPIPE: to->number = descriptor_has(fd, NO_SIGPIPE) ? 1 : 0; return 0;  // SOF_NOSIGPIPE
    case CONNECT_WITHIN: to->number = socket_of(fd)->connect_within; return 0;
    case MEMBERSHIP: break;
    }
    return DARWIN_ENOPROTOOPT;
}

static int darwin_getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
    if (!socket_of(fd)) return getsockopt(fd, SOL_SOCKET, SO_TYPE, value, size);  // for its error
    if (level == DARWIN_SOL_LOCAL && socket_family(fd) == AF_UNIX) {
        int error = peer_option(fd, name, value, size);
        return error ? (int)fail(error) : 0;
    }
    union value there = {0};
    const struct option *option = find(level, name);
    int error = option ? get(fd, option, &there) : DARWIN_ENOPROTOOPT;
    if (error) return (int)fail(error);
    socklen_t length = (socklen_t)size_of(option->shape);
    if (*size > length) *size = length;
    memcpy(value, &there, *size);
    return 0;
}
OURS(getsockopt)
