// The clocks of the Mac under the program, in nanoseconds.
#pragma once
#include "darwin.h"

#include <stdbool.h>
#include <time.h>

#include "seconds.h"

uint64_t clock_uptime(void);      // stands still while the machine sleeps: mach_absolute_time
uint64_t clock_continuous(void);  // goes on: mach_continuous_time
uint64_t clock_calendar(void);    // since 1970

// Everything that waits on Darwin waits by the uptime (osfmk/kern/clock.c: deadlines are of mach_absolute_time), and
// what it waits by in Linux goes on while our machine "sleeps". So who waits asks at the end whether it is the end:
//   while (call(wait_for(deadline)) timed out && !clock_reached(deadline)) {}
#define FOREVER UINT64_MAX
bool clock_reached(uint64_t uptime_deadline);
// How long to wait in Linux until then: never nothing, so that a machine asleep is asked now and then, not always.
struct timespec clock_left(uint64_t uptime_deadline);
// The same as a time of Linux' CLOCK_MONOTONIC.
struct timespec clock_linux_deadline(uint64_t uptime_deadline);
// A deadline so far from now; FOREVER where it would be beyond all time.
uint64_t clock_after(uint64_t nanoseconds);
uint64_t nanoseconds_of(const struct timespec *of);
struct timespec timespec_of(uint64_t nanoseconds);
