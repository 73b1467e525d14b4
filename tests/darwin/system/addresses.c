// Addresses of sockets, across.
#include "system/addresses.h"

#include "system/errors.h"
#include "system/paths.h"

static const struct { int darwin, of_linux; } families[] = {
    {DARWIN_AF_UNSPEC, AF_UNSPEC}, {DARWIN_AF_UNIX, AF_UNIX}, {DARWIN_AF_INET, AF_INET}, {DARWIN_AF_INET6, AF_INET6},
};
enum { FAMILIES = sizeof families / sizeof *families };

int family_to_linux(int darwin_family) {
    for (int i = 0; i < FAMILIES; i++)
        if (families[i].darwin == darwin_family) return families[i].of_linux;
    return -1;
}

int family_to_darwin(int linux_family) {
    for (int i = 0; i < FAMILIES; i++)
        if (families[i].of_linux == linux_family) return families[i].darwin;
    refuse("a socket's family %d, of Linux, is not modelled", linux_family);
}

// bsd/kern/uipc_usrreq.c, unp_bind and unp_connect: the path is as long as the address says, or ends before; an empty
// one is no file.
static int path_to_linux(const char *path, size_t length, union linux_address *to, socklen_t *to_size) {
    char name[DARWIN_SOCK_MAXADDRLEN + 1];
    if (length == 0) return DARWIN_EINVAL;
    memcpy(name, path, length);
    name[length] = 0;
    if (!name[0]) return DARWIN_ENOENT;
    struct place place;
    if (!locate_here(&place, name)) return *darwin_error();
    if (strlen(place.path) >= sizeof to->path.sun_path)
        refuse("the socket %s: a path longer than struct sockaddr_un has room for is not modelled", name);
    to->path.sun_family = AF_UNIX;
    strcpy(to->path.sun_path, place.path);
    *to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(place.path) + 1);
    return 0;
}

// bsd/kern/uipc_syscalls.c, getsockaddr: the length is what the call says, not what the address says of itself. And
// netinet/in_pcb.c, in_pcbladdr: that of an IPv4 or IPv6 address is what it must be.
int address_to_linux(const void *from, socklen_t size, union linux_address *to, socklen_t *to_size) {
    const struct darwin_sockaddr *address = from;
    if (size > DARWIN_SOCK_MAXADDRLEN) return DARWIN_ENAMETOOLONG;
    if (size < offsetof(struct darwin_sockaddr, data)) return DARWIN_EINVAL;
    *to = (union linux_address){0};
    switch (address->family) {
    case DARWIN_AF_UNIX:
        return path_to_linux((const char *)address->data, size - offsetof(struct darwin_sockaddr, data), to, to_size);
    case DARWIN_AF_INET:
    case DARWIN_AF_INET6:
    case DARWIN_AF_UNSPEC:
        if (address->family == DARWIN_AF_INET && size != sizeof(struct sockaddr_in)) return DARWIN_EINVAL;
        if (address->family == DARWIN_AF_INET6 && size != sizeof(struct sockaddr_in6)) return DARWIN_EINVAL;
        memcpy(to, from, size);
        to->any.sa_family = (sa_family_t)family_to_linux(address->family);
        *to_size = size;
        return 0;
    default:
        return DARWIN_EAFNOSUPPORT;
    }
}

// What a socket without a name has: bsd/kern/uipc_usrreq.c, sun_noname.
static socklen_t nameless(struct darwin_sockaddr *to) {
    *to = (struct darwin_sockaddr){.length = sizeof *to, .family = DARWIN_AF_UNIX};
    return sizeof *to;
}

// Darwin tells the name by which it was bound, which goes through the links /var and /tmp rather than around them.
static socklen_t path_to_sockaddr(const char *linux_path, struct darwin_sockaddr_un *to) {
    static const char AROUND[] = "/private";
    char whole[DARWIN_MAXPATHLEN];
    if (linux_path[0] != '/')
        snprintf(whole, sizeof whole, "%s", linux_path);
    else if (!path_to_darwin(linux_path, whole))
        refuse("the socket %s has no name on Darwin: %m", linux_path);
    const char *name = strncmp(whole, AROUND, strlen(AROUND)) == 0 ? whole + strlen(AROUND) : whole;
    size_t length = strlen(name) + 1;
    if (length > sizeof to->path) length = sizeof to->path;  // filled without a NUL
    *to = (struct darwin_sockaddr_un){.family = DARWIN_AF_UNIX};
    memcpy(to->path, name, length);
    to->length = (uint8_t)(offsetof(struct darwin_sockaddr_un, path) + length);
    return to->length;
}

void address_to_darwin(const union linux_address *from, socklen_t from_size, void *to, socklen_t *size) {
    union {
        struct darwin_sockaddr any;
        struct darwin_sockaddr_un path;
        union linux_address room;
    } there;
    socklen_t length = from_size;
    memset(&there, 0, sizeof there);
    if (from_size >= sizeof(sa_family_t) && from->any.sa_family == AF_UNIX) {
        bool named = from_size > offsetof(struct sockaddr_un, sun_path) && from->path.sun_path[0];
        length = named ? path_to_sockaddr(from->path.sun_path, &there.path) : nameless(&there.any);
    } else if (from_size >= sizeof(sa_family_t)) {
        there.room = *from;
        there.any.length = (uint8_t)from_size;
        there.any.family = (uint8_t)family_to_darwin(from->any.sa_family);
    }
    if (!to || !size) return;
    memcpy(to, &there, length < *size ? length : *size);
    *size = length;
}
