// CFNumber, of integers, and CFBoolean.
#include "frameworks/object.h"

#include <inttypes.h>

#include "darwin.h"

// CFNumber.h: CFNumberType.
enum number_kind { SINT8 = 1, SINT16, SINT32, SINT64, CHAR = 7, SHORT, INT, LONG, LONG_LONG, CF_INDEX = 14 };

static bool equal_numbers(const struct object *one, const struct object *other) {
    return ((const struct number *)one)->value == ((const struct number *)other)->value;
}
static void show_number(const struct object *object, FILE *out) {
    fprintf(out, "%" PRId64, ((const struct number *)object)->value);
}
const struct type number_type = {"CFNumber", NULL, equal_numbers, show_number};

struct number *number_of(int64_t value) {
    struct number *made = object_create(&number_type, sizeof *made);
    made->value = value;
    return made;
}

static size_t width(enum number_kind kind) {
    switch (kind) {
    case SINT8: case CHAR: return 1;
    case SINT16: case SHORT: return 2;
    case SINT32: case INT: return 4;
    case SINT64: case LONG: case LONG_LONG: case CF_INDEX: return 8;
    }
    refuse("a CFNumber of type %d: only integers are modelled", (int)kind);
}

static unsigned long darwin_CFNumberGetTypeID(void) { return (unsigned long)&number_type; }

static struct number *darwin_CFNumberCreate(const void *allocator, enum number_kind kind, const void *value) {
    (void)allocator;
    switch (width(kind)) {
    case 1: return number_of(*(const int8_t *)value);
    case 2: return number_of(*(const int16_t *)value);
    case 4: return number_of(*(const int32_t *)value);
    default: return number_of(*(const int64_t *)value);
    }
}

// False where it does not fit; what fits of it is stored all the same (CFNumber.h).
static cf_boolean darwin_CFNumberGetValue(const void *at, enum number_kind kind, void *to) {
    int64_t value = ((struct number *)object_of(&number_type, at))->value;
    size_t bytes = width(kind);
    memcpy(to, &value, bytes);  // little endian, on both processors
    int64_t back = bytes == 1 ? *(int8_t *)to : bytes == 2 ? *(int16_t *)to : bytes == 4 ? *(int32_t *)to : value;
    return back == value;
}
OURS(CFNumberGetTypeID) OURS(CFNumberCreate) OURS(CFNumberGetValue)

static void show_boolean(const struct object *object, FILE *out) {
    fputs(((const struct boolean *)object)->value ? "true" : "false", out);
}
const struct type boolean_type = {"CFBoolean", NULL, NULL, show_boolean};
struct boolean boolean_true = {{&boolean_type, IMMORTAL, NULL, NULL}, true};
struct boolean boolean_false = {{&boolean_type, IMMORTAL, NULL, NULL}, false};
static struct boolean *pointer_true = &boolean_true, *pointer_false = &boolean_false;
DATA("_kCFBooleanTrue", &pointer_true)
DATA("_kCFBooleanFalse", &pointer_false)

static unsigned long darwin_CFBooleanGetTypeID(void) { return (unsigned long)&boolean_type; }
static cf_boolean darwin_CFBooleanGetValue(const void *at) {
    return ((struct boolean *)object_of(&boolean_type, at))->value;
}
OURS(CFBooleanGetTypeID) OURS(CFBooleanGetValue)
