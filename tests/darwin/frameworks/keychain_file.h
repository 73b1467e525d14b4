// The items of the System keychain: in DIR/keychain, a file each, so that the next process finds them.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "frameworks/code_identity.h"

enum { PASSWORD = 4096 };
struct keychain_item {
    char name[160];            // of its file, made of service and account
    char owner[IDENTITY];      // who may read it
    size_t length;
    unsigned char password[PASSWORD];
};

// The file's name for that item.
void keychain_name(struct keychain_item *item, const char *service, size_t service_length, const char *account,
                   size_t account_length);
// False: there is none of that name.
bool keychain_load(struct keychain_item *item);
void keychain_store(const struct keychain_item *item);
bool keychain_remove(const struct keychain_item *item);
