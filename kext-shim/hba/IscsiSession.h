// A session: the protocol core under a lock, its connection, and who waits for what.
//
//   IscsiHBA ── submit, manage, overdue ──►┌──────────────┐◄── arrived, fill ── IscsiSocket
//   IscsiHBA ◄── settle: what has ended ───│ core, lock   │◄── tick ─────────── IscsiHBA's timer
//   IscsiUserClient ── execute, replace ──►└──────────────┘
//
// Order of locks: the command gate, then the list of sessions, then a session's lock, then a socket's lock. What
// the core tells is handed on by `settle`, which holds no lock: completions go through the gate.

#ifndef ISCSI_SESSION_OBJECT_H
#define ISCSI_SESSION_OBJECT_H

#include <IOKit/IOLib.h>
#include <IOKit/IOLocks.h>
#include <libkern/c++/OSObject.h>
#include <sys/kernel_types.h>

#include "iscsi_layout.h"

class IscsiHBA;
class IscsiSocket;

/// A command of the daemon, on the stack of the thread that waits for it.
struct IscsiWaiter {
    uint8_t *buffer;
    uint32_t length;
    bool done;
    iscsi_event event;
};

/// Where the units of a session are.
enum class IscsiUnits : uint8_t { Absent, Coming, There, Leaving };

class IscsiSession : public OSObject {
    OSDeclareDefaultStructors(IscsiSession);

public:
    /// A session without a number yet. kIOReturnBadArgument where the core refuses it.
    static IOReturn make(IscsiHBA *hba, const IscsiSpec &spec, const IscsiHandoff &handoff, bool hold,
        IscsiSession **made);

    void setNumbers(uint32_t number, uint32_t target);
    uint32_t getNumber() const { return number; }
    uint32_t getTarget() const { return target; }
    const IscsiSpec &getSpec() const { return spec; }

    /// Begins to use its first connection.
    IOReturn connect(IscsiSocket *first);
    /// Goes on over another one; the present one is closed.
    IOReturn replace(IscsiSocket *next, const IscsiHandoff &next_handoff, bool hold);
    /// Closes the connection, if it is that one, or any if null.
    void lost(IscsiSocket *which, const char *why);
    /// Ends every command and closes the connection; nothing is accepted afterwards. Returns when nothing of it runs.
    void close();

    // The SCSI stack's.
    /// Takes a task on. Sets its controller task identifier before anybody can complete it.
    int32_t submit(OSObject *task, iscsi_command &command);
    int32_t manage(uint32_t function, const uint8_t *lun, uint64_t tag, uint64_t token);
    int32_t overdue(uint64_t tag);

    // The socket's.
    /// Takes bytes; false if that connection is over.
    bool arrived(IscsiSocket *from, mbuf_t chain);
    /// Fills `room` with what is to be sent, and says how much that is.
    size_t fill(IscsiSocket *to, uint8_t *room, size_t length);

    // The daemon's.
    IOReturn execute(const IscsiExecuteIn &in, uint8_t *buffer, IscsiExecuteOut &out);
    IOReturn logout(uint32_t reason);
    IOReturn resume();
    IOReturn fence(const IscsiFenceIn &in);
    void describe(IscsiSessionInfo &info);
    void describe(IscsiConnectionOut &out);
    void describe(IscsiStatisticsOut &out);

    /// Does what is due at `now` (nanoseconds of `IscsiSession::now`).
    void tick(uint64_t now);
    /// When something is due; ISCSI_NEVER.
    uint64_t deadline();
    /// Whether the caller is the one to end it, since nobody listens; not if another is.
    bool claimEnd();
    void unclaimEnd();
    /// Hands on what has happened. No lock held but, at most, the gate.
    void settle();

    // Its units: who changes where they are does the work.
    bool move(IscsiUnits from, IscsiUnits to);
    bool isComing();
    /// Waits while the units are coming. Only of a session that is closed: its commands fail.
    void awaitUnits();

    static uint64_t now();

    void free() APPLE_KEXT_OVERRIDE;

private:
    /// What is being sent: a PDU may be longer than the room for it.
    struct Sending {
        iscsi_transmit pdu;
        enum { Nothing, Head, Payload, Trailer } part;
        uint32_t done;
        uint32_t crc;
        uint32_t trailer_length;
        uint8_t trailer[8];
        /// Its task has ended meanwhile: its buffer is gone, but the target has been promised bytes.
        bool orphan;
    };

    bool place(const iscsi_receive_plan &plan, const uint8_t *bytes, size_t length);
    int32_t feed(const uint8_t *bytes, size_t length);
    bool nextPdu();
    bool payload(uint8_t *room, size_t length);
    /// With the lock; the socket to shut down and release, if that was the connection.
    IscsiSocket *part(IscsiSocket *which, const char *why);
    void tell(const iscsi_event &event);
    void tellLost(const char *why);

    IscsiHBA *hba;
    IscsiSpec spec;
    IscsiHandoff handoff;
    uint32_t number;
    uint32_t target;
    IOLock *lock;
    iscsi_session *core;
    IscsiSocket *socket;
    Sending sending;
    uint64_t pastReceives;
    uint64_t pastSends;
    bool settling;
    bool closed;
    bool endClaimed;
    IscsiUnits units;
    char reason[160];
};

#endif
