// struct stat with inode numbers of 64 bits: bsd/sys/stat.h, __DARWIN_STRUCT_STAT64.
#pragma once
#include "darwin.h"
#include <time.h>

struct darwin_stat {
    int32_t device;
    uint16_t mode, links;
    uint64_t inode;
    uint32_t user, group;
    int32_t raw_device;
    struct timespec accessed, modified, changed, born;
    int64_t size, blocks;
    int32_t block_size;
    uint32_t flags, generation;
    int32_t spare;
    int64_t more_spare[2];
};
_Static_assert(sizeof(struct darwin_stat) == 144, "struct stat");
_Static_assert(offsetof(struct darwin_stat, inode) == 8, "st_ino");
_Static_assert(offsetof(struct darwin_stat, accessed) == 32, "st_atimespec");
_Static_assert(offsetof(struct darwin_stat, born) == 80, "st_birthtimespec");
_Static_assert(offsetof(struct darwin_stat, size) == 96, "st_size");
_Static_assert(offsetof(struct darwin_stat, flags) == 116, "st_flags");

// The number of a device: 8 bits of the driver's, 24 of its own (bsd/sys/types.h, makedev).
int32_t darwin_device(unsigned major_number, unsigned minor_number);
