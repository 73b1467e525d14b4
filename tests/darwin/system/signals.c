// Signals. Darwin's are 31, numbered as BSD did; a set is 32 bits.
#include "system/signals.h"

#include <stdbool.h>

#include "system/errors.h"

// bsd/sys/signal.h. SIGEMT and SIGINFO are Darwin's alone: real time signals of Linux stand for them, so that they can
// be sent, blocked and caught.
enum { LINUX_SIGEMT = 50, LINUX_SIGINFO = 51 };
enum { DARWIN_SIGKILL = 9, DARWIN_SIGSEGV = 11, DARWIN_SIGSTOP = 17, DARWIN_SIGINFO = 29 };
static const uint8_t linux_signals[DARWIN_NSIG] = {
    0,       SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,   LINUX_SIGEMT, SIGFPE,   SIGKILL, SIGBUS,
    SIGSEGV, SIGSYS,  SIGPIPE, SIGALRM, SIGTERM, SIGURG,  SIGSTOP,   SIGTSTP,      SIGCONT,  SIGCHLD, SIGTTIN,
    SIGTTOU, SIGIO,   SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, LINUX_SIGINFO, SIGUSR1, SIGUSR2,
};

int signal_to_linux(int darwin_signal) {
    return darwin_signal >= 0 && darwin_signal < DARWIN_NSIG ? linux_signals[darwin_signal] : -1;
}

int signal_to_darwin(int linux_signal) {
    for (int number = 1; number < DARWIN_NSIG; number++)
        if (linux_signals[number] == linux_signal) return number;
    return 0;
}

sigset_t signals_to_linux(darwin_sigset of) {
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number < DARWIN_NSIG; number++)
        if (of >> (number - 1) & 1) sigaddset(&set, linux_signals[number]);
    return set;
}

darwin_sigset signals_to_darwin(const sigset_t *of) {
    darwin_sigset set = 0;
    for (int number = 1; number < DARWIN_NSIG; number++)
        if (sigismember(of, linux_signals[number]) == 1) set |= 1u << (number - 1);
    return set;
}

// What Linux does by itself for a real time signal is to end the process; SIGINFO is ignored (sys/signalvar.h,
// sigprop).
static void __attribute__((constructor)) ignore_siginfo(void) { signal(LINUX_SIGINFO, SIG_IGN); }

// ---- what is told of a signal ---------------------------------------------------------------------------------------

// bsd/sys/signal.h. The codes of faults and of children (SEGV_MAPERR, CLD_EXITED…) are the same numbers.
enum { DARWIN_SI_USER = 0x10001, DARWIN_SI_QUEUE = 0x10002 };

void siginfo_to_darwin(const siginfo_t *from, struct darwin_siginfo *to) {
    *to = (struct darwin_siginfo){.signo = signal_to_darwin(from->si_signo), .code = from->si_code};
    switch (from->si_signo) {
    case SIGILL: case SIGTRAP: case SIGFPE: case SIGBUS: case SIGSEGV:
        to->address = from->si_addr;
        return;
    case SIGCHLD:
        to->status = from->si_code == CLD_EXITED ? from->si_status : signal_to_darwin(from->si_status);
        break;
    }
    to->pid = from->si_pid;
    to->uid = from->si_uid;
    if (from->si_code == SI_USER || from->si_code == SI_TKILL) to->code = DARWIN_SI_USER;
    if (from->si_code == SI_QUEUE) {
        to->code = DARWIN_SI_QUEUE;
        to->value.pointer = from->si_ptr;
    }
}

// ---- what the program does at a signal ------------------------------------------------------------------------------

// bsd/sys/signal.h, SA_…
enum {
    DARWIN_SA_ONSTACK = 0x01,
    DARWIN_SA_RESTART = 0x02,
    DARWIN_SA_RESETHAND = 0x04,
    DARWIN_SA_NOCLDSTOP = 0x08,
    DARWIN_SA_NODEFER = 0x10,
    DARWIN_SA_NOCLDWAIT = 0x20,
    DARWIN_SA_SIGINFO = 0x40,
    DARWIN_SA_USERSPACE_MASK = 0x7f,
};
struct darwin_sigaction { void *handler; darwin_sigset mask; int32_t flags; };
_Static_assert(sizeof(struct darwin_sigaction) == 16, "struct sigaction");

static const struct { int darwin, of_linux; } action_flags[] = {
    {DARWIN_SA_ONSTACK, SA_ONSTACK},     {DARWIN_SA_RESTART, SA_RESTART},   {DARWIN_SA_RESETHAND, SA_RESETHAND},
    {DARWIN_SA_NOCLDSTOP, SA_NOCLDSTOP}, {DARWIN_SA_NODEFER, SA_NODEFER},   {DARWIN_SA_NOCLDWAIT, SA_NOCLDWAIT},
};
enum { ACTION_FLAGS = sizeof action_flags / sizeof *action_flags };

