// Network interfaces. Linux' loopback is lo0; the others keep their names. The machine may have taken one away.
#include "darwin.h"

#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "machine/machine.h"
#include "system/addresses.h"
#include "system/allocate.h"
#include "system/errors.h"

// ---- names ----------------------------------------------------------------------------------------------------------

static const char *name_to_linux(const char *name) { return strcmp(name, "lo0") == 0 ? "lo" : name; }
static const char *name_to_darwin(const char *name) { return strcmp(name, "lo") == 0 ? "lo0" : name; }
// Linux' own name of the loopback is none.
static bool is_there(const char *name) { return strcmp(name, "lo") != 0 && !machine_interface_gone(name); }

// Libc's net/if_nametoindex.c: what is not there is ENXIO.
static unsigned darwin_if_nametoindex(const char *name) {
    unsigned index = is_there(name) ? if_nametoindex(name_to_linux(name)) : 0;
    if (!index) fail(DARWIN_ENXIO);
    return index;
}
OURS(if_nametoindex)

static char *darwin_if_indextoname(unsigned index, char *to) {
    char name[IF_NAMESIZE];
    if (!if_indextoname(index, name) || !is_there(name_to_darwin(name))) {
        fail(DARWIN_ENXIO);
        return NULL;
    }
    return strcpy(to, name_to_darwin(name));
}
OURS(if_indextoname)

static void darwin_if_freenameindex(struct if_nameindex *list) {
    for (struct if_nameindex *at = list; at->if_name; at++) free(at->if_name);
    free(list);
}
OURS(if_freenameindex)

// struct if_nameindex is the same.
static struct if_nameindex *darwin_if_nameindex(void) {
    struct if_nameindex *list = if_nameindex();
    if (!list) return NULL;
    size_t count = 0;
    while (list[count].if_name) count++;
    struct if_nameindex *to = zeroed(count + 1, sizeof *to), *next = to;
    for (size_t i = 0; i < count; i++) {
        const char *name = name_to_darwin(list[i].if_name);
        if (is_there(name)) *next++ = (struct if_nameindex){list[i].if_index, strdup(name)};
    }
    if_freenameindex(list);
    return to;
}
OURS(if_nameindex)

// ---- addresses ------------------------------------------------------------------------------------------------------

// Libc's include/ifaddrs.h.
struct darwin_ifaddrs {
    struct darwin_ifaddrs *next;
    char *name;
    uint32_t flags;
    void *address, *mask, *other;
    void *data;
};
_Static_assert(sizeof(struct darwin_ifaddrs) == 56, "struct ifaddrs");

// bsd/net/if_dl.h. The name and the address follow each other in `data`, which may be longer.
struct darwin_sockaddr_dl {
    uint8_t length, family;
    uint16_t index;
    uint8_t type, name_length, address_length, selector_length;
    char data[12];
};
_Static_assert(sizeof(struct darwin_sockaddr_dl) == 20, "struct sockaddr_dl");

// bsd/net/if_types.h.
enum { IFT_OTHER = 0x1, IFT_ETHER = 0x6, IFT_LOOP = 0x18 };

// bsd/net/if_var.h, struct if_data: what an entry of AF_LINK has as its data.
struct darwin_if_data {
    uint8_t type, type_length, physical, address_length, header_length, receive_quota, send_quota, unused1;
    uint32_t mtu, metric, baud_rate;
    uint32_t packets_in, errors_in, packets_out, errors_out, collisions, bytes_in, bytes_out;
    uint32_t multicasts_in, multicasts_out, dropped_in, no_protocol, receive_time, send_time;
    struct { uint32_t seconds, microseconds; } last_change;
    uint32_t unused2, offload, reserved[2];
};
_Static_assert(sizeof(struct darwin_if_data) == 96, "struct if_data");

// bsd/net/if.h. The first twelve are numbered as Linux'; the others are told for what sends to many, as Ethernet does.
enum {
    DARWIN_IFF_SMART = 0x20,
    DARWIN_IFF_RUNNING = 0x40,
    DARWIN_IFF_SIMPLEX = 0x800,
    DARWIN_IFF_MULTICAST = 0x8000,
    SAME_FLAGS = IFF_UP | IFF_BROADCAST | IFF_DEBUG | IFF_LOOPBACK | IFF_POINTOPOINT | IFF_RUNNING | IFF_NOARP |
                 IFF_PROMISC | IFF_ALLMULTI,
};

static uint32_t flags_to_darwin(unsigned of_linux, const char *name) {
    uint32_t flags = of_linux & SAME_FLAGS;
    if (of_linux & (IFF_MULTICAST | IFF_LOOPBACK)) flags |= DARWIN_IFF_MULTICAST;
    if (of_linux & IFF_BROADCAST) flags |= DARWIN_IFF_SMART | DARWIN_IFF_SIMPLEX;
    if (machine_interface_down(name)) flags &= ~(uint32_t)DARWIN_IFF_RUNNING;
    return flags;
}

static uint8_t type_to_darwin(unsigned short of_linux) {
    return of_linux == ARPHRD_LOOPBACK ? IFT_LOOP : of_linux == ARPHRD_ETHER ? IFT_ETHER : IFT_OTHER;
}

