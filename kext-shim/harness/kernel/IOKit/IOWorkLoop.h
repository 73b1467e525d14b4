#ifndef HARNESS_IOWORKLOOP_H
#define HARNESS_IOWORKLOOP_H

#include <IOKit/IOEventSource.h>

/// A thread for timers and a gate that lets in one thread at a time, again and again if it is the same.
class IOWorkLoop : public OSObject {
    OSDeclareDefaultStructors(IOWorkLoop);

public:
    static IOWorkLoop *workLoop();
    virtual IOReturn addEventSource(IOEventSource *source);
    virtual IOReturn removeEventSource(IOEventSource *source);
    virtual bool inGate() const;
    virtual bool onThread() const;
    virtual void closeGate();
    virtual void openGate();
    void free() override;

    /// The harness's: something is due earlier.
    void harnessWake();

private:
    struct State;
    static void *main(void *loop);
    State *state;
};

#endif
