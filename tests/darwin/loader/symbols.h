// The names in the program's symbol table.
#pragma once
#include "loader/image.h"

void symbols_read(const struct image *image);
// Where the program itself defines an external symbol. NULL: it does not.
void *symbol_defined(const char *name);