static void *link_address(const struct sockaddr_ll *from, const char *name) {
    size_t name_length = strlen(name), address_length = from->sll_hatype == ARPHRD_LOOPBACK ? 0 : from->sll_halen;
    size_t size = offsetof(struct darwin_sockaddr_dl, data) + name_length + address_length;
    if (size < sizeof(struct darwin_sockaddr_dl)) size = sizeof(struct darwin_sockaddr_dl);
    struct darwin_sockaddr_dl *to = zeroed(1, size);
    *to = (struct darwin_sockaddr_dl){
        .length = (uint8_t)size,
        .family = DARWIN_AF_LINK,
        .index = (uint16_t)from->sll_ifindex,
        .type = type_to_darwin(from->sll_hatype),
        .name_length = (uint8_t)name_length,
        .address_length = (uint8_t)address_length,
    };
    char *data = (char *)to + offsetof(struct darwin_sockaddr_dl, data);
    memcpy(data, name, name_length);
    memcpy(data + name_length, from->sll_addr, address_length);
    return to;
}

static uint32_t mtu_of(const char *linux_name) {
    struct ifreq asked = {0};
    strncpy(asked.ifr_name, linux_name, sizeof asked.ifr_name - 1);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFMTU, &asked)) asked.ifr_mtu = 0;
    if (fd >= 0) close(fd);
    return (uint32_t)asked.ifr_mtu;
}

static void *link_data(const struct ifaddrs *from) {
    const struct sockaddr_ll *address = (const void *)from->ifa_addr;
    const struct rtnl_link_stats *counted = from->ifa_data;
    struct darwin_if_data *to = zeroed(1, sizeof *to);
    to->type = type_to_darwin(address->sll_hatype);
    to->address_length = to->type == IFT_LOOP ? 0 : address->sll_halen;
    to->header_length = to->type == IFT_ETHER ? 14 : 0;
    to->mtu = mtu_of(from->ifa_name);
    if (!counted) return to;
    to->packets_in = counted->rx_packets;
    to->errors_in = counted->rx_errors;
    to->packets_out = counted->tx_packets;
    to->errors_out = counted->tx_errors;
    to->collisions = counted->collisions;
    to->bytes_in = counted->rx_bytes;
    to->bytes_out = counted->tx_bytes;
    to->multicasts_in = counted->multicast;
    to->dropped_in = counted->rx_dropped;
    return to;
}

static void *address(const struct sockaddr *from) {
    union linux_address there = {0};
    if (!from) return NULL;
    socklen_t size = from->sa_family == AF_INET6 ? sizeof there.in6 : sizeof there.in;
    memcpy(&there, from, size);
    void *to = zeroed(1, size);
    address_to_darwin(&there, size, to, &size);
    return to;
}

// netinet/in.c, in_socktrim: the mask of an IPv4 address ends with its last byte that is not 0, and its length says so.
static void *mask(const struct sockaddr *from) {
    struct darwin_sockaddr_in *to = address(from);
    if (!to || to->family != DARWIN_AF_INET) return to;
    const uint8_t *bytes = (const uint8_t *)to;
    size_t length = offsetof(struct darwin_sockaddr_in, address) + sizeof to->address;
    while (length > offsetof(struct darwin_sockaddr_in, address) && !bytes[length - 1]) length--;
    to->length = length > offsetof(struct darwin_sockaddr_in, address) ? (uint8_t)length : 0;
    return to;
}

static struct darwin_ifaddrs *entry(const struct ifaddrs *from, const char *name) {
    struct darwin_ifaddrs *to = zeroed(1, sizeof *to);
    to->name = strdup(name);
    to->flags = flags_to_darwin(from->ifa_flags, name);
    if (from->ifa_addr->sa_family == AF_PACKET) {
        to->address = link_address((const void *)from->ifa_addr, name);
        to->data = link_data(from);
    } else {
        to->address = address(from->ifa_addr);
        to->mask = mask(from->ifa_netmask);
        to->other = address(from->ifa_dstaddr);
    }
    return to;
}

// An interface without an address of a family that Darwin has (a tunnel of Linux' own) is left out.
static bool is_told(const struct ifaddrs *from) {
    if (!from->ifa_addr) return false;
    int family = from->ifa_addr->sa_family;
    return (family == AF_INET || family == AF_INET6 || family == AF_PACKET) && is_there(name_to_darwin(from->ifa_name));
}

// By interface: its link first, then its addresses, as NET_RT_IFLIST lists them (bsd/net/rtsock.c, sysctl_iflist).
static int darwin_getifaddrs(struct darwin_ifaddrs **to) {
    struct ifaddrs *list;
    *to = NULL;
    if (getifaddrs(&list)) return -1;
    for (struct ifaddrs *link = list; link; link = link->ifa_next) {
        if (!is_told(link) || link->ifa_addr->sa_family != AF_PACKET) continue;
        *to = entry(link, name_to_darwin(link->ifa_name));
        to = &(*to)->next;
        for (struct ifaddrs *of = list; of; of = of->ifa_next) {
            if (!is_told(of) || of->ifa_addr->sa_family == AF_PACKET || strcmp(of->ifa_name, link->ifa_name)) continue;
            *to = entry(of, name_to_darwin(of->ifa_name));
            to = &(*to)->next;
        }
    }
    freeifaddrs(list);
    return 0;
}
OURS(getifaddrs)

static void darwin_freeifaddrs(struct darwin_ifaddrs *list) {
    while (list) {
        struct darwin_ifaddrs *next = list->next;
        free(list->name);
        free(list->address);
        free(list->mask);
        free(list->other);
        free(list->data);
        free(list);
        list = next;
    }
}
OURS(freeifaddrs)
