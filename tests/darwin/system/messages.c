// What goes through sockets: send, recv and their like, with the descriptors that travel along.
#include "darwin.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <sys/uio.h>

#include "system/addresses.h"
#include "system/descriptors.h"
#include "system/errors.h"
#include "system/signals.h"
#include "system/sockets.h"

// ---- flags ----------------------------------------------------------------------------------------------------------

// bsd/sys/socket.h, MSG_….
enum {
    DARWIN_MSG_OOB = 0x1,
    DARWIN_MSG_PEEK = 0x2,
    DARWIN_MSG_DONTROUTE = 0x4,
    DARWIN_MSG_EOR = 0x8,
    DARWIN_MSG_TRUNC = 0x10,
    DARWIN_MSG_CTRUNC = 0x20,
    DARWIN_MSG_WAITALL = 0x40,
    DARWIN_MSG_DONTWAIT = 0x80,
    DARWIN_MSG_NOSIGNAL = 0x80000,
};
static const struct { int darwin, of_linux; } flags_of_messages[] = {
    {DARWIN_MSG_OOB, MSG_OOB},         {DARWIN_MSG_PEEK, MSG_PEEK},     {DARWIN_MSG_DONTROUTE, MSG_DONTROUTE},
    {DARWIN_MSG_EOR, MSG_EOR},         {DARWIN_MSG_TRUNC, MSG_TRUNC},   {DARWIN_MSG_CTRUNC, MSG_CTRUNC},
    {DARWIN_MSG_WAITALL, MSG_WAITALL}, {DARWIN_MSG_DONTWAIT, MSG_DONTWAIT}, {DARWIN_MSG_NOSIGNAL, MSG_NOSIGNAL},
};
enum { FLAGS = sizeof flags_of_messages / sizeof *flags_of_messages };

// What Darwin only tells and never takes is dropped: by MSG_TRUNC Linux would tell another length.
static int flags_to_linux(int darwin) {
    int flags = 0, left = darwin & ~(DARWIN_MSG_TRUNC | DARWIN_MSG_CTRUNC);
    for (int i = 0; i < FLAGS; i++) {
        if (left & flags_of_messages[i].darwin) flags |= flags_of_messages[i].of_linux;
        left &= ~flags_of_messages[i].darwin;
    }
    if (left) refuse("the flags %#x of a message are not modelled", left);
    return flags;
}

static int flags_to_darwin(int of_linux) {
    int flags = 0;
    for (int i = 0; i < FLAGS; i++)
        if (of_linux & flags_of_messages[i].of_linux) flags |= flags_of_messages[i].darwin;
    return flags & ~DARWIN_MSG_NOSIGNAL;
}

// ---- errors ---------------------------------------------------------------------------------------------------------

// TCP_CONNECTIONTIMEOUT is of connecting only; what Linux knows it as would go on for the connection.
static void no_longer_connecting(int fd, struct socket *known) {
    unsigned none = 0;
    if (atomic_exchange(&known->connect_within, 0)) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof none);
}

static ssize_t broken_pipe(int fd, int darwin_flags) {
    if (!descriptor_has(fd, NO_SIGPIPE) && !(darwin_flags & DARWIN_MSG_NOSIGNAL)) raise(SIGPIPE);
    return fail(DARWIN_EPIPE);
}

// bsd/kern/uipc_socket.c, sosendcheck: what cannot send any more is EPIPE, whatever its error is, and keeps that error
// for the next recv. Linux tells the error first.
static ssize_t sent(int fd, ssize_t result, int darwin_flags) {
    struct socket *known = socket_of(fd);
    if (result >= 0) {
        if (known && known->connect_within) no_longer_connecting(fd, known);
        return result;
    }
    int number = errno;
    if (number == EPIPE) return broken_pipe(fd, darwin_flags);
    if (known && number != EAGAIN && number != EINTR && number != ENOTCONN && socket_closed_both_ways(fd)) {
        if (!socket_ended_unread(fd, number)) known->error = errno_to_darwin(number);
        return broken_pipe(fd, darwin_flags);
    }
    errno = number;
    return result;
}

// bsd/kern/uipc_socket.c, soreceive: after all bytes there were comes the error, once, and the end after that. An error
// that kevent has been told of is in our record: Linux forgot it when it was asked.
static ssize_t received(int fd, ssize_t result, bool peeked) {
    struct socket *known = socket_of(fd);
    if (!known) return result;
    if (result < 0 && socket_ended_unread(fd, errno)) result = errno = 0;
    if (result > 0 && known->connect_within) no_longer_connecting(fd, known);
    if (result == 0 && known->error) {
        int error = peeked ? known->error : atomic_exchange(&known->error, 0);
        if (error) return fail(error);
    }
    return result;
}

