#ifndef HARNESS_KERNEL_TYPES_H
#define HARNESS_KERNEL_TYPES_H

typedef struct socket *socket_t;
typedef struct mbuf *mbuf_t;

#endif
