#include "frameworks/code_identity.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "darwin.h"
#include "frameworks/sha256.h"
#include "loader/packed.h"

// mach-o/loader.h (xnu, EXTERNAL_HEADERS/mach-o/loader.h), mach-o/fat.h.
enum { MAGIC_64 = 0xfeedfacf, MAGIC_FAT = 0xcafebabe, LC_CODE_SIGNATURE = 0x1d };
#ifdef __x86_64__
enum { CPU = 0x01000007 };
#else
enum { CPU = 0x0100000c };
#endif
struct header { uint32_t magic, cpu, subtype, type, commands, bytes, flags, reserved; };
struct command { uint32_t kind, size; };
struct linkedit_command { struct command command; uint32_t offset, length; };
struct fat_header { uint32_t magic, count; };
struct fat_arch { uint32_t cpu, subtype, offset, size, align; };

// osfmk/kern/cs_blobs.h (xnu-11417.101.15). Big endian.
enum {
    SUPER_BLOB = 0xfade0cc0,      // CSMAGIC_EMBEDDED_SIGNATURE
    CODE_DIRECTORY = 0xfade0c02,  // CSMAGIC_CODEDIRECTORY
    HASH_SHA256 = 2,              // CS_HASHTYPE_SHA256
    CD_HASH_BYTES = 20,           // CS_CDHASH_LEN
    SUPPORTS_TEAM = 0x20200,      // CS_SUPPORTSTEAMID
};
struct blob { uint32_t magic, length; };
struct blob_index { uint32_t kind, offset; };
struct super_blob { struct blob blob; uint32_t count; struct blob_index index[]; };
struct code_directory {
    struct blob blob;
    uint32_t version, flags, hash_offset, identifier_offset, special_slots, code_slots, code_limit;
    uint8_t hash_size, hash_type, platform, page_size;
    uint32_t unused, scatter_offset, team_offset;
};
_Static_assert(offsetof(struct code_directory, hash_type) == 37 && offsetof(struct code_directory, team_offset) == 48,
               "as CS_CodeDirectory");

struct bytes { const uint8_t *at; size_t length; };

static bool has(struct bytes in, uint64_t offset, uint64_t length) {
    return offset <= in.length && length <= in.length - offset;
}

static struct bytes part(struct bytes of, uint64_t offset, uint64_t length) {
    if (!has(of, offset, length)) refuse("%s: a part of its signature lies beyond its end", program_path);
    return (struct bytes){of.at + offset, length};
}

// The Mach-O of this processor, in the file.
static struct bytes image_in(struct bytes file) {
    const struct fat_header *fat = (const void *)part(file, 0, sizeof *fat).at;
    if (be32toh(fat->magic) != MAGIC_FAT) return file;
    uint32_t count = be32toh(fat->count);
    const struct fat_arch *arch = (const void *)part(file, sizeof *fat, (uint64_t)count * sizeof *arch).at;
    for (uint32_t i = 0; i < count; i++) {
        if (be32toh(arch[i].cpu) == CPU) return part(file, be32toh(arch[i].offset), be32toh(arch[i].size));
    }
    refuse("%s is for another processor", program_path);
}

// Empty: it is not signed.
static struct bytes signature_in(struct bytes image) {
    const struct header *header = (const void *)part(image, 0, sizeof *header).at;
    if (header->magic != MAGIC_64) refuse("%s is no Mach-O", program_path);
    uint64_t at = sizeof *header;
    for (uint32_t i = 0; i < header->commands; i++) {
        const struct linkedit_command *command = (const void *)part(image, at, sizeof *command).at;
        if (command->command.kind == LC_CODE_SIGNATURE) return part(image, command->offset, command->length);
        at += command->command.size;
    }
    return (struct bytes){NULL, 0};
}

static const struct code_directory *directory_in(struct bytes signature) {
    const struct super_blob *super = (const void *)part(signature, 0, sizeof *super).at;
    if (be32toh(super->blob.magic) != SUPER_BLOB) return NULL;
    uint32_t count = be32toh(super->count);
    part(signature, sizeof *super, (uint64_t)count * sizeof(struct blob_index));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset = be32toh(super->index[i].offset);
        const struct code_directory *found = (const void *)part(signature, offset, sizeof *found).at;
        if (be32toh(found->blob.magic) != CODE_DIRECTORY || found->hash_type != HASH_SHA256) continue;
        part(signature, offset, be32toh(found->blob.length));
        return found;
    }
    return NULL;
}

static bool identify(struct bytes file, char identity[IDENTITY]) {
    struct bytes signature = signature_in(image_in(file));
    const struct code_directory *directory = signature.length ? directory_in(signature) : NULL;
    if (!directory) return false;
    if (be32toh(directory->version) >= SUPPORTS_TEAM && directory->team_offset) {
        snprintf(identity, IDENTITY, "teamid:%s", (const char *)directory + be32toh(directory->team_offset));
        return true;
    }
    uint8_t digest[SHA256_BYTES];
    sha256(directory, be32toh(directory->blob.length), digest);
    int length = snprintf(identity, IDENTITY, "cdhash:");
    for (int i = 0; i < CD_HASH_BYTES; i++) length += snprintf(identity + length, 3, "%02x", digest[i]);
    return true;
}

bool code_identity(char identity[IDENTITY]) {
    struct where where;
    struct stat about;
    if (!packed(&where)) {
        where = (struct where){.fd = open(program_path, O_RDONLY | O_CLOEXEC)};
        if (where.fd < 0 || fstat(where.fd, &about)) refuse("%s: %m", program_path);
        where.length = (uint64_t)about.st_size;
    }
    // The program begins at a page, if it is in a file with the loader.
    void *mapped = mmap(NULL, where.length, PROT_READ, MAP_PRIVATE, where.fd, (off_t)where.offset);
    if (mapped == MAP_FAILED) refuse("%s: %m", program_path);
    close(where.fd);
    bool is_signed = identify((struct bytes){mapped, where.length}, identity);
    munmap(mapped, where.length);
    return is_signed;
}
