// The format of the programs: what of it the loader reads, named as the headers of its sources name it.
//
// Sources: xnu EXTERNAL_HEADERS/mach-o/{loader,nlist,fat}.h, osfmk/mach/machine.h (tag xnu-10063.101.15); dyld
// include/mach-o/fixup-chains.h (tag dyld-1122.1); libunwind include/mach-o/compact_unwind_encoding.h (llvmorg-17.0.0).
#pragma once
#include <stdint.h>

// ---- mach-o/fat.h: numbers are big-endian ---------------------------------------------------------------------------

enum { FAT_MAGIC = 0xcafebabe, FAT_MAGIC_64 = 0xcafebabf };

struct fat_header {
    uint32_t magic;
    uint32_t nfat_arch;
};

struct fat_arch {
    uint32_t cputype;
    uint32_t cpusubtype;
    uint32_t offset;
    uint32_t size;
    uint32_t align;
};

struct fat_arch_64 {
    uint32_t cputype;
    uint32_t cpusubtype;
    uint64_t offset;
    uint64_t size;
    uint32_t align;
    uint32_t reserved;
};

_Static_assert(sizeof(struct fat_arch) == 20, "fat.h");
_Static_assert(sizeof(struct fat_arch_64) == 32, "fat.h");

// ---- mach-o/loader.h ------------------------------------------------------------------------------------------------

enum { MH_MAGIC_64 = 0xfeedfacf };
enum { MH_EXECUTE = 2 };
enum { MH_PIE = 0x200000 };

// mach/machine.h: CPU_ARCH_ABI64 | CPU_TYPE_X86, CPU_TYPE_ARM.
enum { CPU_TYPE_X86_64 = 0x01000007, CPU_TYPE_ARM64 = 0x0100000c };

struct mach_header_64 {
    uint32_t magic;
    uint32_t cputype;
    uint32_t cpusubtype;
    uint32_t filetype;
    uint32_t ncmds;
    uint32_t sizeofcmds;
    uint32_t flags;
    uint32_t reserved;
};
_Static_assert(sizeof(struct mach_header_64) == 32, "loader.h");

// A command that has LC_REQ_DYLD must be understood, or the program is not started.
#define LC_REQ_DYLD 0x80000000u
#define LC_SYMTAB 0x2u
#define LC_SEGMENT_64 0x19u
#define LC_CODE_SIGNATURE 0x1du
#define LC_LOAD_WEAK_DYLIB (0x18u | LC_REQ_DYLD)
#define LC_RPATH (0x1cu | LC_REQ_DYLD)
#define LC_REEXPORT_DYLIB (0x1fu | LC_REQ_DYLD)
#define LC_DYLD_INFO 0x22u
#define LC_DYLD_INFO_ONLY (0x22u | LC_REQ_DYLD)
#define LC_LOAD_UPWARD_DYLIB (0x23u | LC_REQ_DYLD)
#define LC_MAIN (0x28u | LC_REQ_DYLD)
#define LC_DYLD_EXPORTS_TRIE (0x33u | LC_REQ_DYLD)
#define LC_DYLD_CHAINED_FIXUPS (0x34u | LC_REQ_DYLD)

struct load_command {
    uint32_t cmd;
    uint32_t cmdsize;
};

struct segment_command_64 {
    uint32_t cmd;
    uint32_t cmdsize;
    char segname[16];
    uint64_t vmaddr;
    uint64_t vmsize;
    uint64_t fileoff;
    uint64_t filesize;
    uint32_t maxprot;
    uint32_t initprot;
    uint32_t nsects;
    uint32_t flags;
};
_Static_assert(sizeof(struct segment_command_64) == 72, "loader.h");

// The segment is made read-only once its fixups are applied.
enum { SG_READ_ONLY = 0x10 };
// mach/vm_prot.h
enum { VM_PROT_READ = 1, VM_PROT_WRITE = 2, VM_PROT_EXECUTE = 4 };

