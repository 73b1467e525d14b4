// Filters that watch descriptors, and the one that the program triggers itself.
#include "system/kqueue.h"

#include <sys/epoll.h>

#include "system/errors.h"
#include "system/readiness.h"

// ---- EVFILT_READ, EVFILT_WRITE --------------------------------------------------------------------------------------

static int64_t low_water(const struct knote *note) { return note->sfflags & NOTE_LOWAT ? note->sdata : 0; }

static struct readiness readiness(const struct knote *note) {
    int fd = (int)note->ident;
    return note->filter == EVFILT_READ ? can_read(fd, low_water(note)) : can_write(fd, low_water(note));
}

static int epoll_of(const struct kqueue *queue, const struct knote *note) {
    return note->filter == EVFILT_READ ? queue->reads : queue->writes;
}

// What is not asked for cannot be told: the sooner it is known the better.
static int check_request(uint32_t fflags, uint16_t flags) {
    if (fflags & ~(uint32_t)NOTE_LOWAT || flags & EV_OOBAND) refuse("kevent: NOTE_ %#x is not modelled", fflags);
    return 0;
}

static int attach_descriptor(struct kqueue *queue, struct knote *note, bool *active) {
    int fd = (int)note->ident;
    enum descriptor_kind kind = kind_of_descriptor(fd);
    if (kind == NO_DESCRIPTOR) return DARWIN_EBADF;
    if (kind == OTHER) return DARWIN_EINVAL;  // spec_kqfilter, kqueue_kqfilter: of those the program has none to watch
    int error = check_request(note->sfflags, note->flags);
    if (error) return error;
    uint32_t events = note->filter == EVFILT_READ ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
    struct epoll_event event = {.events = events | EPOLLET, .data.ptr = note};
    if (!epoll_ctl(epoll_of(queue, note), EPOLL_CTL_ADD, fd, &event))
        note->by_epoll = true;
    else if (errno != EPERM || kind != REGULAR)  // a file: what there is now is all that is told
        return errno_to_darwin(errno);
    *active = readiness(note).ready;
    return 0;
}

static void detach_descriptor(struct kqueue *queue, struct knote *note) {
    if (note->by_epoll && epoll_ctl(epoll_of(queue, note), EPOLL_CTL_DEL, (int)note->ident, NULL))
        refuse("descriptor %d was closed unseen while a kqueue watched it: %m", (int)note->ident);
}

static int touch_descriptor(struct kqueue *queue, struct knote *note, const struct darwin_kevent *change,
                            bool *active) {
    (void)queue;
    int error = check_request(change->fflags, change->flags);
    if (error) return error;
    note->sfflags = change->fflags;
    note->sdata = change->data;
    *active = readiness(note).ready;
    return 0;
}

static bool process_descriptor(struct kqueue *queue, struct knote *note, struct darwin_kevent *to) {
    (void)queue;
    struct readiness now = readiness(note);
    if (now.ended) {
        note->flags |= EV_EOF;
        note->fflags = (uint32_t)now.error;
    }
    if (now.ready) knote_tell(note, to, now.data);
    return now.ready;
}

const struct filter_calls filter_read = {attach_descriptor, detach_descriptor, touch_descriptor, process_descriptor};
const struct filter_calls filter_write = {attach_descriptor, detach_descriptor, touch_descriptor, process_descriptor};

// ---- EVFILT_USER: filt_userattach, filt_usertouch, filt_userprocess -------------------------------------------------

#define NOTE_TRIGGER 0x01000000u
#define NOTE_FFAND 0x40000000u
#define NOTE_FFOR 0x80000000u
#define NOTE_FFCOPY 0xc0000000u
#define NOTE_FFCTRLMASK 0xc0000000u
#define NOTE_FFLAGSMASK 0x00ffffffu

static int attach_user(struct kqueue *queue, struct knote *note, bool *active) {
    (void)queue;
    *active = note->triggered = note->sfflags & NOTE_TRIGGER;
    return 0;
}

static void detach_user(struct kqueue *queue, struct knote *note) { (void)queue, (void)note; }

static int touch_user(struct kqueue *queue, struct knote *note, const struct darwin_kevent *change, bool *active) {
    (void)queue;
    uint32_t fflags = change->fflags & NOTE_FFLAGSMASK;
    switch (change->fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND: note->sfflags &= fflags; break;
    case NOTE_FFOR: note->sfflags |= fflags; break;
    case NOTE_FFCOPY: note->sfflags = fflags; break;
    }
    note->sdata = change->data;
    if (change->fflags & NOTE_TRIGGER) note->triggered = true;
    *active = note->triggered;
    return 0;
}

static bool process_user(struct kqueue *queue, struct knote *note, struct darwin_kevent *to) {
    (void)queue;
    if (!note->triggered) return false;
    knote_tell(note, to, note->sdata);
    to->fflags = note->sfflags;
    if (note->flags & EV_CLEAR) note->triggered = false;
    return true;
}

const struct filter_calls filter_user = {attach_user, detach_user, touch_user, process_user};
