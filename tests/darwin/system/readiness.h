// Whether a descriptor can be read from or written to, as xnu's filters see it: what kevent, poll and select tell.
#pragma once
#include "darwin.h"

#include <stdbool.h>

enum descriptor_kind { NO_DESCRIPTOR, SOCKET, PIPE, TERMINAL, REGULAR, OTHER };
enum descriptor_kind kind_of_descriptor(int fd);

struct readiness {
    bool ready;
    bool ended;     // EV_EOF
    int error;      // with `ended`: so_error, of Darwin
    int64_t data;   // bytes there, or room for them; connections that wait
};
// `low_water` 0: what the socket has by itself.
struct readiness can_read(int fd, int64_t low_water);
struct readiness can_write(int fd, int64_t low_water);
