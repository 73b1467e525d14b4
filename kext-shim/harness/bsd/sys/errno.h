// Numbers of macOS; the harness translates.
#ifndef HARNESS_ERRNO_H
#define HARNESS_ERRNO_H

typedef int errno_t;

#define EINTR 4
#define EIO 5
#define ENOMEM 12
#define EINVAL 22
#define EPIPE 32
#define EWOULDBLOCK 35
#define ENOTSOCK 38
#define EMSGSIZE 40
#define ENOBUFS 55
#define ESHUTDOWN 58

#endif
