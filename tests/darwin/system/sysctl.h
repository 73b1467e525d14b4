// Names of sysctl: who has a value for one adds it here. A name that nobody has is ENOENT.
#pragma once
#include "darwin.h"

// The value, in memory that the caller frees, and how long it is. NULL: errno is set (fail).
struct sysctl_name { const char *name; void *(*read)(size_t *length); };

#define SYSCTL(text, function) \
    static const struct sysctl_name JOIN(sysctl_, function) = {text, function}; \
    static const struct sysctl_name *const __attribute__((section("sysctls"), used)) JOIN(listed_sysctl_, function) = \
        &JOIN(sysctl_, function);

void *sysctl_bytes(const void *value, size_t size, size_t *length);
void *sysctl_text(const char *text, size_t *length);
void *sysctl_int(int32_t number, size_t *length);
void *sysctl_long(int64_t number, size_t *length);
