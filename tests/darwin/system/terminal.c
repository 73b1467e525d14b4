// Terminals: bsd/sys/termios.h, bsd/kern/tty.c.
#include "system/errors.h"
#include <sys/ioctl.h>
#include <termios.h>

enum { DARWIN_NCCS = 20, UNUSED = -1 };

struct darwin_termios {
    uint64_t input, output, control, local;
    uint8_t characters[DARWIN_NCCS];
    uint64_t input_speed, output_speed;
};
_Static_assert(sizeof(struct darwin_termios) == 72, "struct termios");
_Static_assert(offsetof(struct darwin_termios, input_speed) == 56, "c_ispeed");

struct bits { uint64_t darwin; tcflag_t of_linux; };

// Those that both have. A bit that one of them alone has stays there as it is.
static const struct bits input_bits[] = {
    {0x1, IGNBRK},  {0x2, BRKINT}, {0x4, IGNPAR}, {0x8, PARMRK},  {0x10, INPCK},    {0x20, ISTRIP},  {0x40, INLCR},
    {0x80, IGNCR}, {0x100, ICRNL}, {0x200, IXON}, {0x400, IXOFF}, {0x800, IXANY}, {0x2000, IMAXBEL}, {0x4000, IUTF8},
};
static const struct bits output_bits[] = {
    {0x1, OPOST}, {0x2, ONLCR}, {0x4, XTABS}, {0x10, OCRNL}, {0x20, ONOCR}, {0x40, ONLRET}, {0x80, OFILL},
};
static const struct bits control_bits[] = {
    {0x100, CS6},    {0x200, CS7},     {0x400, CSTOPB}, {0x800, CREAD},   // CS8 is CS6 and CS7 together, on both
    {0x1000, PARENB}, {0x2000, PARODD}, {0x4000, HUPCL}, {0x8000, CLOCAL},
};
static const struct bits local_bits[] = {
    {0x1, ECHOKE},   {0x2, ECHOE},   {0x4, ECHOK},  {0x8, ECHO},     {0x10, ECHONL},    {0x20, ECHOPRT},
    {0x40, ECHOCTL}, {0x80, ISIG},   {0x100, ICANON}, {0x400, IEXTEN}, {0x400000, TOSTOP}, {0x80000000, NOFLSH},
};

static const int characters[DARWIN_NCCS] = {
    VEOF,  VEOL, VEOL2, VERASE, VWERASE, VKILL, VREPRINT, UNUSED, VINTR, VQUIT, VSUSP, UNUSED /* VDSUSP */, VSTART,
    VSTOP, VLNEXT, VDISCARD, VMIN, VTIME, UNUSED /* VSTATUS */, UNUSED,
};
enum { DARWIN_POSIX_VDISABLE = 0xff };   // bsd/sys/unistd.h; Linux: 0

#define COUNT(list) (sizeof(list) / sizeof *(list))

static uint64_t bits_to_darwin(tcflag_t from, const struct bits *bits, size_t count) {
    uint64_t to = 0;
    for (size_t i = 0; i < count; i++)
        if ((from & bits[i].of_linux) == bits[i].of_linux)
            to |= bits[i].darwin;
    return to;
}

static tcflag_t bits_to_linux(uint64_t from, tcflag_t before, const struct bits *bits, size_t count) {
    for (size_t i = 0; i < count; i++) {
        before &= ~bits[i].of_linux;
        if ((from & bits[i].darwin) == bits[i].darwin)
            before |= bits[i].of_linux;
    }
    return before;
}

// bsd/sys/termios.h: a speed is its number of bits a second.
struct speed { uint64_t bits; speed_t of_linux; };
static const struct speed speeds[] = {
    {0, B0},         {50, B50},         {75, B75},       {110, B110},     {134, B134},     {150, B150},
    {200, B200},     {300, B300},       {600, B600},     {1200, B1200},   {1800, B1800},   {2400, B2400},
    {4800, B4800},   {9600, B9600},     {19200, B19200}, {38400, B38400}, {57600, B57600}, {115200, B115200},
    {230400, B230400},
};

