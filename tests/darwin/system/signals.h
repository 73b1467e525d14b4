// Signals: numbers, sets and what is told of one, across.
#pragma once
#include "darwin.h"

#include <signal.h>

// bsd/sys/signal.h: __DARWIN_NSIG; signals are 1 to 31.
enum { DARWIN_NSIG = 32 };
typedef uint32_t darwin_sigset;  // bit n - 1 is signal n

// -1: Darwin has no such number. 0 is 0, for kill().
int signal_to_linux(int darwin_signal);
// 0: Darwin has no such signal.
int signal_to_darwin(int linux_signal);
sigset_t signals_to_linux(darwin_sigset of);
darwin_sigset signals_to_darwin(const sigset_t *of);

// bsd/sys/signal.h, siginfo_t.
struct darwin_siginfo {
    int32_t signo, error, code, pid;
    uint32_t uid;
    int32_t status;
    void *address;
    union { int32_t integer; void *pointer; } value;
    int64_t band;
    uint64_t reserved[7];
};
_Static_assert(sizeof(struct darwin_siginfo) == 104, "siginfo_t");
void siginfo_to_darwin(const siginfo_t *from, struct darwin_siginfo *to);
