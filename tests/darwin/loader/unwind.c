// libgcc unwinds, and asks for the DWARF entry of each frame by _Unwind_Find_FDE (its unwind-dw2-fde.h). For the
// program we answer as Apple's libunwind looks it up: __unwind_info has an encoding for each function, of which either
// frame_of() makes an entry, or which says where in __eh_frame there is one. elf_frame() answers for all the rest.
#include "darwin.h"
#include "loader/elf_frames.h"
#include "loader/frame.h"
#include "loader/unwind.h"
#include <unwind.h>

static const struct image *of;
static struct bytes info;
static struct bytes dwarf;
static struct unwind_info_section_header header;

static struct bytes section(const struct image *image, const char *name) {
    const struct section *section = image_section(image, "__TEXT", name);
    return section ? (struct bytes){image_of(image, section), section->size, section->name} : (struct bytes){0};
}

void unwind_prepare(const struct image *image) {
    of = image;
    info = section(image, "__unwind_info");
    dwarf = section(image, "__eh_frame");
    if (!info.at) return;
    BYTES_READ(info, 0, header);
    if (header.version != UNWIND_SECTION_VERSION) malformed("its unwind table is of version %u", header.version);
}

// ---- the two levels of the table ------------------------------------------------------------------------------------

typedef struct unwind_info_section_header_index_entry index_entry;

static index_entry index_at(uint32_t which) {
    index_entry entry;
    BYTES_READ(info, header.indexSectionOffset + (uint64_t)which * sizeof entry, entry);
    return entry;
}

// How many of `count` ascending numbers, `step` bytes apart from `at`, are not beyond `wanted`.
static uint32_t not_beyond(uint64_t at, uint32_t count, uint32_t step, uint32_t mask, uint32_t wanted) {
    uint32_t low = 0;
    while (low < count) {
        uint32_t middle = low + (count - low) / 2, number;
        BYTES_READ(info, at + (uint64_t)middle * step, number);
        if ((number & mask) <= wanted) low = middle + 1;
        else count = middle;
    }
    return low;
}

// A function as the table has it: offsets behind the header.
struct entry {
    uint32_t begin, end, encoding;
};

static bool in_regular(uint64_t page, uint32_t offset, struct entry *entry) {
    struct unwind_info_regular_second_level_page_header about;
    struct unwind_info_regular_second_level_entry found;
    BYTES_READ(info, page, about);
    uint64_t entries = page + about.entryPageOffset;
    uint32_t count = not_beyond(entries, about.entryCount, sizeof found, ~0u, offset);
    if (!count) return false;
    BYTES_READ(info, entries + (count - 1) * sizeof found, found);
    entry->begin = found.functionOffset;
    entry->encoding = found.encoding;
    if (count == about.entryCount) return true;
    BYTES_READ(info, entries + count * sizeof found, found);
    entry->end = found.functionOffset;
    return true;
}

// Offsets count from the first level's entry; encodings are numbers into the table's common ones, then the page's own.
enum { COMPRESSED_OFFSET = 0x00ffffff, COMPRESSED_ENCODING_SHIFT = 24 };

static uint32_t compressed_encoding(uint64_t page, uint16_t own, uint32_t which) {
    uint32_t encoding;
    if (which < header.commonEncodingsArrayCount)
        BYTES_READ(info, header.commonEncodingsArraySectionOffset + (uint64_t)which * sizeof encoding, encoding);
    else
        BYTES_READ(info, page + own + (uint64_t)(which - header.commonEncodingsArrayCount) * sizeof encoding, encoding);
    return encoding;
}

static bool in_compressed(uint64_t page, uint32_t base, uint32_t offset, struct entry *entry) {
    struct unwind_info_compressed_second_level_page_header about;
    uint32_t found;
    BYTES_READ(info, page, about);
    uint64_t entries = page + about.entryPageOffset;
    uint32_t count = not_beyond(entries, about.entryCount, sizeof found, COMPRESSED_OFFSET, offset - base);
    if (!count) return false;
    BYTES_READ(info, entries + (count - 1) * sizeof found, found);
    entry->begin = base + (found & COMPRESSED_OFFSET);
    entry->encoding = compressed_encoding(page, about.encodingsPageOffset, found >> COMPRESSED_ENCODING_SHIFT);
    if (count == about.entryCount) return true;
    BYTES_READ(info, entries + count * sizeof found, found);
    entry->end = base + (found & COMPRESSED_OFFSET);
    return true;
}

