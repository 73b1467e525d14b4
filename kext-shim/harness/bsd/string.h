#ifndef HARNESS_STRING_H
#define HARNESS_STRING_H

#include <stddef.h>

extern "C" {
void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *one, const void *other, size_t length);
void *memchr(const void *bytes, int value, size_t length);
void bzero(void *to, size_t length);
size_t strlcpy(char *to, const char *from, size_t length);
}

#endif
