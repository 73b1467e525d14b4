// Mapped memory: bsd/sys/mman.h, bsd/kern/kern_mman.c; the checks of UNIX 03 are in libsyscall's wrappers/unix03.
#include "system/errors.h"
#include "system/pages.h"
#include <stdbool.h>
#include <sys/mman.h>

static size_t page_size = DARWIN_PAGE;
DATA("_vm_page_size", &page_size)

// ---- mapping --------------------------------------------------------------------------------------------------------

// PROT_READ, PROT_WRITE, PROT_EXEC, MAP_SHARED, MAP_PRIVATE and MAP_FIXED are the same on both.
enum {
    DARWIN_MAP_NORESERVE = 0x40,
    DARWIN_MAP_NOCACHE = 0x400,
    DARWIN_MAP_ANON = 0x1000,
    SAME_ON_BOTH = MAP_SHARED | MAP_PRIVATE | MAP_FIXED,
    MODELLED = SAME_ON_BOTH | DARWIN_MAP_NORESERVE | DARWIN_MAP_NOCACHE | DARWIN_MAP_ANON,
};
enum { TAG_MASK = (int)0xff000000 };   // osfmk/mach/vm_statistics.h, VM_FLAGS_ALIAS_MASK: a name for the memory

// Where Linux' pages are smaller: a place is reserved that is large enough to have a whole page of Darwin's in it, and
// what is asked for is put there.
static void *map_aligned(size_t length, int protection, int flags, int fd, off_t offset) {
    size_t whole = round_page(length), reserved = whole + DARWIN_PAGE;
    char *place = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED)
        return MAP_FAILED;
    char *at = place + (DARWIN_PAGE - beyond_page(place)) % DARWIN_PAGE;
    void *mapped = mmap(at, length, protection, flags | MAP_FIXED, fd, offset);
    if (mapped == MAP_FAILED) {
        int why = errno;
        munmap(place, reserved);
        errno = why;
        return MAP_FAILED;
    }
    if (at > place)
        munmap(place, (size_t)(at - place));
    munmap(at + whole, (size_t)(place + reserved - (at + whole)));
    return mapped;
}

static void *darwin_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    int anonymous = flags & DARWIN_MAP_ANON;
    if (flags & ~MODELLED)
        refuse("mmap: the flags %#x are not modelled", flags & ~MODELLED);
    int wrong = !(flags & (MAP_SHARED | MAP_PRIVATE)) || length == 0 || offset & (DARWIN_PAGE - 1)
        || (flags & MAP_FIXED && beyond_page(at)) || (anonymous && fd != -1 && fd & ~TAG_MASK);
    if (wrong) {
        fail(DARWIN_EINVAL);
        return MAP_FAILED;
    }
    int through = (flags & SAME_ON_BOTH) | (anonymous ? MAP_ANONYMOUS : 0)
        | (flags & DARWIN_MAP_NORESERVE ? MAP_NORESERVE : 0);
    // Both of the two at once: xnu shares, Linux takes it for MAP_SHARED_VALIDATE.
    if (flags & MAP_SHARED)
        through &= ~MAP_PRIVATE;
    if (anonymous) {
        // The last page is the program's to its end.
        length = round_page(length);
        fd = -1;
        offset = 0;
    }
    if (DARWIN_PAGE > getpagesize() && !(flags & MAP_FIXED))
        return map_aligned(length, protection, through, fd, offset);
    return mmap(at, length, protection, through, fd, offset);
}
OURS(mmap)

static int no_page(const void *at) {
    return beyond_page(at) ? (int)fail(DARWIN_EINVAL) : 0;
}

static int darwin_munmap(void *at, size_t length) {
    return no_page(at) ? -1 : munmap(at, length ? round_page(length) : 0);
}
OURS(munmap)

static int darwin_mprotect(void *at, size_t length, int protection) {
    return no_page(at) ? -1 : mprotect(at, round_page(length), protection);
}
OURS(mprotect)

