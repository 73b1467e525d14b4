// posix_spawn: bsd/sys/spawn.h, libsyscall's wrappers/spawn/posix_spawn.c, bsd/kern/kern_exec.c. Errors are returned.
#include "system/allocate.h"
#include "system/errors.h"
#include "system/file_actions.h"
#include "system/programs.h"
#include "system/signals.h"
#include <fcntl.h>
#include <spawn.h>

// ---- attributes -----------------------------------------------------------------------------------------------------

enum {
    DARWIN_POSIX_SPAWN_RESETIDS = 0x1,
    DARWIN_POSIX_SPAWN_SETPGROUP = 0x2,
    DARWIN_POSIX_SPAWN_SETSIGDEF = 0x4,
    DARWIN_POSIX_SPAWN_SETSIGMASK = 0x8,
    DARWIN_POSIX_SPAWN_SETSID = 0x400,
    DARWIN_POSIX_SPAWN_CLOEXEC_DEFAULT = 0x4000,
};

struct flag { int darwin; short of_linux; };

static const struct flag flags_of_both[] = {
    {DARWIN_POSIX_SPAWN_RESETIDS, POSIX_SPAWN_RESETIDS},   {DARWIN_POSIX_SPAWN_SETPGROUP, POSIX_SPAWN_SETPGROUP},
    {DARWIN_POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGDEF}, {DARWIN_POSIX_SPAWN_SETSIGMASK, POSIX_SPAWN_SETSIGMASK},
    {DARWIN_POSIX_SPAWN_SETSID, POSIX_SPAWN_SETSID},
};

// posix_spawnattr_t is a pointer to what the library keeps.
struct attributes {
    posix_spawnattr_t of_linux;
    bool closes_by_default;
};

static int darwin_posix_spawnattr_init(struct attributes **out) {
    *out = zeroed(1, sizeof **out);
    return returned(posix_spawnattr_init(&(*out)->of_linux));
}
OURS(posix_spawnattr_init)

static int darwin_posix_spawnattr_destroy(struct attributes **attributes) {
    if (attributes == NULL || *attributes == NULL)
        return DARWIN_EINVAL;
    posix_spawnattr_destroy(&(*attributes)->of_linux);
    free(*attributes);
    *attributes = NULL;
    return 0;
}
OURS(posix_spawnattr_destroy)

static int darwin_posix_spawnattr_setflags(struct attributes **attributes, short flags) {
    int left = flags & ~DARWIN_POSIX_SPAWN_CLOEXEC_DEFAULT;
    short through = 0;
    if (attributes == NULL || *attributes == NULL)
        return DARWIN_EINVAL;
    for (size_t i = 0; i < sizeof flags_of_both / sizeof *flags_of_both; i++)
        if (flags & flags_of_both[i].darwin) {
            through |= flags_of_both[i].of_linux;
            left &= ~flags_of_both[i].darwin;
        }
    if (left)
        refuse("posix_spawn: the flags %#x are not modelled", left);
    (*attributes)->closes_by_default = flags & DARWIN_POSIX_SPAWN_CLOEXEC_DEFAULT;
    return returned(posix_spawnattr_setflags(&(*attributes)->of_linux, through));
}
OURS(posix_spawnattr_setflags)

static int darwin_posix_spawnattr_setpgroup(struct attributes **attributes, pid_t group) {
    if (attributes == NULL || *attributes == NULL)
        return DARWIN_EINVAL;
    return returned(posix_spawnattr_setpgroup(&(*attributes)->of_linux, group));
}
OURS(posix_spawnattr_setpgroup)

static int darwin_posix_spawnattr_setsigdefault(struct attributes **attributes, const darwin_sigset *signals) {
    if (attributes == NULL || *attributes == NULL)
        return DARWIN_EINVAL;
    sigset_t through = signals_to_linux(*signals);
    return returned(posix_spawnattr_setsigdefault(&(*attributes)->of_linux, &through));
}
OURS(posix_spawnattr_setsigdefault)

static int darwin_posix_spawnattr_setsigmask(struct attributes **attributes, const darwin_sigset *signals) {
    if (attributes == NULL || *attributes == NULL)
        return DARWIN_EINVAL;
    sigset_t through = signals_to_linux(*signals);
    return returned(posix_spawnattr_setsigmask(&(*attributes)->of_linux, &through));
}
OURS(posix_spawnattr_setsigmask)

// ---- starting -------------------------------------------------------------------------------------------------------

static int start(pid_t *pid, const char *name, struct file_actions *const *actions,
                 struct attributes *const *attributes, char *const words[], char *const environment[], bool search) {
    char *const none[] = {NULL};
    char *const *with = environment ? environment : none;
    struct program program;
    int why = find_program(&program, name, words, search);
    if (why != 0)
        return why;
    const struct attributes *as = attributes ? *attributes : NULL;
    const posix_spawnattr_t *through = as ? &as->of_linux : NULL;
    posix_spawn_file_actions_t first;
    pid_t child;
    file_actions_to_linux(actions ? *actions : NULL, as && as->closes_by_default, &first);
    why = returned(posix_spawn(&child, program.path, &first, through, program.words, with));
    if (why == DARWIN_ENOEXEC && search) {
        give_to_shell(&program, words);
        why = returned(posix_spawn(&child, program.path, &first, through, program.words, with));
    }
    if (why == 0 && pid)
        *pid = child;
    posix_spawn_file_actions_destroy(&first);
    free_program(&program);
    return why;
}

static int darwin_posix_spawn(pid_t *pid, const char *path, struct file_actions *const *actions,
                              struct attributes *const *attributes, char *const words[], char *const environment[]) {
    return start(pid, path, actions, attributes, words, environment, false);
}
OURS(posix_spawn)

static int darwin_posix_spawnp(pid_t *pid, const char *name, struct file_actions *const *actions,
                               struct attributes *const *attributes, char *const words[], char *const environment[]) {
    return start(pid, name, actions, attributes, words, environment, true);
}
OURS(posix_spawnp)

static int darwin_execvp(const char *name, char *const words[]) {
    struct program program;
    int why = find_program(&program, name, words, true);
    if (why != 0)
        return (int)fail(why);
    tell_imports();
    execv(program.path, program.words);
    if (errno == ENOEXEC) {
        give_to_shell(&program, words);
        execv(program.path, program.words);
    }
    why = errno_to_darwin(errno);
    free_program(&program);
    return (int)fail(why);
}
OURS(execvp)
