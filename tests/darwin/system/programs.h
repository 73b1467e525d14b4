// Programs that the program starts: a Mach-O runs under this loader, anything else as it is.
#pragma once
#include "system/paths.h"

struct program {
    char path[LINUX_ROOM];   // of what Linux executes
    char **words;            // its words; the program's own where nothing goes before them
    char **made;             // words that were put together here, or NULL
};

// The program that `name` means, found along PATH if it has no slash and `search` says so. 0, or Darwin's number of the
// error (bsd/kern/kern_exec.c; Libc's gen/FreeBSD/exec.c for the search).
int find_program(struct program *program, const char *name, char *const words[], bool search);
// The shell instead, told to run the same file: what has no program's form is taken for a script (gen/FreeBSD/exec.c
// and sys/posix_spawn.c, Libc-1725.0.11: ENOEXEC).
void give_to_shell(struct program *program, char *const words[]);
void free_program(struct program *program);
