// IORegisterForSystemPower, and how a program answers.
//
//   machrun … sleep ──► word_sleep ──► port ──► run loop ──► the program's callback
//                          │ waits                               │
//                          ◄──────────── IOAllowPowerChange(root, number) ◄─┘
//
// Sources: IOPMLib.c (tag IOKitUser-100222.0.4); IOMessage.h, IOServicePM.cpp and IOPMrootDomain.cpp of xnu (tag
// xnu-11417.101.15). That the machine is switched off or restarted is not told to programs (IOMessage.h: "Never
// delivered to user space notification clients"): launchd sends SIGTERM.
#include <pthread.h>
#include <time.h>

#include "darwin.h"
#include "frameworks/notification_port.h"
#include "machine/channel.h"
#include "machine/machine.h"

enum system_message {
    CAN_SLEEP = (int)0xe0000270,
    WILL_SLEEP = (int)0xe0000280,
    WILL_NOT_SLEEP = (int)0xe0000290,
    HAS_POWERED_ON = (int)0xe0000300,
    WILL_POWER_ON = (int)0xe0000320,
};

// Programs that were late so often are not waited for any more (IOPMrootDomain.cpp, systemMessageFilter).
enum { LATE_TOO_OFTEN = 3 };
// Until a program that is told, and need not answer, has heard. Not Darwin's: it does not wait for that.
enum { HEARING_MILLISECONDS = 30000 };

enum answer { NONE, ALLOWED, CANCELLED };

// A program registers once, as ours does, or it is refused.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool registered;
    io_name root;
    struct notification_port *port;
    struct interest interest;
    uint32_t awaited;  // the number that is to be answered with; 0: nothing is
    enum answer answer;
    int late;
} power = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct io_class root_class = {.name = "IOPMrootDomain"};
static const struct io_class connection_class = {.name = "RootDomainUserClient"};

static void stop_telling(struct io_object *notifier) {
    (void)notifier;
    pthread_mutex_lock(&power.lock);
    power.registered = false;
    pthread_mutex_unlock(&power.lock);
}
static const struct io_class notifier_class = {.name = "power notification", .end = stop_telling};

static io_name darwin_IORegisterForSystemPower(void *refcon, struct notification_port **port,
                                               interest_callback *callback, io_name *notifier) {
    if (power.port) refuse("IORegisterForSystemPower twice");
    struct io_object *root = io_create(&root_class, sizeof *root);
    struct io_object *connection = io_create(&connection_class, sizeof *connection);
    struct io_object *notification = io_create(&notifier_class, sizeof *notification);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&power.answered, &monotonic);
    power.port = notification_port_hold(notification_port_create());
    power.root = connection->name;
    // The callback is told the service by a name that the program has no reference of.
    power.interest = (struct interest){.callback = callback, .refcon = refcon, .service = root->name};
    power.registered = true;
    io_release(root->name);
    *port = power.port;
    *notifier = notification->name;
    machine_note("power registered");
    machine_listen();
    return connection->name;
}
OURS(IORegisterForSystemPower)

// ---- what the program answers ---------------------------------------------------------------------------------------

// A number that nobody waits for is passed over, and reported as a success (IOServicePM.cpp, allowPowerChange).
static int answer_with(io_name root, intptr_t number, enum answer answer) {
    const char *what = answer == ALLOWED ? "allowed" : "cancelled";
    io_of(&connection_class, root);
    pthread_mutex_lock(&power.lock);
    bool due = power.awaited != 0 && (uint32_t)number == power.awaited && power.answer == NONE;
    if (due) power.answer = answer;
    pthread_cond_broadcast(&power.answered);
    pthread_mutex_unlock(&power.lock);
    machine_note(due ? "power %s %#lx" : "power %s %#lx, which nobody waits for", what, (long)number);
    return IO_SUCCESS;
}

static int darwin_IOAllowPowerChange(io_name root, intptr_t number) { return answer_with(root, number, ALLOWED); }
static int darwin_IOCancelPowerChange(io_name root, intptr_t number) { return answer_with(root, number, CANCELLED); }
OURS(IOAllowPowerChange) OURS(IOCancelPowerChange)

// ---- what the machine says ------------------------------------------------------------------------------------------

// Tells, and waits for the answer. The number is made of the message's serial number and the client's place among
// those that are asked (IOServicePM.cpp, pmTellAppWithResponse).
static bool ask(enum system_message message, const char *arguments, char *answer, size_t room) {
    unsigned serial = 0, seconds = 0;
    if (sscanf(arguments, "%u %u", &serial, &seconds) != 2) return false;
    pthread_mutex_lock(&power.lock);
    bool told = power.registered, waited = power.late < LATE_TOO_OFTEN;
    uint32_t number = (serial & 0xffff) << 16;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    if (told) {
        power.awaited = number;
        power.answer = NONE;
        notification_port_tell(power.port, &power.interest, (uint32_t)message, number);
        int over = 0;
        while (waited && power.answer == NONE && !over) {
            over = pthread_cond_timedwait(&power.answered, &power.lock, &until);
        }
        power.late = power.answer == NONE ? power.late + 1 : 0;
        const char *text = power.answer == ALLOWED ? "allowed" : power.answer == CANCELLED ? REFUSED : "late";
        snprintf(answer, room, "%s", waited ? text : "not waited for");
        power.awaited = 0;
    }
    pthread_mutex_unlock(&power.lock);
    return told;
}

static bool hear_can_sleep(const char *arguments, char *answer, size_t room) {
    return ask(CAN_SLEEP, arguments, answer, room);
}
// A sleep that has begun is refused by nobody (IOServicePM.cpp, kIOPMSkipAskPowerDown): who cancels it has answered.
static bool hear_sleep(const char *arguments, char *answer, size_t room) {
    return ask(WILL_SLEEP, arguments, answer, room);
}
WORD("can-sleep", hear_can_sleep)
WORD("sleep", hear_sleep)

static bool tell(enum system_message message, char *answer, size_t room) {
    if (!power.registered) return false;
    bool heard = notification_port_tell_and_wait(power.port, &power.interest, (uint32_t)message, 0,
                                                 HEARING_MILLISECONDS);
    snprintf(answer, room, "%s", heard ? "heard" : "late");
    return true;
}

static bool hear_will_not_sleep(const char *arguments, char *answer, size_t room) {
    (void)arguments;
    return tell(WILL_NOT_SLEEP, answer, room);
}
static bool hear_wake(const char *arguments, char *answer, size_t room) {
    (void)arguments;
    return tell(WILL_POWER_ON, answer, room) && tell(HAS_POWERED_ON, answer, room);
}
static bool hear_full_wake(const char *arguments, char *answer, size_t room) {
    (void)arguments;
    return tell(HAS_POWERED_ON, answer, room);
}
WORD("will-not-sleep", hear_will_not_sleep)
WORD("wake", hear_wake)
WORD("full-wake", hear_full_wake)
