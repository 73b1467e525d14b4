// The program that is run: opened, made ready, started.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct image;

// Where in a file it is.
struct where {
    int fd;
    uint64_t offset;
    uint64_t length;
};

// Makes it ready to run, and leaves it at that: what is wrong with the file shows.
void program_check(struct where where);
// Runs it with program_path, program_argc and program_argv as they are set; it does not return.
_Noreturn void program_run(struct where where);
// The program as it was read.
const struct image *program_loaded(void);
// How far from where its file wants it the program is.
int64_t program_slide(void);
