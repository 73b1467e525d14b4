#include "frameworks/io_object.h"

#include <pthread.h>

#include "darwin.h"
#include "system/allocate.h"

// A name is an index and a generation (osfmk/mach/port.h, MACH_PORT_MAKE): the lowest bits are the generation's.
enum { FIRST_NAME = 0x1003, NEXT_NAME = 0x100 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct io_object *objects;
static io_name next_name = FIRST_NAME;

void *io_create(const struct io_class *class, size_t size) {
    struct io_object *made = zeroed(1, size);
    made->class = class;
    made->references = 1;
    pthread_mutex_lock(&lock);
    made->name = next_name;
    next_name += NEXT_NAME;
    made->next = objects;
    objects = made;
    pthread_mutex_unlock(&lock);
    return made;
}

// With the lock.
static struct io_object **find(io_name name) {
    struct io_object **at = &objects;
    while (*at && (*at)->name != name) at = &(*at)->next;
    if (!*at) refuse("IOKit: the name %#x stands for nothing%s", name, name ? " any more, or never did" : "");
    return at;
}

struct io_object *io_any(io_name name) {
    pthread_mutex_lock(&lock);
    struct io_object *found = *find(name);
    pthread_mutex_unlock(&lock);
    return found;
}

void *io_of(const struct io_class *class, io_name name) {
    struct io_object *found = io_any(name);
    if (found->class != class) refuse("IOKit: a %s where a %s is due", found->class->name, class->name);
    return found;
}

void io_retain(io_name name) {
    pthread_mutex_lock(&lock);
    (*find(name))->references++;
    pthread_mutex_unlock(&lock);
}

void io_release(io_name name) {
    pthread_mutex_lock(&lock);
    struct io_object **at = find(name), *object = *at;
    bool last = --object->references == 0;
    if (last) *at = object->next;
    pthread_mutex_unlock(&lock);
    if (!last) return;
    if (object->class->end) object->class->end(object);
    free(object);
}

// As object.h says of its own: DARWIN_OBJECTS.
static void list_held(void) {
    const char *path = getenv("DARWIN_OBJECTS");
    FILE *out = path ? fopen(path, "ae") : NULL;
    if (!out) return;
    pthread_mutex_lock(&lock);
    for (const struct io_object *object = objects; object; object = object->next) {
        fprintf(out, "%u %s\n", object->references, object->class->name);
    }
    pthread_mutex_unlock(&lock);
    fclose(out);
}

__attribute__((constructor)) static void list_at_exit(void) { atexit(list_held); }

static int darwin_IOObjectRelease(io_name name) {
    io_release(name);
    return IO_SUCCESS;
}

static int darwin_IOObjectRetain(io_name name) {
    io_retain(name);
    return IO_SUCCESS;
}
OURS(IOObjectRelease) OURS(IOObjectRetain)
