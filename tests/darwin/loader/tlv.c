// As dyld's libdyld/ThreadLocalVariables.cpp (tag dyld-1122.1): each variable has a descriptor whose first word is
// called with the descriptor and returns where the variable of this thread is.
#include "darwin.h"
#include "loader/tlv.h"
#include <pthread.h>

// What a new thread's variables are: some with a value, the rest zero.
static const uint8_t *initial;
static size_t filled;
static size_t size;
static size_t alignment = sizeof(void *);
static pthread_key_t key;

// This thread's block, or NULL. Read by tlv_ARCH.S, for which it has to be at a place known when it is linked.
__thread void *tlv_block __attribute__((tls_model("initial-exec")));
void *tlv_address(struct tlv_descriptor *of);

// Called by tlv_ARCH.S, which keeps all registers.
void *tlv_make(void) {
    uint8_t *block = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (!block) refuse("there is no memory for the variables of a thread");
    memcpy(block, initial, filled);
    memset(block + filled, 0, size - filled);
    tlv_block = block;
    if (pthread_setspecific(key, block)) refuse("the variables of a thread cannot be kept");
    return block;
}

// The thread ends. What asks for a variable after that, in another key's destructor, gets a new block.
static void unmake(void *block) {
    tlv_block = NULL;
    free(block);
}

// The sections with the values follow each other, the zero ones last: so a linker lays them out.
static void measure(const struct image *image) {
    uint64_t begin = 0, end = 0, value_end = 0;
    for (uint32_t i = 0; i < image->section_count; i++) {
        const struct section *section = &image->sections[i];
        bool has_values = section->type == S_THREAD_LOCAL_REGULAR;
        if (!has_values && section->type != S_THREAD_LOCAL_ZEROFILL) continue;
        if (!begin) begin = section->address;
        if (section->address < begin || section->address < end) malformed("its thread-local variables are in disorder");
        if (has_values && end != value_end) malformed("a thread-local variable with a value follows those without");
        end = section->address + section->size;
        if (has_values) value_end = end;
        if (section->alignment > 16) malformed("its thread-local variables are aligned to 2^%u", section->alignment);
        if (1ul << section->alignment > alignment) alignment = 1ul << section->alignment;
    }
    if (!begin) return;
    initial = image->memory + (begin - image->address);
    size = end - begin;
    filled = value_end ? value_end - begin : 0;
}

static void set_descriptors(const struct image *image, const struct section *section) {
    struct tlv_descriptor *descriptors = image_of(image, section);
    if (section->size % sizeof *descriptors) malformed("%s is not of whole descriptors", section->name);
    for (uint64_t i = 0; i < section->size / sizeof *descriptors; i++) {
        if (descriptors[i].offset >= size) malformed("a thread-local variable is outside the block");
        descriptors[i].thunk = (void *(*)(struct tlv_descriptor *))tlv_address;
    }
}

void tlv_prepare(const struct image *image) {
    measure(image);
    if (pthread_key_create(&key, unmake)) refuse("there is no key for the variables of threads");
    for (uint32_t i = 0; i < image->section_count; i++)
        if (image->sections[i].type == S_THREAD_LOCAL_VARIABLES) set_descriptors(image, &image->sections[i]);
}

// Destructors of the thread's variables, the last first, before the block goes; at exit() those of the thread that
// calls it (ThreadLocalVariables::finalizeList). glibc keeps the same order.
static void darwin__tlv_atexit(void (*destructor)(void *), void *of) {
    extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
    extern void *__dso_handle;
    if (__cxa_thread_atexit_impl(destructor, of, &__dso_handle)) refuse("a destructor of a thread cannot be kept");
}
OURS(_tlv_atexit)
// What descriptors hold in the file: dyld replaces it before the program runs.
DATA("__tlv_bootstrap", tlv_address)
