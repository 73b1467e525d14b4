// The frames of the loader itself and of glibc, which stand between those of the program.
#pragma once

// DWARF's entry for the function at `pc`, and where that begins. NULL: there is none.
const void *elf_frame(void *pc, void **function);
