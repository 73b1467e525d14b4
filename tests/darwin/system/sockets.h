// What is kept of a socket beyond what Linux keeps of it.
#pragma once
#include "darwin.h"

#include <stdatomic.h>
#include <stdbool.h>

struct socket {
    atomic_int error;        // so_error, of Darwin, where Linux' own had to be asked and is gone by that. 0: none
    atomic_bool cannot_send; // SS_CANTSENDMORE, since this process has shut it down for that
    atomic_bool shut_down;   // both ways, by this process
    atomic_bool dead;        // its one connection failed: it takes no other (netinet/in_pcb.h, INPCB_STATE_DEAD)
    atomic_int connect_within;  // TCP_CONNECTIONTIMEOUT, in seconds, as long as it is connecting. 0: no limit
};

// NULL: it is no socket, or is none at all. Who asks first makes the record.
struct socket *socket_of(int fd);
// Of a descriptor that has just been made; it forgets what was known of that number.
void socket_begins(int fd);
// From the hooks of descriptors.h.
void socket_before_close(int fd);
void socket_after_copy(int from, int to);
// Around fork, so that the child can close what it has.
void sockets_hold(void);
void sockets_let_go(void);

// Neither can receive nor send any more: SS_CANTRCVMORE and SS_CANTSENDMORE.
bool socket_closed_both_ways(int fd);
// The other end of a Unix socket has gone: SS_ISDISCONNECTED, without our own doing.
bool socket_peer_gone(int fd);
bool socket_is_tcp(int fd);
int socket_family(int fd);  // Linux'
// Whether that error is how Linux tells that the other end of a Unix socket left something unread, or never accepted
// it. xnu tells the end, as ever (bsd/kern/uipc_usrreq.c, unp_disconnect).
bool socket_ended_unread(int fd, int linux_error);
// Its error, in Darwin's numbers, which stays: what so_error is for kevent's fflags.
int socket_error(int fd);
// The same, and it is none from then on.
int socket_take_error(int fd);

// What read and write make of Linux' answer, if that was a socket's: see messages.c. A SIGPIPE of Linux has been sent.
ssize_t socket_was_read(int fd, ssize_t result);
ssize_t socket_was_written(int fd, ssize_t result);
