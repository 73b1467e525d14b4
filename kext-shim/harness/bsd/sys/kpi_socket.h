#ifndef HARNESS_KPI_SOCKET_H
#define HARNESS_KPI_SOCKET_H

#include <sys/errno.h>
#include <sys/kernel_types.h>
#include <sys/socket.h>

extern "C" {
errno_t sock_getsockopt(socket_t so, int level, int optname, void *optval, int *optlen);
errno_t sock_ioctl(socket_t so, unsigned long request, void *argp);
errno_t sock_receivembuf(socket_t so, struct msghdr *msg, mbuf_t *data, int flags, size_t *recvlen);
errno_t sock_send(socket_t so, const struct msghdr *msg, int flags, size_t *sentlen);
errno_t sock_shutdown(socket_t so, int how);
int sock_isconnected(socket_t so);
errno_t sock_gettype(socket_t so, int *domain, int *type, int *protocol);
void sock_retain(socket_t so);
void sock_release(socket_t so);
}

#endif
