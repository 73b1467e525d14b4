// CFString. CF counts in UTF-16 code units; the bytes here are UTF-8.
#include "frameworks/object.h"

#include "darwin.h"
#include "system/allocate.h"
#include "system/utf8.h"

// CFString.h: CFStringBuiltInEncodings.
enum { ENCODING_ASCII = 0x0600, ENCODING_UTF8 = 0x08000100 };
enum { TAGGED = 7 };  // characters of eight bits in a tagged pointer
extern struct object allocator_null;

// A character of four bytes is two units.
static cf_index units_of(size_t length) { return length == 4 ? 2 : 1; }

// -1: it is no UTF-8.
static cf_index count_units(const char *bytes, size_t length) {
    cf_index units = 0;
    for (size_t at = 0, one; at < length; at += one) {
        one = utf8_character((const unsigned char *)bytes + at, length - at);
        if (one == 0) return -1;
        units += units_of(one);
    }
    return units;
}

static void end(struct object *object) {
    struct string *string = (struct string *)object;
    if (string->owned) free((char *)string->bytes);
}

static bool equal(const struct object *one, const struct object *other) {
    const struct string *left = (const struct string *)one, *right = (const struct string *)other;
    return left->length == right->length && !memcmp(left->bytes, right->bytes, left->length);
}

static void show(const struct object *object, FILE *out) {
    const struct string *string = (const struct string *)object;
    fwrite(string->bytes, 1, string->length, out);
}

const struct type string_type = {"CFString", end, equal, show};

static struct string *create(const char *bytes, size_t length, bool copy) {
    cf_index units = count_units(bytes, length);
    if (units < 0) return NULL;
    struct string *made = object_create(&string_type, sizeof *made);
    made->bytes = bytes;
    made->length = length;
    made->units = units;
    if (copy) {
        char *own = zeroed(length + 1, 1);
        memcpy(own, bytes, length);
        own[length] = 0;
        made->bytes = own;
        made->owned = made->terminated = true;
    }
    return made;
}

struct string *string_of(const char *text) {
    struct string *made = create(text, strlen(text), true);
    if (!made) refuse("a text of our own is no UTF-8");
    return made;
}

bool string_is(const struct string *string, const char *text) {
    return string->length == strlen(text) && !memcmp(string->bytes, text, string->length);
}

static void modelled(uint32_t encoding) {
    if (encoding != ENCODING_UTF8 && encoding != ENCODING_ASCII) refuse("a CFString of encoding %#x", encoding);
}

// ---- what the program calls -----------------------------------------------------------------------------------------

static unsigned long darwin_CFStringGetTypeID(void) { return (unsigned long)&string_type; }

static struct string *darwin_CFStringCreateWithBytes(const void *allocator, const char *bytes, cf_index length,
                                                     uint32_t encoding, cf_boolean external) {
    (void)allocator, (void)external;  // a byte order mark is not looked for: nobody here writes one
    modelled(encoding);
    return create(bytes, (size_t)length, true);
}

static struct string *darwin_CFStringCreateWithBytesNoCopy(const void *allocator, const char *bytes, cf_index length,
                                                           uint32_t encoding, cf_boolean external, const void *freer) {
    (void)allocator, (void)external;
    modelled(encoding);
    if (freer != &allocator_null) refuse("CFStringCreateWithBytesNoCopy of bytes that it should free");
    return create(bytes, (size_t)length, false);
}

static struct string *darwin_CFStringCreateWithCString(const void *allocator, const char *text, uint32_t encoding) {
    return darwin_CFStringCreateWithBytes(allocator, text, (cf_index)strlen(text), encoding, false);
}

static cf_index darwin_CFStringGetLength(const void *string) {
    return ((struct string *)object_of(&string_type, string))->units;
}

// Only where the bytes are of that encoding, a zero follows them (CFString.c), and they are anywhere: so short a string
// is a tagged pointer on 64-bit macOS. Callers have to be ready for NULL.
static const char *darwin_CFStringGetCStringPtr(const void *at, uint32_t encoding) {
    const struct string *string = object_of(&string_type, at);
    modelled(encoding);
    bool ascii = (size_t)string->units == string->length;
    bool tagged = string->owned && string->length <= TAGGED;
    return string->terminated && ascii && !tagged ? string->bytes : NULL;
}

// Whole characters of `range`, as long as they fit; without a buffer, their length. How many units those were.
static cf_index darwin_CFStringGetBytes(const void *at, struct cf_range range, uint32_t encoding, uint8_t loss,
                                        cf_boolean external, char *buffer, cf_index room, cf_index *used) {
    (void)loss, (void)external;
    const struct string *string = object_of(&string_type, at);
    modelled(encoding);
    if (range.location < 0 || range.length < 0 || range.location + range.length > string->units) {
        refuse("CFStringGetBytes beyond the end");
    }
    cf_index unit = 0, converted = 0, bytes = 0;
    for (size_t from = 0; from < string->length && converted < range.length;) {
        size_t length = utf8_character((const unsigned char *)string->bytes + from, string->length - from);
        if (unit >= range.location) {
            if (encoding == ENCODING_ASCII && length > 1) break;
            if (buffer && bytes + (cf_index)length > room) break;
            if (buffer) memcpy(buffer + bytes, string->bytes + from, length);
            bytes += (cf_index)length;
            converted += units_of(length);
        }
        unit += units_of(length);
        from += length;
    }
    if (used) *used = bytes;
    return converted;
}

static cf_boolean darwin_CFStringGetCString(const void *at, char *buffer, cf_index room, uint32_t encoding) {
    const struct string *string = object_of(&string_type, at);
    modelled(encoding);
    if ((cf_index)string->length >= room) return false;
    memcpy(buffer, string->bytes, string->length);
    buffer[string->length] = 0;
    return true;
}

// The longest that so many units can become (CFStringEncodings.c): three bytes each.
static cf_index darwin_CFStringGetMaximumSizeForEncoding(cf_index units, uint32_t encoding) {
    modelled(encoding);
    return encoding == ENCODING_ASCII ? units : units * 3;
}

OURS(CFStringGetTypeID) OURS(CFStringCreateWithBytes) OURS(CFStringCreateWithBytesNoCopy)
OURS(CFStringCreateWithCString) OURS(CFStringGetLength) OURS(CFStringGetCStringPtr) OURS(CFStringGetBytes)
OURS(CFStringGetCString) OURS(CFStringGetMaximumSizeForEncoding)