// The error that is kept is told before anything is sent, where sending is not at its end.
static int error_before_sending(int fd) {
    struct socket *known = socket_of(fd);
    return known && known->error && !socket_closed_both_ways(fd) ? atomic_exchange(&known->error, 0) : 0;
}

// ---- without more ---------------------------------------------------------------------------------------------------

// SIGPIPE is ours to raise: see `sent`.
static ssize_t send_message(int fd, const struct msghdr *message, int darwin_flags) {
    int error = error_before_sending(fd);
    if (error) return fail(error);
    return sent(fd, sendmsg(fd, message, flags_to_linux(darwin_flags) | MSG_NOSIGNAL), darwin_flags);
}

static ssize_t receive_message(int fd, struct msghdr *message, int darwin_flags) {
    return received(fd, recvmsg(fd, message, flags_to_linux(darwin_flags)), darwin_flags & DARWIN_MSG_PEEK);
}

// bsd/kern/uipc_syscalls.c: more than an int can say is EINVAL.
static bool too_long(size_t size) { return size > INT_MAX; }

static ssize_t darwin_sendto(int fd, const void *from, size_t size, int flags, const void *name, socklen_t name_size) {
    union linux_address address;
    struct msghdr message = {.msg_iov = &(struct iovec){(void *)from, size}, .msg_iovlen = 1};
    if (too_long(size)) return fail(DARWIN_EINVAL);
    if (name) {
        int error = address_to_linux(name, name_size, &address, &message.msg_namelen);
        if (error) return fail(error);
        message.msg_name = &address;
    }
    return send_message(fd, &message, flags);
}
OURS(sendto)

static ssize_t darwin_send(int fd, const void *from, size_t size, int flags) {
    return darwin_sendto(fd, from, size, flags, NULL, 0);
}
OURS(send)

// A name is told where there is one: with a connection there is none, and its length is 0.
static void tell_sender(const struct msghdr *message, void *name, socklen_t *size) {
    if (!name || !size) return;
    if (message->msg_namelen == 0) {
        *size = 0;
        return;
    }
    socklen_t room = *size;
    address_to_darwin(message->msg_name, message->msg_namelen, name, size);
    if (*size > room) *size = room;  // recvit tells what it has written
}

static ssize_t darwin_recvfrom(int fd, void *to, size_t size, int flags, void *name, socklen_t *name_size) {
    union linux_address address = {0};
    struct msghdr message = {
        .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &(struct iovec){to, size}, .msg_iovlen = 1,
    };
    if (too_long(size)) return fail(DARWIN_EINVAL);
    ssize_t got = receive_message(fd, &message, flags);
    if (got >= 0) tell_sender(&message, name, name_size);
    return got;
}
OURS(recvfrom)

static ssize_t darwin_recv(int fd, void *to, size_t size, int flags) {
    return darwin_recvfrom(fd, to, size, flags, NULL, NULL);
}
OURS(recv)

// bsd/kern/sys_socket.c, soo_read and soo_write.
ssize_t socket_was_read(int fd, ssize_t result) {
    return result == 0 || (result < 0 && errno == ECONNRESET) ? received(fd, result, false) : result;
}

ssize_t socket_was_written(int fd, ssize_t result) {
    return result < 0 && errno != EPIPE ? sent(fd, result, 0) : result;
}

// ---- with descriptors -----------------------------------------------------------------------------------------------

// bsd/sys/socket.h, struct msghdr and struct cmsghdr; what is between them is aligned to four bytes (__DARWIN_ALIGN32).
struct darwin_msghdr {
    void *name;
    socklen_t name_size;
    struct iovec *parts;
    int32_t part_count;
    void *control;
    socklen_t control_size;
    int32_t flags;
};
_Static_assert(sizeof(struct darwin_msghdr) == 48, "struct msghdr");
struct darwin_cmsghdr { uint32_t length; int32_t level, type; };
_Static_assert(sizeof(struct darwin_cmsghdr) == 12, "struct cmsghdr");
enum {
    DARWIN_SOL_SOCKET = 0xffff,
    DARWIN_SCM_RIGHTS = 1,
    UIO_MAXIOV_OF_DARWIN = 1024,  // bsd/sys/uio.h
    MOST_RIGHTS = 253,            // SCM_MAX_FD of Linux; Darwin's UIPC_MAX_CMSG_FD is 512
};

