// kqueue() and kevent().
#include "system/kqueue.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "system/allocate.h"
#include "system/clocks.h"
#include "system/descriptors.h"
#include "system/errors.h"
#include "system/limits.h"
#include "system/sockets.h"

// ---- the queues of this process -------------------------------------------------------------------------------------

static struct kqueue *queues[DESCRIPTORS_OF_PROCESS];
static int highest_queue = -1;
static pthread_mutex_t all = PTHREAD_MUTEX_INITIALIZER;  // taken before that of a queue

static struct kqueue *take(int fd) {
    pthread_mutex_lock(&all);
    struct kqueue *queue = fd >= 0 && fd < DESCRIPTORS_OF_PROCESS ? queues[fd] : NULL;
    if (queue) queue->users++;
    pthread_mutex_unlock(&all);
    return queue;
}

static void drop_note(struct kqueue *queue, struct knote *note);

static void let_go_locked(struct kqueue *queue) {
    if (--queue->users) return;
    for (int hash = 0; hash < HASHES; hash++)
        while (!LIST_EMPTY(&queue->hashed[hash])) drop_note(queue, LIST_FIRST(&queue->hashed[hash]));
    close(queue->reads);
    close(queue->writes);
    close(queue->stirred);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static void let_go(struct kqueue *queue) {
    pthread_mutex_lock(&all);
    let_go_locked(queue);
    pthread_mutex_unlock(&all);
}

static void keep(int fd, struct kqueue *queue) {
    if (fd >= DESCRIPTORS_OF_PROCESS) refuse("descriptor %d: a Mac has none above %d", fd, DESCRIPTORS_OF_PROCESS - 1);
    pthread_mutex_lock(&all);
    queues[fd] = queue;
    if (fd > highest_queue) highest_queue = fd;
    pthread_mutex_unlock(&all);
}

static void watch_within(int outer, int inner) {
    struct epoll_event event = {.events = EPOLLIN};
    if (inner < 0 || epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event)) refuse("a kqueue cannot be made: %m");
}

// bsd/kern/kern_event.c, kqueue_internal: FP_CLOEXEC and FP_CLOFORK, so no child has it.
static int darwin_kqueue(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return fd;
    struct kqueue *queue = zeroed(1, sizeof *queue);
    queue->self = fd;
    queue->reads = epoll_create1(EPOLL_CLOEXEC);
    queue->writes = epoll_create1(EPOLL_CLOEXEC);
    queue->stirred = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watch_within(fd, queue->reads);
    watch_within(fd, queue->writes);
    watch_within(fd, queue->stirred);
    queue->users = 1;
    pthread_mutex_init(&queue->lock, NULL);
    TAILQ_INIT(&queue->active);
    socket_begins(fd);
    mark_descriptor(fd, IS_KQUEUE, true);
    keep(fd, queue);
    return fd;
}
OURS(kqueue)

// ---- what is watched ------------------------------------------------------------------------------------------------

static const struct filter_calls *calls_of(int filter) {
    switch (filter) {
    case EVFILT_READ: return &filter_read;
    case EVFILT_WRITE: return &filter_write;
    case EVFILT_TIMER: return &filter_timer;
    case EVFILT_USER: return &filter_user;
    }
    if (filter < 0 && filter >= -EVFILT_SYSCOUNT) refuse("kevent: filter %d is not modelled", filter);
    return NULL;
}

static struct knotes *bucket(struct kqueue *queue, uint64_t ident, int filter) {
    return &queue->hashed[(ident * 31 + (uint64_t)-filter) % HASHES];
}

static struct knote *find_note(struct kqueue *queue, uint64_t ident, int filter) {
    struct knote *note;
    LIST_FOREACH(note, bucket(queue, ident, filter), same_hash)
        if (note->ident == ident && (int)note->filter == filter) return note;
    return NULL;
}

static void deactivate(struct kqueue *queue, struct knote *note) {
    if (note->active) TAILQ_REMOVE(&queue->active, note, in_active);
    note->active = false;
}

// knote_drop.
static void drop_note(struct kqueue *queue, struct knote *note) {
    note->calls->detach(queue, note);
    deactivate(queue, note);
    LIST_REMOVE(note, same_hash);
    free(note);
}

// Who waits is woken: what epoll watches is not all that makes something active.
static void stir(struct kqueue *queue) {
    uint64_t one = 1;
    if (write(queue->stirred, &one, sizeof one) < 0 && errno != EAGAIN) refuse("a kqueue cannot be woken: %m");
    errno = 0;
}

void knote_activate(struct kqueue *queue, struct knote *note) {
    if (note->active) return;
    note->active = true;
    TAILQ_INSERT_TAIL(&queue->active, note, in_active);
}

