#include "darwin.h"

#include "machine/state.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "seconds.h"

static struct state quiet = {.magic = STATE_MAGIC, .version = STATE_VERSION};
static struct state *mapped = &quiet;
static pthread_once_t mapping = PTHREAD_ONCE_INIT;

uint64_t linux_monotonic(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now)) refuse("CLOCK_MONOTONIC: %m");
    return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

struct state *state_of(const char *directory) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/state", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) || ftruncate(fd, sizeof(struct state))) refuse("the machine's %s: %m", path);
    struct state *at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) refuse("the machine's %s: %m", path);
    if (at->magic == 0) {
        at->version = STATE_VERSION;
        at->magic = STATE_MAGIC;
    }
    if (at->magic != STATE_MAGIC || at->version != STATE_VERSION) refuse("%s is of another version", path);
    // The mapping keeps the open file, and that would keep the lock.
    if (flock(fd, LOCK_UN)) refuse("the machine's %s: %m", path);
    close(fd);
    return at;
}

static void map(void) {
    const char *directory = machine_directory();
    if (directory) mapped = state_of(directory);
}

struct state *state(void) {
    pthread_once(&mapping, map);
    return mapped;
}

const char *machine_directory(void) { return getenv("DARWIN_MACHINE"); }

uint64_t machine_slept(void) {
    const struct state *now = state();
    uint64_t since = now->asleep_since;
    return now->slept + (since ? linux_monotonic() - since : 0);
}

uint64_t machine_skipped(void) { return state()->skipped; }

bool machine_will_shutdown(void) { return state()->will_shutdown != 0; }

bool machine_in_dark_wake(void) { return state()->power == POWER_DARK; }

// ---- the keychain ---------------------------------------------------------------------------------------------------

enum keychain_mode machine_keychain(void) { return (enum keychain_mode)state()->keychain; }

// Linux' futex(2): the mode is in memory that several processes have.
static void futex(struct state *of, int operation, uint32_t value) {
    syscall(SYS_futex, &of->keychain, operation, value, NULL, NULL, 0);
}

enum keychain_mode machine_keychain_answer(void) {
    // It is asked again after whatever has woken it.
    while (machine_keychain() == KEYCHAIN_ASKS) futex(state(), FUTEX_WAIT, KEYCHAIN_ASKS);
    return machine_keychain();
}

void state_set_keychain(struct state *of, enum keychain_mode mode) {
    of->keychain = mode;
    futex(of, FUTEX_WAKE, INT32_MAX);
}

// ---- interfaces -----------------------------------------------------------------------------------------------------

static struct interface *find(struct state *of, const char *name) {
    for (size_t i = 0; i < INTERFACES; i++) {
        if (!strncmp(of->interfaces[i].name, name, INTERFACE_NAME)) return &of->interfaces[i];
    }
    return NULL;
}

static bool has_link(const char *name, enum link link) {
    const struct interface *interface = *name ? find(state(), name) : NULL;
    return interface && interface->link == link;
}

bool machine_interface_gone(const char *name) { return has_link(name, LINK_GONE); }

bool machine_interface_down(const char *name) { return has_link(name, LINK_DOWN); }

bool state_set_link(struct state *of, const char *name, enum link link) {
    if (!*name || strlen(name) >= INTERFACE_NAME) return false;
    struct interface *interface = find(of, name);
    if (!interface) interface = find(of, "");
    if (!interface) return false;
    strcpy(interface->name, name);
    interface->link = link;
    return true;
}

// ---- the log --------------------------------------------------------------------------------------------------------

// A program that has as many descriptors as it may is given time to close one. The log is not kept open: a program may
// close what it does not know.
static int open_log(const char *path) {
    enum { TRIES = 1000, PAUSE = 5000 };  // of microseconds
    for (int tries = 0;; tries++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EMFILE || tries == TRIES) return fd;
        usleep(PAUSE);
    }
}

void machine_note(const char *format, ...) {
    const char *directory = machine_directory();
    if (!directory) return;
    char path[PATH_MAX], line[1024];
    int length = snprintf(line, sizeof line, "%d ", (int)getpid());
    va_list dots;
    va_start(dots, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, dots);
    va_end(dots);
    if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    // One write, appended: lines of several processes do not mix.
    snprintf(path, sizeof path, "%s/log", directory);
    int fd = open_log(path);
    if (fd < 0 || write(fd, line, (size_t)length) != length) refuse("the machine's %s: %m", path);
    close(fd);
}
