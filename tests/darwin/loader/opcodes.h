// Pointers in the program that are to be made good: told by opcodes, as programs for macOS before 12 have it.
#pragma once
#include "loader/image.h"

// Applies LC_DYLD_INFO or LC_DYLD_INFO_ONLY; false: the program has neither.
bool opcodes_apply(const struct image *image);
