// How the frames of the program are unwound.
#pragma once
#include "loader/image.h"

void unwind_prepare(const struct image *image);
