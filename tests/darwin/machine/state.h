// DIR/state: what holds for all processes of the machine. Mapped by each.
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "machine/machine.h"

enum {
    STATE_MAGIC = 0x64634d61,
    STATE_VERSION = 1,
    INTERFACES = 8,
    INTERFACE_NAME = 16,  // IFNAMSIZ (bsd/net/if.h)
};

// An interface that is not as Linux has it.
enum link { LINK_USUAL, LINK_GONE, LINK_DOWN };
struct interface { char name[INTERFACE_NAME]; _Atomic uint32_t link; uint32_t unused; };

// How awake it is: IOKit's capabilities (xnu, iokit/IOKit/pwr_mgt/IOPM.h), of which graphics tells full from dark.
enum power { POWER_FULL, POWER_DARK, POWER_ASLEEP };

struct state {
    _Atomic uint32_t magic;  // written last
    uint32_t version;
    _Atomic uint64_t slept;         // ns; without the sleep that is on
    _Atomic uint64_t skipped;       // ns
    _Atomic uint64_t asleep_since;  // Linux' CLOCK_MONOTONIC in ns; 0: it is awake
    _Atomic uint32_t will_shutdown;
    _Atomic uint32_t keychain;
    _Atomic uint32_t power;
    _Atomic uint32_t serial;        // of what programs have to answer: fSerialNumber of xnu's IOServicePM.cpp
    struct interface interfaces[INTERFACES];
};
_Static_assert(sizeof(struct state) == 48 + 24 * INTERFACES, "the file's layout is the version's");

// That of this process' machine. A quiet one of its own without DARWIN_MACHINE.
struct state *state(void);
// That of the machine at `directory`, for the tool.
struct state *state_of(const char *directory);
// Sets the keychain's mode, and wakes who waits for an answer.
void state_set_keychain(struct state *of, enum keychain_mode mode);
// Puts an interface there. False: there are too many, or the name is too long.
bool state_set_link(struct state *of, const char *name, enum link link);
uint64_t linux_monotonic(void);
