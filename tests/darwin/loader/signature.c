// osfmk/kern/cs_blobs.h (xnu-10063.101.15). Numbers are big-endian.
#include "darwin.h"
#include "frameworks/sha256.h"
#include "loader/signature.h"
#include <endian.h>

enum {
    CSMAGIC_CODEDIRECTORY = 0xfade0c02,
    CSMAGIC_EMBEDDED_SIGNATURE = 0xfade0cc0,
    CS_HASHTYPE_SHA256 = 2,
    CS_SUPPORTSTEAMID = 0x20200,
};

struct cs_blob_index {
    uint32_t type;
    uint32_t offset;
};

struct cs_super_blob {
    uint32_t magic;
    uint32_t length;
    uint32_t count;
};

// As far as it is read here; later versions go on.
struct cs_code_directory {
    uint32_t magic;
    uint32_t length;
    uint32_t version;
    uint32_t flags;
    uint32_t hash_offset;
    uint32_t ident_offset;
    uint32_t special_slots;
    uint32_t code_slots;
    uint32_t code_limit;
    uint8_t hash_size;
    uint8_t hash_type;
    uint8_t platform;
    uint8_t page_size;  // as a power of two; 0 is one page for all
    uint32_t spare2;
};
_Static_assert(sizeof(struct cs_code_directory) == 44, "CS_CodeDirectory, up to its end_earliest");

// Behind it, from CS_SUPPORTSTEAMID on.
enum { TEAM_OFFSET = 48 };

struct bytes signature_directory(const struct image *image) {
    struct bytes all = image_linkedit(image, LC_CODE_SIGNATURE, "the signature");
    if (!all.at) return all;
    struct cs_super_blob super;
    BYTES_READ(all, 0, super);
    if (be32toh(super.magic) != CSMAGIC_EMBEDDED_SIGNATURE) malformed("its signature is none that is embedded");
    for (uint32_t i = 0; i < be32toh(super.count); i++) {
        struct cs_blob_index index;
        struct cs_code_directory about;
        BYTES_READ(all, sizeof super + (uint64_t)i * sizeof index, index);
        struct bytes rest = bytes_part(all, be32toh(index.offset), all.length - be32toh(index.offset), "a blob");
        if (rest.length < sizeof about) continue;
        BYTES_READ(rest, 0, about);
        if (be32toh(about.magic) == CSMAGIC_CODEDIRECTORY && about.hash_type == CS_HASHTYPE_SHA256)
            return bytes_part(rest, 0, be32toh(about.length), "the code directory");
    }
    malformed("its signature has no code directory with SHA-256");
}

const char *signature_team(struct bytes directory) {
    struct cs_code_directory about;
    uint32_t offset;
    BYTES_READ(directory, 0, about);
    if (be32toh(about.version) < CS_SUPPORTSTEAMID) return NULL;
    BYTES_READ(directory, TEAM_OFFSET, offset);
    return offset ? bytes_text(directory, be32toh(offset)) : NULL;
}

static void check_page(struct bytes directory, uint64_t slot, struct bytes page, uint32_t which) {
    uint8_t signed_as[SHA256_BYTES], is[SHA256_BYTES];
    BYTES_READ(directory, slot, signed_as);
    sha256(page.at, page.length, is);
    if (memcmp(signed_as, is, sizeof is)) malformed("page %u is not as it was signed", which);
}

void signature_check(const struct image *image) {
    struct bytes directory = signature_directory(image);
    if (!directory.at) return;
    struct cs_code_directory about;
    BYTES_READ(directory, 0, about);
    struct bytes code = bytes_part(image->file, 0, be32toh(about.code_limit), "what is signed");
    if (about.hash_size != SHA256_BYTES) malformed("its signature has hashes of %u bytes", about.hash_size);
    if (about.page_size > 20) malformed("its signature has pages of 2^%u bytes", about.page_size);
    uint64_t step = about.page_size ? 1ull << about.page_size : code.length;
    uint32_t count = be32toh(about.code_slots);
    // All that is before the signature; what is behind a last page that is too few would be nobody's.
    if (!step || (code.length + step - 1) / step != count) malformed("its signature has not a hash for each page");
    if (image_linkedit(image, LC_CODE_SIGNATURE, "the signature").at != code.at + code.length)
        malformed("its signature does not follow what is signed");
    for (uint32_t i = 0; i < count; i++) {
        uint64_t begin = i * step, length = code.length - begin < step ? code.length - begin : step;
        struct bytes page = bytes_part(code, begin, length, "a page");
        check_page(directory, be32toh(about.hash_offset) + (uint64_t)i * SHA256_BYTES, page, i);
    }
}
