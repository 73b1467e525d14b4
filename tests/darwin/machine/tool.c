// machrun --machine DIR [--process PID] [--bound SECONDS] WORD…
//
//   can-sleep                     an idle machine asks whether it may: "allowed", "refused", "late"
//   sleep                         it goes to sleep; the processes then stand still
//   dark-wake                     it runs, with its screen dark: programs run, and are told nothing
//   wake [SECONDS]                it is awake; SECONDS: so long it has slept, by the clocks that go on meanwhile
//   shutdown-begun                kern.willshutdown is 1
//   network [KEY…]                the dynamic store's keys have changed
//   interface NAME gone|down|back
//   keychain works|locked|refuses|read-only|asks
//   processes                     who waits for words
#include "darwin.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "machine/channel.h"
#include "machine/state.h"
#include "seconds.h"

enum { HEARD = 0, UNHEARD_BY_ALL = 1, USAGE = 64, MOST_PROCESSES = 64 };
// Until sleep is not waited for any longer: kWillSleepMaxTimeReq (xnu, iokit/Kernel/IOServicePM.cpp).
enum { USUAL_BOUND = 30 };
#define LINK_KEY "State:/Network/Interface/%s/Link"

struct machine {
    const char *directory;
    struct state *state;
    int only;   // this process; 0: all
    int bound;  // seconds
};

// ---- processes ------------------------------------------------------------------------------------------------------

// -1: nobody listens there.
static int connect_to(const struct machine *machine, int process) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!channel_path(machine->directory, process, address.sun_path)) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) refuse("a socket: %m");
    if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
    close(fd);
    if (errno == ECONNREFUSED) unlink(address.sun_path);  // of one that was killed
    return -1;
}

// Those that listen.
static int processes_of(const struct machine *machine, int processes[MOST_PROCESSES]) {
    DIR *directory = opendir(machine->directory);
    if (!directory) refuse("%s: %m", machine->directory);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        int process = 0, end = 0;
        if (sscanf(entry->d_name, "%d.sock%n", &process, &end) != 1 || !end || entry->d_name[end]) continue;
        if (machine->only && machine->only != process) continue;
        int fd = connect_to(machine, process);
        if (fd < 0) continue;
        close(fd);
        if (count == MOST_PROCESSES) refuse("more than %d processes", MOST_PROCESSES);
        processes[count++] = process;
    }
    closedir(directory);
    return count;
}

// Says a line to all, at once, and prints their answers. `refused`: whether one has said so.
static int say(const struct machine *machine, const char *line, bool *refused) {
    int processes[MOST_PROCESSES], fds[MOST_PROCESSES], heard = 0;
    int count = processes_of(machine, processes);
    for (int i = 0; i < count; i++) {
        fds[i] = connect_to(machine, processes[i]);
        if (fds[i] >= 0 && channel_write(fds[i], line)) continue;
        if (fds[i] >= 0) close(fds[i]);
        fds[i] = -1;
    }
    for (int i = 0; i < count; i++) {
        if (fds[i] < 0) continue;
        char answer[LINE];
        if (channel_read(fds[i], answer)) {
            printf("%d %s\n", processes[i], answer);
            if (strcmp(answer, UNHEARD)) heard++;
            if (refused && !strcmp(answer, REFUSED)) *refused = true;
        }
        close(fds[i]);
    }
    return heard ? HEARD : UNHEARD_BY_ALL;
}

// Only those that listen, also while they stand still: the number of one that has gone may be another's now.
static void signal_all(const struct machine *machine, int number) {
    int processes[MOST_PROCESSES], count = processes_of(machine, processes);
    for (int i = 0; i < count; i++) kill(processes[i], number);
}

// ---- power ----------------------------------------------------------------------------------------------------------

static int complain(const char *what) {
    fprintf(stderr, "machrun: %s\n", what);
    return UNHEARD_BY_ALL;
}

static int can_sleep(const struct machine *machine) {
    if (machine->state->power != POWER_FULL) return complain("it is not wide awake");
    char line[LINE];
    snprintf(line, sizeof line, "can-sleep %u %d", (unsigned)++machine->state->serial, machine->bound);
    bool refused = false;
    int result = say(machine, line, &refused);
    // Who was asked is told that it comes to nothing (IOPMrootDomain.cpp, tellNoChangeDown).
    return refused ? say(machine, "will-not-sleep", NULL) : result;
}

// Programs are told when the machine leaves full wake; not when it sleeps again from a dark one (IOPMrootDomain.cpp,
// handleOurPowerChangeStart: kSystemMessageClientLegacyApp).
static int fall_asleep(const struct machine *machine) {
    struct state *state = machine->state;
    if (state->power == POWER_ASLEEP) return complain("it sleeps already");
    char line[LINE];
    snprintf(line, sizeof line, "sleep %u %d", (unsigned)++state->serial, machine->bound);
    int result = state->power == POWER_FULL ? say(machine, line, NULL) : HEARD;
    state->asleep_since = linux_monotonic();
    state->power = POWER_ASLEEP;
    signal_all(machine, SIGSTOP);
    return result;
}

