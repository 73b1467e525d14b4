// launch_activate_socket: the sockets in the job's property list.
//
// A test is launchd by the protocol that other service managers have for the same (sd_listen_fds(3)): LISTEN_FDS
// descriptors from 3 on, for the process LISTEN_PID, and in LISTEN_FDNAMES their names with colons between them.
// Several may have one name, as of a host name with several addresses. Without names, each has every name.
//
// Source: launch.h of the SDK: 0 or an error number. ESRCH: "The calling process is not managed by launchd(8)"; ENOENT:
// "The socket name specified does not exist in the caller's launchd.plist(5)"; EALREADY: "The specified socket has
// already been activated by the caller".
#include "darwin.h"

#include <pthread.h>
#include <stdbool.h>

#include "machine/machine.h"
#include "system/allocate.h"
#include "system/errors.h"

enum { FIRST = 3, MOST = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool handed[MOST];

static int how_many(void) {
    const char *process = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!process || !count || atoi(process) != getpid()) return 0;
    int descriptors = atoi(count);
    if (descriptors > MOST) refuse("launchd: %d sockets are more than are modelled", descriptors);
    return descriptors;
}

static bool is_named(int index, const char *name) {
    const char *at = getenv("LISTEN_FDNAMES");
    if (!at) return true;
    for (; index > 0; index--) {
        at = strchr(at, ':');
        if (!at) return false;
        at++;
    }
    size_t length = strcspn(at, ":");
    return strlen(name) == length && !strncmp(at, name, length);
}

// The array is the caller's, to be freed.
static int darwin_launch_activate_socket(const char *name, int **descriptors, size_t *count) {
    int there = how_many();
    *descriptors = NULL;
    *count = 0;
    if (there == 0) return DARWIN_ESRCH;
    int found[MOST];
    size_t named = 0, fresh = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < there; i++) {
        if (!is_named(i, name)) continue;
        named++;
        if (handed[i]) continue;
        handed[i] = true;
        found[fresh++] = FIRST + i;
    }
    pthread_mutex_unlock(&lock);
    if (named == 0) return DARWIN_ENOENT;
    if (fresh == 0) return DARWIN_EALREADY;
    *descriptors = zeroed(fresh, sizeof **descriptors);
    memcpy(*descriptors, found, fresh * sizeof **descriptors);
    *count = fresh;
    machine_note("launchd gave %zu of %s", fresh, name);
    return 0;
}
OURS(launch_activate_socket)
