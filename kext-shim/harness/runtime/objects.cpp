// Counted objects, and values of properties.

#include <IOKit/IODMACommand.h>
#include <libkern/c++/OSNumber.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "runtime.h"

bool harnessAllocationFails();

static HarnessCount objects("objects");

const OSMetaClass OSObject::gMetaClass("OSObject", nullptr);

const OSMetaClass *OSObject::getMetaClass() const
{
    return &gMetaClass;
}

bool harnessIsA(const OSObject *object, const OSMetaClass *wanted)
{
    for (const OSMetaClass *at = object ? object->getMetaClass() : nullptr; at; at = at->super) {
        if (at == wanted) {
            return true;
        }
    }
    return false;
}

OSObject::OSObject()
{
    references = 1;
}

OSObject::~OSObject()
{
}

void *OSObject::operator new(size_t size) noexcept
{
    if (harnessAllocationFails()) {
        return nullptr;
    }
    objects.add(1);
    return calloc(1, size);
}

void OSObject::operator delete(void *address, size_t)
{
    objects.add(-1);
    ::free(address);
}

bool OSObject::init()
{
    return true;
}

void OSObject::free()
{
    delete this;
}

void OSObject::retain() const
{
    int before = __atomic_fetch_add(&references, 1, __ATOMIC_RELAXED);
    HARNESS_CHECK(before > 0, "%s is retained after its end", getMetaClass()->name);
}

void OSObject::release() const
{
    int before = __atomic_fetch_sub(&references, 1, __ATOMIC_ACQ_REL);
    HARNESS_CHECK(before > 0, "%s is released too often", getMetaClass()->name);
    if (before == 1) {
        const_cast<OSObject *>(this)->free();
    }
}

int OSObject::getRetainCount() const
{
    return __atomic_load_n(&references, __ATOMIC_RELAXED);
}

OSDefineMetaClassAndStructors(OSNumber, OSObject)

OSNumber *OSNumber::withNumber(unsigned long long value, unsigned)
{
    OSNumber *number = new OSNumber;
    if (number) {
        number->value = value;
    }
    return number;
}

OSDefineMetaClassAndStructors(OSString, OSObject)

OSString *OSString::withCString(const char *text)
{
    OSString *string = new OSString;
    if (string) {
        string->text = strdup(text);
    }
    return string;
}

void OSString::free()
{
    ::free(text);
    OSObject::free();
}

OSDefineMetaClassAndStructors(OSBoolean, OSObject)

static OSBoolean *makeTrue()
{
    OSBoolean *made = new OSBoolean;
    made->value = true;
    // It is there for ever.
    objects.add(-1);
    return made;
}

OSBoolean *const kOSBooleanTrue = makeTrue();

OSDefineMetaClassAndStructors(OSDictionary, OSObject)

struct OSDictionary::Item {
    std::map<std::string, const OSObject *> all;
};

OSDictionary *OSDictionary::withCapacity(unsigned)
{
    OSDictionary *made = new OSDictionary;
    if (made) {
        made->items = new Item;
    }
    return made;
}

bool OSDictionary::setObject(const char *key, const OSObject *value)
{
    value->retain();
    const OSObject *&place = items->all[key];
    if (place) {
        place->release();
    }
    place = value;
    return true;
}

OSObject *OSDictionary::getObject(const char *key) const
{
    auto found = items->all.find(key);
    return found == items->all.end() ? nullptr : const_cast<OSObject *>(found->second);
}

void OSDictionary::free()
{
    for (auto &item : items->all) {
        item.second->release();
    }
    delete items;
    OSObject::free();
}

OSDefineMetaClassAndStructors(IODMACommand, OSObject)

bool IODMACommand::OutputHost64(IODMACommand *, Segment64, void *, UInt32)
{
    return true;
}

bool IODMACommand::initWithSpecification(SegmentFunction, UInt8 addressBits, UInt64, MappingOptions, UInt64, UInt32)
{
    return addressBits == 64;
}
