// Queues of events: bsd/sys/event.h and bsd/kern/kern_event.c.
//
//   change ──► knote, by (ident, filter) ──► ready? ──► active ──► told, if it still is ready then
//                 ▲
//                 └── epoll says that something has changed
//
// What is told is what xnu's filters see at that moment (readiness.h). epoll only wakes: its edges are the wakeups of
// Linux' sockets as KNOTE is that of xnu's. Reading and writing have an epoll each, so that the edge of one is none of
// the other's; both are within a third, which is the descriptor that the program has.
#pragma once
#include "darwin.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

struct darwin_kevent {
    uint64_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    int64_t data;
    void *udata;
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct darwin_kevent) == 32, "struct kevent");

enum filter {
    EVFILT_READ = -1,
    EVFILT_WRITE = -2,
    EVFILT_TIMER = -7,
    EVFILT_USER = -10,
    EVFILT_SYSCOUNT = 18,
};
enum {
    EV_ADD = 0x0001,
    EV_DELETE = 0x0002,
    EV_ENABLE = 0x0004,
    EV_DISABLE = 0x0008,
    EV_ONESHOT = 0x0010,
    EV_CLEAR = 0x0020,
    EV_RECEIPT = 0x0040,
    EV_DISPATCH = 0x0080,
    EV_UDATA_SPECIFIC = 0x0100,
    EV_VANISHED = 0x0200,
    EV_OOBAND = 0x2000,
    EV_ERROR = 0x4000,
    EV_EOF = 0x8000,
};
enum { NOTE_LOWAT = 1 };

struct kqueue;
struct filter_calls;

// One thing that a queue watches. Names as in struct knote (bsd/sys/eventvar.h).
struct knote {
    LIST_ENTRY(knote) same_hash;
    TAILQ_ENTRY(knote) in_active;
    LIST_ENTRY(knote) in_timers;
    const struct filter_calls *calls;
    uint64_t ident;
    enum filter filter;
    uint16_t flags;    // as it was added; EV_EOF stays once it was there
    uint32_t fflags;   // what is told
    uint32_t sfflags;  // what was asked for
    int64_t sdata;
    void *udata;
    bool active, disabled;
    bool by_epoll;
    union {
        bool triggered;                                          // EVFILT_USER
        struct { uint64_t deadline, interval; bool armed, fired; } timer;  // ns; deadline 0: at once
    };
};
LIST_HEAD(knotes, knote);
TAILQ_HEAD(active_knotes, knote);

enum { HASHES = 1024 };
struct kqueue {
    pthread_mutex_t lock;
    int self, reads, writes;  // epolls
    int stirred;              // eventfd, within self: something has become active without epoll
    int users;                // descriptors, and calls that are on
    struct knotes hashed[HASHES];
    struct knotes timers;
    struct active_knotes active;
};

// What a filter is. Each is called with the queue locked.
struct filter_calls {
    // 0 or Darwin's number of the error; `*active`: it is ready already.
    int (*attach)(struct kqueue *queue, struct knote *note, bool *active);
    void (*detach)(struct kqueue *queue, struct knote *note);
    int (*touch)(struct kqueue *queue, struct knote *note, const struct darwin_kevent *change, bool *active);
    // Whether it is ready, and what is to be told then.
    bool (*process)(struct kqueue *queue, struct knote *note, struct darwin_kevent *to);
};
extern const struct filter_calls filter_read, filter_write, filter_timer, filter_user;

// knote_fill_kevent.
void knote_tell(struct knote *note, struct darwin_kevent *to, int64_t data);
// Those whose time has come become active. The uptime at which the next one has, or FOREVER.
uint64_t timers_expire(struct kqueue *queue);
void knote_activate(struct kqueue *queue, struct knote *note);
