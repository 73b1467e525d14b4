// Workloops, gates and timers.

#include <IOKit/IOCommandGate.h>
#include <IOKit/IOInterruptEventSource.h>
#include <IOKit/IOTimerEventSource.h>
#include <kern/clock.h>

#include <algorithm>
#include <ctime>
#include <pthread.h>
#include <vector>

#include "runtime.h"

OSDefineMetaClassAndStructors(IOEventSource, OSObject)
OSDefineMetaClassAndStructors(IOInterruptEventSource, IOEventSource)
OSDefineMetaClassAndStructors(IOFilterInterruptEventSource, IOInterruptEventSource)
OSDefineMetaClassAndStructors(IOWorkLoop, OSObject)
OSDefineMetaClassAndStructors(IOCommandGate, IOEventSource)
OSDefineMetaClassAndStructors(IOTimerEventSource, IOEventSource)

uint64_t IOEventSource::harnessCheck(uint64_t)
{
    return UINT64_MAX;
}

struct IOWorkLoop::State {
    pthread_mutex_t gate;
    pthread_t owner;
    unsigned depth;
    pthread_t thread;
    std::vector<IOEventSource *> sources;
    pthread_mutex_t wakeLock;
    pthread_cond_t wake;
    bool woken;
    bool ends;
};

IOWorkLoop *IOWorkLoop::workLoop()
{
    IOWorkLoop *loop = new IOWorkLoop;
    loop->state = new State();
    pthread_mutex_init(&loop->state->gate, nullptr);
    pthread_mutex_init(&loop->state->wakeLock, nullptr);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&loop->state->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_create(&loop->state->thread, nullptr, main, loop);
    return loop;
}

void IOWorkLoop::free()
{
    HARNESS_CHECK(!onThread(), "a workloop's last reference is given up on its own thread");
    pthread_mutex_lock(&state->wakeLock);
    state->ends = true;
    pthread_cond_signal(&state->wake);
    pthread_mutex_unlock(&state->wakeLock);
    pthread_join(state->thread, nullptr);
    HARNESS_CHECK(state->sources.empty(), "a workloop goes with %zu event sources", state->sources.size());
    pthread_mutex_destroy(&state->gate);
    pthread_mutex_destroy(&state->wakeLock);
    pthread_cond_destroy(&state->wake);
    delete state;
    OSObject::free();
}

void *IOWorkLoop::main(void *of)
{
    IOWorkLoop *loop = static_cast<IOWorkLoop *>(of);
    State *state = loop->state;
    for (;;) {
        uint64_t now = 0, due = UINT64_MAX;
        clock_get_uptime(&now);
        loop->closeGate();
        // A source may go, or come, while another one is looked at.
        for (size_t at = 0; at < state->sources.size(); ++at) {
            due = std::min(due, state->sources[at]->harnessCheck(now));
        }
        loop->openGate();
        timespec until = {};
        until.tv_sec = static_cast<time_t>(due / 1000000000);
        until.tv_nsec = static_cast<long>(due % 1000000000);
        pthread_mutex_lock(&state->wakeLock);
        while (!state->woken && !state->ends) {
            int error = due == UINT64_MAX ? pthread_cond_wait(&state->wake, &state->wakeLock)
                                          : pthread_cond_timedwait(&state->wake, &state->wakeLock, &until);
            if (error != 0) {
                break;
            }
        }
        state->woken = false;
        bool ends = state->ends;
        pthread_mutex_unlock(&state->wakeLock);
        if (ends) {
            return nullptr;
        }
    }
}

void IOWorkLoop::harnessWake()
{
    pthread_mutex_lock(&state->wakeLock);
    state->woken = true;
    pthread_cond_signal(&state->wake);
    pthread_mutex_unlock(&state->wakeLock);
}

bool IOWorkLoop::inGate() const
{
    return __atomic_load_n(&state->depth, __ATOMIC_ACQUIRE) > 0
        && pthread_equal(__atomic_load_n(&state->owner, __ATOMIC_RELAXED), pthread_self());
}

bool IOWorkLoop::onThread() const
{
    return pthread_equal(state->thread, pthread_self());
}

void IOWorkLoop::closeGate()
{
    if (!inGate()) {
        HARNESS_CHECK(harnessLocksHeld() == 0, "the gate is closed with a lock held: somebody in the gate may want that");
        pthread_mutex_lock(&state->gate);
        __atomic_store_n(&state->owner, pthread_self(), __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&state->depth, 1, __ATOMIC_RELEASE);
}

void IOWorkLoop::openGate()
{
    HARNESS_CHECK(inGate(), "the gate is opened by somebody who is not in it");
    if (__atomic_sub_fetch(&state->depth, 1, __ATOMIC_RELEASE) == 0) {
        pthread_mutex_unlock(&state->gate);
    }
}

IOReturn IOWorkLoop::addEventSource(IOEventSource *source)
{
    closeGate();
    source->retain();
    source->workLoop = this;
    state->sources.push_back(source);
    openGate();
    harnessWake();
    return kIOReturnSuccess;
}

IOReturn IOWorkLoop::removeEventSource(IOEventSource *source)
{
    closeGate();
    auto found = std::find(state->sources.begin(), state->sources.end(), source);
    HARNESS_CHECK(found != state->sources.end(), "an event source is removed that is not there");
    state->sources.erase(found);
    source->workLoop = nullptr;
    openGate();
    source->release();
    return kIOReturnSuccess;
}

IOCommandGate *IOCommandGate::commandGate(OSObject *of, Action)
{
    IOCommandGate *gate = new IOCommandGate;
    gate->owner = of;
    return gate;
}

IOReturn IOCommandGate::runAction(Action action, void *arg0, void *arg1, void *arg2, void *arg3)
{
    HARNESS_CHECK(workLoop, "a gate without a workloop");
    IOWorkLoop *loop = workLoop;
    loop->closeGate();
    IOReturn result = action(owner, arg0, arg1, arg2, arg3);
    loop->openGate();
    return result;
}

IOTimerEventSource *IOTimerEventSource::timerEventSource(OSObject *of, Action does)
{
    IOTimerEventSource *timer = new IOTimerEventSource;
    if (timer) {
        timer->owner = of;
        timer->action = does;
        timer->due = UINT64_MAX;
    }
    return timer;
}

IOReturn IOTimerEventSource::setTimeoutMS(UInt32 milliseconds)
{
    uint64_t at = 0;
    clock_interval_to_deadline(milliseconds, kMillisecondScale, &at);
    __atomic_store_n(&due, at, __ATOMIC_RELEASE);
    HARNESS_CHECK(workLoop, "a timer without a workloop");
    workLoop->harnessWake();
    return kIOReturnSuccess;
}

void IOTimerEventSource::cancelTimeout()
{
    __atomic_store_n(&due, UINT64_MAX, __ATOMIC_RELEASE);
}

uint64_t IOTimerEventSource::harnessCheck(uint64_t now)
{
    uint64_t at = __atomic_load_n(&due, __ATOMIC_ACQUIRE);
    // Set anew meanwhile, it is looked at again: that has woken the loop.
    if (at <= now && __atomic_compare_exchange_n(&due, &at, UINT64_MAX, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        action(owner, this);
    }
    return __atomic_load_n(&due, __ATOMIC_ACQUIRE);
}
