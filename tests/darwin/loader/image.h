// A program in memory: its load commands, its segments and sections.
#pragma once
#include "loader/bytes.h"
#include "loader/macho.h"

struct segment {
    char name[17];
    uint64_t address;  // as the file says: without the slide
    uint64_t size;
    uint64_t file_offset;
    uint64_t file_size;
    uint32_t protection;  // VM_PROT_*
    bool constant;        // read-only after the fixups
};

struct section {
    char name[17];
    char segment[17];
    uint32_t type;      // S_*
    uint64_t address;   // as the file says
    uint64_t size;
    uint32_t alignment; // of 2
};

struct image {
    struct bytes file;
    uint64_t file_begin;  // where these bytes are in the file that is mapped
    struct mach_header_64 about;
    struct bytes commands;
    struct segment *segments;
    uint32_t segment_count;
    struct section *sections;
    uint32_t section_count;
    uint64_t address;  // where the file wants it
    uint64_t size;
    uint8_t *memory;   // where it is: the header
    int64_t slide;
};

// Reads the load commands of what is at `begin` of a file. Of a fat one it takes the slice of this processor.
void image_read(struct image *image, struct bytes file, uint64_t begin);
// Maps it from where it is in the file, all of it writable as yet.
void image_map(struct image *image, int fd);
// Gives the segments the protection they have when the program starts.
void image_protect(const struct image *image);

// The command of that kind, or no bytes at all.
struct bytes image_command(const struct image *image, uint32_t which);
// The part of the file that a linkedit_data_command names; without the command no bytes at all.
struct bytes image_linkedit(const struct image *image, uint32_t which, const char *name);
const struct section *image_section(const struct image *image, const char *segment, const char *name);
void *image_of(const struct image *image, const struct section *section);
// The place of a pointer that is to be fixed, `offset` behind the header: it must be in a segment that can be written.
void *image_pointer(const struct image *image, uint64_t offset);
// Whether the bytes `offset` behind the header are there and can be executed.
bool image_executes(const struct image *image, uint64_t offset);
