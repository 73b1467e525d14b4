// Pointers in the program that are to be made good: chained through the pages that hold them.
#pragma once
#include "loader/image.h"

// Applies LC_DYLD_CHAINED_FIXUPS; false: the program has none.
bool fixups_apply(const struct image *image);
