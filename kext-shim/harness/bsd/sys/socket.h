#ifndef HARNESS_SOCKET_H
#define HARNESS_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#define PF_INET 2
#define PF_INET6 30
#define SOCK_STREAM 1
#define SOL_SOCKET 0xffff
#define SO_SNDBUF 0x1001
#define SHUT_RDWR 2

struct iovec {
    void *iov_base;
    size_t iov_len;
};

struct msghdr {
    void *msg_name;
    uint32_t msg_namelen;
    struct iovec *msg_iov;
    int msg_iovlen;
    void *msg_control;
    uint32_t msg_controllen;
    int msg_flags;
};

#endif