// ---- on the medium, and in memory -----------------------------------------------------------------------------------

enum {
    DARWIN_MS_ASYNC = 0x1,
    DARWIN_MS_INVALIDATE = 0x2,
    DARWIN_MS_SYNC = 0x10,
};

static int darwin_msync(void *at, size_t length, int flags) {
    if (flags & ~(DARWIN_MS_ASYNC | DARWIN_MS_INVALIDATE | DARWIN_MS_SYNC))
        refuse("msync: the flags %#x are not modelled", flags);
    // Nothing to write is refused, where Linux has it done.
    if (no_page(at) || length == 0 || (flags & DARWIN_MS_ASYNC && flags & DARWIN_MS_SYNC))
        return (int)fail(DARWIN_EINVAL);
    int through = flags & DARWIN_MS_ASYNC ? MS_ASYNC : MS_SYNC;
    return msync(at, length, through | (flags & DARWIN_MS_INVALIDATE ? MS_INVALIDATE : 0));
}
OURS(msync)

// msync with MS_ASYNC does nothing in Linux but to say ENOMEM of what is not mapped.
static bool is_memory(const void *at, size_t length) {
    size_t before = (uintptr_t)at % (size_t)getpagesize();
    return msync((char *)at - before, length + before, MS_ASYNC) == 0;
}

static int darwin_mlock(const void *at, size_t length) {
    if (length == 0)
        return 0;
    if (mlock(at, length) == 0)
        return 0;
    if (errno != ENOMEM && errno != EPERM)
        return -1;
    // vm_map_wire: KERN_RESOURCE_SHORTAGE, or KERN_INVALID_ADDRESS. Linux says ENOMEM for both.
    return (int)fail(is_memory(at, length) ? DARWIN_EAGAIN : DARWIN_ENOMEM);
}
OURS(mlock)

SAME(munlock)

// It is in the table of system calls, and does nothing.
static int darwin_mlockall(int flags) {
    (void)flags;
    return (int)fail(DARWIN_ENOSYS);
}
OURS(mlockall)

enum darwin_advice {
    DARWIN_MADV_NORMAL,
    DARWIN_MADV_RANDOM,
    DARWIN_MADV_SEQUENTIAL,
    DARWIN_MADV_WILLNEED,
    DARWIN_MADV_DONTNEED,
    DARWIN_MADV_FREE,
    DARWIN_MADV_LAST = 11,   // MADV_ZERO
};

static int darwin_madvise(void *at, size_t length, int advice) {
    size_t before = beyond_page(at);
    char *start = (char *)at - before;
    length = round_page(length + before);
    switch ((enum darwin_advice)advice) {
    case DARWIN_MADV_NORMAL: return madvise(start, length, MADV_NORMAL);
    case DARWIN_MADV_RANDOM: return madvise(start, length, MADV_RANDOM);
    case DARWIN_MADV_SEQUENTIAL: return madvise(start, length, MADV_SEQUENTIAL);
    case DARWIN_MADV_WILLNEED: return madvise(start, length, MADV_WILLNEED);
    // VM_BEHAVIOR_DONTNEED puts pages among those to go first, with what is in them. Linux' throws it away.
    case DARWIN_MADV_DONTNEED: return madvise(start, length, MADV_COLD);
    case DARWIN_MADV_FREE: return madvise(start, length, MADV_FREE);
    case DARWIN_MADV_LAST: break;
    }
    if (advice > 0 && advice <= DARWIN_MADV_LAST)
        refuse("madvise: %d is not modelled", advice);
    return (int)fail(DARWIN_EINVAL);
}
OURS(madvise)

// ---- allocated ------------------------------------------------------------------------------------------------------

SAME(malloc)
SAME(calloc)
SAME(realloc)
SAME(free)

// Returns the number of the error, and leaves errno alone.
static int darwin_posix_memalign(void **out, size_t alignment, size_t size) {
    return returned(posix_memalign(out, alignment, size));
}
OURS(posix_memalign)
