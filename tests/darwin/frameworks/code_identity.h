// Who a program is to the keychain: the partition that securityd puts its items into.
//
// securityd/src/clientid.cpp, partitionIdForProcess (tag Security-61901.0.87.0.1): "apple-tool:", "apple:",
// "teamid:TEAM", or "cdhash:HASH" for whoever has none of them, such as one that is signed ad hoc. The hash is that of
// the code directory, so that each build is somebody else.
#pragma once
#include <stdbool.h>

enum { IDENTITY = 128 };
// Of the program that runs. False: it is not signed.
bool code_identity(char identity[IDENTITY]);
// Whether that is a team's: the same for all its programs.
bool code_is_a_teams(const char identity[IDENTITY]);
