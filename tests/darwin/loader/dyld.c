// What dyld answers about the program: mach-o/dyld.h. There is one image, as the libraries have none here.
#include "darwin.h"
#include "loader/program.h"

static uint32_t darwin__dyld_image_count(void) {
    return 1;
}
OURS(_dyld_image_count)

static const void *darwin__dyld_get_image_header(uint32_t which) {
    return which ? NULL : program_image;
}
OURS(_dyld_get_image_header)

static const char *darwin__dyld_get_image_name(uint32_t which) {
    return which ? NULL : program_path;
}
OURS(_dyld_get_image_name)

static int64_t darwin__dyld_get_image_vmaddr_slide(uint32_t which) {
    return which ? 0 : program_slide();
}
OURS(_dyld_get_image_vmaddr_slide)

// The path by which it was started, links and all. Where the buffer is too small, -1 and the size that it takes.
static int darwin__NSGetExecutablePath(char *buffer, uint32_t *size) {
    uint32_t wanted = (uint32_t)strlen(program_path) + 1;
    bool fits = *size >= wanted;
    if (fits) memcpy(buffer, program_path, wanted);
    else *size = wanted;
    return fits ? 0 : -1;
}
OURS(_NSGetExecutablePath)

// Stubs of the older opcodes name it, for symbols that are looked up at the first call: here all are before main().
_Noreturn static void stub_binder(void) {
    refuse("dyld_stub_binder is called, though every symbol is bound");
}
SHIM("dyld_stub_binder", stub_binder)
