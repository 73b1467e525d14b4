#include "frameworks/notification_port.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "darwin.h"
#include "frameworks/run_loop.h"
#include "seconds.h"
#include "system/allocate.h"

// OSMessageNotification.h: the words of a reference, and how many words a completion carries at most.
enum { CALLOUT_FUNCTION = 1, CALLOUT_REFCON = 2, MOST_WORDS = 16 };

struct message {
    struct message *next;
    uint64_t number;
    void (*deliver)(const struct message *);
    struct interest interest;
    uint32_t type;
    uint64_t argument;
    uint64_t function, refcon;
    uint32_t count;
    // IOAsyncCompletionContent: the words follow a result of four bytes, so they are not aligned to eight.
    struct __attribute__((packed, aligned(8))) { uint32_t result; uint64_t words[MOST_WORDS]; } content;
};
_Static_assert(offsetof(struct message, content.words) % 8 == 4, "as the kernel's message has it");

// The Mach port, by which calls name it.
struct wake_port { struct io_object object; struct notification_port *port; };
static const struct io_class wake_port_class = {.name = "notification port"};

struct notification_port {
    atomic_int users;  // the program, until it destroys it, and who was given it to send to
    io_name wake;
    struct source *source;
    pthread_mutex_t lock;
    pthread_cond_t delivered;
    struct message *first, **last;
    uint64_t sent, done;
    bool destroyed;  // what is sent goes nowhere
};

static void read_port(void *info) {
    struct notification_port *port = info;
    for (;;) {
        pthread_mutex_lock(&port->lock);
        struct message *message = port->first;
        if (message) port->first = message->next;
        if (!port->first) port->last = &port->first;
        pthread_mutex_unlock(&port->lock);
        if (!message) return;
        message->deliver(message);
        pthread_mutex_lock(&port->lock);
        port->done = message->number;
        pthread_cond_broadcast(&port->delivered);
        pthread_mutex_unlock(&port->lock);
        free(message);
    }
}

struct notification_port *notification_port_create(void) {
    struct notification_port *made = zeroed(1, sizeof *made);
    struct wake_port *wake = io_create(&wake_port_class, sizeof *wake);
    made->users = 1;
    wake->port = made;
    made->wake = wake->object.name;
    made->source = source_create(read_port, made);
    made->last = &made->first;
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&made->delivered, &monotonic);
    return made;
}

struct notification_port *notification_port_named(io_name wake_port) {
    return ((struct wake_port *)io_of(&wake_port_class, wake_port))->port;
}

struct notification_port *notification_port_hold(struct notification_port *port) {
    port->users++;
    return port;
}

void notification_port_let_go(struct notification_port *port) {
    if (!port || --port->users) return;
    pthread_cond_destroy(&port->delivered);
    pthread_mutex_destroy(&port->lock);
    free(port);
}

static struct message *message_create(void (*deliver)(const struct message *)) {
    struct message *made = zeroed(1, sizeof *made);
    made->deliver = deliver;
    return made;
}

// The message's number.
static uint64_t send_to(struct notification_port *port, struct message *message) {
    pthread_mutex_lock(&port->lock);
    uint64_t number = message->number = ++port->sent;
    if (port->destroyed) {
        free(message);
    } else {
        *port->last = message;
        port->last = &message->next;
        source_arrive(port->source);
    }
    pthread_mutex_unlock(&port->lock);
    return number;
}

// ---- messages of services -------------------------------------------------------------------------------------------

static void deliver_interest(const struct message *message) {
    const struct interest *to = &message->interest;
    to->callback(to->refcon, to->service, message->type, (void *)message->argument);
}

static uint64_t tell(struct notification_port *port, const struct interest *whom, uint32_t type, uint64_t argument) {
    struct message *message = message_create(deliver_interest);
    message->interest = *whom;
    message->type = type;
    message->argument = argument;
    return send_to(port, message);
}

