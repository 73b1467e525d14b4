// struct statfs with inode numbers of 64 bits: bsd/sys/mount.h, __DARWIN_STRUCT_STATFS64.
#pragma once
#include "system/paths.h"

enum { DARWIN_MFSTYPENAMELEN = 16 };

struct darwin_statfs {
    uint32_t block_size;
    int32_t io_size;
    uint64_t blocks, free, available, files, free_files;
    int32_t id[2];
    uint32_t owner, type, flags, subtype;
    char type_name[DARWIN_MFSTYPENAMELEN];
    char mounted_on[DARWIN_MAXPATHLEN], mounted_from[DARWIN_MAXPATHLEN];
    uint32_t more_flags, reserved[7];
};
_Static_assert(sizeof(struct darwin_statfs) == 2168, "struct statfs");
_Static_assert(offsetof(struct darwin_statfs, flags) == 64, "f_flags");
_Static_assert(offsetof(struct darwin_statfs, mounted_on) == 88, "f_mntonname");

enum darwin_mount_flag {
    DARWIN_MNT_RDONLY = 0x1,
    DARWIN_MNT_SYNCHRONOUS = 0x2,
    DARWIN_MNT_NOEXEC = 0x4,
    DARWIN_MNT_NOSUID = 0x8,
    DARWIN_MNT_NODEV = 0x10,
    DARWIN_MNT_LOCAL = 0x1000,
    DARWIN_MNT_ROOTFS = 0x4000,
    DARWIN_MNT_DONTBROWSE = 0x100000,
    DARWIN_MNT_NOATIME = 0x10000000,
};
