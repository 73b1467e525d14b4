// Thread-local variables: a block of them for each thread, made when the thread first asks for one.
#pragma once
#include "loader/image.h"

void tlv_prepare(const struct image *image);
