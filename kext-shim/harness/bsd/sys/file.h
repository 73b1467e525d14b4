#ifndef HARNESS_FILE_H
#define HARNESS_FILE_H

#include <sys/kernel_types.h>

extern "C" {
int file_socket(int descriptor, socket_t *socket);
int file_drop(int descriptor);
}

#endif
