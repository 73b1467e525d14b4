// Code signing services: whether the program that runs meets a requirement.
//
// One requirement is known, that of a Developer ID: two certificates with Apple's marks, which nobody here can issue. So a
// program whose code directory names a team is taken for one that has them; one that is signed ad hoc has no certificate.
//
// Sources, of tag Security-61901.0.87.0.1: OSX/libsecurity_codesigning/lib/SecCode.cpp (SecCodeCheckValidity: the flags
// it takes; first the code itself, then the requirement), SecRequirement.cpp, CSCommon.h for the numbers;
// securityd/src/clientid.cpp, developmentOrDevIDReq, for the text.
#include "darwin.h"

#include "frameworks/code_identity.h"
#include "frameworks/object.h"

enum code_status {
    SUCCESS = 0,
    REQUIREMENT_FAILED = -67050,  // errSecCSReqFailed
    UNSIGNED = -67062,            // errSecCSUnsigned
};

#define DEVELOPER_ID \
    "anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] " \
    "and certificate leaf[field.1.2.840.113635.100.6.1.13]"

struct code { struct object object; };
struct requirement { struct object object; };
static const struct type code_type = {.name = "SecCode"};
static const struct type requirement_type = {.name = "SecRequirement"};

static unsigned long darwin_SecCodeGetTypeID(void) { return (unsigned long)&code_type; }
static unsigned long darwin_SecRequirementGetTypeID(void) { return (unsigned long)&requirement_type; }
OURS(SecCodeGetTypeID) OURS(SecRequirementGetTypeID)

static void has_no_flags(uint32_t flags) {
    if (flags) refuse("code signing services with flags %#x", flags);
}

static int darwin_SecRequirementCreateWithString(const void *text, uint32_t flags, struct requirement **out) {
    has_no_flags(flags);
    const struct string *string = object_of(&string_type, text);
    if (!string_is(string, DEVELOPER_ID)) refuse("a requirement other than that of a Developer ID");
    *out = object_create(&requirement_type, sizeof **out);
    return SUCCESS;
}
OURS(SecRequirementCreateWithString)

static int darwin_SecCodeCopySelf(uint32_t flags, struct code **out) {
    has_no_flags(flags);
    *out = object_create(&code_type, sizeof **out);
    return SUCCESS;
}
OURS(SecCodeCopySelf)

static int darwin_SecCodeCheckValidity(const void *code, uint32_t flags, const void *requirement) {
    has_no_flags(flags);
    object_of(&code_type, code);
    if (!requirement) refuse("SecCodeCheckValidity without a requirement");
    object_of(&requirement_type, requirement);
    char identity[IDENTITY];
    if (!code_identity(identity)) return UNSIGNED;
    return code_is_a_teams(identity) ? SUCCESS : REQUIREMENT_FAILED;
}
OURS(SecCodeCheckValidity)
