// CFArray and CFDictionary, of objects: with the callbacks that Core Foundation offers for them, or it is refused.
#include "frameworks/object.h"

#include "darwin.h"
#include "system/allocate.h"

// CFArray.h, CFDictionary.h: version, retain, release, copyDescription, equal, and hash for keys. The program hands
// their addresses on; what is in them is for Core Foundation, which here is us.
struct callbacks { cf_index version; const void *function[5]; };
static struct callbacks array_callbacks, key_callbacks, string_key_callbacks, value_callbacks;
DATA("_kCFTypeArrayCallBacks", &array_callbacks)
DATA("_kCFTypeDictionaryKeyCallBacks", &key_callbacks)
DATA("_kCFCopyStringDictionaryKeyCallBacks", &string_key_callbacks)
DATA("_kCFTypeDictionaryValueCallBacks", &value_callbacks)

static void *room_for(cf_index count) {
    return zeroed((size_t)count + 1, sizeof(void *));
}

// ---- arrays ---------------------------------------------------------------------------------------------------------

static void end_array(struct object *object) {
    struct array *array = (struct array *)object;
    for (cf_index i = 0; i < array->count; i++) object_release(array->items[i]);
    free(array->items);
}

static bool equal_arrays(const struct object *one, const struct object *other) {
    const struct array *left = (const struct array *)one, *right = (const struct array *)other;
    if (left->count != right->count) return false;
    for (cf_index i = 0; i < left->count; i++) {
        if (!object_equal(left->items[i], right->items[i])) return false;
    }
    return true;
}

static void show_array(const struct object *object, FILE *out) {
    const struct array *array = (const struct array *)object;
    fputc('(', out);
    for (cf_index i = 0; i < array->count; i++) {
        if (i) fputs(", ", out);
        object_show(array->items[i], out);
    }
    fputc(')', out);
}

const struct type array_type = {"CFArray", end_array, equal_arrays, show_array};

struct array *array_of(cf_index count, struct object *const *items) {
    struct array *made = object_create(&array_type, sizeof *made);
    made->items = room_for(count);
    made->count = count;
    for (cf_index i = 0; i < count; i++) made->items[i] = object_retain(items[i]);
    return made;
}

static unsigned long darwin_CFArrayGetTypeID(void) { return (unsigned long)&array_type; }

static struct array *darwin_CFArrayCreate(const void *allocator, struct object **items, cf_index count,
                                          const struct callbacks *callbacks) {
    (void)allocator;
    if (callbacks != &array_callbacks) refuse("a CFArray of anything but objects");
    return array_of(count, items);
}

static cf_index darwin_CFArrayGetCount(const void *at) { return ((struct array *)object_of(&array_type, at))->count; }

static const void *darwin_CFArrayGetValueAtIndex(const void *at, cf_index index) {
    const struct array *array = object_of(&array_type, at);
    if (index < 0 || index >= array->count) refuse("CFArrayGetValueAtIndex beyond the end");
    return array->items[index];
}
OURS(CFArrayGetTypeID) OURS(CFArrayCreate) OURS(CFArrayGetCount) OURS(CFArrayGetValueAtIndex)

// ---- dictionaries ---------------------------------------------------------------------------------------------------

static void end_dictionary(struct object *object) {
    struct dictionary *dictionary = (struct dictionary *)object;
    for (cf_index i = 0; i < dictionary->count; i++) {
        object_release(dictionary->keys[i]);
        object_release(dictionary->values[i]);
    }
    free(dictionary->keys);
    free(dictionary->values);
}

static bool equal_dictionaries(const struct object *one, const struct object *other) {
    const struct dictionary *left = (const struct dictionary *)one, *right = (const struct dictionary *)other;
    if (left->count != right->count) return false;
    for (cf_index i = 0; i < left->count; i++) {
        const struct object *found = dictionary_get(right, left->keys[i]);
        if (!found || !object_equal(left->values[i], found)) return false;
    }
    return true;
}

static void show_dictionary(const struct object *object, FILE *out) {
    const struct dictionary *dictionary = (const struct dictionary *)object;
    fputc('{', out);
    for (cf_index i = 0; i < dictionary->count; i++) {
        if (i) fputs("; ", out);
        object_show(dictionary->keys[i], out);
        fputs(" = ", out);
        object_show(dictionary->values[i], out);
    }
    fputc('}', out);
}

const struct type dictionary_type = {"CFDictionary", end_dictionary, equal_dictionaries, show_dictionary};

struct object *dictionary_get(const struct dictionary *dictionary, const struct object *key) {
    for (cf_index i = 0; i < dictionary->count; i++) {
        if (object_equal(dictionary->keys[i], key)) return dictionary->values[i];
    }
    return NULL;
}

struct dictionary *dictionary_create(void) { return object_create(&dictionary_type, sizeof(struct dictionary)); }

// Takes over both references.
static void append(struct dictionary *dictionary, struct object *key, struct object *value) {
    size_t bytes = ((size_t)dictionary->count + 1) * sizeof(void *);
    dictionary->keys = realloc(dictionary->keys, bytes);
    dictionary->values = realloc(dictionary->values, bytes);
    if (!dictionary->keys || !dictionary->values) refuse("no memory for a CFDictionary");
    dictionary->keys[dictionary->count] = key;
    dictionary->values[dictionary->count++] = value;
}

void dictionary_set(struct dictionary *dictionary, const char *key, void *value) {
    append(dictionary, (struct object *)string_of(key), object_retain(value));
}

static unsigned long darwin_CFDictionaryGetTypeID(void) { return (unsigned long)&dictionary_type; }

static struct dictionary *darwin_CFDictionaryCreate(const void *allocator, struct object **keys, struct object **values,
                                                    cf_index count, const struct callbacks *of_keys,
                                                    const struct callbacks *of_values) {
    (void)allocator;
    bool objects = of_keys == &key_callbacks || of_keys == &string_key_callbacks;
    if (!objects || of_values != &value_callbacks) refuse("a CFDictionary of anything but objects");
    struct dictionary *made = dictionary_create();
    for (cf_index i = 0; i < count; i++) {
        if (dictionary_get(made, keys[i])) continue;  // the first of equal keys stays (CFBasicHash.c, AddValue)
        append(made, object_retain(keys[i]), object_retain(values[i]));
    }
    return made;
}

static cf_index darwin_CFDictionaryGetCount(const void *at) {
    return ((struct dictionary *)object_of(&dictionary_type, at))->count;
}

static const void *darwin_CFDictionaryGetValue(const void *at, const struct object *key) {
    return dictionary_get(object_of(&dictionary_type, at), key);
}

static cf_boolean darwin_CFDictionaryGetValueIfPresent(const void *at, const struct object *key, const void **value) {
    const void *found = darwin_CFDictionaryGetValue(at, key);
    if (found && value) *value = found;
    return found != NULL;
}

static cf_boolean darwin_CFDictionaryContainsKey(const void *at, const struct object *key) {
    return darwin_CFDictionaryGetValue(at, key) != NULL;
}
OURS(CFDictionaryGetTypeID) OURS(CFDictionaryCreate) OURS(CFDictionaryGetCount) OURS(CFDictionaryGetValue)
OURS(CFDictionaryGetValueIfPresent) OURS(CFDictionaryContainsKey)
