// Condition variables. glibc's is too long for the place behind the signature: it lies elsewhere.
#include "system/allocate.h"
#include "system/clocks.h"
#include "system/errors.h"
#include "system/signature.h"

// src/pthread_cond.c, _pthread_cond_check_init. NULL: it is none.
static pthread_cond_t *made(struct darwin_cond *cond) {
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&cond->signature, memory_order_acquire) == COND_MADE) return cond->made;
    pthread_mutex_lock(&making);
    pthread_cond_t *there = NULL;
    switch (cond->signature) {
    case COND_MADE: there = cond->made; break;
    case COND_STATIC:
        there = zeroed(1, sizeof *there);
        if (pthread_cond_init(there, NULL)) refuse("no condition variable can be made: %m");
        cond->made = there;
        atomic_store_explicit(&cond->signature, COND_MADE, memory_order_release);
        break;
    }
    pthread_mutex_unlock(&making);
    return there;
}

static int darwin_pthread_cond_signal(struct darwin_cond *cond) {
    pthread_cond_t *there = made(cond);
    return there ? returned(pthread_cond_signal(there)) : DARWIN_EINVAL;
}
OURS(pthread_cond_signal)

static int darwin_pthread_cond_broadcast(struct darwin_cond *cond) {
    pthread_cond_t *there = made(cond);
    return there ? returned(pthread_cond_broadcast(there)) : DARWIN_EINVAL;
}
OURS(pthread_cond_broadcast)

// Where Linux' time is up and the uptime's is not, as the machine slept, it is a wake-up without a cause, which every
// program has to reckon with. It cannot be waited for again here: a signal since then would be missed.
static int wait_until(struct darwin_cond *cond, struct darwin_mutex *mutex, uint64_t deadline) {
    pthread_cond_t *there = made(cond);
    if (!there || mutex_ready(mutex)) return DARWIN_EINVAL;
    if (deadline == FOREVER) return returned(pthread_cond_wait(there, &mutex->held));
    struct timespec until = clock_linux_deadline(deadline);
    int error = pthread_cond_clockwait(there, &mutex->held, CLOCK_MONOTONIC, &until);
    return error == ETIMEDOUT && !clock_reached(deadline) ? 0 : returned(error);
}

static int darwin_pthread_cond_wait(struct darwin_cond *cond, struct darwin_mutex *mutex) {
    return wait_until(cond, mutex, FOREVER);
}
OURS(pthread_cond_wait)

// src/pthread_cond.c, _pthread_cond_wait: what is left is worked out once, at the beginning, by the time of day; what
// the calendar does later changes nothing. A deadline that is past already is told without waiting.
static int darwin_pthread_cond_timedwait(struct darwin_cond *cond, struct darwin_mutex *mutex,
                                         const struct timespec *at) {
    if (at->tv_nsec < 0 || at->tv_nsec >= NSEC_PER_SEC) return DARWIN_EINVAL;
    uint64_t now = clock_calendar(), until = at->tv_sec < 0 ? 0 : nanoseconds_of(at);
    return until <= now ? DARWIN_ETIMEDOUT : wait_until(cond, mutex, clock_after(until - now));
}
OURS(pthread_cond_timedwait)

static int darwin_pthread_cond_timedwait_relative_np(struct darwin_cond *cond, struct darwin_mutex *mutex,
                                                     const struct timespec *length) {
    if (length->tv_nsec < 0 || length->tv_nsec >= NSEC_PER_SEC) return DARWIN_EINVAL;
    if (length->tv_sec < 0 || nanoseconds_of(length) == 0) return DARWIN_ETIMEDOUT;
    return wait_until(cond, mutex, clock_after(nanoseconds_of(length)));
}
OURS(pthread_cond_timedwait_relative_np)

static int darwin_pthread_cond_destroy(struct darwin_cond *cond) {
    switch (cond->signature) {
    case COND_STATIC: break;
    case COND_MADE:
        pthread_cond_destroy(cond->made);
        free(cond->made);
        break;
    default: return DARWIN_EINVAL;
    }
    cond->signature = NO_SIGNATURE;
    return 0;
}
OURS(pthread_cond_destroy)