// knote_fill_kevent_with_sdata: the flags are those it was added with.
void knote_tell(struct knote *note, struct darwin_kevent *to, int64_t data) {
    *to = (struct darwin_kevent){note->ident, note->filter, note->flags, note->fflags, data, note->udata};
    if (note->flags & EV_CLEAR) note->fflags = 0;
}

// ---- changes: kevent_register ---------------------------------------------------------------------------------------

static int add(struct kqueue *queue, const struct filter_calls *calls, const struct darwin_kevent *change) {
    struct knote *note = zeroed(1, sizeof *note);
    note->calls = calls;
    note->ident = change->ident;
    note->filter = change->filter;
    note->flags = change->flags;
    note->sfflags = change->fflags;
    note->sdata = change->data;
    note->udata = change->udata;
    note->disabled = change->flags & EV_DISABLE;
    bool active = false;
    int error = calls->attach(queue, note, &active);
    if (error) {
        free(note);
        return error;
    }
    LIST_INSERT_HEAD(bucket(queue, note->ident, note->filter), note, same_hash);
    if (active) knote_activate(queue, note);
    stir(queue);
    return 0;
}

static int touch(struct kqueue *queue, struct knote *note, const struct darwin_kevent *change) {
    bool active = false;
    int error = note->calls->touch(queue, note, change, &active);
    if (error) return error;
    note->udata = change->udata;
    if (change->flags & EV_DISABLE) note->disabled = true;
    if (change->flags & EV_ENABLE) note->disabled = false;
    if (active) knote_activate(queue, note);
    stir(queue);
    return 0;
}

// 0, or Darwin's number of the error. Deleting and disabling overrule.
static int change_queue(struct kqueue *queue, struct darwin_kevent *change) {
    const struct filter_calls *calls = calls_of(change->filter);
    if (!calls) return DARWIN_EINVAL;
    if (change->flags & (EV_UDATA_SPECIFIC | EV_VANISHED)) refuse("kevent: flags %#x are not modelled", change->flags);
    if (change->flags & EV_DELETE) change->flags &= (uint16_t)~EV_ADD;
    if (change->flags & EV_DISABLE) change->flags &= (uint16_t)~EV_ENABLE;
    struct knote *note = find_note(queue, change->ident, change->filter);
    if (!note && !(change->flags & EV_ADD)) return DARWIN_ENOENT;
    if (!note) return add(queue, calls, change);
    if (!(change->flags & EV_DELETE)) return touch(queue, note, change);
    drop_note(queue, note);
    return 0;
}

// ---- events: kqueue_scan --------------------------------------------------------------------------------------------

// What epoll's edges name becomes active if it is ready. knote(): f_event.
static void hear_edges(struct kqueue *queue, int epoll) {
    enum { AT_ONCE = 128 };
    struct epoll_event edges[AT_ONCE];
    for (;;) {
        int count = epoll_wait(epoll, edges, AT_ONCE, 0);
        if (count < 0) refuse("a kqueue cannot be asked: %m");
        for (int i = 0; i < count; i++) knote_activate(queue, edges[i].data.ptr);
        if (count < AT_ONCE) return;
    }
}

// knote_process. Whether it was told.
static bool tell_one(struct kqueue *queue, struct knote *note, struct darwin_kevent *to) {
    deactivate(queue, note);
    if (!note->calls->process(queue, note, to)) return false;
    if (to->flags & EV_ONESHOT)
        drop_note(queue, note);
    else if (note->flags & EV_DISPATCH)
        note->disabled = true;
    else if (!(note->flags & EV_CLEAR))
        knote_activate(queue, note);  // there may be more: it is looked at again, the next time
    return true;
}

static int collect(struct kqueue *queue, struct darwin_kevent *events, int room, uint64_t *next_timer) {
    uint64_t stirs;
    if (read(queue->stirred, &stirs, sizeof stirs) < 0 && errno != EAGAIN) refuse("a kqueue cannot be asked: %m");
    hear_edges(queue, queue->reads);
    hear_edges(queue, queue->writes);
    *next_timer = timers_expire(queue);
    errno = 0;
    int told = 0;
    // Those that are active again stand behind this one, and are not told twice.
    struct knote *last = TAILQ_LAST(&queue->active, active_knotes), *note = TAILQ_FIRST(&queue->active), *next;
    for (bool more = note != NULL; more && told < room; note = next) {
        more = note != last;
        next = TAILQ_NEXT(note, in_active);
        if (!note->disabled && tell_one(queue, note, &events[told])) told++;
    }
    if (told && !TAILQ_EMPTY(&queue->active)) stir(queue);  // for who polls the descriptor itself
    return told;
}

