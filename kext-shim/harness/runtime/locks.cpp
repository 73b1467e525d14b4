// Locks, threads and the clock, over pthreads.

#include <IOKit/IOLocks.h>
#include <kern/clock.h>
#include <kern/thread.h>

#include <cerrno>
#include <ctime>
#include <pthread.h>

#include "runtime.h"

bool harnessAllocationFails();

namespace {

HarnessCount locks("locks");
thread_local unsigned held;

struct Sleeper {
    void *event;
    bool awake;
    Sleeper *next;
};

void check(int error)
{
    HARNESS_CHECK(error == 0, "pthread error %d", error);
}

}

struct IOLock {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    pthread_t owner;
    bool owned;
    Sleeper *sleepers;
};

static bool isMine(IOLock *lock)
{
    return __atomic_load_n(&lock->owned, __ATOMIC_ACQUIRE) && pthread_equal(lock->owner, pthread_self());
}

unsigned harnessLocksHeld()
{
    return held;
}

extern "C" IOLock *IOLockAlloc(void)
{
    if (harnessAllocationFails()) {
        return nullptr;
    }
    IOLock *lock = new IOLock();
    check(pthread_mutex_init(&lock->mutex, nullptr));
    pthread_condattr_t attributes;
    check(pthread_condattr_init(&attributes));
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    check(pthread_cond_init(&lock->condition, &attributes));
    check(pthread_condattr_destroy(&attributes));
    locks.add(1);
    return lock;
}

extern "C" void IOLockFree(IOLock *lock)
{
    HARNESS_CHECK(!__atomic_load_n(&lock->owned, __ATOMIC_ACQUIRE), "a lock is freed while it is held");
    HARNESS_CHECK(!lock->sleepers, "a lock is freed while somebody sleeps on it");
    check(pthread_mutex_destroy(&lock->mutex));
    check(pthread_cond_destroy(&lock->condition));
    delete lock;
    locks.add(-1);
}

static void take(IOLock *lock)
{
    lock->owner = pthread_self();
    __atomic_store_n(&lock->owned, true, __ATOMIC_RELEASE);
    ++held;
}

static void leave(IOLock *lock)
{
    HARNESS_CHECK(isMine(lock), "a lock is left by somebody who does not hold it");
    __atomic_store_n(&lock->owned, false, __ATOMIC_RELEASE);
    --held;
}

extern "C" void IOLockLock(IOLock *lock)
{
    check(pthread_mutex_lock(&lock->mutex));
    take(lock);
}

extern "C" void IOLockUnlock(IOLock *lock)
{
    leave(lock);
    check(pthread_mutex_unlock(&lock->mutex));
}

static int sleep(IOLock *lock, void *event, const timespec *deadline)
{
    HARNESS_CHECK(isMine(lock), "a sleep on a lock that is not held");
    HARNESS_CHECK(held == 1, "a sleep with another lock held");
    Sleeper self = {event, false, lock->sleepers};
    lock->sleepers = &self;
    leave(lock);
    int error = 0;
    while (!self.awake && error == 0) {
        error = deadline ? pthread_cond_timedwait(&lock->condition, &lock->mutex, deadline)
                         : pthread_cond_wait(&lock->condition, &lock->mutex);
    }
    take(lock);
    for (Sleeper **at = &lock->sleepers; *at; at = &(*at)->next) {
        if (*at == &self) {
            *at = self.next;
            break;
        }
    }
    HARNESS_CHECK(error == 0 || error == ETIMEDOUT, "pthread error %d", error);
    return self.awake ? THREAD_AWAKENED : THREAD_TIMED_OUT;
}

extern "C" int IOLockSleep(IOLock *lock, void *event, UInt32)
{
    return sleep(lock, event, nullptr);
}

extern "C" int IOLockSleepDeadline(IOLock *lock, void *event, AbsoluteTime deadline, UInt32)
{
    timespec until = {};
    until.tv_sec = static_cast<time_t>(deadline / 1000000000);
    until.tv_nsec = static_cast<long>(deadline % 1000000000);
    return sleep(lock, event, &until);
}

extern "C" void IOLockWakeup(IOLock *lock, void *event, bool oneThread)
{
    HARNESS_CHECK(isMine(lock), "a wake-up without the lock may come between the look and the sleep");
    for (Sleeper *sleeper = lock->sleepers; sleeper; sleeper = sleeper->next) {
        if (sleeper->event == event && !sleeper->awake) {
            sleeper->awake = true;
            if (oneThread) {
                break;
            }
        }
    }
    check(pthread_cond_broadcast(&lock->condition));
}

// Absolute time is in nanoseconds here.

extern "C" void clock_get_uptime(uint64_t *result)
{
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    *result = static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

extern "C" void clock_interval_to_deadline(uint32_t interval, uint32_t scale, uint64_t *result)
{
    clock_get_uptime(result);
    *result += static_cast<uint64_t>(interval) * scale;
}

extern "C" void absolutetime_to_nanoseconds(uint64_t absolute, uint64_t *result)
{
    *result = absolute;
}

extern "C" void IOSleep(unsigned milliseconds)
{
    HARNESS_CHECK(held == 0, "a sleep with a lock held");
    timespec span = {milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1000000};
    nanosleep(&span, nullptr);
}

namespace {

struct Start {
    thread_continue_t main;
    void *parameter;
};

pthread_mutex_t threadsLock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t threadsGone = PTHREAD_COND_INITIALIZER;
unsigned threads;

void *run(void *start)
{
    Start todo = *static_cast<Start *>(start);
    delete static_cast<Start *>(start);
    todo.main(todo.parameter, 0);
    HARNESS_CHECK(held == 0, "a thread ends with a lock held");
    pthread_mutex_lock(&threadsLock);
    --threads;
    pthread_cond_broadcast(&threadsGone);
    pthread_mutex_unlock(&threadsLock);
    return nullptr;
}

}

extern "C" kern_return_t kernel_thread_start(thread_continue_t continuation, void *parameter, thread_t *thread)
{
    if (harnessAllocationFails()) {
        return 6;
    }
    pthread_t made;
    pthread_mutex_lock(&threadsLock);
    ++threads;
    pthread_mutex_unlock(&threadsLock);
    check(pthread_create(&made, nullptr, run, new Start{continuation, parameter}));
    check(pthread_detach(made));
    *thread = nullptr;
    return KERN_SUCCESS;
}

extern "C" void thread_deallocate(thread_t)
{
}

extern "C" thread_t current_thread(void)
{
    return nullptr;
}

// It is the last thing a thread does, and its function returns next.
extern "C" kern_return_t thread_terminate(thread_t)
{
    return KERN_SUCCESS;
}

void harnessJoinThreads()
{
    pthread_mutex_lock(&threadsLock);
    while (threads > 0) {
        pthread_cond_wait(&threadsGone, &threadsLock);
    }
    pthread_mutex_unlock(&threadsLock);
}
