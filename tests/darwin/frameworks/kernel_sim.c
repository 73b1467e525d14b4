#include "darwin.h"

#include "frameworks/kernel_sim.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "frameworks/io_object.h"
#include "system/allocate.h"

enum { MAGIC = 0x69536b31, NOTICE = 1, MOST_WORDS = 16 };

struct request { uint32_t magic, selector, input, output; uint64_t id; };
struct answer { uint32_t kind, result; uint64_t id; uint32_t length, reserved; };
_Static_assert(sizeof(struct request) == 24 && offsetof(struct request, id) == 16, "FrameRequest");
_Static_assert(sizeof(struct answer) == 24 && offsetof(struct answer, length) == 16, "FrameAnswer");

// Who waits for an answer, on its stack.
struct waiter {
    struct waiter *next;
    uint64_t id;
    void *output;
    size_t room;
    bool answered;
    int result;
};
struct kernel_sim {
    int fd;
    kernel_sim_heard *heard;
    void *context;
    pthread_t reader;
    pthread_mutex_t writing, lock;  // the latter for what follows
    pthread_cond_t answered;
    struct waiter *waiters;
    uint64_t next;
    bool gone;
};

static bool read_all(int fd, void *to, size_t length) {
    for (uint8_t *at = to; length > 0;) {
        ssize_t got = read(fd, at, length);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        length -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t length) {
    for (const uint8_t *at = from; length > 0;) {
        ssize_t put = send(fd, at, length, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        at += put;
        length -= (size_t)put;
    }
    return true;
}

// ---- what comes -----------------------------------------------------------------------------------------------------

static struct waiter **find(struct kernel_sim *sim, uint64_t id) {
    struct waiter **at = &sim->waiters;
    while (*at && (*at)->id != id) at = &(*at)->next;
    return at;
}

static void done(struct kernel_sim *sim, struct waiter **at, int result) {
    struct waiter *waiter = *at;
    *at = waiter->next;
    waiter->result = result;
    waiter->answered = true;
    pthread_cond_broadcast(&sim->answered);
}

static bool read_notice(struct kernel_sim *sim, uint32_t length) {
    uint64_t words[MOST_WORDS];
    if (length % sizeof *words || length > sizeof words) refuse("iscsi-kernel-sim: a notice of %u bytes", length);
    if (!read_all(sim->fd, words, length)) return false;
    sim->heard(sim->context, words, length / sizeof *words);
    return true;
}

static bool read_answer(struct kernel_sim *sim, const struct answer *answer) {
    uint8_t *bytes = zeroed(answer->length + 1, 1);
    bool whole = read_all(sim->fd, bytes, answer->length);
    pthread_mutex_lock(&sim->lock);
    struct waiter **at = find(sim, answer->id);
    if (whole && !*at) refuse("iscsi-kernel-sim answers what nobody asked");
    if (whole) {
        if (answer->length > (*at)->room) refuse("iscsi-kernel-sim answers more than there is room for");
        if (answer->length) memcpy((*at)->output, bytes, answer->length);
        (*at)->room = answer->length;
        done(sim, at, (int)answer->result);
    }
    pthread_mutex_unlock(&sim->lock);
    free(bytes);
    return whole;
}

static void *read_it(void *of) {
    struct kernel_sim *sim = of;
    struct answer answer;
    while (read_all(sim->fd, &answer, sizeof answer)) {
        bool whole = answer.kind == NOTICE ? read_notice(sim, answer.length) : read_answer(sim, &answer);
        if (!whole) break;
    }
    pthread_mutex_lock(&sim->lock);
    sim->gone = true;
    while (sim->waiters) done(sim, &sim->waiters, MACH_SEND_INVALID_DEST);
    pthread_mutex_unlock(&sim->lock);
    sim->heard(sim->context, NULL, 0);
    return NULL;
}

struct kernel_sim *kernel_sim_open(kernel_sim_heard *heard, void *context) {
    const char *path = getenv("DARWIN_KERNEL_SIM");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path) return NULL;
    if (strlen(path) >= sizeof address.sun_path) refuse("DARWIN_KERNEL_SIM=%s is too long", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) refuse("a socket for iscsi-kernel-sim: %m");
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return NULL;
    }
    struct kernel_sim *made = zeroed(1, sizeof *made);
    *made = (struct kernel_sim){.fd = fd, .heard = heard, .context = context, .next = 1};
    pthread_mutex_init(&made->writing, NULL);
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->answered, NULL);
    // The program's signals are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&made->reader, NULL, read_it, made)) refuse("no thread for iscsi-kernel-sim");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return made;
}

void kernel_sim_close(struct kernel_sim *sim) {
    shutdown(sim->fd, SHUT_RDWR);
    pthread_join(sim->reader, NULL);
    close(sim->fd);
    pthread_mutex_destroy(&sim->writing);
    pthread_mutex_destroy(&sim->lock);
    pthread_cond_destroy(&sim->answered);
    free(sim);
}

// ---- what goes ------------------------------------------------------------------------------------------------------

// The head, with the descriptor beside its first byte.
static bool write_head(int fd, const struct request *request, int descriptor) {
    struct iovec bytes = {.iov_base = (void *)request, .iov_len = sizeof *request};
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof descriptor)]; } control = {0};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(&control.head), &descriptor, sizeof descriptor);
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent > 0 && write_all(fd, (const uint8_t *)request + sent, sizeof *request - (size_t)sent);
}

int kernel_sim_call(struct kernel_sim *sim, uint32_t selector, const void *input, size_t length, int descriptor,
                    void *output, size_t *room) {
    struct waiter waiter = {.output = output, .room = *room};
    pthread_mutex_lock(&sim->lock);
    bool gone = sim->gone;
    if (!gone) {
        waiter.id = sim->next++;
        waiter.next = sim->waiters;
        sim->waiters = &waiter;
    }
    pthread_mutex_unlock(&sim->lock);
    if (gone) return MACH_SEND_INVALID_DEST;
    struct request request = {
        .magic = MAGIC, .selector = selector, .input = (uint32_t)length, .output = (uint32_t)*room, .id = waiter.id,
    };
    pthread_mutex_lock(&sim->writing);
    // Half a frame may be out: nothing can follow it, and the reader answers everybody.
    if (!write_head(sim->fd, &request, descriptor) || !write_all(sim->fd, input, length)) shutdown(sim->fd, SHUT_RDWR);
    pthread_mutex_unlock(&sim->writing);
    pthread_mutex_lock(&sim->lock);
    while (!waiter.answered) pthread_cond_wait(&sim->answered, &sim->lock);
    pthread_mutex_unlock(&sim->lock);
    *room = waiter.room;
    return waiter.result;
}
