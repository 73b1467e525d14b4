#ifndef HARNESS_IOEVENTSOURCE_H
#define HARNESS_IOEVENTSOURCE_H

#include <libkern/c++/OSObject.h>

class IOWorkLoop;

class IOEventSource : public OSObject {
    OSDeclareAbstractStructors(IOEventSource);

public:
    OSObject *owner;
    IOWorkLoop *workLoop;

    /// The harness's, on the workloop, in the gate: what is due, and when something will be (never: UINT64_MAX).
    virtual uint64_t harnessCheck(uint64_t now);
};

#endif
