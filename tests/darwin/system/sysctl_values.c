// kern.* and hw.*: bsd/kern/kern_mib.c, kern_sysctl.c, kern_resource.c.
#include "machine/machine.h"
#include "system/clocks.h"
#include "system/limits.h"
#include "system/pages.h"
#include "system/sysctl.h"
#include "system/usage.h"
#include "system/version.h"

static void *ostype(size_t *length) { return sysctl_text(DARWIN_SYSTEM, length); }
SYSCTL("kern.ostype", ostype)

static void *osrelease(size_t *length) { return sysctl_text(DARWIN_RELEASE, length); }
SYSCTL("kern.osrelease", osrelease)

static void *version(size_t *length) { return sysctl_text(DARWIN_VERSION, length); }
SYSCTL("kern.version", version)

static void *osversion(size_t *length) { return sysctl_text(DARWIN_BUILD, length); }
SYSCTL("kern.osversion", osversion)

static void *osproductversion(size_t *length) { return sysctl_text(DARWIN_PRODUCT, length); }
SYSCTL("kern.osproductversion", osproductversion)

static void *hostname(size_t *length) {
    char name[256];
    return gethostname(name, sizeof name) == 0 ? sysctl_text(name, length) : NULL;
}
SYSCTL("kern.hostname", hostname)

static void *maxfiles(size_t *length) { return sysctl_int(DESCRIPTORS_OF_MACHINE, length); }
SYSCTL("kern.maxfiles", maxfiles)

static void *maxfilesperproc(size_t *length) { return sysctl_int(DESCRIPTORS_OF_PROCESS, length); }
SYSCTL("kern.maxfilesperproc", maxfilesperproc)

static void *willshutdown(size_t *length) { return sysctl_int(machine_will_shutdown(), length); }
SYSCTL("kern.willshutdown", willshutdown)

// When the machine was started, as its clock has it now.
static void *boottime(size_t *length) {
    uint64_t since = clock_calendar() - clock_continuous();
    struct darwin_timeval at = {(int64_t)(since / NSEC_PER_SEC), (int32_t)(since % NSEC_PER_SEC / NSEC_PER_USEC)};
    return sysctl_bytes(&at, sizeof at, length);
}
SYSCTL("kern.boottime", boottime)

static void *processors(size_t *length) { return sysctl_int((int32_t)sysconf(_SC_NPROCESSORS_ONLN), length); }
SYSCTL("hw.ncpu", processors)

static void *activecpu(size_t *length) { return processors(length); }
SYSCTL("hw.activecpu", activecpu)

static void *physicalcpu(size_t *length) { return processors(length); }
SYSCTL("hw.physicalcpu", physicalcpu)

static void *logicalcpu(size_t *length) { return processors(length); }
SYSCTL("hw.logicalcpu", logicalcpu)

static void *memsize(size_t *length) { return sysctl_long(sysconf(_SC_PHYS_PAGES) * getpagesize(), length); }
SYSCTL("hw.memsize", memsize)

static void *pagesize(size_t *length) { return sysctl_long(DARWIN_PAGE, length); }
SYSCTL("hw.pagesize", pagesize)

// bsd/kern/kern_mib.c: what HW_PAGESIZE stands for is an int still.
static void *pagesize_compat(size_t *length) { return sysctl_int(DARWIN_PAGE, length); }
SYSCTL("hw.pagesize_compat", pagesize_compat)

static void *byteorder(size_t *length) { return sysctl_int(1234, length); }
SYSCTL("hw.byteorder", byteorder)

static void *machine_name(size_t *length) { return sysctl_text(DARWIN_MACHINE_NAME, length); }
SYSCTL("hw.machine", machine_name)

// A MacBook Pro of Intel's, the first of Apple's own.
#ifdef __aarch64__
static void *model(size_t *length) { return sysctl_text("MacBookPro17,1", length); }
#else
static void *model(size_t *length) { return sysctl_text("MacBookPro16,1", length); }
#endif
SYSCTL("hw.model", model)
