// What is known of a descriptor beyond what Linux knows of it, and who is told when one goes or is copied.
#pragma once
#include <stdbool.h>

enum descriptor_mark {
    NO_SIGPIPE = 1,      // SO_NOSIGPIPE, F_SETNOSIGPIPE: who writes to what nobody reads gets EPIPE, and no signal
    IS_KQUEUE = 2,
};

// Marks are of the open file (xnu: fileglob, socket), so copies have them, and they last until close. They are not
// carried over exec: a program that inherits a socket and relies on its SO_NOSIGPIPE would be killed here.
void mark_descriptor(int fd, enum descriptor_mark mark, bool set);
bool descriptor_has(int fd, enum descriptor_mark mark);

// Called before a descriptor is closed (or replaced, by dup2) and after it was copied. Who keeps more about one sets
// them in a constructor.
extern void (*before_close)(int fd);
extern void (*after_copy)(int from, int to);

// close() and fcntl(F_DUPFD) inside the loader, of what the program may know.
int close_descriptor(int fd);
int copy_descriptor(int fd, int at_least, bool close_on_exec);

// Whether it has a name in a file system: no socket, no pipe(), no kqueue. What xnu calls DTYPE_VNODE (bsd/sys/file.h).
bool is_vnode(int fd);
