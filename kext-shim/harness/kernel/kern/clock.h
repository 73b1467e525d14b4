#ifndef HARNESS_CLOCK_H
#define HARNESS_CLOCK_H

#include <IOKit/IOTypes.h>

enum { kNanosecondScale = 1, kMicrosecondScale = 1000, kMillisecondScale = 1000 * 1000, kSecondScale = 1000 * 1000 * 1000 };

extern "C" {
void clock_get_uptime(uint64_t *result);
void clock_interval_to_deadline(uint32_t interval, uint32_t scale, uint64_t *result);
void absolutetime_to_nanoseconds(uint64_t absolute, uint64_t *result);
}

#endif
