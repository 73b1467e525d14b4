#include "darwin.h"
#include "loader/image.h"
#include <endian.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/random.h>

#ifdef __x86_64__
#define CPU CPU_TYPE_X86_64
#define CPU_NAME "x86_64"
// mach/i386/vm_param.h: I386_PGBYTES
#define PAGE 0x1000ull
#else
#define CPU CPU_TYPE_ARM64
#define CPU_NAME "arm64"
// mach/arm/vm_param.h: ARM_PGSHIFT of macOS on Apple silicon
#define PAGE 0x4000ull
#endif
// More than a program of ours will ever have, less than what would exhaust the machine.
#define LARGEST (1ull << 36)

// ---- the file -------------------------------------------------------------------------------------------------------

static struct bytes slice(struct bytes file, const struct fat_header *fat) {
    bool wide = be32toh(fat->magic) == FAT_MAGIC_64;
    uint32_t count = be32toh(fat->nfat_arch);
    uint64_t at = sizeof *fat;
    for (uint32_t i = 0; i < count; i++) {
        struct fat_arch_64 arch = {0};
        if (wide) {
            BYTES_READ(file, at, arch);
            at += sizeof arch;
        } else {
            struct fat_arch narrow;
            BYTES_READ(file, at, narrow);
            at += sizeof narrow;
            arch.cputype = narrow.cputype;
            arch.offset = htobe64(be32toh(narrow.offset));
            arch.size = htobe64(be32toh(narrow.size));
        }
        if (be32toh(arch.cputype) == CPU)
            return bytes_part(file, be64toh(arch.offset), be64toh(arch.size), "the slice of " CPU_NAME);
    }
    malformed("none of the %u slices is of " CPU_NAME, count);
}

// ---- the load commands ----------------------------------------------------------------------------------------------

static bool understood(uint32_t command) {
    switch (command) {
    case LC_MAIN:
    case LC_DYLD_INFO_ONLY:
    case LC_DYLD_CHAINED_FIXUPS:
    case LC_DYLD_EXPORTS_TRIE:
    case LC_LOAD_WEAK_DYLIB:
    case LC_REEXPORT_DYLIB:
    case LC_LOAD_UPWARD_DYLIB:
    case LC_RPATH:
        return true;
    default:
        return !(command & LC_REQ_DYLD);
    }
}

static void read_section(struct image *image, const struct segment *in, const struct section_64 *from) {
    struct section *section = &image->sections[image->section_count++];
    memcpy(section->name, from->sectname, sizeof from->sectname);
    memcpy(section->segment, from->segname, sizeof from->segname);
    section->type = from->flags & SECTION_TYPE;
    section->address = from->addr;
    section->size = from->size;
    section->alignment = from->align;
    if (from->addr < in->address || from->addr - in->address > in->size ||
        from->size > in->size - (from->addr - in->address))
        malformed("section %s,%s is outside its segment", section->segment, section->name);
}

static void read_segment(struct image *image, struct bytes command) {
    struct segment_command_64 from;
    BYTES_READ(command, 0, from);
    struct segment *segment = &image->segments[image->segment_count++];
    memcpy(segment->name, from.segname, sizeof from.segname);
    segment->address = from.vmaddr;
    segment->size = (from.vmsize + PAGE - 1) & ~(PAGE - 1);
    segment->file_offset = from.fileoff;
    segment->file_size = from.filesize;
    segment->protection = from.initprot;
    segment->constant = from.flags & SG_READ_ONLY;
    // xnu's load_segment (bsd/kern/mach_loader.c) refuses these, too.
    bytes_part(image->file, from.fileoff, from.filesize, segment->name);
    if (from.filesize > from.vmsize) malformed("segment %s has more bytes than memory", segment->name);
    if (from.vmaddr % PAGE) malformed("segment %s does not begin at a page of %llu bytes", segment->name, PAGE);
    if (segment->size < from.vmsize || from.vmaddr + segment->size < from.vmaddr)
        malformed("segment %s goes round the end of memory", segment->name);
    if (from.nsects && !from.initprot) malformed("segment %s has sections and no memory", segment->name);
    bytes_part(command, sizeof from, (uint64_t)from.nsects * sizeof(struct section_64), "the sections");
    for (uint32_t i = 0; i < from.nsects; i++) {
        struct section_64 section;
        BYTES_READ(command, sizeof from + i * sizeof section, section);
        read_section(image, segment, &section);
    }
}

