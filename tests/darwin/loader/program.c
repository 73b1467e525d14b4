#include "darwin.h"
#include "loader/fixups.h"
#include "loader/image.h"
#include "loader/imports.h"
#include "loader/initialisers.h"
#include "loader/opcodes.h"
#include "loader/program.h"
#include "loader/signature.h"
#include "loader/symbols.h"
#include "loader/tlv.h"
#include "loader/unwind.h"
#include <sys/mman.h>

char *program_path;
int program_argc;
char **program_argv;
void *program_image;

static struct image image;

const struct image *program_loaded(void) {
    return &image;
}

int64_t program_slide(void) {
    return image.slide;
}

// What is in the file, for reading. A mapping begins at a page, the program perhaps not.
static struct bytes view(struct where where) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), before = where.offset % page;
    if (!where.length) malformed("it is empty");
    off_t begin = (off_t)(where.offset - before);
    const uint8_t *at = mmap(NULL, where.length + before, PROT_READ, MAP_PRIVATE, where.fd, begin);
    if (at == MAP_FAILED) malformed("it cannot be read: %m");
    return (struct bytes){at + before, where.length, "the file"};
}

typedef int start(int argc, char **argv, char **envp, char **apple);

static start *entry(void) {
    struct bytes command = image_command(&image, LC_MAIN);
    if (!command.at) malformed("it does not tell where it starts: LC_MAIN is missing");
    struct entry_point_command main;
    BYTES_READ(command, 0, main);
    if (main.stacksize) malformed("it asks for a stack of its own size, which it does not get here");
    // Its offset is in the file; the segment with the header begins where that begins.
    if (!image_executes(&image, main.entryoff)) malformed("it starts at %#lx, which is no code", main.entryoff);
    return (start *)(image.memory + main.entryoff);
}

// Gives the address of its main().
static start *make_ready(struct where where) {
    bytes_of_file = program_path;
    image_read(&image, view(where), where.offset);
    image_map(&image, where.fd);
    program_image = image.memory;
    symbols_read(&image);
    // dyld takes one or the other, too; a program that imports nothing and needs no slide may have neither.
    if (!fixups_apply(&image)) opcodes_apply(&image);
    imports_seal();
    tlv_prepare(&image);
    unwind_prepare(&image);
    image_protect(&image);
    initialisers_check(&image);
#ifdef __aarch64__
    // bsd/kern/kern_exec.c: Apple silicon starts nothing that is not signed.
    if (!signature_directory(&image).at) malformed("it is not signed, as each program for Apple silicon has to be");
#endif
    close(where.fd);
    return entry();
}

void program_check(struct where where) {
    make_ready(where);
    signature_check(&image);
    tell_imports();
}

_Noreturn void program_run(struct where where) {
    start *begin = make_ready(where);
    // xnu's exec_add_apple_strings (bsd/kern/kern_exec.c) gives more; this one is what programs read.
    char *path = NULL;
    if (asprintf(&path, "executable_path=%s", program_path) < 0) refuse("there is no memory to start the program");
    char *apple[] = {path, NULL};
    atexit(tell_imports);
    initialisers_run(&image, program_argc, program_argv, environ, apple);
    exit(begin(program_argc, program_argv, environ, apple));
}
