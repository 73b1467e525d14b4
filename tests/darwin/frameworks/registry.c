#include "darwin.h"

#include "frameworks/registry.h"

#include <pthread.h>

#include "frameworks/notification_port.h"
#include "frameworks/object.h"

enum level { SERVICE, DEVICE, TARGET, UNIT, DRIVER, MEDIA, LEVELS };
static const char *const classes[LEVELS] = {
    [SERVICE] = "IscsiHBA",
    [DEVICE] = "IOSCSIParallelInterfaceDevice",
    [TARGET] = "IOSCSITargetDevice",
    [UNIT] = "IOSCSILogicalUnitNub",
    [DRIVER] = "IOBlockStorageDriver",
    [MEDIA] = "IOMedia",
};
enum { SERVICE_IS_TERMINATED = (int)0xe0000010, MOST_UNITS = 256, FIRST_DISK = 4 };

// An entry stands for its place, and is made each time somebody asks: IOKit's have one name each in a task, which no
// program may rely on.
struct entry {
    struct io_object object;
    enum level level;
    struct service *service;  // of which it has a reference; itself
    struct kernel_sim_unit unit;
};
struct notifier;
struct service {
    struct entry entry;
    struct kernel_sim *sim;      // a connection of the registry's own
    pthread_mutex_t lock;        // for what follows
    struct notifier *notifiers;
    bool terminated;
};
static void end_entry(struct io_object *object);
static const struct io_class nothing = {.name = "nothing"};
static const struct io_class entry_class = {.name = "registry entry", .end = end_entry};

// ---- interest in the service ----------------------------------------------------------------------------------------

struct notifier {
    struct io_object object;
    struct service *service;
    struct notification_port *port;
    struct interest interest;
    struct notifier *next;
};

static void end_notifier(struct io_object *object) {
    struct notifier *notifier = (struct notifier *)object;
    struct service *service = notifier->service;
    pthread_mutex_lock(&service->lock);
    struct notifier **at = &service->notifiers;
    while (*at != notifier) at = &(*at)->next;
    *at = notifier->next;
    pthread_mutex_unlock(&service->lock);
    notification_port_let_go(notifier->port);
    io_release(service_name(service));
}
static const struct io_class notifier_class = {.name = "interest notification", .end = end_notifier};

static void hear(void *context, const uint64_t *words, uint32_t count) {
    struct service *service = context;
    (void)count;
    if (words) refuse("iscsi-kernel-sim has a notice for who does not listen");
    pthread_mutex_lock(&service->lock);
    service->terminated = true;
    for (struct notifier *notifier = service->notifiers; notifier; notifier = notifier->next) {
        notification_port_tell(notifier->port, &notifier->interest, (uint32_t)SERVICE_IS_TERMINATED, 0);
    }
    pthread_mutex_unlock(&service->lock);
}

static int darwin_IOServiceAddInterestNotification(struct notification_port *port, io_name name, const char *interest,
                                                   interest_callback *callback, void *refcon, io_name *notification) {
    if (strcmp(interest, "IOGeneralInterest")) refuse("an interest in %s", interest);
    struct service *service = service_of(name);
    pthread_mutex_lock(&service->lock);
    bool terminated = service->terminated;
    struct notifier *made = NULL;
    if (!terminated) {
        made = io_create(&notifier_class, sizeof *made);
        made->service = service;
        made->port = notification_port_hold(port);
        made->interest = (struct interest){.callback = callback, .refcon = refcon, .service = name};
        made->next = service->notifiers;
        service->notifiers = made;
    }
    pthread_mutex_unlock(&service->lock);
    if (terminated) return MACH_SEND_INVALID_DEST;
    io_retain(name);
    *notification = made->object.name;
    return IO_SUCCESS;
}
OURS(IOServiceAddInterestNotification)

// ---- entries --------------------------------------------------------------------------------------------------------

io_name service_name(const struct service *service) { return service->entry.object.name; }

struct service *service_of(io_name name) {
    struct entry *entry = io_of(&entry_class, name);
    if (entry->level != SERVICE) refuse("IOKit: an %s where a service is due", classes[entry->level]);
    return (struct service *)entry;
}

static void end_entry(struct io_object *object) {
    struct entry *entry = (struct entry *)object;
    if (entry->level != SERVICE) {
        io_release(service_name(entry->service));
        return;
    }
    struct service *service = (struct service *)entry;
    kernel_sim_close(service->sim);
    pthread_mutex_destroy(&service->lock);
}

struct service *registry_find(const char *class) {
    if (strcmp(class, classes[SERVICE])) return NULL;
    struct service *made = io_create(&entry_class, sizeof *made);
    pthread_mutex_init(&made->lock, NULL);
    made->entry.level = SERVICE;
    made->entry.service = made;
    made->sim = kernel_sim_open(hear, made);
    if (made->sim) return made;
    made->entry.object.class = &nothing;
    io_release(service_name(made));
    return NULL;
}

