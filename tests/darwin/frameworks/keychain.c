// Generic passwords in the System keychain.
//
// Who stored a password may read it; to anybody else securityd would ask the person at the screen, whom a daemon's
// session does not have. So a program that was built again is refused what the last build stored.
//
// Sources, of tag Security-61901.0.87.0.1: OSX/libsecurity_keychain/lib/SecKeychain.cpp, SecKeychainItem.cpp;
// base/SecBase.h for the numbers and their texts; securityd/src/agentquery.cpp, activate: a session without
// sessionHasGraphicAccess has CSSM_ERRCODE_NO_USER_INTERACTION, which SecBase.cpp makes errSecInteractionNotAllowed.
#include "darwin.h"

#include <pthread.h>

#include "frameworks/keychain_file.h"
#include "frameworks/object.h"
#include "machine/machine.h"
#include "system/allocate.h"

enum os_status {
    SUCCESS = 0,
    PARAMETER = -50,
    WRITE_PERMISSION = -61,
    AUTH_FAILED = -25293,
    DUPLICATE_ITEM = -25299,
    ITEM_NOT_FOUND = -25300,
    INTERACTION_NOT_ALLOWED = -25308,
    IN_DARK_WAKE = -25320,
};

static const struct { enum os_status status; const char *text; } texts[] = {
    {PARAMETER, "One or more parameters passed to a function were not valid."},
    {WRITE_PERMISSION, "Write permissions error."},
    {AUTH_FAILED, "The user name or passphrase you entered is not correct."},
    {DUPLICATE_ITEM, "The specified item already exists in the keychain."},
    {ITEM_NOT_FOUND, "The specified item could not be found in the keychain."},
    {INTERACTION_NOT_ALLOWED, "User interaction is not allowed."},
    {IN_DARK_WAKE, "In dark wake, no UI possible"},
};

#define SYSTEM_KEYCHAIN "/Library/Keychains/System.keychain"

struct keychain { struct object object; };
struct item { struct object object; struct keychain_item item; };
static const struct type keychain_type = {.name = "SecKeychain"};
static const struct type item_type = {.name = "SecKeychainItem"};

// Of the files.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct string *darwin_SecCopyErrorMessageString(int status, void *reserved) {
    (void)reserved;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if ((int)texts[i].status == status) return string_of(texts[i].text);
    }
    return NULL;
}
OURS(SecCopyErrorMessageString)

static unsigned long darwin_SecKeychainGetTypeID(void) { return (unsigned long)&keychain_type; }
static unsigned long darwin_SecKeychainItemGetTypeID(void) { return (unsigned long)&item_type; }
OURS(SecKeychainGetTypeID) OURS(SecKeychainItemGetTypeID)

// It is there on every Mac.
static int darwin_SecKeychainOpen(const char *path, struct keychain **keychain) {
    if (strcmp(path, SYSTEM_KEYCHAIN)) refuse("the keychain %s: only " SYSTEM_KEYCHAIN " is modelled", path);
    *keychain = object_create(&keychain_type, sizeof **keychain);
    machine_note("keychain opened");
    return SUCCESS;
}
OURS(SecKeychainOpen)

// ---- what it lets this program do -----------------------------------------------------------------------------------

static void identify(char identity[IDENTITY]) {
    if (!code_identity(identity)) refuse("%s is not signed, and opens a keychain", program_path);
}

// What the program says of itself: it is never to be the cause of a question.
static atomic_bool interaction_allowed = true;

static int darwin_SecKeychainSetUserInteractionAllowed(cf_boolean allowed) {
    interaction_allowed = allowed;
    return SUCCESS;
}
static int darwin_SecKeychainGetUserInteractionAllowed(cf_boolean *allowed) {
    *allowed = interaction_allowed;
    return SUCCESS;
}
OURS(SecKeychainSetUserInteractionAllowed) OURS(SecKeychainGetUserInteractionAllowed)

// Somebody who did not store the password wants it. A session with a screen asks, in the order of agentquery.cpp; what
// a person denies is CSSM_ERRCODE_OPERATION_AUTH_DENIED (objectacl.cpp).
static enum os_status ask(void) {
    if (machine_keychain() != KEYCHAIN_ASKS || !interaction_allowed) return INTERACTION_NOT_ALLOWED;
    if (machine_in_dark_wake()) return IN_DARK_WAKE;
    machine_note("keychain asks");
    return machine_keychain_answer() == KEYCHAIN_WORKS ? SUCCESS : AUTH_FAILED;
}

static enum os_status may_read(const struct keychain_item *item) {
    char identity[IDENTITY];
    identify(identity);
    switch (machine_keychain()) {
    case KEYCHAIN_LOCKED: return INTERACTION_NOT_ALLOWED;
    case KEYCHAIN_REFUSES: return AUTH_FAILED;
    case KEYCHAIN_WORKS: case KEYCHAIN_READ_ONLY: case KEYCHAIN_ASKS: break;
    }
    return strcmp(item->owner, identity) ? ask() : SUCCESS;
}