void notification_port_tell(struct notification_port *port, const struct interest *whom, uint32_t message,
                            uint64_t argument) {
    tell(port, whom, message, argument);
}

bool notification_port_tell_and_wait(struct notification_port *port, const struct interest *whom, uint32_t message,
                                     uint64_t argument, uint64_t milliseconds) {
    uint64_t number = tell(port, whom, message, argument);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t nanoseconds = (uint64_t)until.tv_nsec + milliseconds % MSEC_PER_SEC * NSEC_PER_MSEC;
    until.tv_sec += (time_t)(milliseconds / MSEC_PER_SEC + nanoseconds / NSEC_PER_SEC);
    until.tv_nsec = (long)(nanoseconds % NSEC_PER_SEC);
    int late = 0;
    pthread_mutex_lock(&port->lock);
    while (port->done < number && !late) late = pthread_cond_timedwait(&port->delivered, &port->lock, &until);
    bool done = port->done >= number;
    pthread_mutex_unlock(&port->lock);
    return done;
}

// ---- ends of asynchronous calls -------------------------------------------------------------------------------------

typedef void callback_0(void *refcon, int result);
typedef void callback_1(void *refcon, int result, void *word);
typedef void callback_2(void *refcon, int result, void *word, void *other);
typedef void callback_many(void *refcon, int result, void **words, uint32_t count);

// IOKitLib.h: IOAsyncCallback0, 1, 2 and IOAsyncCallback, by the number of words.
static void deliver_completion(const struct message *message) {
    void *refcon = (void *)message->refcon;
    int result = (int)message->content.result;
    uint64_t words[2];
    memcpy(words, message->content.words, sizeof words);
    switch (message->count) {
    case 0: ((callback_0 *)message->function)(refcon, result); break;
    case 1: ((callback_1 *)message->function)(refcon, result, (void *)words[0]); break;
    case 2: ((callback_2 *)message->function)(refcon, result, (void *)words[0], (void *)words[1]); break;
    default: {
        void **unaligned = (void **)((uintptr_t)&message->content + offsetof(struct message, content.words) -
                                     offsetof(struct message, content));
        ((callback_many *)message->function)(refcon, result, unaligned, message->count);
    }
    }
}

void notification_port_complete(struct notification_port *port, const uint64_t *reference, int result,
                                const uint64_t *words, uint32_t count) {
    if (count > MOST_WORDS) refuse("IOKit: a completion of %u words", count);
    struct message *message = message_create(deliver_completion);
    message->function = reference[CALLOUT_FUNCTION];
    message->refcon = reference[CALLOUT_REFCON];
    message->count = count;
    message->content.result = (uint32_t)result;
    memcpy(message->content.words, words, count * sizeof *words);
    send_to(port, message);
}

// ---- what the program calls -----------------------------------------------------------------------------------------

static struct notification_port *darwin_IONotificationPortCreate(io_name main_port) {
    if (main_port != IO_OBJECT_NULL) refuse("IONotificationPortCreate with a main port of its own");
    return notification_port_create();
}

static void darwin_IONotificationPortDestroy(struct notification_port *port) {
    io_release(port->wake);
    pthread_mutex_lock(&port->lock);
    port->destroyed = true;
    struct message *message = port->first;
    port->first = NULL;
    port->last = &port->first;
    pthread_mutex_unlock(&port->lock);
    object_release(port->source);
    for (struct message *next; message; message = next) {
        next = message->next;
        free(message);
    }
    notification_port_let_go(port);
}

// Not the caller's reference (the get rule).
static struct source *darwin_IONotificationPortGetRunLoopSource(struct notification_port *port) { return port->source; }
static io_name darwin_IONotificationPortGetMachPort(struct notification_port *port) { return port->wake; }
OURS(IONotificationPortCreate) OURS(IONotificationPortDestroy) OURS(IONotificationPortGetRunLoopSource)
OURS(IONotificationPortGetMachPort)