static uint64_t speed_to_darwin(speed_t of_linux) {
    for (size_t i = 0; i < COUNT(speeds); i++)
        if (speeds[i].of_linux == of_linux)
            return speeds[i].bits;
    return 38400;
}

static int darwin_tcgetattr(int fd, struct darwin_termios *to) {
    struct termios from;
    if (tcgetattr(fd, &from) != 0)
        return -1;
    *to = (struct darwin_termios){
        .input = bits_to_darwin(from.c_iflag, input_bits, COUNT(input_bits)),
        .output = bits_to_darwin(from.c_oflag, output_bits, COUNT(output_bits)),
        .control = bits_to_darwin(from.c_cflag, control_bits, COUNT(control_bits)),
        .local = bits_to_darwin(from.c_lflag, local_bits, COUNT(local_bits)),
        .input_speed = speed_to_darwin(cfgetispeed(&from)),
        .output_speed = speed_to_darwin(cfgetospeed(&from)),
    };
    for (int i = 0; i < DARWIN_NCCS; i++) {
        uint8_t character = characters[i] == UNUSED ? _POSIX_VDISABLE : from.c_cc[characters[i]];
        int counts = characters[i] == VMIN || characters[i] == VTIME;
        to->characters[i] = character == _POSIX_VDISABLE && !counts ? DARWIN_POSIX_VDISABLE : character;
    }
    return 0;
}
OURS(tcgetattr)

enum { DARWIN_TCSASOFT = 0x10 };   // leaves size and speed as they are. TCSANOW, TCSADRAIN and TCSAFLUSH are the same

static int darwin_tcsetattr(int fd, int when, const struct darwin_termios *from) {
    struct termios to;
    if (when & DARWIN_TCSASOFT)
        refuse("tcsetattr: TCSASOFT is not modelled");
    if (tcgetattr(fd, &to) != 0)
        return -1;
    to.c_iflag = bits_to_linux(from->input, to.c_iflag, input_bits, COUNT(input_bits));
    to.c_oflag = bits_to_linux(from->output, to.c_oflag, output_bits, COUNT(output_bits));
    to.c_cflag = bits_to_linux(from->control, to.c_cflag, control_bits, COUNT(control_bits));
    to.c_lflag = bits_to_linux(from->local, to.c_lflag, local_bits, COUNT(local_bits));
    for (int i = 0; i < DARWIN_NCCS; i++) {
        if (characters[i] == UNUSED)
            continue;
        int counts = characters[i] == VMIN || characters[i] == VTIME;
        int off = from->characters[i] == DARWIN_POSIX_VDISABLE && !counts;
        to.c_cc[characters[i]] = off ? _POSIX_VDISABLE : from->characters[i];
    }
    if (from->output_speed != speed_to_darwin(cfgetospeed(&to)))
        refuse("tcsetattr: another speed is not modelled");
    return tcsetattr(fd, when, &to);
}
OURS(tcsetattr)

static int darwin_tcflush(int fd, int which) {
    enum { DARWIN_TCIFLUSH = 1, DARWIN_TCOFLUSH, DARWIN_TCIOFLUSH };
    switch (which) {
    case DARWIN_TCIFLUSH: return tcflush(fd, TCIFLUSH);
    case DARWIN_TCOFLUSH: return tcflush(fd, TCOFLUSH);
    case DARWIN_TCIOFLUSH: return tcflush(fd, TCIOFLUSH);
    default: return (int)fail(DARWIN_EINVAL);
    }
}
OURS(tcflush)

SAME(isatty)

static int darwin_ttyname_r(int fd, char *to, size_t size) {
    return returned(ttyname_r(fd, to, size));
}
OURS(ttyname_r)