static bool look_up(uint32_t offset, struct entry *entry, index_entry *page, index_entry *next) {
    if (!header.indexCount) return false;
    // The last entry only tells where the functions end.
    uint32_t count = not_beyond(header.indexSectionOffset, header.indexCount - 1, sizeof *page, ~0u, offset);
    if (!count) return false;
    *page = index_at(count - 1);
    *next = index_at(count);
    if (!page->secondLevelPagesSectionOffset || offset >= next->functionOffset) return false;
    entry->end = next->functionOffset;
    uint32_t kind;
    BYTES_READ(info, page->secondLevelPagesSectionOffset, kind);
    if (kind == UNWIND_SECOND_LEVEL_REGULAR) return in_regular(page->secondLevelPagesSectionOffset, offset, entry);
    if (kind != UNWIND_SECOND_LEVEL_COMPRESSED) malformed("a page of its unwind table is of kind %u", kind);
    return in_compressed(page->secondLevelPagesSectionOffset, page->functionOffset, offset, entry);
}

// ---- what goes with a function --------------------------------------------------------------------------------------

// Where its table of landing pads is, told in the part of a list that the first level names.
static uint64_t lsda_of(uint32_t begin, const index_entry *page, const index_entry *next) {
    struct unwind_info_section_header_lsda_index_entry found;
    uint64_t first = page->lsdaIndexArraySectionOffset, end = next->lsdaIndexArraySectionOffset;
    if (end < first) malformed("its unwind table is in disorder");
    uint32_t count = not_beyond(first, (uint32_t)((end - first) / sizeof found), sizeof found, ~0u, begin);
    if (!count) return 0;
    BYTES_READ(info, first + (count - 1) * sizeof found, found);
    return found.functionOffset == begin ? (uint64_t)of->memory + found.lsdaOffset : 0;
}

// The personality's number counts from one; the table tells where the pointer to it is.
static uint64_t personality_of(uint32_t encoding) {
    uint32_t which = (encoding & UNWIND_PERSONALITY_MASK) / 0x10000000, offset;
    if (!which) return 0;
    if (which > header.personalityArrayCount) malformed("its unwind table has no personality %u", which);
    BYTES_READ(info, header.personalityArraySectionOffset + (which - 1) * sizeof offset, offset);
    if (offset > of->size - sizeof(uint64_t)) malformed("a personality is outside the segments");
    uint64_t personality;
    memcpy(&personality, of->memory + offset, sizeof personality);
    return personality;
}

struct dwarf_eh_bases {
    void *text, *data, *function;
};

static const void *program_frame(uint32_t offset, struct dwarf_eh_bases *bases) {
    // libgcc has read an entry before it asks for the next: one a thread is enough.
    static __thread struct frame frame;
    struct entry entry;
    index_entry page, next;
    if (!info.at || !look_up(offset, &entry, &page, &next)) return NULL;
    *bases = (struct dwarf_eh_bases){NULL, NULL, of->memory + entry.begin};
    if (frame_is_dwarf(entry.encoding)) {
        uint32_t at = entry.encoding & UNWIND_DWARF_SECTION_OFFSET, length;
        BYTES_READ(dwarf, at, length);
        return bytes_part(dwarf, at, sizeof length + (uint64_t)length, "an entry of __eh_frame").at;
    }
    struct function function = {
        .begin = (uint64_t)of->memory + entry.begin,
        .end = (uint64_t)of->memory + entry.end,
        .encoding = entry.encoding,
        .personality = personality_of(entry.encoding),
        .lsda = entry.encoding & UNWIND_HAS_LSDA ? lsda_of(entry.begin, &page, &next) : 0,
    };
    return frame_of(&frame, &function);
}

const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases) {
    uint64_t offset = (uint64_t)pc - (of ? (uint64_t)of->memory : 0);
    if (of && offset < of->size && offset <= UINT32_MAX) return program_frame((uint32_t)offset, bases);
    return elf_frame(pc, &bases->function);
}

SAME(_Unwind_Backtrace)
SAME(_Unwind_DeleteException)
SAME(_Unwind_FindEnclosingFunction)
SAME(_Unwind_GetCFA)
SAME(_Unwind_GetDataRelBase)
SAME(_Unwind_GetGR)
SAME(_Unwind_GetIP)
SAME(_Unwind_GetIPInfo)
SAME(_Unwind_GetLanguageSpecificData)
SAME(_Unwind_GetRegionStart)
SAME(_Unwind_GetTextRelBase)
SAME(_Unwind_RaiseException)
SAME(_Unwind_Resume)
SAME(_Unwind_Resume_or_Rethrow)
SAME(_Unwind_SetGR)
SAME(_Unwind_SetIP)
