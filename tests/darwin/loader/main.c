// machrun: runs a program made for macOS.
//
//   machrun PROGRAM [ARGUMENT…]     runs it; PROGRAM is its argv[0]
//   machrun --check PROGRAM         makes it ready to run, and says what is wrong with the file
//   machrun --pack PROGRAM OUT      writes one file, OUT, that runs it
//   machrun --machine DIR WORD…     what happens to the Mac under the programs (machine/tool.c)
#include "darwin.h"
#include "loader/packed.h"
#include "loader/program.h"
#include "machine/machine.h"
#include <fcntl.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sysexits.h>

_Noreturn void refuse(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("machrun: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

// dyld takes the path that the kernel was given, made absolute, and follows no link (dyld dyld/DyldProcessConfig.cpp,
// tag dyld-1122.1: Process::Process).
static char *absolute(const char *path) {
    char *folder = getcwd(NULL, 0), *whole = NULL;
    if (*path == '/' || !folder) whole = strdup(path);
    else if (asprintf(&whole, "%s/%s", folder, path) < 0) whole = NULL;
    if (!whole) refuse("there is no memory for a path");
    free(folder);
    return whole;
}

static struct where open_program(const char *path) {
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about)) {
        fprintf(stderr, "machrun: %s cannot be read: %m\n", path);
        exit(EX_NOINPUT);
    }
    return (struct where){fd, 0, (uint64_t)about.st_size};
}

int main(int argc, char **argv) {
    struct where where;
    program_argc = argc;
    program_argv = argv;
    if (packed(&where)) {
        program_path = absolute((const char *)getauxval(AT_EXECFN));
        program_run(where);
    }
    if (argc == 4 && !strcmp(argv[1], "--pack")) {
        pack(argv[2], argv[3]);
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "--check")) {
        program_path = absolute(argv[2]);
        program_check(open_program(argv[2]));
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "--machine")) return machine_tool(argc - 2, argv + 2);
    if (argc < 2 || *argv[1] == '-') {
        fputs("usage: machrun [--check] PROGRAM [ARGUMENT…], machrun --pack PROGRAM OUT, or "
              "machrun --machine DIR WORD…\n",
              stderr);
        return EX_USAGE;
    }
    program_argc--;
    program_argv++;
    program_path = absolute(argv[1]);
    program_run(open_program(argv[1]));
}
