// sysctl net.inet.tcp.pcblist_n: all TCP sockets of the machine, whose they are, and which process had each last.
// bsd/netinet/in_pcblist.c, get_pcblist_n.
//
//   struct xinpgen
//   for each:  xinpcb_n  xsocket_n  xsockbuf_n (received)  xsockbuf_n (to be sent)  xsockstat_n  xtcpcb_n
//   struct xinpgen, again
//
// Each part begins with its length and its kind, and is padded to eight bytes. What Linux does not tell is 0.
#include "darwin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "system/addresses.h"
#include "system/errors.h"
#include "system/sysctl.h"

// ---- the layout -----------------------------------------------------------------------------------------------------

// bsd/sys/socketvar.h, XSO_….
enum part {
    XSO_SOCKET = 0x001,
    XSO_RCVBUF = 0x002,
    XSO_SNDBUF = 0x004,
    XSO_STATS = 0x008,
    XSO_INPCB = 0x010,
    XSO_TCPCB = 0x020,
};

#pragma pack(push, 4)
struct xinpgen { uint32_t length, count; uint64_t generation, socket_generation; };  // bsd/netinet/in_pcb.h

union host {
    struct { uint32_t unused[3], address; } v4;  // struct in_addr_4in6
    uint8_t v6[16];
};
struct xinpcb_n {  // bsd/netinet/in_pcb.h
    uint32_t length, kind;
    uint64_t inpcb;
    uint16_t foreign_port, local_port;
    uint64_t tcpcb;
    uint64_t generation;
    int32_t flags;
    uint32_t flow;
    uint8_t is_ipv4_or_6, time_to_live, protocol;
    union host foreign, local;
    struct { uint8_t type_of_service; } depend4;
    struct { uint8_t hop_limit; int32_t checksum; uint16_t interface; int16_t hops; } depend6;
    uint32_t flow_hash, flags2;
};

struct xsocket_n {  // bsd/sys/socketvar.h
    uint32_t length, kind;
    uint64_t socket;
    int16_t type;
    uint32_t options;
    int16_t linger, state;
    uint64_t pcb;
    int32_t protocol, family;
    int16_t queued, half_open, queue_limit, timeout;
    uint16_t error;
    int32_t process_group;
    uint32_t out_of_band;
    uint32_t user;
    int32_t last_process, effective_process;
    uint64_t generation;
    uint32_t flags, flags1;
    int32_t uses, retained;
    uint32_t filters;
};

struct xsockbuf_n {  // bsd/sys/socketvar.h
    uint32_t length, kind;
    uint32_t bytes, limit, memory, memory_limit;
    int32_t low_water;
    int16_t flags, timeout;
};

struct xsockstat_n {  // bsd/sys/socketvar.h; of four classes of traffic
    uint32_t length, kind;
    struct { uint64_t packets_in, bytes_in, packets_out, bytes_out; } classes[4];
};

struct xtcpcb_n {  // bsd/netinet/tcp_var.h
    uint32_t length, kind;
    uint64_t segments;
    int32_t duplicate_acks, timers[4], state;
    uint32_t unused[41];
};
#pragma pack(pop)
// As a compiler lays those declarations out, each under the `#pragma pack(4)` of its header.
_Static_assert(sizeof(struct xinpgen) == 24, "struct xinpgen");
_Static_assert(sizeof(struct xinpcb_n) == 104, "struct xinpcb_n");
_Static_assert(offsetof(struct xinpcb_n, foreign) == 48, "struct xinpcb_n");
_Static_assert(sizeof(struct xsocket_n) == 104, "struct xsocket_n");
_Static_assert(offsetof(struct xsocket_n, user) == 64, "struct xsocket_n");
_Static_assert(sizeof(struct xsockbuf_n) == 32, "struct xsockbuf_n");
_Static_assert(sizeof(struct xsockstat_n) == 136, "struct xsockstat_n");
_Static_assert(sizeof(struct xtcpcb_n) == 204, "struct xtcpcb_n");
_Static_assert(offsetof(struct xtcpcb_n, state) == 36, "struct xtcpcb_n");