struct section_64 {
    char sectname[16];
    char segname[16];
    uint64_t addr;
    uint64_t size;
    uint32_t offset;
    uint32_t align;
    uint32_t reloff;
    uint32_t nreloc;
    uint32_t flags;
    uint32_t reserved1;
    uint32_t reserved2;
    uint32_t reserved3;
};
_Static_assert(sizeof(struct section_64) == 80, "loader.h");

enum { SECTION_TYPE = 0xff };
enum {
    S_MOD_INIT_FUNC_POINTERS = 0x9,
    S_MOD_TERM_FUNC_POINTERS = 0xa,
    S_THREAD_LOCAL_REGULAR = 0x11,
    S_THREAD_LOCAL_ZEROFILL = 0x12,
    S_THREAD_LOCAL_VARIABLES = 0x13,
    S_INIT_FUNC_OFFSETS = 0x16,
};

struct entry_point_command {
    uint32_t cmd;
    uint32_t cmdsize;
    uint64_t entryoff;
    uint64_t stacksize;
};

struct symtab_command {
    uint32_t cmd;
    uint32_t cmdsize;
    uint32_t symoff;
    uint32_t nsyms;
    uint32_t stroff;
    uint32_t strsize;
};

struct linkedit_data_command {
    uint32_t cmd;
    uint32_t cmdsize;
    uint32_t dataoff;
    uint32_t datasize;
};

struct dyld_info_command {
    uint32_t cmd;
    uint32_t cmdsize;
    uint32_t rebase_off;
    uint32_t rebase_size;
    uint32_t bind_off;
    uint32_t bind_size;
    uint32_t weak_bind_off;
    uint32_t weak_bind_size;
    uint32_t lazy_bind_off;
    uint32_t lazy_bind_size;
    uint32_t export_off;
    uint32_t export_size;
};

// mach-o/nlist.h
struct nlist_64 {
    uint32_t n_strx;
    uint8_t n_type;
    uint8_t n_sect;
    uint16_t n_desc;
    uint64_t n_value;
};
_Static_assert(sizeof(struct nlist_64) == 16, "nlist.h");
enum { N_STAB = 0xe0, N_TYPE = 0x0e, N_EXT = 0x01, N_SECT = 0x0e };

// ---- LC_DYLD_INFO: an opcode is in the upper half of a byte, what goes with it in the lower -------------------------

enum { OPCODE_MASK = 0xf0, IMMEDIATE_MASK = 0x0f };
enum { REBASE_TYPE_POINTER = 1 };
enum {
    REBASE_OPCODE_DONE = 0x00,
    REBASE_OPCODE_SET_TYPE_IMM = 0x10,
    REBASE_OPCODE_SET_SEGMENT_AND_OFFSET_ULEB = 0x20,
    REBASE_OPCODE_ADD_ADDR_ULEB = 0x30,
    REBASE_OPCODE_ADD_ADDR_IMM_SCALED = 0x40,
    REBASE_OPCODE_DO_REBASE_IMM_TIMES = 0x50,
    REBASE_OPCODE_DO_REBASE_ULEB_TIMES = 0x60,
    REBASE_OPCODE_DO_REBASE_ADD_ADDR_ULEB = 0x70,
    REBASE_OPCODE_DO_REBASE_ULEB_TIMES_SKIPPING_ULEB = 0x80,
};

