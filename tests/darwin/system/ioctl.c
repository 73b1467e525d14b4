// ioctl: bsd/sys/ioccom.h says how a request is made up, filio.h and ttycom.h which there are.
#include "system/errors.h"
#include <fcntl.h>
#include <sys/ioctl.h>

#define DARWIN_IO(group, number) (0x20000000u | (group) << 8 | (number))
#define DARWIN_IOR(group, number, size) (0x40000000u | (size) << 16 | (group) << 8 | (number))
#define DARWIN_IOW(group, number, size) (0x80000000u | (size) << 16 | (group) << 8 | (number))

enum darwin_ioctl {
    DARWIN_FIOCLEX = DARWIN_IO('f', 1),
    DARWIN_FIONCLEX = DARWIN_IO('f', 2),
    DARWIN_FIONREAD = DARWIN_IOR('f', 127, sizeof(int)),
    DARWIN_FIONBIO = DARWIN_IOW('f', 126, sizeof(int)),
    DARWIN_TIOCGWINSZ = DARWIN_IOR('t', 104, sizeof(struct winsize)),
    DARWIN_TIOCSCTTY = DARWIN_IO('t', 97),
};
_Static_assert(DARWIN_TIOCGWINSZ == 0x40087468, "TIOCGWINSZ");

// Any file says that it has nothing of what a terminal or socket has: ENOTTY.
static int darwin_ioctl(int fd, unsigned long request, void *argument) {
    switch ((enum darwin_ioctl)request) {
    case DARWIN_FIOCLEX: return ioctl(fd, FIOCLEX);
    case DARWIN_FIONCLEX: return ioctl(fd, FIONCLEX);
    case DARWIN_FIONREAD: return ioctl(fd, FIONREAD, argument);
    case DARWIN_FIONBIO: return ioctl(fd, FIONBIO, argument);
    case DARWIN_TIOCGWINSZ: return ioctl(fd, TIOCGWINSZ, argument);
    case DARWIN_TIOCSCTTY: return ioctl(fd, TIOCSCTTY, 0);
    }
    refuse("ioctl: the request %#lx is not modelled", request);
}
DOTS("_ioctl", darwin_ioctl, 2)
