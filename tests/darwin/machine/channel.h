// A word on its way: one line there, one line back, over DIR/PID.sock.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { LINE = 1024, SOCKET_PATH = 108 };  // the latter is Linux' sun_path

// The answer of a process in which nobody hears the word.
#define UNHEARD "unheard"
// Of one that does not allow what it was asked for.
#define REFUSED "refused"

// Where the process of that id listens. False: the directory's name is too long for a socket.
bool channel_path(const char *directory, int process, char path[SOCKET_PATH]);
// Reads a line, without its newline. False: the other side has gone, or says too much.
bool channel_read(int fd, char line[LINE]);
bool channel_write(int fd, const char *line);
