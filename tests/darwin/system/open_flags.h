// Flags of open and fcntl(F_SETFL): bsd/sys/fcntl.h.
#pragma once

enum {
    DARWIN_O_ACCMODE = 0x3,
    DARWIN_O_NONBLOCK = 0x4,
    DARWIN_O_APPEND = 0x8,
    DARWIN_O_SHLOCK = 0x10,
    DARWIN_O_EXLOCK = 0x20,
    DARWIN_O_ASYNC = 0x40,
    DARWIN_O_SYNC = 0x80,
    DARWIN_O_NOFOLLOW = 0x100,
    DARWIN_O_CREAT = 0x200,
    DARWIN_O_TRUNC = 0x400,
    DARWIN_O_EXCL = 0x800,
    DARWIN_O_EVTONLY = 0x8000,
    DARWIN_O_NOCTTY = 0x20000,
    DARWIN_O_DIRECTORY = 0x100000,
    DARWIN_O_SYMLINK = 0x200000,
    DARWIN_O_DSYNC = 0x400000,
    DARWIN_O_CLOEXEC = 0x1000000,
    DARWIN_O_NOFOLLOW_ANY = 0x20000000,
};

// Of open's flags, those that have a flag of Linux' for the same.
int open_flags_to_linux(int flags);
// What F_GETFL tells: how it is open, and the flags that F_SETFL can change.
int open_flags_to_darwin(int linux_flags);
