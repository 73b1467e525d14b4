// Mutexes. glibc's lies behind the signature; a static initialiser leaves zeroes there, which glibc takes for a plain
// one.
#include "system/errors.h"
#include "system/signature.h"

// pthread.h (libpthread-519).
enum { DARWIN_MUTEX_NORMAL = 0, DARWIN_MUTEX_ERRORCHECK = 1, DARWIN_MUTEX_RECURSIVE = 2 };

static int make(struct darwin_mutex *mutex, int type) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, type == DARWIN_MUTEX_ERRORCHECK  ? PTHREAD_MUTEX_ERRORCHECK
                                     : type == DARWIN_MUTEX_RECURSIVE ? PTHREAD_MUTEX_RECURSIVE
                                                                      : PTHREAD_MUTEX_NORMAL);
    int error = pthread_mutex_init(&mutex->held, &attr);
    pthread_mutexattr_destroy(&attr);
    if (!error) atomic_store_explicit(&mutex->signature, MUTEX_MADE, memory_order_release);
    return returned(error);
}

// src/pthread_mutex.c, _pthread_mutex_check_init_slow.
int mutex_ready(struct darwin_mutex *mutex) {
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&mutex->signature, memory_order_acquire) == MUTEX_MADE) return 0;
    pthread_mutex_lock(&making);
    int error = DARWIN_EINVAL;
    switch (mutex->signature) {
    case MUTEX_MADE: error = 0; break;
    case MUTEX_STATIC:
    case MUTEX_STATIC_FIRSTFIT: error = make(mutex, DARWIN_MUTEX_NORMAL); break;
    case MUTEX_STATIC_ERRORCHECK: error = make(mutex, DARWIN_MUTEX_ERRORCHECK); break;
    case MUTEX_STATIC_RECURSIVE: error = make(mutex, DARWIN_MUTEX_RECURSIVE); break;
    }
    pthread_mutex_unlock(&making);
    return error;
}

static int darwin_pthread_mutex_init(struct darwin_mutex *mutex, const struct darwin_mutexattr *attr) {
    if (attr && attr->signature != MUTEXATTR_MADE) return DARWIN_EINVAL;
    return make(mutex, attr ? attr->type : DARWIN_MUTEX_NORMAL);
}
OURS(pthread_mutex_init)

static int darwin_pthread_mutex_lock(struct darwin_mutex *mutex) {
    int error = mutex_ready(mutex);
    return error ? error : returned(pthread_mutex_lock(&mutex->held));
}
OURS(pthread_mutex_lock)

static int darwin_pthread_mutex_trylock(struct darwin_mutex *mutex) {
    int error = mutex_ready(mutex);
    return error ? error : returned(pthread_mutex_trylock(&mutex->held));
}
OURS(pthread_mutex_trylock)

static int darwin_pthread_mutex_unlock(struct darwin_mutex *mutex) {
    int error = mutex_ready(mutex);
    return error ? error : returned(pthread_mutex_unlock(&mutex->held));
}
OURS(pthread_mutex_unlock)

// What has been destroyed is EINVAL from then on.
static int darwin_pthread_mutex_destroy(struct darwin_mutex *mutex) {
    int error = mutex_ready(mutex);
    if (!error) error = returned(pthread_mutex_destroy(&mutex->held));
    if (!error) mutex->signature = NO_SIGNATURE;
    return error;
}
OURS(pthread_mutex_destroy)

static int darwin_pthread_mutexattr_init(struct darwin_mutexattr *attr) {
    *attr = (struct darwin_mutexattr){.signature = MUTEXATTR_MADE, .type = DARWIN_MUTEX_NORMAL};
    return 0;
}
OURS(pthread_mutexattr_init)

static int darwin_pthread_mutexattr_destroy(struct darwin_mutexattr *attr) {
    if (attr->signature != MUTEXATTR_MADE) return DARWIN_EINVAL;
    attr->signature = NO_SIGNATURE;
    return 0;
}
OURS(pthread_mutexattr_destroy)

static int darwin_pthread_mutexattr_settype(struct darwin_mutexattr *attr, int type) {
    if (attr->signature != MUTEXATTR_MADE || type < DARWIN_MUTEX_NORMAL || type > DARWIN_MUTEX_RECURSIVE)
        return DARWIN_EINVAL;
    attr->type = type;
    return 0;
}
OURS(pthread_mutexattr_settype)
