// Where what macOS names is on Linux, and back.
//
//   Darwin                  Linux                        /var, /tmp and /etc are links there, to private/var …
//   /private/var/run        /run
//   /private/var            /var
//   /private/tmp            /tmp
//   /private/etc            /etc
//   /Library                DIR/Library      where DARWIN_MACHINE names DIR
//   /usr/sbin, /bin …       DIR/usr/sbin …   the tools that are there, in place of Linux'
//   -                       /proc, /sys, /run            no such file
//
// Names are mapped as they are given; what a link on the way or `..` leads to is Linux' own. So the program finds
// /private everywhere except in `/private/..` and in the list of `/`.
#pragma once
#include "darwin.h"
#include <stdbool.h>

enum { DARWIN_MAXPATHLEN = 1024 };   // bsd/sys/syslimits.h, PATH_MAX
enum { DARWIN_AT_FDCWD = -2 };       // bsd/sys/fcntl.h
enum { LINUX_ROOM = DARWIN_MAXPATHLEN + 64 };

struct place {
    int directory;          // for Linux' calls with `at`
    const char *path;       // points into `room`, or is what was given
    const char *link;       // the path names /var, /tmp or /etc themselves: what that link holds; else NULL
    bool through_link;      // it passes through one of them
    char room[LINUX_ROOM];
};

// false: errno is set. `directory` is Darwin's: AT_FDCWD is another number there.
bool locate(struct place *place, int directory, const char *path);
// The same by the current directory.
bool locate_here(struct place *place, const char *path);

// The name on Darwin of an absolute path of Linux. false: ENAMETOOLONG.
bool path_to_darwin(const char *linux_path, char to[DARWIN_MAXPATHLEN]);

// The path of an open file, as F_GETPATH tells it. 0, or Darwin's number of the error.
int path_of_descriptor(int fd, char to[DARWIN_MAXPATHLEN]);

// A user's folder of temporary files as confstr names it, made if it is not there. false: errno is set.
bool temporary_folder(char to[DARWIN_MAXPATHLEN]);