// Without a lock: handlers and children of fork call sigaction. Two threads that set the same one race on Darwin, too.
static struct darwin_sigaction actions[DARWIN_NSIG];

static bool is_default_or_ignored(const void *handler) {
    return handler == (void *)SIG_DFL || handler == (void *)SIG_IGN;
}

// Linux calls this one; it calls the program's. A context is told by neither: its layout is the kernel's, and whoever
// reads it shall fault rather than read another's registers.
static void arrived(int linux_signal, siginfo_t *told, void *context) {
    (void)context;
    int arrived_signal = signal_to_darwin(linux_signal);
    struct darwin_sigaction action = actions[arrived_signal];
    if (is_default_or_ignored(action.handler)) return;  // changed while this signal was on its way
    int linux_number = errno, number = *darwin_error();
    struct darwin_siginfo info;
    siginfo_to_darwin(told, &info);
    if (action.flags & DARWIN_SA_RESETHAND) actions[arrived_signal].handler = (void *)SIG_DFL;
    if (action.flags & DARWIN_SA_SIGINFO)
        ((void (*)(int, struct darwin_siginfo *, void *))action.handler)(arrived_signal, &info, NULL);
    else
        ((void (*)(int))action.handler)(arrived_signal);
    fail(number);
    errno = linux_number;  // what was interrupted may be about to look at it
}

static struct sigaction action_to_linux(const struct darwin_sigaction *from, int linux_signal) {
    struct sigaction to = {.sa_mask = signals_to_linux(from->mask)};
    for (int i = 0; i < ACTION_FLAGS; i++)
        if (from->flags & action_flags[i].darwin) to.sa_flags |= action_flags[i].of_linux;
    if (is_default_or_ignored(from->handler)) {
        to.sa_handler = (void (*)(int))from->handler;
        if (linux_signal == LINUX_SIGINFO) to.sa_handler = SIG_IGN;
    } else {
        to.sa_sigaction = arrived;
        to.sa_flags |= SA_SIGINFO;
        if (linux_signal == LINUX_SIGINFO) to.sa_flags &= ~SA_RESETHAND;  // `arrived` does nothing from then on
    }
    return to;
}

// What was there before the program began: default or ignored, handed down by who started it.
static struct darwin_sigaction inherited(const struct sigaction *from) {
    return (struct darwin_sigaction){.handler = (void *)from->sa_handler, .mask = signals_to_darwin(&from->sa_mask)};
}

// bsd/kern/kern_sig.c, sigaction: SIGKILL and SIGSTOP cannot even be asked about; flags it does not know are dropped.
static int darwin_sigaction(int number, const struct darwin_sigaction *wanted, struct darwin_sigaction *before) {
    if (number <= 0 || number >= DARWIN_NSIG || number == DARWIN_SIGKILL || number == DARWIN_SIGSTOP)
        return (int)fail(DARWIN_EINVAL);
    struct darwin_sigaction was = actions[number];
    struct sigaction linux_wanted, linux_was;
    if (wanted) {
        struct darwin_sigaction new = *wanted;
        new.flags &= DARWIN_SA_USERSPACE_MASK;
        linux_wanted = action_to_linux(&new, signal_to_linux(number));
        actions[number] = new;  // before a signal can arrive
    }
    int failed = sigaction(signal_to_linux(number), wanted ? &linux_wanted : NULL, &linux_was);
    if (failed) actions[number] = was;
    if (failed) return -1;
    if (before) *before = linux_was.sa_flags & SA_SIGINFO ? was : inherited(&linux_was);
    return 0;
}
OURS(sigaction)

// Libc's compat-43/signal.c: what a signal interrupts is begun again.
static void *darwin_signal(int number, void *handler) {
    struct darwin_sigaction wanted = {.handler = handler, .flags = DARWIN_SA_RESTART}, before;
    return darwin_sigaction(number, &wanted, &before) ? (void *)SIG_ERR : before.handler;
}
OURS(signal)

// ---- what is blocked ------------------------------------------------------------------------------------------------

// bsd/sys/signal.h; Linux counts from 0.
enum { DARWIN_SIG_BLOCK = 1, DARWIN_SIG_UNBLOCK = 2, DARWIN_SIG_SETMASK = 3 };

