// Memory, messages and the end of it all.

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "runtime.h"

static HarnessCount *counts;

HarnessCount::HarnessCount(const char *of) : name(of), alive(0), next(counts)
{
    counts = this;
}

static std::mutex &allocationsLock()
{
    static std::mutex lock;
    return lock;
}

static std::unordered_map<void *, size_t> &allocations()
{
    static auto *all = new std::unordered_map<void *, size_t>;
    return *all;
}

static unsigned failing;

void harnessFailAllocation(unsigned n)
{
    __atomic_store_n(&failing, n, __ATOMIC_RELAXED);
}

bool harnessAllocationFails()
{
    unsigned left = __atomic_load_n(&failing, __ATOMIC_RELAXED);
    while (left > 0) {
        if (__atomic_compare_exchange_n(&failing, &left, left - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return left == 1;
        }
    }
    return false;
}

static void *allocate(size_t size, size_t alignment)
{
    HARNESS_CHECK(size > 0, "an allocation of nothing");
    void *address = nullptr;
    if (posix_memalign(&address, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) != 0) {
        return nullptr;
    }
    // Memory of a kernel is not zeroed.
    memset(address, 0xa5, size);
    std::lock_guard<std::mutex> guard(allocationsLock());
    allocations()[address] = size;
    return address;
}

static void give(void *address, size_t size)
{
    {
        std::lock_guard<std::mutex> guard(allocationsLock());
        auto found = allocations().find(address);
        HARNESS_CHECK(found != allocations().end(), "%p was not allocated, or is freed twice", address);
        HARNESS_CHECK(found->second == size, "freed with %zu bytes, allocated with %zu", size, found->second);
        allocations().erase(found);
    }
    free(address);
}

extern "C" void *IOMalloc(size_t size)
{
    return harnessAllocationFails() ? nullptr : allocate(size, 16);
}

extern "C" void IOFree(void *address, size_t size)
{
    give(address, size);
}

extern "C" void *IOMallocAligned(size_t size, size_t alignment)
{
    HARNESS_CHECK(alignment > 0 && (alignment & (alignment - 1)) == 0, "alignment %zu", alignment);
    return allocate(size, alignment);
}

extern "C" void IOFreeAligned(void *address, size_t size)
{
    give(address, size);
}

extern "C" void IOLog(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

extern "C" void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "panic: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

#if !defined(__GLIBC__) || __GLIBC__ < 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ < 38)
extern "C" size_t strlcpy(char *to, const char *from, size_t length)
{
    size_t has = strlen(from);
    if (length > 0) {
        size_t copied = has < length - 1 ? has : length - 1;
        memcpy(to, from, copied);
        to[copied] = 0;
    }
    return has;
}
#endif

unsigned harnessLeaks()
{
    unsigned left = 0;
    for (HarnessCount *count = counts; count; count = count->next) {
        long alive = __atomic_load_n(&count->alive, __ATOMIC_RELAXED);
        if (alive != 0) {
            fprintf(stderr, "left behind: %ld %s\n", alive, count->name);
            ++left;
        }
    }
    std::lock_guard<std::mutex> guard(allocationsLock());
    for (const auto &one : allocations()) {
        fprintf(stderr, "left behind: %zu bytes at %p\n", one.second, one.first);
        ++left;
    }
    return left;
}
