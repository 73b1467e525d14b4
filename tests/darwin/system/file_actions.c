// posix_spawn_file_actions_t is a pointer to what the library keeps (libsyscall's wrappers/spawn/posix_spawn.c).
#include "system/file_actions.h"
#include "system/allocate.h"
#include "system/errors.h"
#include "system/limits.h"
#include "system/paths.h"

struct action {
    enum { COPY, CHANGE_DIRECTORY } kind;
    int from, to;
    char path[LINUX_ROOM];
};

enum { MOST_ACTIONS = 16 };

struct file_actions {
    size_t count;
    struct action list[MOST_ACTIONS];
};

static struct action *add(struct file_actions *actions) {
    if (actions->count == MOST_ACTIONS)
        refuse("posix_spawn: more than %d file actions are not modelled", MOST_ACTIONS);
    return &actions->list[actions->count++];
}

static int darwin_posix_spawn_file_actions_init(struct file_actions **out) {
    *out = zeroed(1, sizeof **out);
    return 0;
}
OURS(posix_spawn_file_actions_init)

static int darwin_posix_spawn_file_actions_destroy(struct file_actions **actions) {
    if (actions == NULL || *actions == NULL)
        return DARWIN_EINVAL;
    free(*actions);
    *actions = NULL;
    return 0;
}
OURS(posix_spawn_file_actions_destroy)

// One onto itself stays open in the new program, whatever its FD_CLOEXEC says: so on both.
static int darwin_posix_spawn_file_actions_adddup2(struct file_actions **actions, int from, int to) {
    if (actions == NULL || *actions == NULL)
        return DARWIN_EINVAL;
    if (from < 0 || from >= DARWIN_OPEN_MAX || to < 0 || to >= DARWIN_OPEN_MAX)
        return DARWIN_EBADF;
    *add(*actions) = (struct action){.kind = COPY, .from = from, .to = to};
    return 0;
}
OURS(posix_spawn_file_actions_adddup2)

// spawn.h: no copy, only that it stays.
static int darwin_posix_spawn_file_actions_addinherit_np(struct file_actions **actions, int fd) {
    return darwin_posix_spawn_file_actions_adddup2(actions, fd, fd);
}
OURS(posix_spawn_file_actions_addinherit_np)

static int darwin_posix_spawn_file_actions_addchdir_np(struct file_actions **actions, const char *path) {
    struct place place;
    if (actions == NULL || *actions == NULL)
        return DARWIN_EINVAL;
    if (!locate_here(&place, path))
        return *darwin_error();
    struct action *change = add(*actions);
    change->kind = CHANGE_DIRECTORY;
    snprintf(change->path, sizeof change->path, "%s", place.path);
    return 0;
}
OURS(posix_spawn_file_actions_addchdir_np)

static void must(int linux_number) {
    if (linux_number != 0)
        refuse("posix_spawn: its file actions cannot be passed on: %s", strerror(linux_number));
}

// Linux closes from a number on: below that one by one, and one that is not open is no error to it.
static void close_all_but(const bool *made, int end, posix_spawn_file_actions_t *to) {
    for (int fd = 0; fd < end; fd++)
        if (!made[fd])
            must(posix_spawn_file_actions_addclose(to, fd));
    must(posix_spawn_file_actions_addclosefrom_np(to, end));
}

void file_actions_to_linux(const struct file_actions *actions, bool close_others, posix_spawn_file_actions_t *to) {
    bool made[DARWIN_OPEN_MAX] = {false};
    int end = 0;
    must(posix_spawn_file_actions_init(to));
    for (size_t i = 0; actions && i < actions->count; i++) {
        const struct action *action = &actions->list[i];
        switch (action->kind) {
        case COPY:
            must(posix_spawn_file_actions_adddup2(to, action->from, action->to));
            made[action->to] = true;
            end = action->to >= end ? action->to + 1 : end;
            break;
        case CHANGE_DIRECTORY: must(posix_spawn_file_actions_addchdir_np(to, action->path)); break;
        }
    }
    if (close_others)
        close_all_but(made, end, to);
}
