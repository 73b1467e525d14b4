// What the files of the loader share: how a function answers for one of macOS', and how errors cross over.
//
//   Mach-O ──imports──▶ loader/ ──looks up──▶ SHIM, OURS, SAME, DATA of system/ and frameworks/ ──▶ glibc
//
// Here a number is Darwin's unless its name says Linux'. Sources: xnu's bsd/sys/*.h (tag xnu-10063.101.15 unless a
// line says another), Apple's dyld and libunwind, the SDK's headers.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- the table of imports: one entry for each line below, wherever it stands ----------------------------------------

// How what answers is reached. On arm64 Darwin passes what stands for `...` on the stack, each in eight bytes
// ("Writing ARM64 code for Apple platforms"); a function of ours that takes it as usual has to be handed it.
enum kind {
    FUNCTION,       // as it is
    ADDRESS,        // no function: what is there is data
    FIRST_OF_DOTS,  // the first of `...` becomes the argument after the fixed ones
    LIST_OF_DOTS,   // where `...` begins becomes the argument after the fixed ones (arm64); x86_64: as it is
};
struct import { const char *symbol; const void *at; enum kind kind; int fixed; };

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define IMPORT_(n, name, address, how, arguments) \
    static const struct import JOIN(import_, n) = {name, (const void *)(address), how, arguments}; \
    static const struct import *const __attribute__((section("imports"), used)) JOIN(listed_, n) = &JOIN(import_, n);

// `symbol` with the underscore and suffix that the linker knows it by.
#define SHIM(symbol, function) IMPORT_(__COUNTER__, symbol, function, FUNCTION, 0)
#define DATA(symbol, address) IMPORT_(__COUNTER__, symbol, address, ADDRESS, 0)
#define DOTS(symbol, function, fixed) IMPORT_(__COUNTER__, symbol, function, FIRST_OF_DOTS, fixed)
#define LIST(symbol, function, fixed) IMPORT_(__COUNTER__, symbol, function, LIST_OF_DOTS, fixed)
// darwin_NAME of ours answers for NAME.
#define OURS(name) SHIM("_" #name, darwin_##name)
// glibc's function of that name does what Darwin's does, arguments and results alike.
#define SAME(name) SHIM("_" #name, name)
// Structures with 64 bit inode numbers have a suffix on x86_64 and none on arm64 (sys/cdefs.h,
// __DARWIN_SUF_64_BIT_INO_T).
#ifdef __x86_64__
#define INODE64(name) SHIM("_" #name "$INODE64", darwin_##name)
#else
#define INODE64(name) OURS(name)
#endif

// ---- the program ----------------------------------------------------------------------------------------------------

extern char *program_path;     // absolute, of the file that holds the Mach-O: what _NSGetExecutablePath tells
extern int program_argc;
extern char **program_argv;
extern void *program_image;    // its Mach header, in memory

// The nearest symbol at or before an address of the program, and how far behind it that is. NULL: none.
const char *symbol_before(uint64_t at, uint64_t *offset);

// Appends to the file of DARWIN_IMPORTS which imports were called how often. exit() does it; what ends or replaces the
// process otherwise does it itself.
void tell_imports(void);

// ---- ends -----------------------------------------------------------------------------------------------------------

// The loader cannot go on, or the program did what macOS does not allow: one line on stderr, and abort().
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

// ---- errno ----------------------------------------------------------------------------------------------------------

// glibc's errno is taken over, as Darwin's number, when the program asks for its own (`___error`). What fails without
// glibc says so by fail(): the number is Darwin's, the result -1.
int errno_to_darwin(int linux_number);
int errno_to_linux(int darwin_number);
long fail(int darwin_number);
