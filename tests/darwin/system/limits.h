// How much of everything there is for one process.
#pragma once
#include "darwin.h"

enum {
    DARWIN_OPEN_MAX = 10240,            // bsd/sys/syslimits.h
    DESCRIPTORS_AT_FIRST = 256,         // launchd's soft limit: `launchctl limit maxfiles`
    DESCRIPTORS_OF_PROCESS = 61440,     // kern.maxfilesperproc of a Mac with 16 GB
    DESCRIPTORS_OF_MACHINE = 122880,    // kern.maxfiles of the same
};

// The soft limit of descriptors, as getrlimit tells it.
uint64_t descriptor_limit(void);
