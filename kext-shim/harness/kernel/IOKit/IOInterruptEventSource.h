#ifndef HARNESS_IOINTERRUPTEVENTSOURCE_H
#define HARNESS_IOINTERRUPTEVENTSOURCE_H

#include <IOKit/IOService.h>
#include <IOKit/IOWorkLoop.h>

class IOInterruptEventSource : public IOEventSource {
    OSDeclareDefaultStructors(IOInterruptEventSource);

public:
    typedef void (*Action)(OSObject *owner, IOInterruptEventSource *sender, int count);
};

class IOFilterInterruptEventSource : public IOInterruptEventSource {
    OSDeclareDefaultStructors(IOFilterInterruptEventSource);

public:
    typedef bool (*Filter)(OSObject *owner, IOFilterInterruptEventSource *sender);
};

#endif