union linux_control {
    struct cmsghdr head;
    char room[CMSG_SPACE(MOST_RIGHTS * sizeof(int))];
};

// bsd/kern/uipc_usrreq.c, unp_internalize: one header, as long as all there is, that holds descriptors. A kqueue does
// not travel.
static int control_to_linux(const struct darwin_msghdr *from, union linux_control *control, struct msghdr *to) {
    const struct darwin_cmsghdr *head = from->control;
    if (from->control_size < sizeof *head) return DARWIN_EINVAL;
    if (head->level != DARWIN_SOL_SOCKET || head->type != DARWIN_SCM_RIGHTS || head->length != from->control_size)
        return DARWIN_EINVAL;
    size_t count = (head->length - sizeof *head) / sizeof(int), size = count * sizeof(int);
    if (count > MOST_RIGHTS) refuse("%zu descriptors in a message: more than %d are not modelled", count, MOST_RIGHTS);
    const int *fds = (const int *)(head + 1);
    for (size_t i = 0; i < count; i++)
        if (descriptor_has(fds[i], IS_KQUEUE)) return DARWIN_EINVAL;
    *control = (union linux_control){.head = {CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control->head), fds, size);
    to->msg_control = control;
    to->msg_controllen = CMSG_SPACE(size);
    return 0;
}

static ssize_t darwin_sendmsg(int fd, const struct darwin_msghdr *from, int flags) {
    union linux_address address;
    union linux_control control;
    struct msghdr message = {.msg_iov = from->parts, .msg_iovlen = (size_t)from->part_count};
    if (from->part_count <= 0 || from->part_count > UIO_MAXIOV_OF_DARWIN) return fail(DARWIN_EMSGSIZE);
    if (from->name) {
        int error = address_to_linux(from->name, from->name_size, &address, &message.msg_namelen);
        if (error) return fail(error);
        message.msg_name = &address;
    }
    if (from->control) {
        int error = control_to_linux(from, &control, &message);
        if (error) return fail(error);
    }
    return send_message(fd, &message, flags);
}
OURS(sendmsg)

// bsd/kern/uipc_syscalls.c, copyout_control. What does not fit is cut off and told; descriptors that cannot be told are
// closed, since nobody would know of them.
static void control_to_darwin(struct msghdr *from, struct darwin_msghdr *to) {
    uint32_t used = 0, room = to->control ? to->control_size : 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(from); head; head = CMSG_NXTHDR(from, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            refuse("a message came with %d of level %d, which is not modelled", head->cmsg_type, head->cmsg_level);
        uint32_t count = (uint32_t)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        int fds[MOST_RIGHTS];
        memcpy(fds, CMSG_DATA(head), count * sizeof(int));
        uint32_t fit = 0;
        if (room >= used + sizeof(struct darwin_cmsghdr))
            fit = (uint32_t)((room - used - sizeof(struct darwin_cmsghdr)) / sizeof(int));
        if (fit > count) fit = count;
        for (uint32_t i = 0; i < count; i++) {
            if (i < fit) socket_begins(fds[i]);
            else close(fds[i]);
        }
        if (fit < count) to->flags |= DARWIN_MSG_CTRUNC;
        if (fit == 0) continue;
        struct darwin_cmsghdr *told = (void *)((char *)to->control + used);
        uint32_t length = (uint32_t)(sizeof *told + fit * sizeof(int));
        *told = (struct darwin_cmsghdr){length, DARWIN_SOL_SOCKET, DARWIN_SCM_RIGHTS};
        memcpy(told + 1, fds, fit * sizeof(int));
        used += length;
    }
    to->control_size = used;
}

static ssize_t darwin_recvmsg(int fd, struct darwin_msghdr *to, int flags) {
    union linux_address address = {0};
    union linux_control control;
    struct msghdr message = {
        .msg_name = &address,
        .msg_namelen = sizeof address,
        .msg_iov = to->parts,
        .msg_iovlen = (size_t)to->part_count,
        .msg_control = to->control ? &control : NULL,
        .msg_controllen = to->control ? sizeof control : 0,
    };
    if (to->part_count <= 0 || to->part_count > UIO_MAXIOV_OF_DARWIN) return fail(DARWIN_EMSGSIZE);
    ssize_t got = receive_message(fd, &message, flags);
    if (got < 0) return got;
    to->flags = flags_to_darwin(message.msg_flags);
    tell_sender(&message, to->name, &to->name_size);
    control_to_darwin(&message, to);
    return got;
}
OURS(recvmsg)
