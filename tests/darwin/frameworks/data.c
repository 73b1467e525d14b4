// CFData: bytes.
#include "frameworks/object.h"

#include "darwin.h"
#include "system/allocate.h"

struct data { struct object object; size_t length; uint8_t *bytes; };

static void end(struct object *object) { free(((struct data *)object)->bytes); }
static bool equal(const struct object *one, const struct object *other) {
    const struct data *left = (const struct data *)one, *right = (const struct data *)other;
    return left->length == right->length && !memcmp(left->bytes, right->bytes, left->length);
}
static const struct type data_type = {"CFData", end, equal, NULL};

static unsigned long darwin_CFDataGetTypeID(void) { return (unsigned long)&data_type; }

static struct data *darwin_CFDataCreate(const void *allocator, const uint8_t *bytes, cf_index length) {
    (void)allocator;
    struct data *made = object_create(&data_type, sizeof *made);
    made->length = (size_t)length;
    made->bytes = zeroed(made->length + 1, 1);
    memcpy(made->bytes, bytes, made->length);
    return made;
}

static cf_index darwin_CFDataGetLength(const void *at) {
    return (cf_index)((struct data *)object_of(&data_type, at))->length;
}

static const uint8_t *darwin_CFDataGetBytePtr(const void *at) {
    return ((struct data *)object_of(&data_type, at))->bytes;
}
OURS(CFDataGetTypeID) OURS(CFDataCreate) OURS(CFDataGetLength) OURS(CFDataGetBytePtr)
