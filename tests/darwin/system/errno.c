// errno: glibc's number becomes Darwin's when the program asks for it.
//
// Every call of glibc leaves its own number in errno, and none clears it. So the program's `*__error()` is a variable
// of ours: `___error` moves what glibc left there, translated, and clears glibc's. A number that the program itself
// stores (0, before readdir) stays until the next failure.
#include "system/errors.h"

struct error { int of_linux; const char *words; };

static const struct error errors[DARWIN_ELAST + 1] = {
    [0] = {0, "Undefined error: 0"},
#define ROW(name, number, of_linux, words) [number] = {of_linux, words},
    DARWIN_ERRORS
#undef ROW
};

// xnu has two numbers where Linux has one: sockets fail with EOPNOTSUPP, files with ENOTSUP. Linux' is taken for the
// sockets'; the functions for files say ENOTSUP themselves. And what is Linux' alone (ENOMEDIUM, ENOKEY…) is a failure
// that Darwin has no finer word for.
int errno_to_darwin(int linux_number) {
    if (linux_number == 0)
        return 0;
    for (int number = 1; number <= DARWIN_ELAST; number++)
        if (errors[number].of_linux == linux_number)
            return number;
    return DARWIN_EIO;
}

int errno_to_linux(int darwin_number) {
    switch (darwin_number) {
    case 0: return 0;
    case DARWIN_ENOTSUP: return ENOTSUP;
    case DARWIN_ENOATTR: return ENODATA;
    }
    int known = darwin_number > 0 && darwin_number <= DARWIN_ELAST && errors[darwin_number].of_linux;
    return known ? errors[darwin_number].of_linux : EIO;
}

static __thread int number_of_thread;

int *darwin_error(void) {
    if (errno) {
        number_of_thread = errno_to_darwin(errno);
        errno = 0;
    }
    return &number_of_thread;
}
SHIM("___error", darwin_error)

long fail(int darwin_number) {
    errno = 0;
    number_of_thread = darwin_number;
    return -1;
}

// Libc's string/strerror.c: a number without words is EINVAL and named all the same; what is cut off is ERANGE.
static int darwin_strerror_r(int number, char *to, size_t size) {
    int known = number >= 0 && number <= DARWIN_ELAST;
    int length = known ? snprintf(to, size, "%s", errors[number].words)
                       : snprintf(to, size, "Unknown error: %d", number);
    if (!known)
        return DARWIN_EINVAL;
    return (size_t)length < size ? 0 : DARWIN_ERANGE;
}
OURS(strerror_r)

static char *darwin_strerror(int number) {
    static __thread char words[64];
    if (darwin_strerror_r(number, words, sizeof words) != 0)
        fail(DARWIN_EINVAL);
    return words;
}
OURS(strerror)
