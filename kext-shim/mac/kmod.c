/* What the kernel's loader looks for in an extension. Xcode writes the same from a template; -lkmodc++ has _start and
 * _stop, which run the constructors of the classes. */

#include <mach/mach_types.h>
#include <mach/kmod.h>

extern kern_return_t _start(kmod_info_t *info, void *data);
extern kern_return_t _stop(kmod_info_t *info, void *data);

__attribute__((visibility("default"))) KMOD_EXPLICIT_DECL(org.iscsid.iscsi, "0.1.0", _start, _stop)
__attribute__((visibility("hidden"))) kmod_start_func_t *_realmain = 0;
__attribute__((visibility("hidden"))) kmod_stop_func_t *_antimain = 0;
__attribute__((visibility("hidden"))) int _kext_apple_cc = __APPLE_CC__;