// Linux' own nanoseconds. EINTR is the program's.
static int wait_for(struct kqueue *queue, uint64_t deadline) {
    struct pollfd asked = {.fd = queue->self, .events = POLLIN};
    struct timespec left = clock_left(deadline);
    return ppoll(&asked, 1, deadline == FOREVER ? NULL : &left, NULL);
}

static int scan(struct kqueue *queue, struct darwin_kevent *events, int room, uint64_t deadline) {
    for (;;) {
        uint64_t next_timer;
        pthread_mutex_lock(&queue->lock);
        int told = collect(queue, events, room, &next_timer);
        pthread_mutex_unlock(&queue->lock);
        if (told || clock_reached(deadline)) return told;
        if (wait_for(queue, next_timer < deadline ? next_timer : deadline) < 0) return -1;
    }
}

// kevent_internal: each change that fails, or wants a receipt, is told as long as there is room; without room the first
// failure is the call's. If any was told, nothing is waited for.
static int change_all(struct kqueue *queue, const struct darwin_kevent *changes, int count,
                      struct darwin_kevent *events, int room, int *told) {
    *told = 0;
    for (int i = 0; i < count; i++) {
        struct darwin_kevent change = changes[i];  // both lists may be the same memory
        pthread_mutex_lock(&queue->lock);
        int error = change_queue(queue, &change);
        pthread_mutex_unlock(&queue->lock);
        if (*told < room && (error || change.flags & EV_RECEIPT)) {
            change.flags |= EV_ERROR;
            change.data = error;
            events[(*told)++] = change;
        } else if (error) {
            return error;
        }
    }
    return 0;
}

static int darwin_kevent(int fd, const struct darwin_kevent *changes, int change_count, struct darwin_kevent *events,
                         int room, const struct timespec *timeout) {
    uint64_t deadline = FOREVER;
    if (timeout) {
        if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= NSEC_PER_SEC)
            return (int)fail(DARWIN_EINVAL);
        deadline = timeout->tv_sec > INT32_MAX ? FOREVER : clock_after(nanoseconds_of(timeout));
    }
    struct kqueue *queue = take(fd);
    if (!queue) return (int)fail(DARWIN_EBADF);
    int told;
    int error = change_all(queue, changes, change_count, events, room, &told);
    if (error)
        told = (int)fail(error);
    else if (!told && room > 0)
        told = scan(queue, events, room, deadline);
    int number = errno;
    let_go(queue);
    errno = number;
    return told;
}
OURS(kevent)

// ---- descriptors that go, and children ------------------------------------------------------------------------------

// knote_fdclose: what is watched of a descriptor goes when it is closed, even if the file stays open by another.
static void forget_watched(int fd) {
    for (int at = 0; at <= highest_queue; at++) {
        struct kqueue *queue = queues[at];
        if (!queue) continue;
        pthread_mutex_lock(&queue->lock);
        for (int filter = EVFILT_READ; filter >= EVFILT_WRITE; filter--) {
            struct knote *note = find_note(queue, (uint64_t)fd, filter);
            if (note) drop_note(queue, note);
        }
        pthread_mutex_unlock(&queue->lock);
    }
}

static void closing(int fd) {
    pthread_mutex_lock(&all);
    forget_watched(fd);  // which asks for the socket's record no more from here on
    socket_before_close(fd);
    if (fd >= 0 && fd < DESCRIPTORS_OF_PROCESS && queues[fd]) {
        struct kqueue *queue = queues[fd];
        queues[fd] = NULL;
        let_go_locked(queue);
    }
    pthread_mutex_unlock(&all);
}

static void copied(int from, int to) {
    socket_after_copy(from, to);
    struct kqueue *queue = take(from);
    if (queue) keep(to, queue);
}

static void before_fork(void) {
    pthread_mutex_lock(&all);
    sockets_hold();
}

static void after_fork(void) {
    sockets_let_go();
    pthread_mutex_unlock(&all);
}

// The child has none of them, and not their memory to rely on: a thread that is not there may have held a lock.
static void in_child(void) {
    for (int fd = 0; fd <= highest_queue; fd++) {
        if (!queues[fd]) continue;
        mark_descriptor(fd, IS_KQUEUE, false);
        close(fd);
        queues[fd] = NULL;
    }
    highest_queue = -1;
    after_fork();
}

static void __attribute__((constructor)) listen_to_descriptors(void) {
    before_close = closing;
    after_copy = copied;
    int error = pthread_atfork(before_fork, after_fork, in_child);
    if (error) refuse("fork cannot be listened to: %s", strerror(error));
}
