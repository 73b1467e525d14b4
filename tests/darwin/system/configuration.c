// What a system says of itself: sysconf (bsd/sys/unistd.h), confstr (Libc's gen/confstr.c), uname (bsd/sys/utsname.h).
#include "system/errors.h"
#include "system/limits.h"
#include "system/pages.h"
#include "system/paths.h"
#include "system/version.h"
#include <sys/utsname.h>

enum darwin_sysconf {
    DARWIN_SC_ARG_MAX = 1,
    DARWIN_SC_CLK_TCK = 3,
    DARWIN_SC_NGROUPS_MAX = 4,
    DARWIN_SC_OPEN_MAX = 5,
    DARWIN_SC_PAGESIZE = 29,
    DARWIN_SC_IOV_MAX = 56,
    DARWIN_SC_NPROCESSORS_CONF = 57,
    DARWIN_SC_NPROCESSORS_ONLN = 58,
    DARWIN_SC_GETGR_R_SIZE_MAX = 70,
    DARWIN_SC_GETPW_R_SIZE_MAX = 71,
    DARWIN_SC_HOST_NAME_MAX = 72,
    DARWIN_SC_LOGIN_NAME_MAX = 73,
    DARWIN_SC_PHYS_PAGES = 200,
};

static long darwin_sysconf(int name) {
    switch ((enum darwin_sysconf)name) {
    case DARWIN_SC_ARG_MAX: return 1024 * 1024;
    case DARWIN_SC_CLK_TCK: return 100;
    case DARWIN_SC_NGROUPS_MAX: return 16;
    case DARWIN_SC_OPEN_MAX: return (long)descriptor_limit();
    case DARWIN_SC_PAGESIZE: return DARWIN_PAGE;
    case DARWIN_SC_IOV_MAX: return 1024;
    case DARWIN_SC_NPROCESSORS_CONF: return sysconf(_SC_NPROCESSORS_CONF);
    case DARWIN_SC_NPROCESSORS_ONLN: return sysconf(_SC_NPROCESSORS_ONLN);
    case DARWIN_SC_GETGR_R_SIZE_MAX:
    case DARWIN_SC_GETPW_R_SIZE_MAX: return 4096;
    case DARWIN_SC_HOST_NAME_MAX:
    case DARWIN_SC_LOGIN_NAME_MAX: return 255;
    case DARWIN_SC_PHYS_PAGES: return sysconf(_SC_PHYS_PAGES) * (getpagesize() / 1024) / (DARWIN_PAGE / 1024);
    }
    refuse("sysconf: %d is not modelled", name);
}
OURS(sysconf)

enum {
    DARWIN_CS_PATH = 1,
    DARWIN_CS_USER_DIR = 65536,
    DARWIN_CS_USER_TEMP_DIR = 65537,
    DARWIN_CS_USER_CACHE_DIR = 65538,
};

// How long the answer is with its end, whatever there was room for; 0 for what there is not.
static size_t darwin_confstr(int name, char *to, size_t size) {
    char answer[DARWIN_MAXPATHLEN];
    switch (name) {
    // Libc's paths.h, _PATH_STDPATH
    case DARWIN_CS_PATH: snprintf(answer, sizeof answer, "/usr/bin:/bin:/usr/sbin:/sbin"); break;
    case DARWIN_CS_USER_TEMP_DIR:
        if (!temporary_folder(answer))
            return 0;
        break;
    case DARWIN_CS_USER_DIR:
    case DARWIN_CS_USER_CACHE_DIR: refuse("confstr: %d is not modelled", name);
    default: fail(DARWIN_EINVAL); return 0;
    }
    if (to && size)
        snprintf(to, size, "%s", answer);
    return strlen(answer) + 1;
}
OURS(confstr)

enum { DARWIN_SYS_NAMELEN = 256 };
struct darwin_utsname {
    char system[DARWIN_SYS_NAMELEN], node[DARWIN_SYS_NAMELEN], release[DARWIN_SYS_NAMELEN], version[DARWIN_SYS_NAMELEN],
        machine[DARWIN_SYS_NAMELEN];
};

static int darwin_uname(struct darwin_utsname *to) {
    struct utsname from;
    if (uname(&from) != 0)
        return -1;
    snprintf(to->system, sizeof to->system, "%s", DARWIN_SYSTEM);
    snprintf(to->node, sizeof to->node, "%s", from.nodename);
    snprintf(to->release, sizeof to->release, "%s", DARWIN_RELEASE);
    snprintf(to->version, sizeof to->version, "%s", DARWIN_VERSION);
    snprintf(to->machine, sizeof to->machine, "%s", DARWIN_MACHINE_NAME);
    return 0;
}
OURS(uname)

SAME(gethostname)
