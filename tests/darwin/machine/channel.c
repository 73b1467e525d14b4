#include "darwin.h"

#include "machine/channel.h"

#include <sys/socket.h>

bool channel_path(const char *directory, int process, char path[SOCKET_PATH]) {
    return snprintf(path, SOCKET_PATH, "%s/%d.sock", directory, process) < SOCKET_PATH;
}

bool channel_read(int fd, char line[LINE]) {
    size_t length = 0;
    for (;;) {
        ssize_t got = read(fd, line + length, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        if (line[length] == '\n') break;
        if (++length == LINE) return false;
    }
    line[length] = 0;
    return true;
}

bool channel_write(int fd, const char *line) {
    char whole[LINE + 1];
    size_t length = (size_t)snprintf(whole, sizeof whole, "%s\n", line);
    if (length >= sizeof whole) return false;
    for (size_t done = 0; done < length;) {
        ssize_t put = send(fd, whole + done, length - done, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        done += (size_t)put;
    }
    return true;
}
