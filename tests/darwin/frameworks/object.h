// An object of Core Foundation: a type, a count of references, and what is done when the last one goes.
//
// Unkind where CF is: to retain or release nothing, or what is gone, ends the program. DARWIN_OBJECTS=FILE: there is
// appended, when the program ends, what it still holds: one line each, "COUNT TYPE what it shows".
//
// Sources: CFBase.h, CFRuntime.c (tag CF-1153.18).
#pragma once
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct object;
struct type {
    const char *name;
    void (*end)(struct object *);                                   // lets go of what it holds; may be NULL
    bool (*equal)(const struct object *, const struct object *);    // of the same type; NULL: only itself
    void (*show)(const struct object *, FILE *);                    // for a person; may be NULL
};
struct object {
    const struct type *type;
    atomic_long references;
    struct object *next, *previous;  // among those that live
};

// Constants of the frameworks are never freed, whoever releases them.
enum { IMMORTAL = INT_MAX };

// One with one reference, which the caller owns (the create rule). `size` is that of the whole structure; beyond
// struct object it is zero.
void *object_create(const struct type *type, size_t size);
void *object_retain(void *object);
void object_release(void *object);
// The same object, which has to be of that type.
void *object_of(const struct type *type, const void *object);
bool object_equal(const void *one, const void *other);
void object_show(const void *object, FILE *out);

// ---- the types, and what other frameworks make of them --------------------------------------------------------------

typedef long cf_index;        // CFIndex
typedef uint8_t cf_boolean;   // Boolean
struct cf_range { cf_index location, length; };

// A string whose bytes are those of `text`, UTF-8, and stay where they are.
struct string {
    struct object object;
    const char *bytes;
    size_t length;     // in bytes
    cf_index units;    // in UTF-16 code units, which is what CF counts
    bool terminated;   // a zero byte follows
    bool owned;
};
extern const struct type string_type;
struct string *string_of(const char *text);
bool string_is(const struct string *string, const char *text);
// A constant `const CFStringRef symbol`.
#define STRING_CONSTANT(symbol, variable, text) \
    static struct string variable = { \
        {&string_type, IMMORTAL, NULL, NULL}, text, sizeof text - 1, sizeof text - 1, true, false}; \
    static struct string *JOIN(variable, _pointer) = &variable; \
    DATA(symbol, &JOIN(variable, _pointer))

struct number { struct object object; int64_t value; };
extern const struct type number_type;
struct number *number_of(int64_t value);

struct boolean { struct object object; bool value; };
extern const struct type boolean_type;
extern struct boolean boolean_true, boolean_false;

struct array { struct object object; cf_index count; struct object **items; };
extern const struct type array_type;
struct array *array_of(cf_index count, struct object *const *items);

struct dictionary { struct object object; cf_index count; struct object **keys, **values; };
extern const struct type dictionary_type;
// An empty one, to be filled by dictionary_set before anybody else has it.
struct dictionary *dictionary_create(void);
// Keeps references of its own.
void dictionary_set(struct dictionary *dictionary, const char *key, void *value);
struct object *dictionary_get(const struct dictionary *dictionary, const struct object *key);
