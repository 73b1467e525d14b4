#ifndef HARNESS_IOCOMMANDGATE_H
#define HARNESS_IOCOMMANDGATE_H

#include <IOKit/IOWorkLoop.h>

class IOCommandGate : public IOEventSource {
    OSDeclareDefaultStructors(IOCommandGate);

public:
    typedef IOReturn (*Action)(OSObject *owner, void *arg0, void *arg1, void *arg2, void *arg3);
    static IOCommandGate *commandGate(OSObject *owner, Action action = nullptr);
    virtual IOReturn runAction(Action action, void *arg0 = nullptr, void *arg1 = nullptr, void *arg2 = nullptr, void *arg3 = nullptr);
};

#endif
