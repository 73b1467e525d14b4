// The thread of a process that waits for words, and finds who answers for one.
#include "darwin.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "machine/channel.h"
#include "machine/machine.h"

// The linker's names for the section that WORD fills.
extern const struct word *const __start_words[], *const __stop_words[];

enum { ASK_AGAIN = 5000 };  // microseconds

static int listening = -1;
static pid_t owner;  // a child of fork has the socket's name, and not the socket
static char own_path[SOCKET_PATH];

static void answer_for(char *line, char answer[LINE]) {
    char *arguments = line + strcspn(line, " ");
    if (*arguments) *arguments++ = 0;
    for (const struct word *const *word = __start_words; word < __stop_words; word++) {
        if (strcmp((*word)->word, line)) continue;
        answer[0] = 0;
        if (!(*word)->heard(arguments, answer, LINE)) strcpy(answer, UNHEARD);
        return;
    }
    strcpy(answer, UNHEARD);
}

// One word after the other: what a machine does, it does in an order.
static void *hear(void *nothing) {
    (void)nothing;
    for (;;) {
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0 && errno == EMFILE) {  // the program's doing: the word waits until it has closed one
            usleep(ASK_AGAIN);
            continue;
        }
        if (fd < 0) refuse("the machine's socket: %m");
        char line[LINE], answer[LINE];
        if (channel_read(fd, line)) {
            answer_for(line, answer);
            channel_write(fd, answer);  // who has gone does not want it
        }
        close(fd);
    }
    return NULL;
}

static void stop_listening(void) {
    if (owner == getpid()) unlink(own_path);
}

static void listen_once(void) {
    const char *directory = machine_directory();
    if (!directory) return;
    owner = getpid();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!channel_path(directory, owner, address.sun_path)) refuse("DARWIN_MACHINE=%s is too long", directory);
    strcpy(own_path, address.sun_path);
    unlink(own_path);  // of a process that had this number before
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, SOMAXCONN)) {
        refuse("the machine's %s: %m", own_path);
    }
    atexit(stop_listening);
    // The program's signals are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    if (pthread_create(&thread, NULL, hear, NULL) || pthread_detach(thread))
        refuse("no thread for the machine's words");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void machine_listen(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, listen_once);
}
