// Locks for many readers or one writer. glibc's lies behind the signature.
#include "system/errors.h"
#include "system/signature.h"

static int ready(struct darwin_rwlock *lock) {
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&lock->signature, memory_order_acquire) == RWLOCK_MADE) return 0;
    pthread_mutex_lock(&making);
    int error = DARWIN_EINVAL;
    switch (lock->signature) {
    case RWLOCK_MADE: error = 0; break;
    case RWLOCK_STATIC:
        error = returned(pthread_rwlock_init(&lock->held, NULL));
        if (!error) atomic_store_explicit(&lock->signature, RWLOCK_MADE, memory_order_release);
        break;
    }
    pthread_mutex_unlock(&making);
    return error;
}

static int darwin_pthread_rwlock_rdlock(struct darwin_rwlock *lock) {
    int error = ready(lock);
    return error ? error : returned(pthread_rwlock_rdlock(&lock->held));
}
OURS(pthread_rwlock_rdlock)

static int darwin_pthread_rwlock_wrlock(struct darwin_rwlock *lock) {
    int error = ready(lock);
    return error ? error : returned(pthread_rwlock_wrlock(&lock->held));
}
OURS(pthread_rwlock_wrlock)

static int darwin_pthread_rwlock_unlock(struct darwin_rwlock *lock) {
    int error = ready(lock);
    return error ? error : returned(pthread_rwlock_unlock(&lock->held));
}
OURS(pthread_rwlock_unlock)

static int darwin_pthread_rwlock_destroy(struct darwin_rwlock *lock) {
    int error = ready(lock);
    if (!error) error = returned(pthread_rwlock_destroy(&lock->held));
    if (!error) lock->signature = NO_SIGNATURE;
    return error;
}
OURS(pthread_rwlock_destroy)
