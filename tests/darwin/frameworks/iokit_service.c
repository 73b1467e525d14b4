// Services of IOKit, and calls of their user clients.
//
//   IOServiceGetMatchingService ─► registry: the extension that DARWIN_KERNEL_SIM names, or none
//   IOConnectCall…Method ────────► kernel_sim, with the descriptor that the call's struct names beside it
//   a notice ────────────────────► notification port ─► run loop ─► the function in the call's reference
//
// Sources: IOKitLib.c (tag IOKitUser-100222.0.4); IOService::newUserClient (xnu, iokit/Kernel/IOService.cpp).
#include "darwin.h"

#include <pthread.h>

#include "../../../kext-shim/include/iscsi_kext.h"
#include "frameworks/notification_port.h"
#include "frameworks/object.h"
#include "frameworks/registry.h"

// OSMessageNotification.h: kIOAsyncCalloutCount words.
enum { REFERENCE = 3 };

static struct dictionary *darwin_IOServiceMatching(const char *class) {
    struct dictionary *made = dictionary_create();
    struct string *name = string_of(class);
    dictionary_set(made, "IOProviderClass", name);
    object_release(name);
    return made;
}

// It takes the caller's reference of the dictionary, whatever comes of it.
static io_name darwin_IOServiceGetMatchingService(io_name main_port, void *matching) {
    if (main_port != IO_OBJECT_NULL) refuse("a main port of its own");
    if (!matching) return IO_OBJECT_NULL;
    struct dictionary *dictionary = object_of(&dictionary_type, matching);
    struct string *key = string_of("IOProviderClass");
    const struct string *class = object_of(&string_type, dictionary_get(dictionary, &key->object));
    struct service *found = registry_find(class->bytes);
    object_release(key);
    object_release(dictionary);
    return found ? service_name(found) : IO_OBJECT_NULL;
}
OURS(IOServiceMatching) OURS(IOServiceGetMatchingService)

// ---- user clients ---------------------------------------------------------------------------------------------------

struct connection {
    struct io_object object;
    struct kernel_sim *sim;
    pthread_mutex_t lock;  // for what follows
    struct notification_port *port;
    uint64_t reference[REFERENCE];
};
static const struct io_class connection_class = {.name = "IscsiUserClient"};

// What nobody listens for goes nowhere.
static void hear(void *context, const uint64_t *words, uint32_t count) {
    struct connection *connection = context;
    pthread_mutex_lock(&connection->lock);
    if (words && connection->port) {
        notification_port_complete(connection->port, connection->reference, IO_SUCCESS, words, count);
    }
    pthread_mutex_unlock(&connection->lock);
}

// The extension asks for the administrator's privilege in initWithTask, and IOService::newUserClient has one answer
// to whatever fails there.
static int darwin_IOServiceOpen(io_name service, io_name task, uint32_t type, io_name *connect) {
    (void)task, (void)type;
    service_of(service);
    if (geteuid() != 0) return IO_BAD_ARGUMENT;
    struct connection *made = io_create(&connection_class, sizeof *made);
    pthread_mutex_init(&made->lock, NULL);
    made->sim = kernel_sim_open(hear, made);
    *connect = made->object.name;
    if (made->sim) return IO_SUCCESS;
    io_release(*connect);
    *connect = IO_OBJECT_NULL;
    return MACH_SEND_INVALID_DEST;
}

// And the reference goes.
static int darwin_IOServiceClose(io_name connect) {
    struct connection *connection = io_of(&connection_class, connect);
    kernel_sim_close(connection->sim);
    notification_port_let_go(connection->port);
    pthread_mutex_destroy(&connection->lock);
    io_release(connect);
    return IO_SUCCESS;
}
OURS(IOServiceOpen) OURS(IOServiceClose)

// Where the struct of a call names a descriptor; NULL: it names none.
static int32_t *descriptor_in(uint32_t selector, void *input, size_t length) {
    if (selector == ISCSI_CREATE && length == sizeof(IscsiCreateIn)) return &((IscsiCreateIn *)input)->descriptor;
    if (selector == ISCSI_REPLACE && length == sizeof(IscsiReplaceIn)) return &((IscsiReplaceIn *)input)->descriptor;
    return NULL;
}

// In a kernel the method runs in the caller's name, and looks the number up in its table. Here the descriptor goes
// beside the call, and the number is its place there.
static int call(struct connection *connection, uint32_t selector, const void *input, size_t input_length, void *output,
                size_t *output_length) {
    size_t none = 0;
    union { IscsiCreateIn create; IscsiReplaceIn replace; } copy;
    int descriptor = -1;
    if (input_length <= sizeof copy) {
        memcpy(&copy, input, input_length);
        int32_t *named = descriptor_in(selector, &copy, input_length);
        if (named) {
            descriptor = *named;
            *named = 0;
            input = &copy;
        }
    }
    return kernel_sim_call(connection->sim, selector, input, input_length, descriptor, output,
                           output_length ? output_length : &none);
}

static int darwin_IOConnectCallStructMethod(io_name connect, uint32_t selector, const void *input, size_t input_length,
                                            void *output, size_t *output_length) {
    return call(io_of(&connection_class, connect), selector, input, input_length, output, output_length);
}

static int darwin_IOConnectCallAsyncStructMethod(io_name connect, uint32_t selector, io_name wake_port,
                                                 uint64_t *reference, uint32_t words, const void *input,
                                                 size_t input_length, void *output, size_t *output_length) {
    struct connection *connection = io_of(&connection_class, connect);
    if (words != REFERENCE) refuse("an asynchronous call with %u words of reference", words);
    // Notices may come before the call has returned.
    pthread_mutex_lock(&connection->lock);
    struct notification_port *before = connection->port;
    connection->port = notification_port_hold(notification_port_named(wake_port));
    memcpy(connection->reference, reference, sizeof connection->reference);
    pthread_mutex_unlock(&connection->lock);
    int result = call(connection, selector, input, input_length, output, output_length);
    pthread_mutex_lock(&connection->lock);
    struct notification_port *unused = before;
    if (result != IO_SUCCESS) {
        unused = connection->port;
        connection->port = before;
    }
    pthread_mutex_unlock(&connection->lock);
    notification_port_let_go(unused);
    return result;
}
OURS(IOConnectCallStructMethod) OURS(IOConnectCallAsyncStructMethod)
