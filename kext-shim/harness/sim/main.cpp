// iscsi-kernel-sim: the kernel extension in a process.
//
//   iscsi-kernel-sim --socket PATH --nbd PATH [--awkward SEED] [--timeout MILLISECONDS]
//
// Says "ready" on standard output. Ends when the extension is unloaded (FRAME_UNLOAD), with 0 if nothing was left behind.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "../../hba/IscsiHBA.h"
#include "../runtime/runtime.h"
#include "../runtime/stack.h"
#include "server.h"

int main(int count, char **arguments)
{
    std::string control, disks;
    for (int at = 1; at + 1 < count; at += 2) {
        std::string name = arguments[at], value = arguments[at + 1];
        if (name == "--socket") {
            control = value;
        } else if (name == "--nbd") {
            disks = value;
        } else if (name == "--awkward") {
            harnessBeAwkward(strtoul(value.c_str(), nullptr, 0));
        } else if (name == "--timeout") {
            HarnessTask::usualTimeout = static_cast<uint32_t>(strtoul(value.c_str(), nullptr, 0));
        } else {
            fprintf(stderr, "iscsi-kernel-sim: what is %s?\n", name.c_str());
            return 64;
        }
    }
    if (control.empty() || disks.empty()) {
        fprintf(stderr, "usage: iscsi-kernel-sim --socket PATH --nbd PATH [--awkward SEED] [--timeout MILLISECONDS]\n");
        return 64;
    }
    IscsiHBA *hba = OSTypeAlloc(IscsiHBA);
    if (!hba || !hba->init() || !hba->harnessStart(nullptr)) {
        fprintf(stderr, "iscsi-kernel-sim: the HBA does not start\n");
        return 70;
    }
    HarnessStack *stack = HarnessStack::of(hba);
    std::thread exports([&] { serveDisks(disks, stack); });
    serveClients(control, hba, stack);
    stopDisks();
    exports.join();
    harnessJoinThreads();
    hba->release();
    return harnessLeaks() == 0 ? 0 : 1;
}
