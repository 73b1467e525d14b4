#include "IscsiSocket.h"

#include <kern/clock.h>
#include <kern/thread.h>
#include <mach/mach_types.h>
#include <sys/errno.h>
#include <sys/file.h>
#include <sys/filio.h>
#include <sys/kpi_mbuf.h>
#include <sys/kpi_socket.h>
#include <sys/socket.h>

#include "IscsiSession.h"

// Of com.apple.kpi.bsd, for everybody, but not in every copy of its header.
extern "C" {
void sock_retain(socket_t socket);
void sock_release(socket_t socket);
}

OSDefineMetaClassAndStructors(IscsiSocket, OSObject);

// What is sent with one call at most, in bytes; less where the socket's buffer is small: more than that could never
// be sent at once.
static const size_t kStaging = 64 << 10;
static const size_t kLeastPiece = 512;

// What is received with one call at most, in bytes: one turn under the session's lock.
static const size_t kReceive = 128 << 10;

IOReturn IscsiSocket::adopt(int descriptor, IscsiSocket **adopted)
{
    socket_t found = nullptr;
    if (file_socket(descriptor, &found) != 0) {
        return kIOReturnBadArgument;
    }
    sock_retain(found);
    file_drop(descriptor);

    int domain = 0, type = 0, protocol = 0;
    if (sock_gettype(found, &domain, &type, &protocol) != 0 || type != SOCK_STREAM
        || (domain != PF_INET && domain != PF_INET6) || !sock_isconnected(found)) {
        sock_release(found);
        return kIOReturnBadArgument;
    }
    // The daemon's sockets do not block; these threads shall.
    int off = 0;
    if (sock_ioctl(found, FIONBIO, &off) != 0) {
        sock_release(found);
        return kIOReturnBadArgument;
    }
    IscsiSocket *made = OSTypeAlloc(IscsiSocket);
    if (!made || !made->init()) {
        OSSafeReleaseNULL(made);
        sock_release(found);
        return kIOReturnNoMemory;
    }
    made->socket = found;
    made->lock = IOLockAlloc();
    made->staging = static_cast<uint8_t *>(IOMallocAligned(kStaging, 64));
    made->piece = kStaging;
    if (!made->lock || !made->staging) {
        made->release();
        return kIOReturnNoMemory;
    }
    int room = 0, length = sizeof(room);
    if (sock_getsockopt(found, SOL_SOCKET, SO_SNDBUF, &room, &length) == 0 && room > 0
        && static_cast<size_t>(room) / 2 < kStaging) {
        made->piece = static_cast<size_t>(room) / 2 < kLeastPiece ? kLeastPiece : static_cast<size_t>(room) / 2;
    }
    *adopted = made;
    return kIOReturnSuccess;
}

void IscsiSocket::free()
{
    if (socket) {
        sock_release(socket);
    }
    if (staging) {
        IOFreeAligned(staging, kStaging);
    }
    if (lock) {
        IOLockFree(lock);
    }
    OSObject::free();
}

bool IscsiSocket::start(IscsiSession *of)
{
    session = of;
    const thread_continue_t mains[] = {receiverMain, senderMain};
    for (thread_continue_t main : mains) {
        // The thread's: it may outlive everybody else's interest.
        retain();
        session->retain();
        IOLockLock(lock);
        ++threads;
        IOLockUnlock(lock);
        thread_t thread;
        if (kernel_thread_start(main, this, &thread) != KERN_SUCCESS) {
            IOLockLock(lock);
            --threads;
            IOLockUnlock(lock);
            session->release();
            release();
            shutdown();
            join();
            return false;
        }
        thread_deallocate(thread);
    }
    return true;
}

void IscsiSocket::end(IscsiSocket *socket)
{
    IscsiSession *of = socket->session;
    IOLockLock(socket->lock);
    --socket->threads;
    IOLockWakeup(socket->lock, &socket->threads, false);
    IOLockUnlock(socket->lock);
    of->release();
    socket->release();
    thread_terminate(current_thread());
}

