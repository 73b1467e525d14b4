//! The client's socket, and the events that the system reports of it.
//!
//! ```text
//!   reader ── always: is there anything to read?
//!   writer ── only where the socket has been full: is there room again?
//! ```
//! A Unix socket that is watched for room wakes its watcher whenever the peer takes anything out of it,
//! full or not: a useless wake-up for every reply. So room is watched for only while a client takes less
//! than it is sent, and until [`ENOUGH`] writes in a row have found it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::net::UnixStream;

use nix::sys::uio;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// After that many writes that the socket took whole, room is not watched for any more. More than one:
/// to begin watching takes four system calls, and a socket that was full is soon full again.
const ENOUGH: u32 = 32;

/// A client's socket.
pub(super) struct Socket {
    reader: AsyncFd<UnixStream>,
    writer: Option<AsyncFd<UnixStream>>,
    /// Writes since the last one that the socket did not take whole.
    whole: u32,
}

impl Socket {
    /// Takes over a socket, within a runtime.
    ///
    /// # Errors
    /// If the system cannot watch it.
    pub(super) fn new(stream: tokio::net::UnixStream) -> io::Result<Socket> {
        // It stays non-blocking.
        let stream = stream.into_std()?;
        Ok(Socket { reader: watch(stream, Interest::READABLE)?, writer: None, whole: 0 })
    }

    /// Receives once into the slices that `fill` hands on. `None` if there is nothing now; 0 if there
    /// will never be.
    pub(super) fn receive(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&mut [IoSliceMut<'_>]) -> io::Result<usize>) -> io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        exhaust(&self.reader, Interest::READABLE, |stream| {
            let mut wanted = 0;
            let n = fill(&mut |slices| {
                wanted = slices.iter().map(|slice| slice.len()).sum();
                Ok(uio::readv(stream, slices)?)
            })?;
            Ok((n, wanted))
        })
    }

    /// Writes the slices, `bytes` in all, once. Returns how many bytes the socket took.
    pub(super) fn send(&mut self, slices: &[IoSlice<'_>], bytes: usize) -> io::Result<usize> {
        let write = |stream: &UnixStream| Ok((uio::writev(stream, slices)?, bytes));
        let sent = match &self.writer {
            Some(writer) => exhaust(writer, Interest::WRITABLE, write)?,
            None => match write(self.reader.get_ref()) {
                Ok((n, _)) => Some(n),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
                Err(error) => return Err(error),
            },
        }
        .unwrap_or(0);
        self.whole = if sent == bytes { self.whole.saturating_add(1) } else { 0 };
        if self.whole >= ENOUGH {
            self.writer = None;
        } else if sent < bytes && self.writer.is_none() {
            // Room there is already is told of at once.
            let stream = self.reader.get_ref().try_clone()?;
            self.writer = Some(watch(stream, Interest::WRITABLE)?);
        }
        Ok(sent)
    }

    /// Waits until there is something to read, or the client has gone.
    ///
    /// # Errors
    /// If the runtime ends.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.reader.readable().await.map(drop)
    }

    /// Waits until [`send`](Socket::send), which took less than it was given the last time, is worth
    /// another try.
    ///
    /// # Errors
    /// If the runtime ends.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match &self.writer {
            Some(writer) => writer.writable().await.map(drop),
            None => Ok(()),
        }
    }
}

/// Watches a socket for that alone, which tokio's own `UnixStream` cannot.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for the sake of what does not own its descriptor as a UnixStream does"
)]
fn watch(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(stream, interest)
}

/// Does `io`, which returns how many bytes it moved and how many it could have. If it moved fewer,
/// the socket is not ready any more: that is known without a system call to tell it.
fn exhaust(
    socket: &AsyncFd<UnixStream>,
    interest: Interest,
    io: impl FnOnce(&UnixStream) -> io::Result<(usize, usize)>,
) -> io::Result<Option<usize>> {
    let mut short = None;
    let result = socket.try_io(interest, |stream| match io(stream)? {
        (n, wanted) if n < wanted => {
            short = Some(n);
            Err(io::ErrorKind::WouldBlock.into())
        }
        (n, _) => Ok(n),
    });
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(short),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const CHUNK: [u8; 4096] = [7; 4096];

    fn send(socket: &mut Socket) -> usize {
        socket.send(&[IoSlice::new(&CHUNK)], CHUNK.len()).expect("the client is there")
    }

    #[tokio::test]
    async fn room_is_watched_for_only_after_the_socket_was_full() {
        let (ours, mut client) = tokio::net::UnixStream::pair().map(|(a, b)| (a, b.into_std())).expect("a pair");
        let client = client.as_mut().expect("a plain socket");
        let mut socket = Socket::new(ours).expect("a runtime");
        assert_eq!(send(&mut socket), CHUNK.len());
        assert!(socket.writer.is_none());

        let mut sent = CHUNK.len();
        while let n @ 1.. = send(&mut socket) {
            sent += n;
        }
        assert!(socket.writer.is_some());
        client.set_nonblocking(false).expect("a socket");
        client.read_exact(&mut vec![0; sent]).expect("all that was sent");
        socket.writable().await.expect("a runtime");
        for _ in 0..ENOUGH {
            assert!(socket.writer.is_some());
            assert_eq!(send(&mut socket), CHUNK.len());
            client.read_exact(&mut [0; CHUNK.len()]).expect("what was sent");
        }
        assert!(socket.writer.is_none());
    }

    #[tokio::test]
    async fn whoever_waits_for_room_is_told_when_the_client_takes_its_replies() {
        let (ours, client) = tokio::net::UnixStream::pair().expect("a pair");
        let mut socket = Socket::new(ours).expect("a runtime");
        let mut sent = 0;
        while let n @ 1.. = send(&mut socket) {
            sent += n;
        }
        let waiter = tokio::spawn(async move {
            socket.writable().await.expect("a runtime");
            send(&mut socket)
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        let mut client = client.into_std().expect("a plain socket");
        client.set_nonblocking(false).expect("a socket");
        client.read_exact(&mut vec![0; sent]).expect("all that was sent");
        assert_eq!(waiter.await.expect("no panic"), CHUNK.len());
    }
}