static int change_mask(int how, const darwin_sigset *change, darwin_sigset *before) {
    static const int linux_how[] = {
        [DARWIN_SIG_BLOCK] = SIG_BLOCK, [DARWIN_SIG_UNBLOCK] = SIG_UNBLOCK, [DARWIN_SIG_SETMASK] = SIG_SETMASK,
    };
    if (change && (how < DARWIN_SIG_BLOCK || how > DARWIN_SIG_SETMASK)) return DARWIN_EINVAL;
    sigset_t wanted, was;
    if (change) wanted = signals_to_linux(*change);
    int error = pthread_sigmask(change ? linux_how[how] : SIG_SETMASK, change ? &wanted : NULL, &was);
    if (!error && before) *before = signals_to_darwin(&was);
    return returned(error);
}

static int darwin_pthread_sigmask(int how, const darwin_sigset *change, darwin_sigset *before) {
    return change_mask(how, change, before);
}
OURS(pthread_sigmask)

static int darwin_sigprocmask(int how, const darwin_sigset *change, darwin_sigset *before) {
    int error = change_mask(how, change, before);
    return error ? (int)fail(error) : 0;
}
OURS(sigprocmask)

// Libc's gen/sigsetops.c over __sigbits of signal.h: a number that is none has no bit, and that is no error.
static darwin_sigset bit(int number) { return number < 1 || number > DARWIN_NSIG ? 0 : 1u << (number - 1); }

static int darwin_sigemptyset(darwin_sigset *set) {
    *set = 0;
    return 0;
}
OURS(sigemptyset)
static int darwin_sigfillset(darwin_sigset *set) {
    *set = ~(darwin_sigset)0;
    return 0;
}
OURS(sigfillset)
static int darwin_sigaddset(darwin_sigset *set, int number) {
    *set |= bit(number);
    return 0;
}
OURS(sigaddset)
static int darwin_sigdelset(darwin_sigset *set, int number) {
    *set &= ~bit(number);
    return 0;
}
OURS(sigdelset)
static int darwin_sigismember(const darwin_sigset *set, int number) { return (*set & bit(number)) != 0; }
OURS(sigismember)

static int darwin_sigwait(const darwin_sigset *of, int *number) {
    sigset_t set = signals_to_linux(*of);
    int got, error = sigwait(&set, &got);
    if (!error) *number = signal_to_darwin(got);
    return returned(error);
}
OURS(sigwait)

// ---- the stack for handlers -----------------------------------------------------------------------------------------

// bsd/sys/signal.h, stack_t and SS_…; bsd/kern/kern_sig.c, sigaltstack.
enum { DARWIN_SS_ONSTACK = 1, DARWIN_SS_DISABLE = 4, DARWIN_OLDMINSIGSTKSZ = 8 * 1024 };
struct darwin_stack { void *base; size_t size; int32_t flags; };
_Static_assert(sizeof(struct darwin_stack) == 24, "stack_t");

static int darwin_sigaltstack(const struct darwin_stack *wanted, struct darwin_stack *before) {
    stack_t now, new;
    if (sigaltstack(NULL, &now)) return -1;
    struct darwin_stack was = {
        now.ss_sp, now.ss_size,
        (now.ss_flags & SS_DISABLE ? DARWIN_SS_DISABLE : 0) | (now.ss_flags & SS_ONSTACK ? DARWIN_SS_ONSTACK : 0),
    };
    if (wanted) {
        if (wanted->flags & ~DARWIN_SS_DISABLE) return (int)fail(DARWIN_EINVAL);
        if (wanted->flags & DARWIN_SS_DISABLE) {
            if (was.flags & DARWIN_SS_ONSTACK) return (int)fail(DARWIN_EINVAL);
            new = (stack_t){.ss_flags = SS_DISABLE};
        } else {
            if (was.flags & DARWIN_SS_ONSTACK) return (int)fail(DARWIN_EPERM);
            if (wanted->size < DARWIN_OLDMINSIGSTKSZ) return (int)fail(DARWIN_ENOMEM);
            new = (stack_t){.ss_sp = wanted->base, .ss_size = wanted->size};
        }
        if (sigaltstack(&new, NULL)) return -1;
    }
    if (before) *before = was;
    return 0;
}
OURS(sigaltstack)

// ---- sending --------------------------------------------------------------------------------------------------------

static int darwin_kill(pid_t whom, int number) {
    int linux_number = signal_to_linux(number);
    return linux_number < 0 ? (int)fail(DARWIN_EINVAL) : kill(whom, linux_number);
}
OURS(kill)

static int darwin_raise(int number) {
    int linux_number = signal_to_linux(number);
    return linux_number < 0 ? (int)fail(DARWIN_EINVAL) : raise(linux_number);
}
OURS(raise)

SAME(pause)
