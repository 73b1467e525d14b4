// Random bytes, from Linux' source of them.
#include "system/errors.h"
#include <sys/random.h>

static void fill(void *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t got = getrandom((char *)to + done, length - done, 0);
        if (got > 0)
            done += (size_t)got;
        else if (errno != EINTR)
            refuse("no random bytes: %s", strerror(errno));
    }
}

// bsd/dev/random/randomdev.c: at most 256 bytes at a time, EINVAL (Linux: EIO).
static int darwin_getentropy(void *to, size_t length) {
    enum { MOST = 256 };
    if (length > MOST)
        return (int)fail(DARWIN_EINVAL);
    fill(to, length);
    return 0;
}
OURS(getentropy)

static void darwin_arc4random_buf(void *to, size_t length) {
    fill(to, length);
}
OURS(arc4random_buf)

// CommonCrypto/CommonRandom.h: kCCSuccess, or kCCParamError for no place to put them.
static int32_t darwin_CCRandomGenerateBytes(void *to, size_t length) {
    enum { SUCCESS = 0, PARAMETER_ERROR = -4300 };
    if (to == NULL && length > 0)
        return PARAMETER_ERROR;
    fill(to, length);
    return SUCCESS;
}
OURS(CCRandomGenerateBytes)