static enum os_status may_write(void) {
    switch (machine_keychain()) {
    case KEYCHAIN_LOCKED: return INTERACTION_NOT_ALLOWED;
    case KEYCHAIN_REFUSES: return AUTH_FAILED;
    case KEYCHAIN_READ_ONLY: return WRITE_PERMISSION;
    case KEYCHAIN_WORKS: case KEYCHAIN_ASKS: break;
    }
    // The file is root's (SecBase.cpp: CSSM_ERRCODE_OS_ACCESS_DENIED).
    return geteuid() == 0 ? SUCCESS : WRITE_PERMISSION;
}

// ---- items ----------------------------------------------------------------------------------------------------------

// The keychain, or an array of them. NULL would be the search list of the user.
static void is_system_keychain(const struct object *at) {
    if (!at) refuse("the default keychain");
    if (at->type != &array_type) {
        object_of(&keychain_type, at);
        return;
    }
    const struct array *array = (const struct array *)at;
    if (array->count != 1) refuse("%ld keychains at once", array->count);
    object_of(&keychain_type, array->items[0]);
}

static struct item *create_item(const struct keychain_item *of) {
    struct item *made = object_create(&item_type, sizeof *made);
    made->item = *of;
    return made;
}

// Where only the item is asked for, and not what is in it, nobody asks who does.
static int darwin_SecKeychainFindGenericPassword(const struct object *keychain, uint32_t service_length,
                                                 const char *service, uint32_t account_length, const char *account,
                                                 uint32_t *password_length, void **password, struct item **item) {
    is_system_keychain(keychain);
    struct keychain_item found = {0};
    keychain_name(&found, service, service_length, account, account_length);
    pthread_mutex_lock(&lock);
    bool there = keychain_load(&found);
    pthread_mutex_unlock(&lock);
    if (!there) return ITEM_NOT_FOUND;
    if (password || password_length) {
        enum os_status status = may_read(&found);
        machine_note(status ? "keychain refused %.*s: %d" : "keychain gave %.*s", (int)account_length, account, status);
        if (status) return status;
        if (password_length) *password_length = (uint32_t)found.length;
        if (password) {
            *password = zeroed(found.length + 1, 1);
            memcpy(*password, found.password, found.length);
        }
    }
    if (item) *item = create_item(&found);
    return SUCCESS;
}
OURS(SecKeychainFindGenericPassword)

static int darwin_SecKeychainItemFreeContent(void *attributes, void *data) {
    if (attributes) refuse("SecKeychainItemFreeContent of attributes");
    free(data);
    return SUCCESS;
}
OURS(SecKeychainItemFreeContent)

static int set_password(struct keychain_item *item, uint32_t length, const void *password) {
    enum os_status status = may_write();
    if (status) return status;
    if (length > PASSWORD) refuse("a password of %u bytes", length);
    identify(item->owner);
    item->length = length;
    memcpy(item->password, password, length);
    keychain_store(item);
    return SUCCESS;
}

static int darwin_SecKeychainAddGenericPassword(const struct object *keychain, uint32_t service_length,
                                                const char *service, uint32_t account_length, const char *account,
                                                uint32_t password_length, const void *password, struct item **item) {
    is_system_keychain(keychain);
    struct keychain_item added = {0}, present = {0};
    keychain_name(&added, service, service_length, account, account_length);
    memcpy(present.name, added.name, sizeof present.name);
    pthread_mutex_lock(&lock);
    int status = keychain_load(&present) ? (int)DUPLICATE_ITEM : set_password(&added, password_length, password);
    pthread_mutex_unlock(&lock);
    machine_note(status ? "keychain did not take %.*s: %d" : "keychain took %.*s", (int)account_length, account,
                 status);
    if (!status && item) *item = create_item(&added);
    return status;
}
OURS(SecKeychainAddGenericPassword)

static int darwin_SecKeychainItemModifyAttributesAndData(void *at, const void *attributes, uint32_t length,
                                                         const void *password) {
    struct item *item = object_of(&item_type, at);
    if (attributes) refuse("SecKeychainItemModifyAttributesAndData with attributes");
    char identity[IDENTITY];
    identify(identity);
    if (strcmp(item->item.owner, identity)) refuse("a keychain item changed by another than who stored it");
    pthread_mutex_lock(&lock);
    int status = set_password(&item->item, length, password);
    pthread_mutex_unlock(&lock);
    machine_note(status ? "keychain did not change an item: %d" : "keychain changed an item", status);
    return status;
}
OURS(SecKeychainItemModifyAttributesAndData)

static int darwin_SecKeychainItemDelete(void *at) {
    struct item *item = object_of(&item_type, at);
    enum os_status status = may_write();
    if (status) return status;
    pthread_mutex_lock(&lock);
    bool there = keychain_remove(&item->item);
    pthread_mutex_unlock(&lock);
    if (there) machine_note("keychain let go of an item");
    return there ? SUCCESS : ITEM_NOT_FOUND;
}
OURS(SecKeychainItemDelete)
