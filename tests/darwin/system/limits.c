// getrlimit and setrlimit: bsd/sys/resource.h, bsd/kern/kern_resource.c (dosetrlimit).
#include "system/limits.h"
#include "system/errors.h"
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>

enum darwin_limit {
    DARWIN_RLIMIT_CPU,
    DARWIN_RLIMIT_FSIZE,
    DARWIN_RLIMIT_DATA,
    DARWIN_RLIMIT_STACK,
    DARWIN_RLIMIT_CORE,
    DARWIN_RLIMIT_AS,
    DARWIN_RLIMIT_MEMLOCK,
    DARWIN_RLIMIT_NPROC,
    DARWIN_RLIMIT_NOFILE,
    DARWIN_RLIM_NLIMITS,
};
enum { RLIMIT_POSIX_FLAG = 0x1000 };   // _RLIMIT_POSIX_FLAG: set by libsyscall's wrappers, and taken off by the kernel
#define DARWIN_RLIM_INFINITY (UINT64_MAX >> 1)

// struct rlimit: two numbers of 64 bits on both.
_Static_assert(sizeof(struct rlimit) == 16, "struct rlimit");

static const int limits_of_linux[DARWIN_RLIM_NLIMITS] = {
    [DARWIN_RLIMIT_CPU] = RLIMIT_CPU,         [DARWIN_RLIMIT_FSIZE] = RLIMIT_FSIZE, [DARWIN_RLIMIT_DATA] = RLIMIT_DATA,
    [DARWIN_RLIMIT_STACK] = RLIMIT_STACK,     [DARWIN_RLIMIT_CORE] = RLIMIT_CORE,   [DARWIN_RLIMIT_AS] = RLIMIT_AS,
    [DARWIN_RLIMIT_MEMLOCK] = RLIMIT_MEMLOCK, [DARWIN_RLIMIT_NPROC] = RLIMIT_NPROC,
    [DARWIN_RLIMIT_NOFILE] = RLIMIT_NOFILE,
};

static rlim_t to_darwin(rlim_t of_linux) {
    return of_linux >= DARWIN_RLIM_INFINITY ? DARWIN_RLIM_INFINITY : of_linux;
}

static rlim_t to_linux(rlim_t darwin) {
    return darwin >= DARWIN_RLIM_INFINITY ? RLIM_INFINITY : darwin;
}

// ---- descriptors ----------------------------------------------------------------------------------------------------
//
// A Mac's process begins with 256 and no hard limit, and what it says of itself is kept as it said it; as many as there
// really are is the least of that and kern.maxfilesperproc. Linux' hard limit is a number: one that is as high as a
// Mac's own most stands for none.

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rlimit descriptors;

static void set_in_linux(rlim_t soft) {
    struct rlimit of_linux;
    if (getrlimit(RLIMIT_NOFILE, &of_linux) != 0)
        refuse("the limit of descriptors cannot be read: %s", strerror(errno));
    rlim_t most = of_linux.rlim_max < DESCRIPTORS_OF_PROCESS ? of_linux.rlim_max : DESCRIPTORS_OF_PROCESS;
    of_linux.rlim_cur = soft < most ? soft : most;
    if (setrlimit(RLIMIT_NOFILE, &of_linux) != 0)
        refuse("the limit of descriptors cannot be set: %s", strerror(errno));
}

// Limits are handed down to children, through whatever program is between. So that a child knows whether what it has is
// of Linux or was set by a parent under this loader, a limit that nothing here uses is handed down with it.
enum { MARK = 25600 };
static const __rlimit_resource_t marked = RLIMIT_MSGQUEUE;

static bool handed_down(void) {
    struct rlimit mark;
    if (getrlimit(marked, &mark) != 0)
        return false;
    if (mark.rlim_cur == MARK)
        return true;
    mark.rlim_cur = MARK;
    if (mark.rlim_max >= MARK)
        setrlimit(marked, &mark);
    return false;
}

__attribute__((constructor)) static void begin(void) {
    if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0)
        refuse("the limit of descriptors cannot be read: %s", strerror(errno));
    if (!handed_down() && descriptors.rlim_cur > DESCRIPTORS_AT_FIRST)
        set_in_linux(descriptors.rlim_cur = DESCRIPTORS_AT_FIRST);
    if (descriptors.rlim_max >= DARWIN_OPEN_MAX)
        descriptors.rlim_max = DARWIN_RLIM_INFINITY;
    errno = 0;
}

static void set_descriptors(const struct rlimit *new) {
    set_in_linux(new->rlim_cur);
    if (new->rlim_max < descriptors.rlim_max && new->rlim_max < DESCRIPTORS_OF_PROCESS) {
        // The hard one as well, for children: it does not come back, but for root.
        struct rlimit of_linux;
        if (getrlimit(RLIMIT_NOFILE, &of_linux) == 0 && new->rlim_max < of_linux.rlim_max) {
            of_linux.rlim_max = new->rlim_max;
            setrlimit(RLIMIT_NOFILE, &of_linux);
        }
    }
    descriptors = *new;
}

uint64_t descriptor_limit(void) {
    pthread_mutex_lock(&lock);
    uint64_t limit = descriptors.rlim_cur;
    pthread_mutex_unlock(&lock);
    return limit;
}

// ---- all of them ----------------------------------------------------------------------------------------------------

static int darwin_getrlimit(int which, struct rlimit *to) {
    which &= ~RLIMIT_POSIX_FLAG;
    if (which < 0 || which >= DARWIN_RLIM_NLIMITS)
        return (int)fail(DARWIN_EINVAL);
    if (which == DARWIN_RLIMIT_NOFILE) {
        pthread_mutex_lock(&lock);
        *to = descriptors;
        pthread_mutex_unlock(&lock);
        return 0;
    }
    if (getrlimit((__rlimit_resource_t)limits_of_linux[which], to) != 0)
        return -1;
    *to = (struct rlimit){to_darwin(to->rlim_cur), to_darwin(to->rlim_max)};
    return 0;
}
OURS(getrlimit)

static int darwin_setrlimit(int which, const struct rlimit *new) {
    struct rlimit before;
    which &= ~RLIMIT_POSIX_FLAG;
    if (darwin_getrlimit(which, &before) != 0)
        return -1;
    if (new->rlim_cur > new->rlim_max)
        return (int)fail(DARWIN_EINVAL);
    if ((new->rlim_cur > before.rlim_max || new->rlim_max > before.rlim_max) && geteuid() != 0)
        return (int)fail(DARWIN_EPERM);
    if (which == DARWIN_RLIMIT_NOFILE) {
        pthread_mutex_lock(&lock);
        set_descriptors(new);
        pthread_mutex_unlock(&lock);
        return 0;
    }
    struct rlimit through = {to_linux(new->rlim_cur), to_linux(new->rlim_max)};
    return setrlimit((__rlimit_resource_t)limits_of_linux[which], &through);
}
OURS(setrlimit)
