#ifndef HARNESS_IOTIMEREVENTSOURCE_H
#define HARNESS_IOTIMEREVENTSOURCE_H

#include <IOKit/IOWorkLoop.h>

class IOTimerEventSource : public IOEventSource {
    OSDeclareDefaultStructors(IOTimerEventSource);

public:
    typedef void (*Action)(OSObject *owner, IOTimerEventSource *sender);
    static IOTimerEventSource *timerEventSource(OSObject *owner, Action action = nullptr);
    virtual IOReturn setTimeoutMS(UInt32 milliseconds);
    virtual void cancelTimeout();
    uint64_t harnessCheck(uint64_t now) override;

private:
    Action action;
    uint64_t due;
};

#endif
