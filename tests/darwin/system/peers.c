// Who is at the other end of a Unix socket.
#include "system/peers.h"

#include "system/errors.h"
#include "system/sockets.h"

// bsd/sys/un.h, LOCAL_….
enum { LOCAL_PEERCRED = 1, LOCAL_PEERPID = 2, LOCAL_PEEREPID = 3 };

// bsd/sys/ucred.h.
enum { XUCRED_VERSION = 0, NGROUPS_OF_DARWIN = 16 };
struct darwin_xucred { uint32_t version, user; int16_t group_count; uint32_t groups[NGROUPS_OF_DARWIN]; };
_Static_assert(sizeof(struct darwin_xucred) == 76, "struct xucred");

static bool find_peer(int fd, struct ucred *peer) {
    socklen_t size = sizeof *peer;
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) && peer->pid > 0;
}

// The first of the groups is the effective one (bsd/kern/kern_credential.c, cru2x).
static int tell_credentials(int fd, struct darwin_xucred *to) {
    struct ucred peer;
    if (!find_peer(fd, &peer)) return DARWIN_ENOTCONN;
    *to = (struct darwin_xucred){.version = XUCRED_VERSION, .user = peer.uid, .group_count = 1, .groups = {peer.gid}};
    gid_t others[256];
    socklen_t size = sizeof others;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, others, &size)) refuse("SO_PEERGROUPS: %m");
    for (size_t i = 0; i < size / sizeof *others && to->group_count < NGROUPS_OF_DARWIN; i++)
        if (others[i] != peer.gid) to->groups[to->group_count++] = others[i];
    return 0;
}

static int tell(const void *from, size_t length, void *value, socklen_t *size) {
    if (*size > length) *size = (socklen_t)length;
    memcpy(value, from, *size);
    return 0;
}

// bsd/kern/uipc_usrreq.c, uipc_ctloutput: the credentials are those at the time of connecting, and stay when the other
// end has gone; its process is told only as long as it is there.
int peer_option(int fd, int name, void *value, socklen_t *size) {
    if (name == LOCAL_PEERCRED) {
        struct darwin_xucred credentials;
        int error = tell_credentials(fd, &credentials);
        return error ? error : tell(&credentials, sizeof credentials, value, size);
    }
    if (name == LOCAL_PEERPID || name == LOCAL_PEEREPID) {
        struct ucred peer;
        if (!find_peer(fd, &peer) || socket_peer_gone(fd)) return DARWIN_ENOTCONN;
        return tell(&peer.pid, sizeof peer.pid, value, size);
    }
    return DARWIN_EOPNOTSUPP;
}

// Libc's gen/getpeereid.c: through LOCAL_PEERCRED, which another socket takes for an option of its own.
static int darwin_getpeereid(int fd, uid_t *user, gid_t *group) {
    struct darwin_xucred credentials;
    if (!socket_of(fd)) return (int)fail(DARWIN_ENOTSOCK);
    if (socket_family(fd) != AF_UNIX) return (int)fail(DARWIN_EINVAL);
    int error = tell_credentials(fd, &credentials);
    if (error) return (int)fail(error);
    *user = credentials.user;
    *group = credentials.groups[0];
    return 0;
}
OURS(getpeereid)
