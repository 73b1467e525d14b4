#include "system/paths.h"
#include "machine/machine.h"
#include "system/errors.h"
#include "system/utf8.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

// Of users' temporary files: /var/folders on a Mac. Programs of Linux that a test starts find them by this name, too,
// and what is inside has a path as long as on a Mac, where a socket's has to have room in struct sockaddr_un.
#define FOLDERS "/tmp/.darwin"
_Static_assert(sizeof FOLDERS == sizeof "/var/folders", "paths of sockets");

struct pair { const char *darwin, *of_linux; };

// The longer ones first: the first that fits is taken.
static const struct pair pairs[] = {
    {"/private/var/run", "/run"},
    {"/private/var", "/var"},
    {"/private/tmp", "/tmp"},
    {"/private/etc", "/etc"},
    {"/private", "/"},
};

struct system_link { const char *path, *holds; };

static const struct system_link links[] = {{"/var", "private/var"}, {"/tmp", "private/tmp"}, {"/etc", "private/etc"}};

static const char *const not_on_darwin[] = {"/proc", "/sys", "/run"};

#define EACH(item, list) (size_t item = 0; item < sizeof(list) / sizeof *(list); item++)

// Where `path` goes on behind `start`, if it is `start` or below it; else NULL.
static const char *below(const char *path, const char *start) {
    size_t length = strlen(start);
    if (strncmp(path, start, length) != 0 || (path[length] != 0 && path[length] != '/'))
        return NULL;
    return path + length;
}

// By its name: an emulator of another processor has a `/` of its own for stat().
static bool is_root(int directory) {
    char link[64] = "/proc/self/cwd", name[2];
    if (directory != AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    return readlink(link, name, sizeof name) == 1 && name[0] == '/';
}

// Whether a relative path begins with a name whose meaning in `/` differs between the two systems.
static bool begins_specially(const char *path) {
    static const char *const names[] = {"private", "var", "tmp", "etc", "proc", "sys", "run"};
    for EACH(i, names)
        if (below(path, names[i]))
            return true;
    return false;
}

// An absolute path in one form: one slash at its start, no `.` behind it. false: it does not fit.
static bool tidy(const char *path, char to[DARWIN_MAXPATHLEN]) {
    while (path[0] == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == 0)))
        path++;
    return snprintf(to, DARWIN_MAXPATHLEN, "/%s", path) < DARWIN_MAXPATHLEN;
}

// The Mac's own, in the machine's directory: all of /Library, and those of its tools that a test has put there.
static bool is_the_machines(struct place *place, const char *given) {
    static const char *const tools[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};
    const char *directory = machine_directory();
    if (directory == NULL)
        return false;
    bool its = below(given, "/Library") != NULL, tool = false;
    for EACH(i, tools)
        tool = tool || below(given, tools[i]);
    if (!its && !tool)
        return false;
    if (snprintf(place->room, sizeof place->room, "%s%s", directory, given) >= (int)sizeof place->room)
        refuse("DARWIN_MACHINE=%s is too long", directory);
    place->path = place->room;
    return its || access(place->path, F_OK) == 0;
}

static bool absolute(struct place *place, const char *path) {
    char given[DARWIN_MAXPATHLEN], full[LINUX_ROOM];
    if (!tidy(path, given)) {
        fail(DARWIN_ENAMETOOLONG);
        return false;
    }
    for EACH(i, not_on_darwin)
        if (below(given, not_on_darwin[i])) {
            fail(DARWIN_ENOENT);
            return false;
        }
    if (is_the_machines(place, given))
        return true;
    snprintf(full, sizeof full, "%s", given);
    for EACH(i, links) {
        const char *rest = below(given, links[i].path);
        if (rest == NULL)
            continue;
        place->through_link = true;
        place->link = *rest == 0 ? links[i].holds : NULL;
        snprintf(full, sizeof full, "/private%s", given);
    }
    for EACH(i, pairs) {
        const char *rest = below(full, pairs[i].darwin);
        if (rest == NULL)
            continue;
        snprintf(place->room, sizeof place->room, "%s%s", pairs[i].of_linux,
                 pairs[i].of_linux[1] || *rest == 0 ? rest : rest + 1);
        place->path = place->room;
        return true;
    }
    snprintf(place->room, sizeof place->room, "%s", full);
    place->path = place->room;
    return true;
}

