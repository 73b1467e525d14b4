// sysctl, sysctlbyname and sysctlnametomib: bsd/kern/kern_newsysctl.c.
#include "system/sysctl.h"
#include "system/allocate.h"
#include "system/errors.h"

void *sysctl_bytes(const void *value, size_t size, size_t *length) {
    *length = size;
    return memcpy(zeroed(size + 1, 1), value, size);
}

void *sysctl_text(const char *text, size_t *length) {
    return sysctl_bytes(text, strlen(text) + 1, length);
}

void *sysctl_int(int32_t number, size_t *length) {
    return sysctl_bytes(&number, sizeof number, length);
}

void *sysctl_long(int64_t number, size_t *length) {
    return sysctl_bytes(&number, sizeof number, length);
}

// ---- by name --------------------------------------------------------------------------------------------------------

extern const struct sysctl_name *const __start_sysctls[], *const __stop_sysctls[];

static const struct sysctl_name *find(const char *name) {
    for (const struct sysctl_name *const *at = __start_sysctls; at < __stop_sysctls; at++)
        if (strcmp((*at)->name, name) == 0)
            return *at;
    return NULL;
}

// sysctl_old_user: what there is room for is copied, and what is left is told by ENOMEM.
static int answer(const struct sysctl_name *entry, void *to, size_t *room, const void *new) {
    size_t length;
    if (to && room == NULL)
        return (int)fail(DARWIN_EFAULT);
    if (entry == NULL)
        return (int)fail(DARWIN_ENOENT);
    // userland_sysctl: who may not set it is told first; what root sets is not modelled.
    if (new)
        return geteuid() == 0 ? (refuse("sysctl: setting %s is not modelled", entry->name), 0)
                              : (int)fail(DARWIN_EPERM);
    void *value = entry->read(&length);
    if (value == NULL)
        return -1;
    int rc = 0;
    if (to) {
        size_t fits = length < *room ? length : *room;
        memcpy(to, value, fits);
        rc = fits < length ? (int)fail(DARWIN_ENOMEM) : 0;
        length = fits;
    }
    free(value);
    if (room)
        *room = length;
    return rc;
}

static int darwin_sysctlbyname(const char *name, void *to, size_t *room, void *new, size_t new_length) {
    (void)new_length;
    return answer(find(name), to, room, new);
}
OURS(sysctlbyname)

// ---- by numbers -----------------------------------------------------------------------------------------------------

// bsd/sys/sysctl.h: those that programs know by number. What has none gets one that is free, as OID_AUTO does.
enum { CTL_KERN = 1, CTL_HW = 6, OID_AUTO_START = 100 };

struct numbered { int top, of_top; const char *name; };

static const struct numbered numbered[] = {
    {CTL_KERN, 1, "kern.ostype"},    {CTL_KERN, 2, "kern.osrelease"},  {CTL_KERN, 4, "kern.version"},
    {CTL_KERN, 7, "kern.maxfiles"},  {CTL_KERN, 10, "kern.hostname"},  {CTL_KERN, 21, "kern.boottime"},
    {CTL_KERN, 29, "kern.maxfilesperproc"}, {CTL_KERN, 65, "kern.osversion"},
    {CTL_HW, 1, "hw.machine"},       {CTL_HW, 2, "hw.model"},          {CTL_HW, 3, "hw.ncpu"},
    {CTL_HW, 4, "hw.byteorder"},     {CTL_HW, 7, "hw.pagesize_compat"},      {CTL_HW, 24, "hw.memsize"},
    {CTL_HW, 25, "hw.activecpu"},
};

static int darwin_sysctl(const int *name, uint32_t count, void *to, size_t *room, void *new, size_t new_length) {
    const struct sysctl_name *entry = NULL;
    (void)new_length;
    if (count < 2)
        return (int)fail(DARWIN_EINVAL);
    size_t free_number = (size_t)name[1] - OID_AUTO_START;
    if (name[1] >= OID_AUTO_START && free_number < (size_t)(__stop_sysctls - __start_sysctls))
        entry = __start_sysctls[free_number];
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++)
        if (count == 2 && numbered[i].top == name[0] && numbered[i].of_top == name[1])
            entry = find(numbered[i].name);
    return answer(entry, to, room, new);
}
OURS(sysctl)

static int darwin_sysctlnametomib(const char *name, int *to, size_t *room) {
    const struct sysctl_name *entry = find(name);
    if (entry == NULL)
        return (int)fail(DARWIN_ENOENT);
    if (*room < 2)
        return (int)fail(DARWIN_ENOMEM);
    *room = 2;
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++)
        if (strcmp(numbered[i].name, name) == 0) {
            to[0] = numbered[i].top;
            to[1] = numbered[i].of_top;
            return 0;
        }
    size_t place = 0;
    while (__start_sysctls[place] != entry)
        place++;
    to[0] = CTL_KERN;
    to[1] = OID_AUTO_START + (int)place;
    return 0;
}
OURS(sysctlnametomib)
