// Where a user client's notices go: the connection of the process that opened it.

#ifndef HARNESS_PORT_H
#define HARNESS_PORT_H

#include <IOKit/IOTypes.h>

class HarnessPort {
public:
    virtual bool isAdministrator() const = 0;
    /// Sends the words to the port of that name, if it is still there; drops them if it does not read.
    static void notify(uint64_t name, IOReturn result, const io_user_reference_t *words, unsigned count);

protected:
    virtual ~HarnessPort() {}
};

#endif
