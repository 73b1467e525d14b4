// Clocks and waiting by them.
#include "system/clocks.h"

#include <sys/time.h>

#include "machine/machine.h"
#include "system/errors.h"
#include "system/timeval.h"

static uint64_t linux_clock(clockid_t which) {
    struct timespec now;
    if (clock_gettime(which, &now)) refuse("Linux' clock %d: %m", which);
    return nanoseconds_of(&now);
}

uint64_t nanoseconds_of(const struct timespec *of) {
    return (uint64_t)of->tv_sec * NSEC_PER_SEC + (uint64_t)of->tv_nsec;
}

struct timespec timespec_of(uint64_t nanoseconds) {
    return (struct timespec){(time_t)(nanoseconds / NSEC_PER_SEC), (long)(nanoseconds % NSEC_PER_SEC)};
}

uint64_t clock_uptime(void) { return linux_clock(CLOCK_MONOTONIC) - machine_slept(); }
uint64_t clock_continuous(void) { return linux_clock(CLOCK_MONOTONIC) + machine_skipped(); }
uint64_t clock_calendar(void) { return linux_clock(CLOCK_REALTIME) + machine_skipped(); }

// ---- waiting --------------------------------------------------------------------------------------------------------

// How often a deadline that has come by Linux' clock and not by ours is asked about again: the machine sleeps.
static const uint64_t ASK_AGAIN = 2 * NSEC_PER_MSEC;

bool clock_reached(uint64_t uptime_deadline) {
    return uptime_deadline != FOREVER && clock_uptime() >= uptime_deadline;
}

struct timespec clock_left(uint64_t uptime_deadline) {
    uint64_t now = clock_uptime(), left = uptime_deadline > now ? uptime_deadline - now : 0;
    if (left && left < ASK_AGAIN && machine_slept()) left = ASK_AGAIN;
    return timespec_of(left);
}

struct timespec clock_linux_deadline(uint64_t uptime_deadline) {
    struct timespec left = clock_left(uptime_deadline);
    return timespec_of(linux_clock(CLOCK_MONOTONIC) + nanoseconds_of(&left));
}

uint64_t clock_after(uint64_t nanoseconds) {
    uint64_t deadline;
    return __builtin_add_overflow(clock_uptime(), nanoseconds, &deadline) ? FOREVER : deadline;
}

// Libc's gen/nanosleep.c over __semwait_signal: bsd/kern/kern_synch.c: a bad length is EINVAL, what is left is told.
static int darwin_nanosleep(const struct timespec *length, struct timespec *remaining) {
    if (length->tv_sec < 0 || length->tv_nsec < 0 || length->tv_nsec >= NSEC_PER_SEC) return (int)fail(DARWIN_EINVAL);
    uint64_t deadline = clock_after(nanoseconds_of(length));
    while (!clock_reached(deadline)) {
        struct timespec left = clock_left(deadline);
        if (nanosleep(&left, NULL) == 0) continue;
        if (remaining) {
            uint64_t now = clock_uptime();
            *remaining = timespec_of(deadline > now ? deadline - now : 0);
        }
        return -1;
    }
    return 0;
}
OURS(nanosleep)

// ---- reading --------------------------------------------------------------------------------------------------------

// Libc's include/time.h, clockid_t.
enum {
    DARWIN_CLOCK_REALTIME = 0,
    DARWIN_CLOCK_MONOTONIC_RAW = 4,
    DARWIN_CLOCK_MONOTONIC_RAW_APPROX = 5,
    DARWIN_CLOCK_MONOTONIC = 6,
    DARWIN_CLOCK_UPTIME_RAW = 8,
    DARWIN_CLOCK_UPTIME_RAW_APPROX = 9,
    DARWIN_CLOCK_PROCESS_CPUTIME_ID = 12,
    DARWIN_CLOCK_THREAD_CPUTIME_ID = 16,
};

// osfmk/mach/mach_time.h. On Intel a tick is a nanosecond; Apple silicon's timer has 24 MHz, so a tick is 125/3 of
// them.
struct darwin_timebase { uint32_t numerator, denominator; };
#ifdef __x86_64__
static const struct darwin_timebase timebase = {1, 1};
#else
static const struct darwin_timebase timebase = {125, 3};
#endif

static uint64_t ticks(uint64_t nanoseconds) {
    return (uint64_t)((unsigned __int128)nanoseconds * timebase.denominator / timebase.numerator);
}
static uint64_t untick(uint64_t of_mach) {
    return (uint64_t)((unsigned __int128)of_mach * timebase.numerator / timebase.denominator);
}

// Libc's gen/clock_gettime.c: the calendar's and CLOCK_MONOTONIC are read through gettimeofday, in microseconds.
static bool read_clock(int which, uint64_t *nanoseconds, uint64_t *resolution) {
    *resolution = timebase.numerator / timebase.denominator;
    switch (which) {
    case DARWIN_CLOCK_REALTIME:
        *resolution = NSEC_PER_USEC;
        *nanoseconds = clock_calendar();
        break;
    case DARWIN_CLOCK_MONOTONIC:
        *resolution = NSEC_PER_USEC;
        *nanoseconds = clock_continuous();
        break;
    case DARWIN_CLOCK_MONOTONIC_RAW:
    case DARWIN_CLOCK_MONOTONIC_RAW_APPROX:
        *nanoseconds = untick(ticks(clock_continuous()));
        break;
    case DARWIN_CLOCK_UPTIME_RAW:
    case DARWIN_CLOCK_UPTIME_RAW_APPROX:
        *nanoseconds = untick(ticks(clock_uptime()));
        break;
    case DARWIN_CLOCK_PROCESS_CPUTIME_ID:
        *resolution = NSEC_PER_USEC;  // getrusage
        *nanoseconds = linux_clock(CLOCK_PROCESS_CPUTIME_ID);
        break;
    case DARWIN_CLOCK_THREAD_CPUTIME_ID:
        *nanoseconds = linux_clock(CLOCK_THREAD_CPUTIME_ID);
        break;
    default:
        return false;
    }
    if (*resolution == NSEC_PER_USEC) *nanoseconds -= *nanoseconds % NSEC_PER_USEC;
    return true;
}

static int darwin_clock_gettime(int which, struct timespec *to) {
    uint64_t now, resolution;
    if (!read_clock(which, &now, &resolution)) return (int)fail(DARWIN_EINVAL);
    *to = timespec_of(now);
    return 0;
}
OURS(clock_gettime)

static int darwin_clock_getres(int which, struct timespec *to) {
    uint64_t now, resolution;
    if (!read_clock(which, &now, &resolution)) return (int)fail(DARWIN_EINVAL);
    if (to) *to = timespec_of(resolution);
    return 0;
}
OURS(clock_getres)

static int darwin_gettimeofday(struct darwin_timeval *to, struct timezone *zone) {
    uint64_t now = clock_calendar();
    if (to) *to = (struct darwin_timeval){(int64_t)(now / NSEC_PER_SEC), (int32_t)(now % NSEC_PER_SEC / NSEC_PER_USEC)};
    return zone ? gettimeofday(&(struct timeval){0}, zone) : 0;
}
OURS(gettimeofday)

static uint64_t darwin_mach_absolute_time(void) { return ticks(clock_uptime()); }
OURS(mach_absolute_time)
static uint64_t darwin_mach_continuous_time(void) { return ticks(clock_continuous()); }
OURS(mach_continuous_time)
static int darwin_mach_timebase_info(struct darwin_timebase *to) {
    *to = timebase;
    return 0;  // KERN_SUCCESS
}
OURS(mach_timebase_info)
