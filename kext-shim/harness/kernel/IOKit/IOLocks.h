// Locks that sleep, as IOLocks.h of the SDK declares them. In the harness they check who holds them.
#ifndef HARNESS_IOLOCKS_H
#define HARNESS_IOLOCKS_H

#include <IOKit/IOTypes.h>

struct IOLock;

#define THREAD_UNINT 0
#define THREAD_INTERRUPTIBLE 1
#define THREAD_ABORTSAFE 2
#define THREAD_AWAKENED 0
#define THREAD_TIMED_OUT 1
#define THREAD_INTERRUPTED 2

extern "C" {
IOLock *IOLockAlloc(void);
void IOLockFree(IOLock *lock);
void IOLockLock(IOLock *lock);
void IOLockUnlock(IOLock *lock);
int IOLockSleep(IOLock *lock, void *event, UInt32 interruptible);
int IOLockSleepDeadline(IOLock *lock, void *event, AbsoluteTime deadline, UInt32 interruptible);
void IOLockWakeup(IOLock *lock, void *event, bool oneThread);
}

#endif
