// The kernel's basic types, as IOTypes.h, IOReturn.h and MacTypes.h of the SDK declare them.
#ifndef HARNESS_IOTYPES_H
#define HARNESS_IOTYPES_H

#include <stddef.h>
#include <stdint.h>

typedef uint8_t UInt8;
typedef uint16_t UInt16;
typedef uint32_t UInt32;
typedef unsigned long long UInt64;
typedef int32_t SInt32;
typedef uint64_t AbsoluteTime;
typedef unsigned long long IOByteCount;
typedef UInt32 IOOptionBits;
typedef int IOReturn;
typedef UInt32 IODirection;
typedef int kern_return_t;
typedef unsigned int mach_msg_type_number_t;
typedef uint64_t io_user_reference_t;
typedef struct ipc_port *mach_port_t;
typedef struct task *task_t;
typedef struct thread *thread_t;

#define KERN_SUCCESS 0
#define APPLE_KEXT_OVERRIDE override

#define kIOReturnSuccess 0
#define HARNESS_IOKIT_ERROR(code) (static_cast<IOReturn>(0xe0000000u | (code)))
#define kIOReturnError HARNESS_IOKIT_ERROR(0x2bc)
#define kIOReturnNoMemory HARNESS_IOKIT_ERROR(0x2bd)
#define kIOReturnNoResources HARNESS_IOKIT_ERROR(0x2be)
#define kIOReturnNotPrivileged HARNESS_IOKIT_ERROR(0x2c1)
#define kIOReturnBadArgument HARNESS_IOKIT_ERROR(0x2c2)
#define kIOReturnExclusiveAccess HARNESS_IOKIT_ERROR(0x2c5)
#define kIOReturnUnsupported HARNESS_IOKIT_ERROR(0x2c7)
#define kIOReturnVMError HARNESS_IOKIT_ERROR(0x2c8)
#define kIOReturnNotAttached HARNESS_IOKIT_ERROR(0x2d9)
#define kIOReturnNotReady HARNESS_IOKIT_ERROR(0x2d8)
#define kIOReturnNotPermitted HARNESS_IOKIT_ERROR(0x2e2)
#define kIOReturnNotFound HARNESS_IOKIT_ERROR(0x2f0)

#endif
