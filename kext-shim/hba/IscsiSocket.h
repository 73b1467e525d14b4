// A connected socket that the daemon logged in on, and the two threads that use it.
//
//   receiver: sock_receivembuf ──► IscsiSession::arrived ──► … ──► mbuf_freem
//   sender:   IscsiSession::fill ──► staging ──► sock_send
//
// An adopted socket has no upcall, so each direction waits in a thread of its own; sock_shutdown wakes both. What is
// sent is copied into one buffer of bounded size: a chain of mbufs would be sent whole or not at all, and is
// freed where it fails, while sock_send takes a part and leaves the rest to us.

#ifndef ISCSI_SOCKET_H
#define ISCSI_SOCKET_H

#include <IOKit/IOLib.h>
#include <IOKit/IOLocks.h>
#include <libkern/c++/OSObject.h>
#include <sys/kernel_types.h>

class IscsiSession;

class IscsiSocket : public OSObject {
    OSDeclareDefaultStructors(IscsiSocket);

public:
    /// Adopts the descriptor, of the process that is calling. kIOReturnBadArgument if it is no connected TCP socket.
    static IOReturn adopt(int descriptor, IscsiSocket **adopted);

    /// Starts both threads, for that session. Once; false, and no thread runs, where there is no memory.
    bool start(IscsiSession *session);

    /// There may be something to send. Any thread, with the session's lock or without.
    void kick();

    /// Wakes both threads, for good. Any thread, as often as it likes, without the session's lock.
    void shutdown();

    /// Waits until both threads have ended. Not for these threads themselves.
    void join();

    /// Calls of the socket so far.
    uint64_t receives() const { return __atomic_load_n(&receiveCalls, __ATOMIC_RELAXED); }
    uint64_t sends() const { return __atomic_load_n(&sendCalls, __ATOMIC_RELAXED); }

    void free() APPLE_KEXT_OVERRIDE;

private:
    static void receiverMain(void *socket, int);
    static void senderMain(void *socket, int);
    static void end(IscsiSocket *socket);
    void receive();
    void send();
    /// Sends all of it; an error number, 0.
    int sendWhole(const uint8_t *bytes, size_t length);
    bool isStopped();
    /// Waits for a moment, or for the end.
    void pause();

    socket_t socket;
    IscsiSession *session;
    IOLock *lock;
    uint8_t *staging;
    size_t piece;
    unsigned threads;
    bool stopped;
    bool kicked;
    uint64_t receiveCalls;
    uint64_t sendCalls;
};

#endif
