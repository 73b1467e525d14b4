// Addresses of sockets. Darwin's begin with their length (bsd/sys/socket.h, struct sockaddr), Linux' with the family in
// two bytes; what follows is the same for IPv4 and IPv6 (netinet/in.h, netinet6/in6.h), and a path has 104 bytes.
#pragma once
#include "darwin.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

// bsd/sys/socket.h, AF_….
enum {
    DARWIN_AF_UNSPEC = 0,
    DARWIN_AF_UNIX = 1,
    DARWIN_AF_INET = 2,
    DARWIN_AF_ROUTE = 17,
    DARWIN_AF_LINK = 18,
    DARWIN_AF_INET6 = 30,
    DARWIN_AF_SYSTEM = 32,
};
// -1: not one of those that are modelled.
int family_to_linux(int darwin_family);
int family_to_darwin(int linux_family);

struct darwin_sockaddr { uint8_t length, family; uint8_t data[14]; };
struct darwin_sockaddr_in { uint8_t length, family; uint16_t port; uint32_t address; uint8_t zero[8]; };
struct darwin_sockaddr_in6 {
    uint8_t length, family;
    uint16_t port;
    uint32_t flow;
    uint8_t address[16];
    uint32_t scope;
};
struct darwin_sockaddr_un { uint8_t length, family; char path[104]; };
_Static_assert(sizeof(struct darwin_sockaddr_in) == sizeof(struct sockaddr_in), "struct sockaddr_in");
_Static_assert(sizeof(struct darwin_sockaddr_in6) == sizeof(struct sockaddr_in6), "struct sockaddr_in6");
_Static_assert(sizeof(struct darwin_sockaddr_un) == 106, "struct sockaddr_un");
enum { DARWIN_SOCK_MAXADDRLEN = 255 };  // bsd/sys/socket.h: what a length can say

union linux_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un path;
    struct sockaddr_storage room;
};

// What the program calls an address, of `size` bytes. 0, or Darwin's number of the error.
int address_to_linux(const void *from, socklen_t size, union linux_address *to, socklen_t *to_size);
// Writes at most `*size` bytes and tells how many there were. Neither need be there.
void address_to_darwin(const union linux_address *from, socklen_t from_size, void *to, socklen_t *size);
