#include "system/usage.h"
#include "system/errors.h"
#include <sys/times.h>
#include <time.h>

static struct darwin_timeval time_to_darwin(struct timeval of) {
    return (struct darwin_timeval){of.tv_sec, (int32_t)of.tv_usec};
}

void usage_to_darwin(const struct rusage *from, struct darwin_rusage *to) {
    *to = (struct darwin_rusage){
        .user = time_to_darwin(from->ru_utime),
        .system = time_to_darwin(from->ru_stime),
        .most_resident = from->ru_maxrss * 1024,
        .minor_faults = from->ru_minflt,
        .major_faults = from->ru_majflt,
        .blocks_in = from->ru_inblock,
        .blocks_out = from->ru_oublock,
        .voluntary_switches = from->ru_nvcsw,
        .involuntary_switches = from->ru_nivcsw,
    };
}

// RUSAGE_SELF and RUSAGE_CHILDREN are the same; a thread's own is Linux' alone.
static int darwin_getrusage(int who, struct darwin_rusage *to) {
    struct rusage used;
    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN)
        return (int)fail(DARWIN_EINVAL);
    int rc = getrusage(who, &used);
    if (rc == 0)
        usage_to_darwin(&used, to);
    return rc;
}
OURS(getrusage)

// In ticks of a hundredth of a second on both (sysconf(_SC_CLK_TCK)); clock_t has 64 bits on both.
_Static_assert(sizeof(clock_t) == 8, "clock_t");
SAME(times)
