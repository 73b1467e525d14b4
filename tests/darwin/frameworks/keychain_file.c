#include "frameworks/keychain_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "darwin.h"
#include "frameworks/sha256.h"
#include "machine/machine.h"
#include "system/allocate.h"

// A digest of both: an account has slashes, and any length.
void keychain_name(struct keychain_item *item, const char *service, size_t service_length, const char *account,
                   size_t account_length) {
    size_t room = service_length + account_length + sizeof service_length;
    unsigned char *both = zeroed(room, 1);
    memcpy(both, &service_length, sizeof service_length);
    memcpy(both + sizeof service_length, service, service_length);
    memcpy(both + sizeof service_length + service_length, account, account_length);
    unsigned char digest[SHA256_BYTES];
    sha256(both, room, digest);
    free(both);
    for (int i = 0; i < SHA256_BYTES; i++) snprintf(item->name + 2 * i, 3, "%02x", digest[i]);
}

static void path_of(const struct keychain_item *item, char path[PATH_MAX], const char *ending) {
    const char *directory = machine_directory();
    if (!directory) refuse("a keychain without DARWIN_MACHINE");
    snprintf(path, PATH_MAX, "%s/keychain", directory);
    if (mkdir(path, 0700) && errno != EEXIST) refuse("%s: %m", path);
    snprintf(path, PATH_MAX, "%s/keychain/%s%s", directory, item->name, ending);
}

bool keychain_load(struct keychain_item *item) {
    char path[PATH_MAX];
    path_of(item, path, "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return false;
    ssize_t owner = fd < 0 ? -1 : read(fd, item->owner, sizeof item->owner);
    ssize_t password = fd < 0 ? -1 : read(fd, item->password, sizeof item->password);
    if (owner != sizeof item->owner || password < 0) refuse("%s: no item, or %m", path);
    item->length = (size_t)password;
    close(fd);
    return true;
}

void keychain_store(const struct keychain_item *item) {
    char path[PATH_MAX], whole[PATH_MAX];
    path_of(item, path, ".new");
    path_of(item, whole, "");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, item->owner, sizeof item->owner) != sizeof item->owner ||
        write(fd, item->password, item->length) != (ssize_t)item->length || close(fd) || rename(path, whole)) {
        refuse("%s: %m", path);
    }
}

bool keychain_remove(const struct keychain_item *item) {
    char path[PATH_MAX];
    path_of(item, path, "");
    if (!unlink(path)) return true;
    if (errno != ENOENT) refuse("%s: %m", path);
    return false;
}