// The parts of one, each where ADVANCE64 has it.
struct item {
    struct xinpcb_n inpcb;
    struct xsocket_n socket;
    struct xsockbuf_n received, to_be_sent;
    struct xsockstat_n counted;
    struct xtcpcb_n tcpcb;
    uint32_t padding;
};
_Static_assert(sizeof(struct item) == 104 + 104 + 2 * 32 + 136 + 208, "only the last part needs padding");

// ---- whose a socket is ----------------------------------------------------------------------------------------------

// The process that has a socket, by the number of its inode; the one that can be seen and has the highest number, since
// Darwin tells who used it last. 0: none can be seen.
struct owner { unsigned long inode; int process; };
struct owners { struct owner *list; size_t count, room; };

static void add_owner(struct owners *owners, unsigned long inode, int process) {
    if (owners->count == owners->room) {
        owners->room = owners->room ? 2 * owners->room : 64;
        struct owner *longer = realloc(owners->list, owners->room * sizeof *longer);
        if (!longer) refuse("no memory for the list of sockets");
        owners->list = longer;
    }
    owners->list[owners->count++] = (struct owner){inode, process};
}

static void find_sockets_of(struct owners *owners, const char *process) {
    char path[64], link[64];
    snprintf(path, sizeof path, "/proc/%.20s/fd", process);
    DIR *fds = opendir(path);
    if (!fds) return;
    for (struct dirent *fd; (fd = readdir(fds));) {
        unsigned long inode;
        ssize_t length = readlinkat(dirfd(fds), fd->d_name, link, sizeof link - 1);
        if (length < 0) continue;
        link[length] = 0;
        if (sscanf(link, "socket:[%lu]", &inode) == 1) add_owner(owners, inode, atoi(process));
    }
    closedir(fds);
}

static void find_owners(struct owners *owners) {
    DIR *processes = opendir("/proc");
    if (!processes) return;
    for (struct dirent *process; (process = readdir(processes));)
        if (isdigit((unsigned char)process->d_name[0])) find_sockets_of(owners, process->d_name);
    closedir(processes);
}

static int owner_of(const struct owners *owners, unsigned long inode) {
    int process = 0;
    for (size_t i = 0; inode && i < owners->count; i++)
        if (owners->list[i].inode == inode && owners->list[i].process > process) process = owners->list[i].process;
    return process;
}

// ---- the sockets ----------------------------------------------------------------------------------------------------

// include/net/tcp_states.h of Linux → bsd/netinet/tcp_fsm.h.
enum {
    TCPS_CLOSED,
    TCPS_LISTEN,
    TCPS_SYN_SENT,
    TCPS_SYN_RECEIVED,
    TCPS_ESTABLISHED,
    TCPS_CLOSE_WAIT,
    TCPS_FIN_WAIT_1,
    TCPS_CLOSING,
    TCPS_LAST_ACK,
    TCPS_FIN_WAIT_2,
    TCPS_TIME_WAIT,
};
static const uint8_t states[] = {
    TCPS_CLOSED,     TCPS_ESTABLISHED, TCPS_SYN_SENT, TCPS_SYN_RECEIVED, TCPS_FIN_WAIT_1,
    TCPS_FIN_WAIT_2, TCPS_TIME_WAIT,   TCPS_CLOSED,   TCPS_CLOSE_WAIT,   TCPS_LAST_ACK,
    TCPS_LISTEN,     TCPS_CLOSING,     TCPS_SYN_RECEIVED,
};

// bsd/netinet/in_pcb.h, bsd/sys/socketvar.h, bsd/sys/socket.h.
enum { INP_IPV4 = 0x1, INP_IPV6 = 0x2, SS_ISCONNECTED = 0x2, DARWIN_SO_ACCEPTCONN = 0x2 };

// A line of /proc/net/tcp or tcp6.
struct line {
    uint32_t local[4], foreign[4];
    unsigned local_port, foreign_port, state, to_be_sent, received, user;
    unsigned long inode;
};

static bool parse_host(const char *text, int words, uint32_t to[4]) {
    for (int i = 0; i < words; i++, text += 8)
        if (sscanf(text, "%8x", &to[i]) != 1) return false;
    return true;
}

