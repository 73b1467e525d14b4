// Who is at the other end of a Unix socket.
#pragma once
#include "darwin.h"
#include <stdbool.h>
#include <sys/socket.h>

enum { DARWIN_SOL_LOCAL = 0 };  // bsd/sys/un.h
// getsockopt of that level. 0, or Darwin's number of the error.
int peer_option(int fd, int name, void *value, socklen_t *size);
