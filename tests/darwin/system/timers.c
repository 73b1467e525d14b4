// EVFILT_TIMER: filt_timervalidate and its neighbours in bsd/kern/kern_event.c. Lengths in ticks of
// mach_absolute_time (NOTE_MACHTIME) are not modelled.
#include "system/kqueue.h"

#include "system/clocks.h"
#include "system/errors.h"

// bsd/sys/event.h.
enum {
    NOTE_SECONDS = 0x1,
    NOTE_USECONDS = 0x2,
    NOTE_NSECONDS = 0x4,
    NOTE_ABSOLUTE = 0x8,
    NOTE_CRITICAL = 0x20,
    NOTE_BACKGROUND = 0x40,
    NOTE_MACH_CONTINUOUS_TIME = 0x80,
    NOTE_KNOWN = NOTE_SECONDS | NOTE_USECONDS | NOTE_NSECONDS | NOTE_ABSOLUTE | NOTE_CRITICAL | NOTE_BACKGROUND |
                 NOTE_MACH_CONTINUOUS_TIME,
};

static uint64_t now_for(const struct knote *note) {
    return note->sfflags & NOTE_MACH_CONTINUOUS_TIME ? clock_continuous() : clock_uptime();
}

static int unit(uint32_t fflags, uint64_t *nanoseconds) {
    switch (fflags & (NOTE_SECONDS | NOTE_USECONDS | NOTE_NSECONDS)) {
    case NOTE_SECONDS: *nanoseconds = NSEC_PER_SEC; return 0;
    case NOTE_USECONDS: *nanoseconds = NSEC_PER_USEC; return 0;
    case NOTE_NSECONDS: *nanoseconds = 1; return 0;
    case 0: *nanoseconds = NSEC_PER_MSEC; return 0;
    default: return DARWIN_EINVAL;
    }
}

// A length from now on, again and again; or, NOTE_ABSOLUTE, a time of day, once. What is past already, or less than
// nothing, comes at once and once.
static int set(struct knote *note, int64_t data) {
    uint64_t each, length;
    if (note->sfflags & ~(uint32_t)NOTE_KNOWN) refuse("kevent: NOTE_ %#x of a timer is not modelled", note->sfflags);
    int error = unit(note->sfflags, &each);
    if (error) return error;
    note->timer.deadline = note->timer.interval = 0;
    bool absolute = note->sfflags & NOTE_ABSOLUTE;
    if (!absolute && data < 0) return 0;
    if (__builtin_mul_overflow((uint64_t)data, each, &length)) return DARWIN_ERANGE;
    if (absolute) {
        uint64_t calendar = clock_calendar();
        if (length <= calendar) return 0;
        length -= calendar;
    } else {
        note->timer.interval = length;
    }
    if (__builtin_add_overflow(now_for(note), length, &note->timer.deadline)) note->timer.deadline = FOREVER;
    return 0;
}

static void arm(struct kqueue *queue, struct knote *note, bool *active) {
    bool is_due = note->timer.deadline <= now_for(note);
    if (note->timer.armed) LIST_REMOVE(note, in_timers);
    note->timer.armed = !is_due;
    note->timer.fired = is_due;
    if (note->timer.armed) LIST_INSERT_HEAD(&queue->timers, note, in_timers);
    *active = is_due;
}

static int attach(struct kqueue *queue, struct knote *note, bool *active) {
    note->timer.armed = note->timer.fired = false;
    int error = set(note, note->sdata);
    if (error) return error;
    note->flags |= EV_CLEAR;
    if (note->sfflags & NOTE_ABSOLUTE) note->flags |= EV_ONESHOT;
    arm(queue, note, active);
    return 0;
}

static void detach(struct kqueue *queue, struct knote *note) {
    (void)queue;
    if (note->timer.armed) LIST_REMOVE(note, in_timers);
}

static int touch(struct kqueue *queue, struct knote *note, const struct darwin_kevent *change, bool *active) {
    struct knote wanted = *note;
    if ((note->sfflags ^ change->fflags) & NOTE_ABSOLUTE) return DARWIN_EINVAL;
    wanted.sfflags = change->fflags;
    int error = set(&wanted, change->data);
    if (error) return error;
    note->sfflags = change->fflags;
    note->timer.deadline = wanted.timer.deadline;
    note->timer.interval = wanted.timer.interval;
    arm(queue, note, active);
    return 0;
}

// How often it has come since it was told last is what is told; the next is counted from the first of those.
static bool process(struct kqueue *queue, struct knote *note, struct darwin_kevent *to) {
    if (!note->timer.fired) return false;
    note->timer.fired = false;
    uint64_t times = 1, interval = note->timer.interval;
    if (interval) {
        times = (now_for(note) - (note->timer.deadline - interval)) / interval;
        note->timer.deadline += times * interval;
        note->timer.armed = true;
        LIST_INSERT_HEAD(&queue->timers, note, in_timers);
    }
    knote_tell(note, to, (int64_t)times);
    return true;
}

const struct filter_calls filter_timer = {attach, detach, touch, process};

uint64_t timers_expire(struct kqueue *queue) {
    uint64_t next = FOREVER;
    for (struct knote *note = LIST_FIRST(&queue->timers), *after; note; note = after) {
        after = LIST_NEXT(note, in_timers);
        uint64_t now = now_for(note), deadline = note->timer.deadline;
        if (deadline <= now) {
            LIST_REMOVE(note, in_timers);
            note->timer.armed = false;
            note->timer.fired = true;
            knote_activate(queue, note);
        } else if (deadline != FOREVER && clock_after(deadline - now) < next) {
            next = clock_after(deadline - now);
        }
    }
    return next;
}
