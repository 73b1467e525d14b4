// What became of children: bsd/sys/wait.h, bsd/kern/kern_exit.c.
#include "system/errors.h"
#include "system/signals.h"
#include "system/usage.h"
#include <sys/wait.h>

enum {
    DARWIN_WNOHANG = 0x1,
    DARWIN_WUNTRACED = 0x2,
    DARWIN_WEXITED = 0x4,
    DARWIN_WSTOPPED = 0x8,
    DARWIN_WCONTINUED = 0x10,
    DARWIN_WNOWAIT = 0x20,
};
enum { DARWIN_SIGCONT = 19 };     // bsd/sys/signal.h
enum { STOPPED = 0177 };          // _WSTOPPED: a status of what did not end; the signal is in the next byte

// Ended by a signal: its number is in the lowest seven bits. Going on: "stopped", by SIGCONT.
static int status_to_darwin(int status) {
    if (WIFCONTINUED(status))
        return DARWIN_SIGCONT << 8 | STOPPED;
    if (WIFSTOPPED(status))
        return signal_to_darwin(WSTOPSIG(status)) << 8 | STOPPED;
    if (WIFSIGNALED(status))
        return signal_to_darwin(WTERMSIG(status)) | (WCOREDUMP(status) ? WCOREFLAG : 0);
    return status;
}

static pid_t darwin_wait4(pid_t pid, int *status, int options, struct darwin_rusage *usage) {
    struct rusage used;
    int ended = 0;
    if (options & ~(DARWIN_WNOHANG | DARWIN_WUNTRACED | DARWIN_WCONTINUED))
        refuse("wait4: the options %#x are not modelled", options);
    int through = (options & DARWIN_WNOHANG ? WNOHANG : 0) | (options & DARWIN_WUNTRACED ? WUNTRACED : 0)
        | (options & DARWIN_WCONTINUED ? WCONTINUED : 0);
    pid_t child = wait4(pid, &ended, through, &used);
    if (child <= 0)
        return child;
    if (status)
        *status = status_to_darwin(ended);
    if (usage)
        usage_to_darwin(&used, usage);
    return child;
}
OURS(wait4)

static pid_t darwin_waitpid(pid_t pid, int *status, int options) {
    return darwin_wait4(pid, status, options, NULL);
}
OURS(waitpid)
SHIM("_waitpid$NOCANCEL", darwin_waitpid)

static int darwin_waitid(int kind, uint32_t id, struct darwin_siginfo *out, int options) {
    siginfo_t child = {0};
    int all = DARWIN_WNOHANG | DARWIN_WNOWAIT | DARWIN_WCONTINUED | DARWIN_WSTOPPED | DARWIN_WEXITED;
    // P_ALL, P_PID and P_PGID are the same on both; Linux' P_PIDFD is none here.
    if (options == 0 || options & ~all || kind < P_ALL || kind > P_PGID)
        return (int)fail(DARWIN_EINVAL);
    int through = (options & DARWIN_WNOHANG ? WNOHANG : 0) | (options & DARWIN_WEXITED ? WEXITED : 0)
        | (options & DARWIN_WSTOPPED ? WSTOPPED : 0) | (options & DARWIN_WCONTINUED ? WCONTINUED : 0)
        | (options & DARWIN_WNOWAIT ? WNOWAIT : 0);
    int rc = waitid((idtype_t)kind, id, &child, through);
    if (rc != 0 || out == NULL)
        return rc;
    if (child.si_pid != 0)
        siginfo_to_darwin(&child, out);
    else
        *out = (struct darwin_siginfo){0};
    return 0;
}
OURS(waitid)
