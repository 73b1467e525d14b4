// Hosts and services by name.
#include "darwin.h"

#include <netdb.h>
#include <stdbool.h>

#include "system/addresses.h"
#include "system/allocate.h"
#include "system/errors.h"

// Libinfo's lookup.subproj/netdb.h, struct addrinfo: the name comes before the address.
struct darwin_addrinfo {
    int32_t flags, family, type, protocol;
    socklen_t address_size;
    char *canonical_name;
    void *address;
    struct darwin_addrinfo *next;
};
_Static_assert(sizeof(struct darwin_addrinfo) == 48, "struct addrinfo");
_Static_assert(offsetof(struct darwin_addrinfo, canonical_name) == 24, "struct addrinfo");

// netdb.h, EAI_…; Libinfo's lookup.subproj/si_getaddrinfo.c, gai_strerror.
enum failure {
    DARWIN_EAI_ADDRFAMILY = 1,
    DARWIN_EAI_AGAIN,
    DARWIN_EAI_BADFLAGS,
    DARWIN_EAI_FAIL,
    DARWIN_EAI_FAMILY,
    DARWIN_EAI_MEMORY,
    DARWIN_EAI_NODATA,
    DARWIN_EAI_NONAME,
    DARWIN_EAI_SERVICE,
    DARWIN_EAI_SOCKTYPE,
    DARWIN_EAI_SYSTEM,
    DARWIN_EAI_BADHINTS,
    DARWIN_EAI_PROTOCOL,
    DARWIN_EAI_OVERFLOW,
    DARWIN_EAI_MAX,
};
static const struct { int of_linux; const char *words; } failures[DARWIN_EAI_MAX] = {
    [DARWIN_EAI_ADDRFAMILY] = {EAI_ADDRFAMILY, "Address family for nodename not supported"},
    [DARWIN_EAI_AGAIN] = {EAI_AGAIN, "Temporary failure in name resolution"},
    [DARWIN_EAI_BADFLAGS] = {EAI_BADFLAGS, "Invalid value for ai_flags"},
    [DARWIN_EAI_FAIL] = {EAI_FAIL, "Non-recoverable failure in name resolution"},
    [DARWIN_EAI_FAMILY] = {EAI_FAMILY, "ai_family not supported"},
    [DARWIN_EAI_MEMORY] = {EAI_MEMORY, "Memory allocation failure"},
    [DARWIN_EAI_NODATA] = {EAI_NODATA, "No address associated with nodename"},
    [DARWIN_EAI_NONAME] = {EAI_NONAME, "nodename nor servname provided, or not known"},
    [DARWIN_EAI_SERVICE] = {EAI_SERVICE, "servname not supported for ai_socktype"},
    [DARWIN_EAI_SOCKTYPE] = {EAI_SOCKTYPE, "ai_socktype not supported"},
    [DARWIN_EAI_SYSTEM] = {EAI_SYSTEM, "System error returned in errno"},
    [DARWIN_EAI_BADHINTS] = {0, "Invalid value for hints"},
    [DARWIN_EAI_PROTOCOL] = {0, "Resolved protocol is unknown"},
    [DARWIN_EAI_OVERFLOW] = {EAI_OVERFLOW, "Argument buffer overflow"},
};

static const char *darwin_gai_strerror(int failure) {
    if (failure == 0) return "Success";
    return failure > 0 && failure < DARWIN_EAI_MAX ? failures[failure].words : "Unknown error";
}
OURS(gai_strerror)

// mDNSResponder tells a name without an address of the family as one that is not known: EAI_NODATA is not told.
static int failure_to_darwin(int of_linux) {
    if (of_linux == EAI_NODATA || of_linux == EAI_ADDRFAMILY) return DARWIN_EAI_NONAME;
    for (int failure = 1; failure < DARWIN_EAI_MAX; failure++)
        if (failures[failure].of_linux == of_linux) return failure;
    return DARWIN_EAI_FAIL;
}

// netdb.h, AI_….
static const struct { int darwin, of_linux; } hints[] = {
    {0x0001, AI_PASSIVE},    {0x0002, AI_CANONNAME}, {0x0004, AI_NUMERICHOST}, {0x0100, AI_ALL},
    {0x0400, AI_ADDRCONFIG}, {0x0800, AI_V4MAPPED},  {0x1000, AI_NUMERICSERV},
};
enum { HINTS = sizeof hints / sizeof *hints };

static bool hints_to_linux(const struct darwin_addrinfo *from, struct addrinfo *to, int *failure) {
    int left = from->flags;
    for (int i = 0; i < HINTS; i++) {
        if (left & hints[i].darwin) to->ai_flags |= hints[i].of_linux;
        left &= ~hints[i].darwin;
    }
    to->ai_family = family_to_linux(from->family);
    to->ai_socktype = from->type;
    to->ai_protocol = from->protocol;
    *failure = left ? DARWIN_EAI_BADFLAGS : to->ai_family < 0 ? DARWIN_EAI_FAMILY : 0;
    return !*failure;
}

static void darwin_freeaddrinfo(struct darwin_addrinfo *list) {
    while (list) {
        struct darwin_addrinfo *next = list->next;
        free(list->canonical_name);
        free(list->address);
        free(list);
        list = next;
    }
}
OURS(freeaddrinfo)

static struct darwin_addrinfo *answer(const struct addrinfo *from) {
    struct darwin_addrinfo *to = zeroed(1, sizeof *to);
    union linux_address address = {0};
    memcpy(&address, from->ai_addr, from->ai_addrlen);
    *to = (struct darwin_addrinfo){
        .family = family_to_darwin(from->ai_family),
        .type = from->ai_socktype,
        .protocol = from->ai_protocol,
        .address_size = from->ai_addrlen,
        .canonical_name = from->ai_canonname ? strdup(from->ai_canonname) : NULL,
        .address = zeroed(1, from->ai_addrlen),
    };
    address_to_darwin(&address, from->ai_addrlen, to->address, &to->address_size);
    return to;
}

static int darwin_getaddrinfo(const char *host, const char *service, const struct darwin_addrinfo *wanted,
                              struct darwin_addrinfo **to) {
    struct addrinfo hint = {0}, *list;
    int failure;
    *to = NULL;
    if (wanted && !hints_to_linux(wanted, &hint, &failure)) return failure;
    int linux_failure = getaddrinfo(host, service, wanted ? &hint : NULL, &list);
    if (linux_failure) return failure_to_darwin(linux_failure);
    for (struct addrinfo *from = list; from; from = from->ai_next) {
        *to = answer(from);
        to = &(*to)->next;
    }
    freeaddrinfo(list);
    return 0;
}
OURS(getaddrinfo)
