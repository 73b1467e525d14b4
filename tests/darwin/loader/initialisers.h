// Functions that run before main().
#pragma once
#include "loader/image.h"

void initialisers_check(const struct image *image);
void initialisers_run(const struct image *image, int argc, char **argv, char **envp, char **apple);