// Whether it is UTF-8: APFS takes no other names (Apple File System Guide, "Frequently
// Asked Questions": "APFS accepts only valid UTF-8 encoded filenames for creation").
static bool is_utf8(const char *path) {
    size_t left = strlen(path);
    for (const unsigned char *at = (const unsigned char *)path; left > 0;) {
        size_t length = utf8_character(at, left);
        if (length == 0)
            return false;
        at += length;
        left -= length;
    }
    return true;
}

bool locate(struct place *place, int directory, const char *path) {
    place->link = NULL;
    place->through_link = false;
    place->path = path;
    // Linux' number for the current directory is a bad descriptor on Darwin.
    place->directory = directory == DARWIN_AT_FDCWD ? AT_FDCWD : directory < 0 ? -1 : directory;
    if (path == NULL) {
        fail(DARWIN_EFAULT);
        return false;
    }
    if (!is_utf8(path)) {
        fail(DARWIN_EILSEQ);
        return false;
    }
    if (path[0] == '/')
        return absolute(place, path);
    if (strnlen(path, DARWIN_MAXPATHLEN) == DARWIN_MAXPATHLEN) {
        fail(DARWIN_ENAMETOOLONG);
        return false;
    }
    return !begins_specially(path) || !is_root(place->directory) || absolute(place, path);
}

bool locate_here(struct place *place, const char *path) {
    return locate(place, DARWIN_AT_FDCWD, path);
}

bool path_to_darwin(const char *linux_path, char to[DARWIN_MAXPATHLEN]) {
    int length = -1;
    const char *in_machine = machine_directory() ? below(linux_path, machine_directory()) : NULL;
    if (in_machine && below(in_machine, "/Library"))
        length = snprintf(to, DARWIN_MAXPATHLEN, "%s", in_machine);
    for EACH(i, pairs) {
        const char *rest = pairs[i].of_linux[1] ? below(linux_path, pairs[i].of_linux) : NULL;
        if (rest && length < 0)
            length = snprintf(to, DARWIN_MAXPATHLEN, "%s%s", pairs[i].darwin, rest);
    }
    if (length < 0)
        length = snprintf(to, DARWIN_MAXPATHLEN, "%s", linux_path);
    if (length < DARWIN_MAXPATHLEN)
        return true;
    fail(DARWIN_ENAMETOOLONG);
    return false;
}

int path_of_descriptor(int fd, char to[DARWIN_MAXPATHLEN]) {
    char link[64], path[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    // bsd/kern/kern_descrip.c, F_GETPATH: what is no vnode has no path, and says EBADF.
    if (length <= 0 || path[0] != '/')
        return DARWIN_EBADF;
    path[length] = 0;
    // Linux writes " (deleted)" behind a name that is gone; xnu's vn_getpath finds none.
    struct stat open_file;
    if (fstat(fd, &open_file) == 0 && open_file.st_nlink == 0)
        return DARWIN_ENOENT;
    return path_to_darwin(path, to) ? 0 : DARWIN_ENAMETOOLONG;
}

// Libc's gen/confstr.c asks _dirhelper for it. The name has this length for every user, which matters to what is put
// inside: a socket's path has 103 bytes at most. (For root it is the very name.)
bool temporary_folder(char to[DARWIN_MAXPATHLEN]) {
    char folder[64], made[LINUX_ROOM];
    snprintf(folder, sizeof folder, "/zz/zyxvpxvq6csfxvn_n%013x/T", getuid());
    snprintf(made, sizeof made, "%s%s", FOLDERS, folder);
    for (char *slash = made + strlen("/tmp/"); (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = 0;
        // Every user makes the next one's: as /tmp is, open to all and sticky.
        if (mkdir(made, 01777) == 0 && chmod(made, 01777) != 0)
            return false;
    }
    if (mkdir(made, 0700) != 0 && errno != EEXIST)
        return false;
    errno = 0;
    return snprintf(to, DARWIN_MAXPATHLEN, "%s/", made) > 0;
}
