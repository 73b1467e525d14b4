#include "system/programs.h"
#include "loader/macho.h"
#include "system/allocate.h"
#include "system/errors.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static bool is_macho(const char *path) {
    uint32_t magic = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool whole = read(fd, &magic, sizeof magic) == sizeof magic;
    close(fd);
    return whole && (magic == (uint32_t)MH_MAGIC_64 || __builtin_bswap32(magic) == (uint32_t)FAT_MAGIC);
}

// 0 if `path` is a file that may be executed.
static int look_at(const struct place *place) {
    struct stat file;
    if (stat(place->path, &file) != 0)
        return errno_to_darwin(errno);
    // exec_check_permissions: no file, or one that nobody may execute.
    if (!S_ISREG(file.st_mode) || access(place->path, X_OK) != 0)
        return DARWIN_EACCES;
    return 0;
}

static int try(struct program *program, const char *path) {
    struct place place;
    if (!locate_here(&place, path))
        return *darwin_error();
    snprintf(program->path, sizeof program->path, "%s", place.path);
    return look_at(&place);
}

// Along PATH. A name that is there and may not be executed is remembered while the search goes on, as execvP has it.
static int search_path(struct program *program, const char *name) {
    const char *at = getenv("PATH");
    int why = DARWIN_ENOENT;
    if (*name == 0)
        return why;
    // paths.h, _PATH_DEFPATH
    for (at = at ? at : "/usr/bin:/bin"; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
        char path[DARWIN_MAXPATHLEN];
        int length = (int)strcspn(at, ":");
        int all = snprintf(path, sizeof path, "%.*s/%s", length ? length : 1, length ? at : ".", name);
        if (all >= DARWIN_MAXPATHLEN)
            continue;
        int found = try(program, path);
        if (found == 0)
            return 0;
        // Not a folder on the way that this user may not search.
        if (found == DARWIN_EACCES && access(program->path, F_OK) == 0)
            why = DARWIN_EACCES;
    }
    return why;
}

// machrun PATH WORD…
static void through_loader(struct program *program, char *const words[]) {
    enum { PUT_BEFORE = 2 };
    size_t count = 0;
    while (words[count])
        count++;
    char **made = zeroed(count + PUT_BEFORE + 1, sizeof *made);
    size_t length = strlen(program->path) + 1;
    made[0] = program->path;
    made[1] = memcpy(zeroed(length, 1), program->path, length);
    for (size_t i = 1; i < count; i++)
        made[PUT_BEFORE + i - 1] = words[i];
    ssize_t found = readlink("/proc/self/exe", program->path, sizeof program->path - 1);
    if (found < 0)
        refuse("the loader does not find itself: %s", strerror(errno));
    program->path[found] = 0;
    program->words = program->made = made;
}

void give_to_shell(struct program *program, char *const words[]) {
    enum { PUT_BEFORE = 1 };
    size_t count = 0, length = strlen(program->path) + 1;
    while (words[count])
        count++;
    char **made = zeroed(count + PUT_BEFORE + 2, sizeof *made);
    made[0] = count ? words[0] : "sh";
    made[1] = memcpy(zeroed(length, 1), program->path, length);
    for (size_t i = 1; i < count; i++)
        made[PUT_BEFORE + i] = words[i];
    strcpy(program->path, "/bin/sh");
    program->words = program->made = made;
}

void free_program(struct program *program) {
    if (program->made)
        free(program->made[1]);
    free(program->made);
}

int find_program(struct program *program, const char *name, char *const words[], bool search) {
    *program = (struct program){.words = (char **)words};
    int why = search && !strchr(name, '/') ? search_path(program, name) : try(program, name);
    if (why != 0)
        return why;
    if (is_macho(program->path))
        through_loader(program, words);
    return 0;
}
