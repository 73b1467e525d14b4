// Classes of the kernel, without RTTI: what OSMetaClass.h of the SDK has, as far as it is used.
#ifndef HARNESS_OSMETACLASS_H
#define HARNESS_OSMETACLASS_H

#include <IOKit/IOTypes.h>

class OSMetaClass {
public:
    constexpr OSMetaClass(const char *its, const OSMetaClass *its_super) : name(its), super(its_super) {}
    const char *const name;
    const OSMetaClass *const super;
};

#define HARNESS_DECLARE(type)                                                                                                      \
public:                                                                                                                            \
    static const OSMetaClass gMetaClass;                                                                                           \
    const OSMetaClass *getMetaClass() const override;                                                                              \
                                                                                                                                   \
protected:                                                                                                                         \
    ~type() override;                                                                                                              \
                                                                                                                                   \
private:

#define OSDeclareDefaultStructors(type) HARNESS_DECLARE(type) public: type(); private:
#define OSDeclareAbstractStructors(type) HARNESS_DECLARE(type) protected: type(); private:

#define OSDefineMetaClassAndStructors(type, parent)                                                                                \
    const OSMetaClass type::gMetaClass(#type, &parent::gMetaClass);                                                                \
    const OSMetaClass *type::getMetaClass() const { return &gMetaClass; }                                                          \
    type::type() {}                                                                                                                \
    type::~type() {}
#define OSDefineMetaClassAndAbstractStructors(type, parent) OSDefineMetaClassAndStructors(type, parent)

class OSObject;
extern "C++" bool harnessIsA(const OSObject *object, const OSMetaClass *wanted);

#define OSDynamicCast(type, object) (harnessIsA((object), &type::gMetaClass) ? static_cast<type *>(object) : nullptr)
#define OSTypeAlloc(type) (new type)
#define OSSafeReleaseNULL(object)                                                                                                  \
    do {                                                                                                                           \
        if (object) {                                                                                                              \
            (object)->release();                                                                                                   \
            (object) = nullptr;                                                                                                    \
        }                                                                                                                          \
    } while (0)

#endif
