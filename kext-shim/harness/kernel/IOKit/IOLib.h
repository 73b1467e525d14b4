// Memory and messages, as IOLib.h of the SDK declares them.
#ifndef HARNESS_IOLIB_H
#define HARNESS_IOLIB_H

#include <IOKit/IOTypes.h>

extern "C" {
void *IOMalloc(size_t size);
void IOFree(void *address, size_t size);
void *IOMallocAligned(size_t size, size_t alignment);
void IOFreeAligned(void *address, size_t size);
void IOLog(const char *format, ...) __attribute__((format(printf, 1, 2)));
void IOSleep(unsigned milliseconds);
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
}

#define IONew(type, count) static_cast<type *>(IOMalloc(sizeof(type) * (count)))
#define IODelete(pointer, type, count) IOFree((pointer), sizeof(type) * (count))

#endif
