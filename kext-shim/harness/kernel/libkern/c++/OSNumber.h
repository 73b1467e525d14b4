// Values of properties: OSNumber, OSString, OSBoolean, OSDictionary, as far as they are used.
#ifndef HARNESS_OSVALUES_H
#define HARNESS_OSVALUES_H

#include <libkern/c++/OSObject.h>

class OSNumber : public OSObject {
    OSDeclareDefaultStructors(OSNumber);

public:
    static OSNumber *withNumber(unsigned long long value, unsigned bits);
    unsigned long long unsigned64BitValue() const { return value; }

private:
    unsigned long long value;
};

class OSString : public OSObject {
    OSDeclareDefaultStructors(OSString);

public:
    static OSString *withCString(const char *text);
    const char *getCStringNoCopy() const { return text; }
    void free() override;

private:
    char *text;
};

class OSBoolean : public OSObject {
    OSDeclareDefaultStructors(OSBoolean);

public:
    bool isTrue() const { return value; }
    bool value;
};

extern OSBoolean *const kOSBooleanTrue;

class OSDictionary : public OSObject {
    OSDeclareDefaultStructors(OSDictionary);

public:
    static OSDictionary *withCapacity(unsigned capacity);
    bool setObject(const char *key, const OSObject *value);
    OSObject *getObject(const char *key) const;
    void free() override;

private:
    struct Item;
    Item *items;
};

#endif
