// One file that is the loader and a program: it runs wherever the program would, under whatever name and link.
//
//   the loader's ELF │ 0… up to a page │ the Mach-O │ trailer
#pragma once
#include "loader/program.h"
#include <stdbool.h>

// Writes such a file.
void pack(const char *program, const char *out);
// Where the program is in the file that runs. False: it is the loader alone.
bool packed(struct where *where);