static struct entry *entry_create(struct service *service, enum level level, const struct kernel_sim_unit *unit) {
    struct entry *made = io_create(&entry_class, sizeof *made);
    made->level = level;
    made->service = service;
    made->unit = *unit;
    io_retain(service_name(service));
    return made;
}

static uint32_t darwin_IOObjectConformsTo(io_name name, const char *class) {
    const struct entry *entry = io_of(&entry_class, name);
    bool base = !strcmp(class, "IOService") || !strcmp(class, "IORegistryEntry") || !strcmp(class, "OSObject");
    return base || !strcmp(class, classes[entry->level]);
}
OURS(IOObjectConformsTo)

// ---- children -------------------------------------------------------------------------------------------------------

struct iterator { struct io_object object; int count, next; struct entry *entries[MOST_UNITS]; };

static void end_iterator(struct io_object *object) {
    struct iterator *iterator = (struct iterator *)object;
    for (int i = iterator->next; i < iterator->count; i++) io_release(iterator->entries[i]->object.name);
}
static const struct io_class iterator_class = {.name = "iterator", .end = end_iterator};

static int units_of(struct service *service, struct kernel_sim_unit units[MOST_UNITS]) {
    size_t bytes = MOST_UNITS * sizeof *units;
    if (kernel_sim_call(service->sim, KERNEL_SIM_UNITS, NULL, 0, -1, units, &bytes)) return 0;
    return (int)(bytes / sizeof *units);
}

static bool is_below(const struct entry *parent, const struct kernel_sim_unit *unit) {
    switch (parent->level) {
    case SERVICE: return true;
    case DEVICE: case TARGET: return unit->target == parent->unit.target;
    default: return unit->target == parent->unit.target && unit->number == parent->unit.number;
    }
}

static void add_children(struct iterator *to, struct entry *parent) {
    struct kernel_sim_unit units[MOST_UNITS];
    int count = units_of(parent->service, units);
    for (int i = 0; i < count; i++) {
        if (!is_below(parent, &units[i])) continue;
        // Units of one target have the entries above them in common.
        bool shared = parent->level == SERVICE || parent->level == DEVICE, seen = false;
        for (int k = 0; k < to->count; k++) seen = seen || to->entries[k]->unit.target == units[i].target;
        if (!shared || !seen) {
            to->entries[to->count++] = entry_create(parent->service, (enum level)(parent->level + 1), &units[i]);
        }
    }
}

static int darwin_IORegistryEntryGetChildIterator(io_name name, const char *plane, io_name *iterator) {
    if (strcmp(plane, "IOService")) refuse("the registry's plane %s", plane);
    struct entry *entry = io_of(&entry_class, name);
    struct iterator *made = io_create(&iterator_class, sizeof *made);
    if (entry->level < MEDIA) add_children(made, entry);
    *iterator = made->object.name;
    return IO_SUCCESS;
}

static io_name darwin_IOIteratorNext(io_name name) {
    struct iterator *iterator = io_of(&iterator_class, name);
    if (iterator->next == iterator->count) return IO_OBJECT_NULL;
    return iterator->entries[iterator->next++]->object.name;
}
OURS(IORegistryEntryGetChildIterator) OURS(IOIteratorNext)

// ---- properties -----------------------------------------------------------------------------------------------------

// A disk's number, given at its first sight, and kept.
static int disk_number(const struct kernel_sim_unit *unit) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct kernel_sim_unit known[MOST_UNITS];
    static int count;
    pthread_mutex_lock(&lock);
    int at = 0;
    while (at < count && (known[at].target != unit->target || known[at].number != unit->number)) at++;
    if (at == MOST_UNITS) refuse("more than %d disks", MOST_UNITS);
    if (at == count) known[count++] = *unit;
    pthread_mutex_unlock(&lock);
    return FIRST_DISK + at;
}

static struct dictionary *protocol_of(const struct entry *entry) {
    if (entry->level != DEVICE && entry->level != UNIT) return NULL;
    struct dictionary *made = dictionary_create();
    bool device = entry->level == DEVICE;
    struct number *number = number_of(device ? (int64_t)entry->unit.target : (int64_t)entry->unit.number);
    dictionary_set(made, device ? "SCSI Target Identifier" : "SCSI Logical Unit Number", number);
    object_release(number);
    return made;
}

static const void *darwin_IORegistryEntryCreateCFProperty(io_name name, const void *at, const void *allocator,
                                                          uint32_t options) {
    (void)allocator, (void)options;
    const struct entry *entry = io_of(&entry_class, name);
    const struct string *key = object_of(&string_type, at);
    if (string_is(key, "Protocol Characteristics")) return protocol_of(entry);
    if (entry->level == MEDIA && string_is(key, "Whole")) return object_retain(&boolean_true);
    if (entry->level == MEDIA && string_is(key, "BSD Name")) {
        char text[32];
        snprintf(text, sizeof text, "disk%d", disk_number(&entry->unit));
        return string_of(text);
    }
    return NULL;
}
OURS(IORegistryEntryCreateCFProperty)
