// Users and groups: Libc's include/pwd.h and grp.h. Those that every Mac has are answered first, then Linux' own, as a
// Mac's directory service has its users beside them.
#include "system/errors.h"
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>

struct darwin_passwd {
    char *name, *password;
    uint32_t user, group;
    int64_t change;
    char *class, *full_name, *home, *shell;
    int64_t expires;
};
_Static_assert(sizeof(struct darwin_passwd) == 72, "struct passwd");

_Static_assert(offsetof(struct group, gr_gid) == 16 && offsetof(struct group, gr_mem) == 24, "struct group");

// What is told is put into the caller's room, one text behind the other.
struct room { char *at; size_t left; };

static char *put(struct room *room, const char *text) {
    size_t length = strlen(text) + 1;
    if (length > room->left) {
        room->left = 0;
        return NULL;
    }
    char *place = memcpy(room->at, text, length);
    room->at += length;
    room->left -= length;
    return place;
}

// ---- users ----------------------------------------------------------------------------------------------------------

// /etc/passwd of macOS; nobody is -2 there.
static const struct passwd users[] = {
    {"root", "*", 0, 0, "System Administrator", "/var/root", "/bin/sh"},
    {"nobody", "*", (uid_t)-2, (gid_t)-2, "Unprivileged User", "/var/empty", "/usr/bin/false"},
    {"daemon", "*", 1, 1, "System Services", "/var/root", "/usr/bin/false"},
};

static int tell_user(const struct passwd *user, struct darwin_passwd *to, char *buffer, size_t size,
                     struct darwin_passwd **out) {
    struct room room = {buffer, size};
    *to = (struct darwin_passwd){
        .name = put(&room, user->pw_name),
        .password = put(&room, "********"),
        .user = user->pw_uid,
        .group = user->pw_gid,
        .class = put(&room, ""),
        .full_name = put(&room, user->pw_gecos),
        .home = put(&room, user->pw_dir),
        .shell = put(&room, user->pw_shell),
    };
    bool whole = to->name && to->password && to->class && to->full_name && to->home && to->shell;
    *out = whole ? to : NULL;
    return whole ? 0 : DARWIN_ERANGE;
}

enum { LARGE = 16384 };   // for what Linux tells, before it is told on

static int darwin_getpwuid_r(uid_t uid, struct darwin_passwd *to, char *buffer, size_t size,
                             struct darwin_passwd **out) {
    char texts[LARGE];
    struct passwd user, *found = NULL;
    *out = NULL;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        if (users[i].pw_uid == uid)
            return tell_user(&users[i], to, buffer, size, out);
    int why = getpwuid_r(uid, &user, texts, sizeof texts, &found);
    // Nobody: no error, and no user.
    return why || !found ? returned(why) : tell_user(found, to, buffer, size, out);
}
OURS(getpwuid_r)

static int darwin_getpwnam_r(const char *name, struct darwin_passwd *to, char *buffer, size_t size,
                             struct darwin_passwd **out) {
    char texts[LARGE];
    struct passwd user, *found = NULL;
    *out = NULL;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        if (strcmp(users[i].pw_name, name) == 0)
            return tell_user(&users[i], to, buffer, size, out);
    int why = getpwnam_r(name, &user, texts, sizeof texts, &found);
    return why || !found ? returned(why) : tell_user(found, to, buffer, size, out);
}
OURS(getpwnam_r)

// ---- groups ---------------------------------------------------------------------------------------------------------

static char *only_root[] = {"root", NULL};
static char *nobody[] = {NULL};

// /etc/group of macOS.
static const struct group groups[] = {
    {"nobody", "*", (gid_t)-2, nobody}, {"wheel", "*", 0, only_root},  {"daemon", "*", 1, only_root},
    {"sys", "*", 3, only_root},         {"everyone", "*", 12, nobody}, {"staff", "*", 20, only_root},
    {"admin", "*", 80, only_root},
};

static int tell_group(const struct group *group, struct group *to, char *buffer, size_t size, struct group **out) {
    size_t members = 0, misplaced = -(uintptr_t)buffer % sizeof(char *);
    while (group->gr_mem[members])
        members++;
    size_t list = (members + 1) * sizeof(char *);
    *out = NULL;
    if (misplaced + list > size)
        return DARWIN_ERANGE;
    struct room room = {buffer + misplaced + list, size - misplaced - list};
    *to = (struct group){
        .gr_name = put(&room, group->gr_name),
        .gr_passwd = put(&room, group->gr_passwd),
        .gr_gid = group->gr_gid,
        .gr_mem = (char **)(buffer + misplaced),
    };
    bool whole = to->gr_name && to->gr_passwd;
    for (size_t i = 0; i < members; i++)
        whole = (to->gr_mem[i] = put(&room, group->gr_mem[i])) != NULL && whole;
    to->gr_mem[members] = NULL;
    *out = whole ? to : NULL;
    return whole ? 0 : DARWIN_ERANGE;
}

static int darwin_getgrnam_r(const char *name, struct group *to, char *buffer, size_t size, struct group **out) {
    char texts[LARGE];
    struct group group, *found = NULL;
    *out = NULL;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].gr_name, name) == 0)
            return tell_group(&groups[i], to, buffer, size, out);
    int why = getgrnam_r(name, &group, texts, sizeof texts, &found);
    return why || !found ? returned(why) : tell_group(found, to, buffer, size, out);
}
OURS(getgrnam_r)

static int darwin_getgrgid_r(gid_t gid, struct group *to, char *buffer, size_t size, struct group **out) {
    char texts[LARGE];
    struct group group, *found = NULL;
    *out = NULL;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (groups[i].gr_gid == gid)
            return tell_group(&groups[i], to, buffer, size, out);
    int why = getgrgid_r(gid, &group, texts, sizeof texts, &found);
    return why || !found ? returned(why) : tell_group(found, to, buffer, size, out);
}
OURS(getgrgid_r)