static void run_again(const struct machine *machine, uint64_t seconds) {
    struct state *state = machine->state;
    uint64_t since = state->asleep_since, really = linux_monotonic() - since;
    uint64_t said = seconds * NSEC_PER_SEC;
    if (said > really) state->skipped += said - really;
    state->slept += really;
    state->asleep_since = 0;
    signal_all(machine, SIGCONT);
}

static int wake_dark(const struct machine *machine, uint64_t seconds) {
    if (machine->state->power != POWER_ASLEEP) return complain("it does not sleep");
    run_again(machine, seconds);
    machine->state->power = POWER_DARK;
    return HEARD;
}

static int wake(const struct machine *machine, uint64_t seconds) {
    enum power before = machine->state->power;
    if (before == POWER_FULL) return complain("it is awake");
    if (before == POWER_ASLEEP) run_again(machine, seconds);
    machine->state->power = POWER_FULL;
    // From a dark wake there is no kIOMessageSystemWillPowerOn (IOPMrootDomain.cpp, handleOurPowerChangeDone).
    return say(machine, before == POWER_ASLEEP ? "wake" : "full-wake", NULL);
}

// ---- the rest -------------------------------------------------------------------------------------------------------

static int set_link(const struct machine *machine, const char *name, const char *how) {
    enum link link;
    if (!strcmp(how, "gone")) link = LINK_GONE;
    else if (!strcmp(how, "down")) link = LINK_DOWN;
    else if (!strcmp(how, "back")) link = LINK_USUAL;
    else return USAGE;
    if (!state_set_link(machine->state, name, link)) return complain("too many interfaces, or too long a name");
    char line[LINE];
    snprintf(line, sizeof line, "network " LINK_KEY, name);
    return say(machine, line, NULL);
}

static int set_keychain(const struct machine *machine, const char *mode) {
    static const char *const modes[] = {
        [KEYCHAIN_WORKS] = "works", [KEYCHAIN_LOCKED] = "locked",
        [KEYCHAIN_REFUSES] = "refuses", [KEYCHAIN_READ_ONLY] = "read-only", [KEYCHAIN_ASKS] = "asks",
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(modes[i], mode)) continue;
        state_set_keychain(machine->state, (enum keychain_mode)i);
        return HEARD;
    }
    return USAGE;
}

static int tell_network(const struct machine *machine, int count, char **keys) {
    char line[LINE] = "network";
    size_t length = strlen(line);
    for (int i = 0; i < count && length < sizeof line; i++) {
        length += (size_t)snprintf(line + length, sizeof line - length, " %s", keys[i]);
    }
    if (count == 0) length += (size_t)snprintf(line + length, sizeof line - length, " " LINK_KEY, "en0");
    return length < sizeof line ? say(machine, line, NULL) : USAGE;
}

static int list(const struct machine *machine) {
    int processes[MOST_PROCESSES], count = processes_of(machine, processes);
    for (int i = 0; i < count; i++) printf("%d\n", processes[i]);
    return count ? HEARD : UNHEARD_BY_ALL;
}

static int act(const struct machine *machine, int words, char **word) {
    uint64_t seconds = words == 2 ? strtoull(word[1], NULL, 10) : 0;
    if (!strcmp(word[0], "can-sleep") && words == 1) return can_sleep(machine);
    if (!strcmp(word[0], "sleep") && words == 1) return fall_asleep(machine);
    if (!strcmp(word[0], "dark-wake") && words <= 2) return wake_dark(machine, seconds);
    if (!strcmp(word[0], "wake") && words <= 2) return wake(machine, seconds);
    if (!strcmp(word[0], "network")) return tell_network(machine, words - 1, word + 1);
    if (!strcmp(word[0], "interface") && words == 3) return set_link(machine, word[1], word[2]);
    if (!strcmp(word[0], "keychain") && words == 2) return set_keychain(machine, word[1]);
    if (!strcmp(word[0], "processes") && words == 1) return list(machine);
    if (!strcmp(word[0], "shutdown-begun") && words == 1) {
        machine->state->will_shutdown = 1;
        return HEARD;
    }
    return USAGE;
}

int machine_tool(int argc, char **argv) {
    struct machine machine = {.bound = USUAL_BOUND};
    int at = 0;
    if (at < argc) machine.directory = argv[at++];
    for (; at + 1 < argc && !strncmp(argv[at], "--", 2); at += 2) {
        if (!strcmp(argv[at], "--process")) machine.only = atoi(argv[at + 1]);
        else if (!strcmp(argv[at], "--bound")) machine.bound = atoi(argv[at + 1]);
        else break;
    }
    struct stat about;
    if (machine.directory && (stat(machine.directory, &about) || !S_ISDIR(about.st_mode))) {
        fprintf(stderr, "machrun: %s is no directory\n", machine.directory);
        return USAGE;
    }
    int result = USAGE;
    if (at < argc) {
        machine.state = state_of(machine.directory);
        result = act(&machine, argc - at, argv + at);
    }
    if (result == USAGE) fprintf(stderr, "machrun: --machine DIR [--process PID] [--bound SECONDS] WORD…\n");
    return result;
}
