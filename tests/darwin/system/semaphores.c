// Semaphores of libdispatch: std parks its threads by them.
#include "darwin.h"

#include <semaphore.h>

#include "system/allocate.h"
#include "system/clocks.h"
#include "system/errors.h"

// dispatch/time.h. A time is what dispatch_time made: ours is the uptime in nanoseconds.
static const uint64_t DISPATCH_TIME_NOW = 0, DISPATCH_TIME_FOREVER = UINT64_MAX;

static uint64_t darwin_dispatch_time(uint64_t when, int64_t delta) {
    if (when == DISPATCH_TIME_FOREVER) return DISPATCH_TIME_FOREVER;
    if (when >> 63) refuse("dispatch_time of the calendar is not modelled");  // DISPATCH_WALLTIME_NOW and what is of it
    if (when == DISPATCH_TIME_NOW) when = clock_uptime();
    // src/time.c: before the beginning is the first instant, after the end is never.
    if (delta < 0) return (uint64_t)-delta >= when ? 1 : when + (uint64_t)delta;
    return when + (uint64_t)delta > INT64_MAX ? DISPATCH_TIME_FOREVER : when + (uint64_t)delta;
}
OURS(dispatch_time)

static const uint32_t SEMAPHORE = 0x444d5345;
struct dispatch_semaphore { uint32_t kind; int32_t at_first; sem_t count; };

static struct dispatch_semaphore *darwin_dispatch_semaphore_create(intptr_t count) {
    if (count < 0) return NULL;
    struct dispatch_semaphore *semaphore = zeroed(1, sizeof *semaphore);
    if (sem_init(&semaphore->count, 0, (unsigned)count)) refuse("no semaphore can be made: %m");
    semaphore->kind = SEMAPHORE;
    semaphore->at_first = (int32_t)count;
    return semaphore;
}
OURS(dispatch_semaphore_create)

// Whether a thread was woken is what it returns. That is known of none here; callers are told not to rely on it but as
// a hint, and std drops it.
static intptr_t darwin_dispatch_semaphore_signal(struct dispatch_semaphore *semaphore) {
    if (sem_post(&semaphore->count)) refuse("a semaphore counts too far: %m");
    return 0;
}
OURS(dispatch_semaphore_signal)

// _DSEMA4_TIMEOUT (libdispatch's src/shims/lock.h): KERN_OPERATION_TIMED_OUT.
enum { TIMED_OUT = 49 };

static intptr_t darwin_dispatch_semaphore_wait(struct dispatch_semaphore *semaphore, uint64_t until) {
    for (;;) {
        int failed;
        if (until == DISPATCH_TIME_FOREVER) {
            failed = sem_wait(&semaphore->count);
        } else if (until == DISPATCH_TIME_NOW) {
            failed = sem_trywait(&semaphore->count);
            if (failed && errno == EAGAIN) return TIMED_OUT;
        } else {
            struct timespec at = clock_linux_deadline(until);
            failed = sem_clockwait(&semaphore->count, CLOCK_MONOTONIC, &at);
            if (failed && errno == ETIMEDOUT && clock_reached(until)) return TIMED_OUT;
        }
        if (!failed) return 0;
        if (errno != EINTR && errno != ETIMEDOUT) refuse("a semaphore cannot be waited for: %m");
    }
}
OURS(dispatch_semaphore_wait)

// src/semaphore.c, _dispatch_semaphore_dispose: one that is let go of while it counts less than at its making is in
// use, and that ends the program.
static void darwin_dispatch_release(struct dispatch_semaphore *object) {
    if (object->kind != SEMAPHORE) refuse("dispatch_release of what is no semaphore is not modelled");
    int count;
    sem_getvalue(&object->count, &count);
    if (count < object->at_first) refuse("BUG IN CLIENT OF LIBDISPATCH: Semaphore object deallocated while in use");
    sem_destroy(&object->count);
    free(object);
}
OURS(dispatch_release)
