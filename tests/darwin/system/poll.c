// poll and select. Of poll, Linux wakes, and what is told is what xnu's filters see; select tells what Linux does.
#include "darwin.h"

#include <poll.h>
#include <sys/select.h>

#include "system/allocate.h"
#include "system/clocks.h"
#include "system/errors.h"
#include "system/limits.h"
#include "system/readiness.h"
#include "system/timeval.h"

// bsd/sys/poll.h. struct pollfd is the same.
enum {
    DARWIN_POLLIN = 0x001,
    DARWIN_POLLPRI = 0x002,
    DARWIN_POLLOUT = 0x004,
    DARWIN_POLLHUP = 0x010,
    DARWIN_POLLNVAL = 0x020,
    DARWIN_POLLRDNORM = 0x040,
    DARWIN_POLLRDBAND = 0x080,
    DARWIN_POLLWRBAND = 0x100,
    FOR_READING = DARWIN_POLLIN | DARWIN_POLLPRI | DARWIN_POLLRDNORM | DARWIN_POLLRDBAND,
    FOR_WRITING = DARWIN_POLLOUT | DARWIN_POLLWRBAND,
};

// bsd/kern/sys_generic.c, poll_nocancel: nothing is watched of a descriptor for which nothing is asked; Linux would
// still tell of its end.
static struct pollfd to_linux(const struct pollfd *from) {
    struct pollfd to = {.fd = from->events ? from->fd : -1};
    if (from->events & (FOR_READING | DARWIN_POLLHUP)) to.events |= POLLIN | POLLRDHUP;
    if (from->events & FOR_WRITING) to.events |= POLLOUT;
    return to;
}

// poll_callback. POLLERR is never told: an error is the end, or something to be read.
static short told(const struct pollfd *from) {
    short events = 0;
    if (from->fd < 0) return 0;
    enum descriptor_kind kind = kind_of_descriptor(from->fd);
    if (kind == NO_DESCRIPTOR) return from->events ? DARWIN_POLLNVAL : 0;
    if (kind == OTHER || kind == REGULAR) return from->events & (DARWIN_POLLIN | DARWIN_POLLRDNORM | FOR_WRITING);
    if (from->events & (FOR_READING | DARWIN_POLLHUP)) {
        struct readiness now = can_read(from->fd, 0);
        if (now.ended) events |= DARWIN_POLLHUP | (from->events & FOR_READING);
        else if (now.ready) events |= from->events & (DARWIN_POLLIN | DARWIN_POLLRDNORM);
    }
    if (from->events & FOR_WRITING) {
        struct readiness now = can_write(from->fd, 0);
        if (now.ended) events |= DARWIN_POLLHUP;
        else if (now.ready && !(events & DARWIN_POLLHUP)) events |= from->events & FOR_WRITING;
    }
    return events;
}

static int tell_all(struct pollfd *fds, unsigned count) {
    int ready = 0;
    for (unsigned i = 0; i < count; i++) {
        fds[i].revents = told(&fds[i]);
        if (fds[i].revents) ready++;
    }
    return ready;
}

// A descriptor that Linux calls hung up, and that Darwin only waits for (a socket without a connection), is asked about
// again after this long.
static const uint64_t ASK_AGAIN = 5 * NSEC_PER_MSEC;

static int darwin_poll(struct pollfd *fds, unsigned count, int timeout) {
    if (count > DARWIN_OPEN_MAX) return (int)fail(DARWIN_EINVAL);
    uint64_t deadline = timeout == -1 ? FOREVER : clock_after((uint64_t)(unsigned)timeout * NSEC_PER_MSEC);
    struct pollfd *asked = zeroed(count + 1, sizeof *asked);
    int ready;
    while (!(ready = tell_all(fds, count)) && !clock_reached(deadline)) {
        for (unsigned i = 0; i < count; i++) asked[i] = to_linux(&fds[i]);
        struct timespec left = clock_left(deadline), pause = timespec_of(ASK_AGAIN);
        int woken = ppoll(asked, count, deadline == FOREVER ? NULL : &left, NULL);
        if (woken < 0) {
            ready = -1;
            break;
        }
        if (woken && !tell_all(fds, count)) nanosleep(&pause, NULL);
    }
    int number = errno;
    free(asked);
    errno = number;
    return ready;
}
OURS(poll)

// bsd/sys/_types/_fd_def.h: 1024 bits, as Linux' on a machine that begins with the low byte.
_Static_assert(sizeof(fd_set) == 128, "fd_set");

// bsd/kern/kern_time.c, itimerfix: no more than 100000000 seconds.
static int darwin_select(int count, fd_set *reads, fd_set *writes, fd_set *errors,
                         const struct darwin_timeval *timeout) {
    enum { LONGEST = 100000000 };
    uint64_t deadline = FOREVER;
    if (count < 0) return (int)fail(DARWIN_EINVAL);
    if (count > FD_SETSIZE) refuse("select of more than %d descriptors is not modelled", FD_SETSIZE);
    if (timeout) {
        if (timeout->seconds < 0 || timeout->seconds > LONGEST || timeout->microseconds < 0 ||
            timeout->microseconds >= USEC_PER_SEC)
            return (int)fail(DARWIN_EINVAL);
        deadline = clock_after((uint64_t)timeout->seconds * NSEC_PER_SEC +
                               (uint64_t)timeout->microseconds * NSEC_PER_USEC);
    }
    for (;;) {
        fd_set copies[3], *given[3] = {reads, writes, errors};
        for (int i = 0; i < 3; i++)
            if (given[i]) copies[i] = *given[i];
        struct timespec left = clock_left(deadline);
        int ready = pselect(count, reads ? &copies[0] : NULL, writes ? &copies[1] : NULL, errors ? &copies[2] : NULL,
                            deadline == FOREVER ? NULL : &left, NULL);
        if (ready == 0 && !clock_reached(deadline)) continue;
        for (int i = 0; i < 3 && ready >= 0; i++)
            if (given[i]) *given[i] = copies[i];
        return ready;
    }
}
OURS(select)
SHIM("_select$1050", darwin_select)
SHIM("_select$DARWIN_EXTSN", darwin_select)
