// What is done with descriptors and the current directory before a program that is spawned begins.
#pragma once
#include "darwin.h"
#include <spawn.h>
#include <stdbool.h>

struct file_actions;

// The same for Linux, into `to`, which the caller destroys; `actions` may be NULL. `close_others`: as if every
// descriptor had FD_CLOEXEC but those that an action made (bsd/kern/kern_exec.c, exec_handle_file_actions).
void file_actions_to_linux(const struct file_actions *actions, bool close_others, posix_spawn_file_actions_t *to);
