// Objects that are counted: zeroed when made, freed when the last owner lets go.
#ifndef HARNESS_OSOBJECT_H
#define HARNESS_OSOBJECT_H

#include <libkern/c++/OSMetaClass.h>

class OSObject {
public:
    static const OSMetaClass gMetaClass;
    virtual const OSMetaClass *getMetaClass() const;

    void retain() const;
    void release() const;
    int getRetainCount() const;
    virtual bool init();
    virtual void free();

    static void *operator new(size_t size) noexcept;
    static void operator delete(void *address, size_t size);

protected:
    OSObject();
    virtual ~OSObject();

private:
    mutable int references;
    size_t size;
};

#endif
