// What the program takes from macOS' libraries: looked up among the shims by name, and reached through thunks that
// count the calls. One that is missing is no fault until it is called.
#pragma once
#include <stdbool.h>

// What stands for `symbol`. A weak import that is missing is NULL, as the program expects; `coalesced` means that the
// program's own definition serves where nobody else has one.
void *import(const char *symbol, bool weak, bool coalesced);
// The thunks become executable: there will be no more of them.
void imports_seal(void);
