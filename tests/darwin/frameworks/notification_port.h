// IONotificationPort: a Mach port, what the kernel has sent to it, and the run loop's source that reads it.
// Source: IOKitLib.c (tag IOKitUser-100222.0.4), IODispatchCalloutFromCFMessage.
#pragma once
#include "frameworks/io_object.h"

struct notification_port;

// IOKitLib.h: IOServiceInterestCallback.
typedef void interest_callback(void *refcon, io_name service, uint32_t message, void *argument);

// Of kIOServiceMessageNotificationType (OSMessageNotification.h): a message of a service for who has an interest.
struct interest { interest_callback *callback; void *refcon; io_name service; };

struct notification_port *notification_port_create(void);
struct notification_port *notification_port_named(io_name wake_port);
// Who is to send to it, maybe after the program has destroyed it, holds it.
struct notification_port *notification_port_hold(struct notification_port *port);
void notification_port_let_go(struct notification_port *port);  // NULL: nothing to do
// Puts the message there, and waits for nothing.
void notification_port_tell(struct notification_port *port, const struct interest *whom, uint32_t message,
                            uint64_t argument);
// The same, and waits until the callback has returned; false: nobody read the port within so long.
bool notification_port_tell_and_wait(struct notification_port *port, const struct interest *whom, uint32_t message,
                                     uint64_t argument, uint64_t milliseconds);
// Of kIOAsyncCompletionNotificationType: the end of an asynchronous call, for the function in its reference.
void notification_port_complete(struct notification_port *port, const uint64_t *reference, int result,
                                const uint64_t *words, uint32_t count);