enum { BIND_TYPE_POINTER = 1 };
enum { BIND_SYMBOL_FLAGS_WEAK_IMPORT = 1, BIND_SYMBOL_FLAGS_NON_WEAK_DEFINITION = 8 };
enum { BIND_SPECIAL_DYLIB_WEAK_LOOKUP = -3 };
enum {
    BIND_OPCODE_DONE = 0x00,
    BIND_OPCODE_SET_DYLIB_ORDINAL_IMM = 0x10,
    BIND_OPCODE_SET_DYLIB_ORDINAL_ULEB = 0x20,
    BIND_OPCODE_SET_DYLIB_SPECIAL_IMM = 0x30,
    BIND_OPCODE_SET_SYMBOL_TRAILING_FLAGS_IMM = 0x40,
    BIND_OPCODE_SET_TYPE_IMM = 0x50,
    BIND_OPCODE_SET_ADDEND_SLEB = 0x60,
    BIND_OPCODE_SET_SEGMENT_AND_OFFSET_ULEB = 0x70,
    BIND_OPCODE_ADD_ADDR_ULEB = 0x80,
    BIND_OPCODE_DO_BIND = 0x90,
    BIND_OPCODE_DO_BIND_ADD_ADDR_ULEB = 0xa0,
    BIND_OPCODE_DO_BIND_ADD_ADDR_IMM_SCALED = 0xb0,
    BIND_OPCODE_DO_BIND_ULEB_TIMES_SKIPPING_ULEB = 0xc0,
};

// ---- LC_DYLD_CHAINED_FIXUPS: mach-o/fixup-chains.h ------------------------------------------------------------------

struct dyld_chained_fixups_header {
    uint32_t fixups_version;
    uint32_t starts_offset;
    uint32_t imports_offset;
    uint32_t symbols_offset;
    uint32_t imports_count;
    uint32_t imports_format;
    uint32_t symbols_format;
};

// Followed by page_count page_start of 16 bits.
struct dyld_chained_starts_in_segment {
    uint32_t size;
    uint16_t page_size;
    uint16_t pointer_format;
    uint64_t segment_offset;
    uint32_t max_valid_pointer;
    uint16_t page_count;
} __attribute__((packed));
_Static_assert(sizeof(struct dyld_chained_starts_in_segment) == 22, "fixup-chains.h");

enum { DYLD_CHAINED_PTR_START_NONE = 0xffff, DYLD_CHAINED_PTR_START_MULTI = 0x8000 };
enum { DYLD_CHAINED_PTR_64 = 2, DYLD_CHAINED_PTR_64_OFFSET = 6 };
enum { DYLD_CHAINED_PTR_64_STRIDE = 4 };

struct dyld_chained_ptr_64_rebase {
    uint64_t target : 36, high8 : 8, reserved : 7, next : 12, bind : 1;
};

struct dyld_chained_ptr_64_bind {
    uint64_t ordinal : 24, addend : 8, reserved : 19, next : 12, bind : 1;
};

enum { DYLD_CHAINED_IMPORT = 1, DYLD_CHAINED_IMPORT_ADDEND = 2, DYLD_CHAINED_IMPORT_ADDEND64 = 3 };

struct dyld_chained_import {
    int32_t lib_ordinal : 8;
    uint32_t weak_import : 1, name_offset : 23;
};

struct dyld_chained_import_addend {
    int32_t lib_ordinal : 8;
    uint32_t weak_import : 1, name_offset : 23;
    int32_t addend;
};

struct dyld_chained_import_addend64 {
    int64_t lib_ordinal : 16;
    uint64_t weak_import : 1, reserved : 15, name_offset : 32;
    uint64_t addend;
};
_Static_assert(sizeof(struct dyld_chained_import) == 4, "fixup-chains.h");
_Static_assert(sizeof(struct dyld_chained_import_addend) == 8, "fixup-chains.h");
_Static_assert(sizeof(struct dyld_chained_import_addend64) == 16, "fixup-chains.h");

// ---- thread-local variables: dyld libdyld/ThreadLocalVariables.h (tag dyld-1122.1), TLV_Thunk -----------------------

struct tlv_descriptor {
    void *(*thunk)(struct tlv_descriptor *);
    uint64_t key;
    uint64_t offset;
};
_Static_assert(sizeof(struct tlv_descriptor) == 24, "ThreadLocalVariables.h");

