// Threads: made, joined, named; their stacks and what each keeps under a key.
#include "darwin.h"

#include <sched.h>
#include <stdbool.h>

#include "system/errors.h"
#include "system/pages.h"
#include "system/signature.h"

// ---- attributes -----------------------------------------------------------------------------------------------------

// limits.h: PTHREAD_STACK_MIN.
#ifdef __x86_64__
enum { STACK_MIN = 8192 };
#else
enum { STACK_MIN = 16384 };
#endif
enum {
    // src/pthread.c, DEFAULT_STACK_SIZE: a sixteenth of Linux'.
    STACK_DEFAULT = 512 * 1024,
    // glibc takes the thread's own variables and the guard from the stack that it is asked for, and a handler's frame
    // of Linux is longer than Darwin's (AVX-512).
    STACK_OF_GLIBC = 64 * 1024,
};

static int darwin_pthread_attr_init(struct darwin_attr *attr) {
    *attr = (struct darwin_attr){.signature = ATTR_MADE};
    return 0;
}
OURS(pthread_attr_init)

static int darwin_pthread_attr_destroy(struct darwin_attr *attr) {
    if (attr->signature != ATTR_MADE) return DARWIN_EINVAL;
    attr->signature = NO_SIGNATURE;
    return 0;
}
OURS(pthread_attr_destroy)

// src/pthread.c, pthread_attr_setstacksize: what is whole pages of 4096 is rounded up to those of the machine; anything
// else is refused.
static int darwin_pthread_attr_setstacksize(struct darwin_attr *attr, size_t size) {
    if (size % 4096 == 0) size = round_page(size);
    if (attr->signature != ATTR_MADE || size % DARWIN_PAGE || size < STACK_MIN) return DARWIN_EINVAL;
    attr->stack_size = size;
    return 0;
}
OURS(pthread_attr_setstacksize)

// ---- their life -----------------------------------------------------------------------------------------------------

// A pthread_t is glibc's: it is a pointer, opaque, on either.
static int darwin_pthread_create(pthread_t *thread, const struct darwin_attr *attr, void *(*body)(void *), void *with) {
    if (attr && attr->signature != ATTR_MADE) return DARWIN_EINVAL;
    size_t size = attr && attr->stack_size ? attr->stack_size : STACK_DEFAULT;
    pthread_attr_t linux_attr;
    pthread_attr_init(&linux_attr);
    int error = pthread_attr_setstacksize(&linux_attr, size + STACK_OF_GLIBC);
    if (!error) error = pthread_create(thread, &linux_attr, body, with);
    pthread_attr_destroy(&linux_attr);
    return returned(error);
}
OURS(pthread_create)

static int darwin_pthread_join(pthread_t thread, void **result) { return returned(pthread_join(thread, result)); }
OURS(pthread_join)
static int darwin_pthread_detach(pthread_t thread) { return returned(pthread_detach(thread)); }
OURS(pthread_detach)
static int darwin_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
    return returned(pthread_atfork(prepare, parent, child));
}
OURS(pthread_atfork)
SAME(pthread_self)
SAME(sched_yield)

// bsd/kern/proc_info.c, PROC_SELFSET_THREADNAME: 63 bytes (MAXTHREADNAMESIZE - 1) and no more. Linux shows the first
// 15.
static int darwin_pthread_setname_np(const char *name) {
    enum { LONGEST = 63, LONGEST_OF_LINUX = 15 };
    if (name && strlen(name) > LONGEST) return (int)fail(DARWIN_ENAMETOOLONG);
    char shown[LONGEST_OF_LINUX + 1];
    snprintf(shown, sizeof shown, "%s", name ? name : "");
    return returned(pthread_setname_np(pthread_self(), shown));
}
OURS(pthread_setname_np)

static int darwin_pthread_threadid_np(pthread_t thread, uint64_t *number) {
    if (!number) return DARWIN_EINVAL;
    if (thread && !pthread_equal(thread, pthread_self())) refuse("the number of another thread is not modelled");
    *number = (uint64_t)gettid();
    return 0;
}
OURS(pthread_threadid_np)