// The command at `*at`, which goes to the next.
static struct bytes next_command(struct bytes commands, uint64_t *at, struct load_command *command) {
    BYTES_READ(commands, *at, *command);
    if (command->cmdsize < sizeof *command) malformed("a load command at %#" PRIx64 " has no size", *at);
    struct bytes found = bytes_part(commands, *at, command->cmdsize, "a load command");
    *at += command->cmdsize;
    return found;
}

static void *room(uint64_t count, size_t size) {
    void *place = calloc(count + 1, size);
    if (!place) malformed("there is no memory for its load commands");
    return place;
}

// What the segments span, from the header to the end of the last; nothing may lie before or over each other.
static void measure(struct image *image) {
    uint64_t end = 0;
    const struct segment *first = NULL;
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct segment *segment = &image->segments[i];
        if (!segment->protection) continue;
        if (!first) first = segment;
        else if (segment->address < end) malformed("segment %s lies over the one before", segment->name);
        end = segment->address + segment->size;
    }
    if (!first) malformed("it has no segment");
    uint64_t head = sizeof image->about + image->about.sizeofcmds;
    if (first->file_offset || first->file_size < head) malformed("its first segment does not hold the load commands");
    image->address = first->address;
    image->size = end - first->address;
    if (image->size > LARGEST) malformed("it would take %" PRIu64 " bytes of memory", image->size);
}

void image_read(struct image *image, struct bytes file, uint64_t begin) {
    const uint8_t *first = file.at;
    struct fat_header fat;
    BYTES_READ(file, 0, fat);
    if (be32toh(fat.magic) == FAT_MAGIC || be32toh(fat.magic) == FAT_MAGIC_64) file = slice(file, &fat);
    image->file = file;
    image->file_begin = begin + (uint64_t)(file.at - first);
    struct mach_header_64 *about = &image->about;
    BYTES_READ(file, 0, *about);
    if (about->magic != MH_MAGIC_64) malformed("it is no Mach-O of 64 bits");
    if (about->cputype != CPU) malformed("it is for another processor than " CPU_NAME);
    if (about->filetype != MH_EXECUTE) malformed("it is no program: files of type %u are not run", about->filetype);
    image->commands = bytes_part(file, sizeof *about, about->sizeofcmds, "the load commands");
    image->segments = room(about->sizeofcmds / sizeof(struct segment_command_64), sizeof *image->segments);
    image->sections = room(about->sizeofcmds / sizeof(struct section_64), sizeof *image->sections);
    uint64_t at = 0;
    for (uint32_t i = 0; i < about->ncmds; i++) {
        struct load_command command;
        struct bytes whole = next_command(image->commands, &at, &command);
        if (!understood(command.cmd)) malformed("load command %#x must be understood, and is not", command.cmd);
        if (command.cmd == LC_SEGMENT_64) read_segment(image, whole);
    }
    measure(image);
}

struct bytes image_command(const struct image *image, uint32_t which) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < image->about.ncmds; i++) {
        struct load_command command;
        struct bytes whole = next_command(image->commands, &at, &command);
        if (command.cmd == which) return whole;
    }
    return (struct bytes){0};
}

struct bytes image_linkedit(const struct image *image, uint32_t which, const char *name) {
    struct bytes command = image_command(image, which);
    if (!command.at) return command;
    struct linkedit_data_command data;
    BYTES_READ(command, 0, data);
    return bytes_part(image->file, data.dataoff, data.datasize, name);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static uint8_t *segment_memory(const struct image *image, const struct segment *segment) {
    return image->memory + (segment->address - image->address);
}

// osfmk/kern/vm_map.c, vm_map_get_max_aslr_slide_pages: how far a program is moved, in pages of 4 KiB.
#define MOST_SLIDE (0x10000ull * 0x1000)

static uint64_t random_slide(void) {
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number) malformed("there is no chance for its place: %m");
    return number % MOST_SLIDE & ~(PAGE - 1);
}

