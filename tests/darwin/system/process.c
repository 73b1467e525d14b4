// The process itself: its words, its end, whose it is.
#include "system/errors.h"
#include <grp.h>
#include <sys/resource.h>

// ---- words and environment: Libc's crt_externs.h --------------------------------------------------------------------

static int *darwin__NSGetArgc(void) {
    return &program_argc;
}
OURS(_NSGetArgc)

static char ***darwin__NSGetArgv(void) {
    return &program_argv;
}
OURS(_NSGetArgv)

static char ***darwin__NSGetEnviron(void) {
    return &environ;
}
OURS(_NSGetEnviron)

DATA("_environ", &environ)
SAME(getenv)
SAME(setenv)
SAME(unsetenv)

// ---- beginning and end ----------------------------------------------------------------------------------------------

SAME(fork)
SAME(exit)
SAME(abort)
SAME(atexit)

static _Noreturn void darwin__exit(int code) {
    tell_imports();
    _exit(code);
}
OURS(_exit)

// ---- which it is, and whose -----------------------------------------------------------------------------------------

SAME(getpid)
SAME(getppid)
SAME(setpgid)
SAME(setsid)
SAME(getuid)
SAME(geteuid)
SAME(getgid)
SAME(getegid)
SAME(setuid)
SAME(setgid)
SAME(seteuid)
SAME(setegid)

enum { DARWIN_NGROUPS_MAX = 16 };   // bsd/sys/syslimits.h

// bsd/kern/kern_prot.c, setgroups1: more are refused.
static int darwin_setgroups(int count, const gid_t *groups) {
    return count < 0 || count > DARWIN_NGROUPS_MAX ? (int)fail(DARWIN_EINVAL) : setgroups((size_t)count, groups);
}
OURS(setgroups)

// The first sixteen; a Mac's user may be in more, which the kernel asks its directory service for.
static int darwin_initgroups(const char *name, int base) {
    gid_t groups[DARWIN_NGROUPS_MAX];
    int count = DARWIN_NGROUPS_MAX;
    if (getgrouplist(name, (gid_t)base, groups, &count) < 0)
        count = DARWIN_NGROUPS_MAX;
    return setgroups((size_t)count, groups);
}
OURS(initgroups)

// ---- how urgent it is -----------------------------------------------------------------------------------------------

// PRIO_PROCESS, PRIO_PGRP and PRIO_USER are the same; what follows is Darwin's alone (bsd/sys/resource.h).
enum { PRIO_DARWIN_LAST = 6 };

static int modelled(int which) {
    if (which > PRIO_USER && which <= PRIO_DARWIN_LAST)
        refuse("the priority of kind %d is not modelled", which);
    return which >= PRIO_PROCESS && which <= PRIO_USER;
}

static int darwin_getpriority(int which, id_t who) {
    return modelled(which) ? getpriority(which, who) : (int)fail(DARWIN_EINVAL);
}
OURS(getpriority)

static int darwin_setpriority(int which, id_t who, int priority) {
    return modelled(which) ? setpriority(which, who, priority) : (int)fail(DARWIN_EINVAL);
}
OURS(setpriority)
