#ifndef HARNESS_SERVER_H
#define HARNESS_SERVER_H

#include <string>

class IscsiHBA;
class HarnessStack;

/// Serves user clients on a Unix socket until the extension is unloaded.
void serveClients(const std::string &path, IscsiHBA *hba, HarnessStack *stack);

/// Serves the disks by NBD on a Unix socket, as `<target number>/<unit number>`, until `stopDisks`.
void serveDisks(const std::string &path, HarnessStack *stack);
void stopDisks();

struct FrameBench;
struct FrameBenched;
/// Keeps that much I/O under way for that long; false without a disk.
bool bench(HarnessStack *stack, const FrameBench &asked, FrameBenched &done);

/// A listening socket.
int listenAt(const std::string &path);

#endif