void IscsiSocket::receiverMain(void *self, int)
{
    static_cast<IscsiSocket *>(self)->receive();
    end(static_cast<IscsiSocket *>(self));
}

void IscsiSocket::senderMain(void *self, int)
{
    static_cast<IscsiSocket *>(self)->send();
    end(static_cast<IscsiSocket *>(self));
}

void IscsiSocket::receive()
{
    while (!isStopped()) {
        mbuf_t chain = nullptr;
        size_t length = kReceive;
        errno_t error = sock_receivembuf(socket, nullptr, &chain, 0, &length);
        __atomic_fetch_add(&receiveCalls, 1, __ATOMIC_RELAXED);
        if (error == EWOULDBLOCK || error == EINTR || error == ENOBUFS || error == ENOMEM) {
            pause();
            continue;
        }
        if (error != 0 || !chain) {
            session->lost(this, error ? "the socket cannot be read" : "the target closed the connection");
            return;
        }
        bool goesOn = session->arrived(this, chain);
        mbuf_freem(chain);
        session->settle();
        if (!goesOn) {
            return;
        }
    }
}

void IscsiSocket::send()
{
    for (;;) {
        IOLockLock(lock);
        while (!stopped && !kicked) {
            IOLockSleep(lock, &kicked, THREAD_UNINT);
        }
        kicked = false;
        bool ends = stopped;
        IOLockUnlock(lock);
        if (ends) {
            return;
        }
        while (size_t length = session->fill(this, staging, piece)) {
            int error = sendWhole(staging, length);
            if (error != 0) {
                session->lost(this, "the socket cannot be written to");
                return;
            }
        }
    }
}

int IscsiSocket::sendWhole(const uint8_t *bytes, size_t length)
{
    size_t most = length;
    while (length > 0) {
        if (isStopped()) {
            return ESHUTDOWN;
        }
        struct iovec part = {};
        part.iov_base = const_cast<uint8_t *>(bytes);
        part.iov_len = length < most ? length : most;
        struct msghdr message = {};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        size_t sent = 0;
        errno_t error = sock_send(socket, &message, 0, &sent);
        __atomic_fetch_add(&sendCalls, 1, __ATOMIC_RELAXED);
        if (error == EMSGSIZE && most > kLeastPiece) {
            most /= 2;
            continue;
        }
        if (error != 0 && error != EWOULDBLOCK && error != EINTR && error != ENOBUFS && error != ENOMEM) {
            return error;
        }
        if (error != 0 && sent == 0) {
            pause();
        }
        if (sent > length) {
            return EIO;
        }
        bytes += sent;
        length -= sent;
    }
    return 0;
}

void IscsiSocket::kick()
{
    IOLockLock(lock);
    if (!kicked) {
        kicked = true;
        IOLockWakeup(lock, &kicked, true);
    }
    IOLockUnlock(lock);
}

void IscsiSocket::shutdown()
{
    IOLockLock(lock);
    bool first = !stopped;
    stopped = true;
    IOLockWakeup(lock, &kicked, false);
    IOLockWakeup(lock, &stopped, false);
    IOLockUnlock(lock);
    if (first) {
        sock_shutdown(socket, SHUT_RDWR);
    }
}

void IscsiSocket::join()
{
    IOLockLock(lock);
    while (threads > 0) {
        IOLockSleep(lock, &threads, THREAD_UNINT);
    }
    IOLockUnlock(lock);
}

bool IscsiSocket::isStopped()
{
    IOLockLock(lock);
    bool answer = stopped;
    IOLockUnlock(lock);
    return answer;
}

// The socket has no memory, or does not block though it should: nothing tells when that is over.
void IscsiSocket::pause()
{
    AbsoluteTime deadline;
    clock_interval_to_deadline(2, kMillisecondScale, reinterpret_cast<uint64_t *>(&deadline));
    IOLockLock(lock);
    if (!stopped) {
        IOLockSleepDeadline(lock, &stopped, deadline, THREAD_UNINT);
    }
    IOLockUnlock(lock);
}