// ---- __TEXT,__unwind_info: mach-o/compact_unwind_encoding.h ---------------------------------------------------------

enum { UNWIND_SECTION_VERSION = 1 };

struct unwind_info_section_header {
    uint32_t version;
    uint32_t commonEncodingsArraySectionOffset;
    uint32_t commonEncodingsArrayCount;
    uint32_t personalityArraySectionOffset;
    uint32_t personalityArrayCount;
    uint32_t indexSectionOffset;
    uint32_t indexCount;
};

struct unwind_info_section_header_index_entry {
    uint32_t functionOffset;
    uint32_t secondLevelPagesSectionOffset;
    uint32_t lsdaIndexArraySectionOffset;
};

struct unwind_info_section_header_lsda_index_entry {
    uint32_t functionOffset;
    uint32_t lsdaOffset;
};

enum { UNWIND_SECOND_LEVEL_REGULAR = 2, UNWIND_SECOND_LEVEL_COMPRESSED = 3 };

struct unwind_info_regular_second_level_entry {
    uint32_t functionOffset;
    uint32_t encoding;
};

struct unwind_info_regular_second_level_page_header {
    uint32_t kind;
    uint16_t entryPageOffset;
    uint16_t entryCount;
};

struct unwind_info_compressed_second_level_page_header {
    uint32_t kind;
    uint16_t entryPageOffset;
    uint16_t entryCount;
    uint16_t encodingsPageOffset;
    uint16_t encodingsCount;
};

enum {
    UNWIND_HAS_LSDA = 0x40000000,
    UNWIND_PERSONALITY_MASK = 0x30000000,
    UNWIND_MODE_MASK = 0x0f000000,
    UNWIND_DWARF_SECTION_OFFSET = 0x00ffffff,
};

enum {
    UNWIND_X86_64_MODE_RBP_FRAME = 0x01000000,
    UNWIND_X86_64_MODE_STACK_IMMD = 0x02000000,
    UNWIND_X86_64_MODE_STACK_IND = 0x03000000,
    UNWIND_X86_64_MODE_DWARF = 0x04000000,
    UNWIND_X86_64_RBP_FRAME_REGISTERS = 0x00007fff,
    UNWIND_X86_64_RBP_FRAME_OFFSET = 0x00ff0000,
    UNWIND_X86_64_FRAMELESS_STACK_SIZE = 0x00ff0000,
    UNWIND_X86_64_FRAMELESS_STACK_ADJUST = 0x0000e000,
    UNWIND_X86_64_FRAMELESS_STACK_REG_COUNT = 0x00001c00,
    UNWIND_X86_64_FRAMELESS_STACK_REG_PERMUTATION = 0x000003ff,
};

enum {
    UNWIND_ARM64_MODE_FRAMELESS = 0x02000000,
    UNWIND_ARM64_MODE_DWARF = 0x03000000,
    UNWIND_ARM64_MODE_FRAME = 0x04000000,
    UNWIND_ARM64_FRAME_X19_X20_PAIR = 0x00000001,
    UNWIND_ARM64_FRAME_X21_X22_PAIR = 0x00000002,
    UNWIND_ARM64_FRAME_X23_X24_PAIR = 0x00000004,
    UNWIND_ARM64_FRAME_X25_X26_PAIR = 0x00000008,
    UNWIND_ARM64_FRAME_X27_X28_PAIR = 0x00000010,
    UNWIND_ARM64_FRAME_D8_D9_PAIR = 0x00000100,
    UNWIND_ARM64_FRAME_D10_D11_PAIR = 0x00000200,
    UNWIND_ARM64_FRAME_D12_D13_PAIR = 0x00000400,
    UNWIND_ARM64_FRAME_D14_D15_PAIR = 0x00000800,
    UNWIND_ARM64_FRAMELESS_STACK_SIZE_MASK = 0x00fff000,
};
