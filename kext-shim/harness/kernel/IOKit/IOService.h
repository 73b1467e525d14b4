// Services, as far as they are used: one provider, no matching, no power management.
#ifndef HARNESS_IOSERVICE_H
#define HARNESS_IOSERVICE_H

#include <IOKit/IOLib.h>
#include <libkern/c++/OSNumber.h>

class IOService : public OSObject {
    OSDeclareDefaultStructors(IOService);

public:
    bool init() override;
    virtual bool init(OSDictionary *properties);
    void free() override;
    virtual bool start(IOService *provider);
    virtual void stop(IOService *provider);
    virtual bool terminate(IOOptionBits options = 0);
    virtual IOReturn requestProbe(IOOptionBits options);
    bool isInactive() const;
    bool setProperty(const char *key, OSObject *value);
    bool setProperty(const char *key, unsigned long long value, unsigned bits);
    OSObject *getProperty(const char *key) const;
    IOService *getProvider() const { return provider; }

    /// The harness's: attach and start, as matching does.
    bool harnessStart(IOService *provider);

private:
    OSDictionary *properties;
    IOService *provider;
    bool inactive;
};

#endif