// The classes are hints to Darwin's scheduler; that they are some is all that is checked (sys/qos.h).
static int darwin_pthread_set_qos_class_self_np(unsigned class, int relative_priority) {
    enum { INTERACTIVE = 0x21, INITIATED = 0x19, DEFAULT = 0x15, UTILITY = 0x11, BACKGROUND = 0x09, LOWEST = -15 };
    bool known = class == INTERACTIVE || class == INITIATED || class == DEFAULT || class == UTILITY ||
                 class == BACKGROUND;
    return known && relative_priority <= 0 && relative_priority >= LOWEST ? 0 : DARWIN_EINVAL;
}
OURS(pthread_set_qos_class_self_np)

// ---- stacks ---------------------------------------------------------------------------------------------------------

static void stack_of(pthread_t thread, char **top, size_t *size) {
    pthread_attr_t attr;
    void *bottom;
    int error = pthread_getattr_np(thread, &attr);
    if (!error) error = pthread_attr_getstack(&attr, &bottom, size);
    if (error) refuse("a thread's stack is not known: %s", strerror(error));
    pthread_attr_destroy(&attr);
    *top = (char *)bottom + *size;
}

// Where it begins: the highest address, since it grows down.
static void *darwin_pthread_get_stackaddr_np(pthread_t thread) {
    char *top;
    size_t size;
    stack_of(thread, &top, &size);
    return top;
}
OURS(pthread_get_stackaddr_np)

static size_t darwin_pthread_get_stacksize_np(pthread_t thread) {
    char *top;
    size_t size;
    stack_of(thread, &top, &size);
    return size;
}
OURS(pthread_get_stacksize_np)

// ---- keys -----------------------------------------------------------------------------------------------------------

// src/pthread_tsd.c and private/pthread/tsd_private.h: 512 keys, from 256 on, in a long.
enum { KEYS_BEGIN = 256, KEYS = 512 };
typedef unsigned long darwin_key;
static pthread_mutex_t changing_keys = PTHREAD_MUTEX_INITIALIZER;
static bool key_taken[KEYS];
static pthread_key_t key_of_linux[KEYS];

static bool is_key(darwin_key key) {
    return key >= KEYS_BEGIN && key < KEYS_BEGIN + KEYS &&
           __atomic_load_n(&key_taken[key - KEYS_BEGIN], __ATOMIC_ACQUIRE);
}

static int darwin_pthread_key_create(darwin_key *key, void (*destructor)(void *)) {
    int at = 0, error = EAGAIN;
    pthread_mutex_lock(&changing_keys);
    while (at < KEYS && key_taken[at]) at++;
    if (at < KEYS) error = pthread_key_create(&key_of_linux[at], destructor);
    if (!error) __atomic_store_n(&key_taken[at], true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&changing_keys);
    if (!error) *key = (darwin_key)at + KEYS_BEGIN;
    return returned(error);
}
OURS(pthread_key_create)

static int darwin_pthread_key_delete(darwin_key key) {
    pthread_mutex_lock(&changing_keys);
    int error = EINVAL;
    if (is_key(key)) error = pthread_key_delete(key_of_linux[key - KEYS_BEGIN]);
    if (!error) __atomic_store_n(&key_taken[key - KEYS_BEGIN], false, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&changing_keys);
    return returned(error);
}
OURS(pthread_key_delete)

static void *darwin_pthread_getspecific(darwin_key key) {
    return is_key(key) ? pthread_getspecific(key_of_linux[key - KEYS_BEGIN]) : NULL;
}
OURS(pthread_getspecific)

static int darwin_pthread_setspecific(darwin_key key, const void *value) {
    return is_key(key) ? returned(pthread_setspecific(key_of_linux[key - KEYS_BEGIN], value)) : DARWIN_EINVAL;
}
OURS(pthread_setspecific)