static bool parse(const char *text, int words, struct line *to) {
    char local[33], foreign[33];
    *to = (struct line){0};
    int found = sscanf(text, "%*d: %32[0-9A-F]:%x %32[0-9A-F]:%x %x %x:%x %*x:%*x %*x %u %*d %lu", local,
                       &to->local_port, foreign, &to->foreign_port, &to->state, &to->to_be_sent, &to->received,
                       &to->user, &to->inode);
    return found == 9 && parse_host(local, words, to->local) && parse_host(foreign, words, to->foreign);
}

// The address of a socket of IPv6 that speaks IPv4 is told as one of IPv4.
static bool is_mapped(const uint32_t words[4]) { return !words[0] && !words[1] && words[2] == htonl(0xffff); }

static union host host(const uint32_t words[4], bool is_ipv4, bool of_ipv6) {
    union host to = {0};
    if (is_ipv4) to.v4.address = words[of_ipv6 ? 3 : 0];
    else memcpy(to.v6, words, sizeof to.v6);
    return to;
}

static struct item item(const struct line *from, bool of_ipv6, const struct owners *owners) {
    bool is_ipv4 = !of_ipv6 || is_mapped(from->local);
    int process = owner_of(owners, from->inode);
    uint8_t state = from->state < sizeof states ? states[from->state] : TCPS_CLOSED;
    return (struct item){
        .inpcb = {
            .length = sizeof(struct xinpcb_n),
            .kind = XSO_INPCB,
            .inpcb = from->inode,
            .foreign_port = htons((uint16_t)from->foreign_port),
            .local_port = htons((uint16_t)from->local_port),
            .is_ipv4_or_6 = is_ipv4 ? INP_IPV4 : INP_IPV6,
            .protocol = IPPROTO_TCP,
            .foreign = host(from->foreign, is_ipv4, of_ipv6),
            .local = host(from->local, is_ipv4, of_ipv6),
        },
        .socket = {
            .length = sizeof(struct xsocket_n),
            .kind = XSO_SOCKET,
            .socket = from->inode,
            .type = SOCK_STREAM,
            .options = state == TCPS_LISTEN ? DARWIN_SO_ACCEPTCONN : 0,
            .state = state == TCPS_ESTABLISHED || state == TCPS_CLOSE_WAIT ? SS_ISCONNECTED : 0,
            .protocol = IPPROTO_TCP,
            .family = of_ipv6 ? DARWIN_AF_INET6 : DARWIN_AF_INET,
            .user = from->user,
            .last_process = process,
            .effective_process = process,
        },
        .received = {.length = sizeof(struct xsockbuf_n), .kind = XSO_RCVBUF, .bytes = from->received, .low_water = 1},
        .to_be_sent = {.length = sizeof(struct xsockbuf_n), .kind = XSO_SNDBUF, .bytes = from->to_be_sent},
        .counted = {.length = sizeof(struct xsockstat_n), .kind = XSO_STATS},
        .tcpcb = {.length = sizeof(struct xtcpcb_n), .kind = XSO_TCPCB, .state = state},
    };
}

static void list(FILE *to, const char *path, bool of_ipv6, const struct owners *owners, uint32_t *count) {
    FILE *from = fopen(path, "re");
    char text[512];
    struct line line;
    if (!from) return;  // a kernel without IPv6
    while (fgets(text, sizeof text, from)) {
        if (!parse(text, of_ipv6 ? 4 : 1, &line)) continue;  // its head
        struct item one = item(&line, of_ipv6, owners);
        fwrite(&one, sizeof one, 1, to);
        ++*count;
    }
    fclose(from);
}

static void *tcp_list(size_t *length) {
    char *bytes = NULL;
    struct xinpgen ends = {.length = sizeof ends};
    FILE *to = open_memstream(&bytes, length);
    if (!to) refuse("no memory for the list of sockets");
    struct owners owners = {0};
    find_owners(&owners);
    fwrite(&ends, sizeof ends, 1, to);
    list(to, "/proc/net/tcp", false, &owners, &ends.count);
    list(to, "/proc/net/tcp6", true, &owners, &ends.count);
    fwrite(&ends, sizeof ends, 1, to);
    free(owners.list);
    if (fclose(to)) refuse("no memory for the list of sockets");
    memcpy(bytes, &ends, sizeof ends);
    errno = 0;
    return bytes;
}
SYSCTL("net.inet.tcp.pcblist_n", tcp_list)
