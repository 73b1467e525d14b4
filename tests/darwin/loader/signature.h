// The program's signature: its code directory, which has a hash of each page.
#pragma once
#include "loader/image.h"

// The code directory with SHA-256 as its hash; no bytes: the program is not signed.
struct bytes signature_directory(const struct image *image);
// The team that signed it, or NULL.
const char *signature_team(struct bytes directory);
// Each page has to be as it was signed: xnu kills a program at the first page that is not.
void signature_check(const struct image *image);