// A place that is as aligned as the segments are, which may be more than a page of this machine.
static uint8_t *place(const struct image *image) {
    bool moves = image->about.flags & MH_PIE;
    uint64_t size = image->size + PAGE;
    void *wanted = (void *)(image->address + (moves ? random_slide() : 0));
    int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (moves ? 0 : MAP_FIXED_NOREPLACE);
    uint8_t *got = mmap(wanted, size, PROT_NONE, how, -1, 0);
    if (got == MAP_FAILED) malformed("there is no place for it in memory: %m");
    return (uint8_t *)(((uint64_t)got + PAGE - 1) & ~(PAGE - 1));
}

static void map_segment(const struct image *image, const struct segment *segment, int fd) {
    uint8_t *to = segment_memory(image, segment);
    int protection = PROT_READ | PROT_WRITE;
    uint64_t filled = segment->file_size;
    uint64_t from = image->file_begin + segment->file_offset;
    bool whole_pages = from % (uint64_t)sysconf(_SC_PAGESIZE) == 0;
    if (mprotect(to, segment->size, protection)) malformed("segment %s finds no memory: %m", segment->name);
    if (!filled) return;
    if (!whole_pages) {
        // A slice of a file that was packed without care for pages.
        memcpy(to, image->file.at + segment->file_offset, filled);
        return;
    }
    if (mmap(to, filled, protection, MAP_PRIVATE | MAP_FIXED, fd, (off_t)from) == MAP_FAILED)
        malformed("segment %s cannot be mapped: %m", segment->name);
    // What follows in the file's last page is not the segment's.
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (filled % page) memset(to + filled, 0, page - filled % page);
}

void image_map(struct image *image, int fd) {
    image->memory = place(image);
    image->slide = (int64_t)((uint64_t)image->memory - image->address);
    for (uint32_t i = 0; i < image->segment_count; i++)
        if (image->segments[i].protection && image->segments[i].size)
            map_segment(image, &image->segments[i], fd);
}

void image_protect(const struct image *image) {
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct segment *segment = &image->segments[i];
        if (!segment->protection) continue;
        int protection = segment->protection & VM_PROT_READ ? PROT_READ : PROT_NONE;
        if (segment->protection & VM_PROT_WRITE && !segment->constant) protection |= PROT_WRITE;
        if (segment->protection & VM_PROT_EXECUTE) protection |= PROT_EXEC;
        if (mprotect(segment_memory(image, segment), segment->size, protection))
            malformed("segment %s cannot be protected: %m", segment->name);
    }
}

// ---- places ---------------------------------------------------------------------------------------------------------

const struct section *image_section(const struct image *image, const char *segment, const char *name) {
    for (uint32_t i = 0; i < image->section_count; i++) {
        const struct section *section = &image->sections[i];
        if (!strcmp(section->segment, segment) && !strcmp(section->name, name)) return section;
    }
    return NULL;
}

void *image_of(const struct image *image, const struct section *section) {
    return image->memory + (section->address - image->address);
}

static const struct segment *segment_at(const struct image *image, uint64_t offset, uint64_t size) {
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct segment *segment = &image->segments[i];
        if (!segment->protection) continue;
        uint64_t begin = segment->address - image->address;
        if (offset >= begin && offset - begin <= segment->size && size <= segment->size - (offset - begin))
            return segment;
    }
    return NULL;
}

void *image_pointer(const struct image *image, uint64_t offset) {
    const struct segment *segment = segment_at(image, offset, sizeof(void *));
    if (!segment) malformed("a fixup at %#" PRIx64 " is outside the segments", offset);
    if (!(segment->protection & VM_PROT_WRITE))
        malformed("a fixup at %#" PRIx64 " is in read-only %s", offset, segment->name);
    return image->memory + offset;
}

bool image_executes(const struct image *image, uint64_t offset) {
    const struct segment *segment = segment_at(image, offset, 1);
    return segment && segment->protection & VM_PROT_EXECUTE;
}
