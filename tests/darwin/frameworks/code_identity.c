#include "frameworks/code_identity.h"

#include "darwin.h"
#include "frameworks/sha256.h"
#include "loader/program.h"
#include "loader/signature.h"

// osfmk/kern/cs_blobs.h (xnu-10063.101.15): CS_CDHASH_LEN
enum { CD_HASH_BYTES = 20 };

#define TEAM "teamid:"

bool code_is_a_teams(const char identity[IDENTITY]) { return !strncmp(identity, TEAM, strlen(TEAM)); }

bool code_identity(char identity[IDENTITY]) {
    struct bytes directory = signature_directory(program_loaded());
    if (!directory.at) return false;
    const char *team = signature_team(directory);
    if (team) {
        snprintf(identity, IDENTITY, TEAM "%s", team);
        return true;
    }
    uint8_t digest[SHA256_BYTES];
    sha256(directory.at, directory.length, digest);
    int length = snprintf(identity, IDENTITY, "cdhash:");
    for (int i = 0; i < CD_HASH_BYTES; i++) length += snprintf(identity + length, 3, "%02x", digest[i]);
    return true;
}
