#include "frameworks/object.h"

#include <fcntl.h>
#include <pthread.h>

#include "darwin.h"
#include "system/allocate.h"

// What has gone is kept for a while, so that a release too many is seen for what it is.
enum { REMEMBERED = 4096 };
static struct object *remembered[REMEMBERED];
static size_t next_remembered;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  // for `remembered` and the list
static struct object living = {.next = &living, .previous = &living};

static const struct type gone = {.name = "an object that is gone"};

void *object_create(const struct type *type, size_t size) {
    struct object *made = zeroed(1, size);
    made->type = type;
    made->references = 1;
    pthread_mutex_lock(&lock);
    made->next = &living;
    made->previous = living.previous;
    living.previous->next = made;
    living.previous = made;
    pthread_mutex_unlock(&lock);
    return made;
}

static struct object *alive(const void *at, const char *what) {
    const struct object *object = at;
    if (!object) refuse("%s of NULL", what);
    if (object->type == &gone) refuse("%s of an object that is gone", what);
    return (struct object *)object;
}

void *object_retain(void *at) {
    struct object *object = alive(at, "CFRetain");
    if (object->references < IMMORTAL) object->references++;
    return object;
}

void object_release(void *at) {
    struct object *object = alive(at, "CFRelease");
    if (object->references >= IMMORTAL) return;
    long left = --object->references;
    if (left < 0) refuse("CFRelease of a %s that nobody holds", object->type->name);
    if (left > 0) return;
    // Out of the list first: who goes through it sees none that is half gone.
    pthread_mutex_lock(&lock);
    object->next->previous = object->previous;
    object->previous->next = object->next;
    pthread_mutex_unlock(&lock);
    if (object->type->end) object->type->end(object);
    pthread_mutex_lock(&lock);
    object->type = &gone;
    struct object *forgotten = remembered[next_remembered];
    remembered[next_remembered] = object;
    next_remembered = (next_remembered + 1) % REMEMBERED;
    pthread_mutex_unlock(&lock);
    free(forgotten);
}

void *object_of(const struct type *type, const void *at) {
    struct object *object = alive(at, type->name);
    if (object->type != type) refuse("a %s where a %s is due", object->type->name, type->name);
    return object;
}

bool object_equal(const void *one, const void *other) {
    const struct object *left = alive(one, "CFEqual"), *right = alive(other, "CFEqual");
    if (left == right) return true;
    return left->type == right->type && left->type->equal && left->type->equal(left, right);
}

void object_show(const void *at, FILE *out) {
    const struct object *object = alive(at, "CFCopyDescription");
    if (object->type->show) object->type->show(object, out);
    else fprintf(out, "<%s>", object->type->name);
}

static void list_living(void) {
    const char *path = getenv("DARWIN_OBJECTS");
    FILE *out = path ? fopen(path, "ae") : NULL;
    if (!out) return;
    pthread_mutex_lock(&lock);
    for (const struct object *object = living.next; object != &living; object = object->next) {
        fprintf(out, "%ld %s ", (long)object->references, object->type->name);
        object_show(object, out);
        fputc('\n', out);
    }
    pthread_mutex_unlock(&lock);
    fclose(out);
}

__attribute__((constructor)) static void list_at_exit(void) { atexit(list_living); }

// ---- what the program calls -----------------------------------------------------------------------------------------

static const void *darwin_CFRetain(void *object) { return object_retain(object); }
static void darwin_CFRelease(void *object) { object_release(object); }
static cf_index darwin_CFGetRetainCount(const void *object) { return alive(object, "CFGetRetainCount")->references; }
// A type's number says no more than that two are the same.
static unsigned long darwin_CFGetTypeID(const void *object) {
    return (unsigned long)alive(object, "CFGetTypeID")->type;
}
static cf_boolean darwin_CFEqual(const void *one, const void *other) { return object_equal(one, other); }
OURS(CFRetain) OURS(CFRelease) OURS(CFGetRetainCount) OURS(CFGetTypeID) OURS(CFEqual)

static struct string *darwin_CFCopyDescription(const void *object) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) refuse("no memory for a description");
    object_show(object, out);
    fclose(out);
    struct string *description = string_of(text);
    free(text);
    return description;
}
OURS(CFCopyDescription)

static void darwin_CFShow(const void *object) {
    object_show(object, stderr);
    fputc('\n', stderr);
}
OURS(CFShow)

// ---- allocators: there is one, and one that does nothing ------------------------------------------------------------

static const struct type allocator_type = {.name = "CFAllocator"};
struct object allocator_null = {&allocator_type, IMMORTAL, NULL, NULL};
static struct object allocator_system = {&allocator_type, IMMORTAL, NULL, NULL};
static struct object *pointer_null = &allocator_null, *pointer_system = &allocator_system, *pointer_default;
// kCFAllocatorDefault is NULL (CFBase.c).
DATA("_kCFAllocatorDefault", &pointer_default)
DATA("_kCFAllocatorNull", &pointer_null)
DATA("_kCFAllocatorSystemDefault", &pointer_system)
