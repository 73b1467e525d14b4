// What IOKit hands out: names of things in the kernel, each with a count. In truth they are Mach ports of this task.
//
// Unkind: to use or release a name that is none, or none any more, ends the program. macOS answers with an error that
// programs do not look at, and may since have given the name to something else.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t io_name;  // io_object_t, io_connect_t, mach_port_t
enum { IO_OBJECT_NULL = 0 };

// IOReturn.h, mach/kern_return.h (xnu-10063.101.15).
enum io_return {
    IO_SUCCESS = 0,
    IO_ERROR = (int)0xe00002bc,
    IO_NOT_PRIVILEGED = (int)0xe00002c1,
    IO_BAD_ARGUMENT = (int)0xe00002c2,
    IO_UNSUPPORTED = (int)0xe00002c7,
    MACH_SEND_INVALID_DEST = 0x10000003,
};

struct io_object;
struct io_class { const char *name; void (*end)(struct io_object *); };
struct io_object {
    const struct io_class *class;
    io_name name;
    uint32_t references;
    struct io_object *next;
};

// One with one reference, which is the program's. `size` is that of the whole structure; beyond struct io_object it is
// zero.
void *io_create(const struct io_class *class, size_t size);
// The object of that name, which has to be of that class. It lives as long as the program keeps its reference.
void *io_of(const struct io_class *class, io_name name);
// Of whatever class.
struct io_object *io_any(io_name name);
void io_retain(io_name name);
void io_release(io_name name);
