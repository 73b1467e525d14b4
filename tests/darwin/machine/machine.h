// The Mac under the program: what it does (sleeps, loses an interface, ends) and what the program does towards it.
//
//   machrun --machine DIR WORD… ──► DIR/state         what holds for all processes: clocks, interfaces, the end
//                               ├─► DIR/PID.sock      to each process that waits for events; its answer comes back
//   the program ──────────────────► DIR/log           what it did: allowed a power change, opened a keychain
//
// DIR is named by the variable DARWIN_MACHINE. Without it the machine is a quiet one: it never sleeps, its clocks are
// Linux', every interface is there, nothing is logged.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- what holds now: for system/ ------------------------------------------------------------------------------------

// How far CLOCK_UPTIME_RAW and mach_absolute_time, which stand still while the machine sleeps, are behind Linux'
// CLOCK_MONOTONIC. In nanoseconds. (xnu, osfmk/kern/clock.c, tag xnu-10063.101.15: absolutetime_to_continuoustime.)
uint64_t machine_slept(void);
// How far the clocks that go on in sleep (CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, mach_continuous_time, the time of day)
// are before Linux': a test says for how long the machine slept, and does not wait for it. In nanoseconds.
uint64_t machine_skipped(void);
// sysctl kern.willshutdown (xnu, bsd/kern/kern_sysctl.c): launchd sets it when the end of the system has begun.
bool machine_will_shutdown(void);
// Whether the interface of that name (as Darwin names it) has been taken away: it is in no list, and no name.
bool machine_interface_gone(const char *name);
// Whether that interface has lost its link: it is there, with its addresses, and IFF_RUNNING is off.
bool machine_interface_down(const char *name);
// The System keychain as the tests want it.
enum keychain_mode {
    KEYCHAIN_WORKS,
    KEYCHAIN_LOCKED,   // it is, and nobody is there to unlock it
    KEYCHAIN_REFUSES,  // it lets this program do nothing
    KEYCHAIN_READ_ONLY,
    // The program runs in a session with a screen, as after `sudo` in Terminal: somebody is asked, and it waits.
    KEYCHAIN_ASKS,
};
enum keychain_mode machine_keychain(void);
// Waits until whoever is asked has answered: the mode is another then.
enum keychain_mode machine_keychain_answer(void);
// Whether it is awake with its screen dark: nobody can be asked.
bool machine_in_dark_wake(void);

// ---- what the program did: DIR/log, one line each, "PID WHAT" -------------------------------------------------------

void machine_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

// ---- what is said to the program ------------------------------------------------------------------------------------

// What answers for a word. `arguments` is the rest of the line, perhaps empty. It writes one line, without the newline,
// into `answer`, which begins empty; false: nobody in this process hears such a word now.
typedef bool word_heard(const char *arguments, char *answer, size_t room);
struct word { const char *word; word_heard *heard; };
#define WORD(text, function) \
    static const struct word word_##function = {text, function}; \
    static const struct word *const __attribute__((section("words"), used)) listed_##function = &word_##function;

// This process waits for words from now on. May be called again, from any thread. Nothing without DARWIN_MACHINE.
void machine_listen(void);
// The directory; NULL without one.
const char *machine_directory(void);

// ---- for main.c: `machrun --machine DIR [--process PID] WORD…` ------------------------------------------------------

// The arguments after `--machine`. Prints the answers, "PID ANSWER" each. 0: it was heard, and its effect is there;
// 1: nobody heard it, or somebody could not do it; 64: no such word.
int machine_tool(int argc, char **argv);
