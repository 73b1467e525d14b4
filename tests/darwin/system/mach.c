// Ports of Mach that are there from the start.
#include "darwin.h"

// osfmk/mach/mach_init.h: mach_task_self() is this variable. The number is what a process most often has.
static uint32_t task_self = 0x203;
DATA("_mach_task_self_", &task_self)
