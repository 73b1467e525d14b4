//! The replies of a connection, from the threads that complete requests to the socket.
//!
//! ```text
//!   begin ──► under way ── put ──► outbox ── one gathered write ──► socket
//!     ▲ waits for room                                  └─► room
//! ```

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::block::Buffer;
use crate::export::outbox::{MAX_SLICES, Outbox};

/// How many requests of one connection are under way; the client's next ones wait in its socket.
const MAX_REQUESTS: usize = 256;

/// How many bytes of payload they and the replies that have not left may have.
const MAX_HELD: usize = 32 << 20;

/// A client that takes no byte of its replies for this long is let go.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The replies of one connection.
#[derive(Default)]
pub(super) struct Replies {
    state: Mutex<State>,
    /// There is something to write.
    queued: Notify,
    /// There is room for another request.
    room: Notify,
}

#[derive(Default)]
struct State {
    outbox: Outbox,
    requests: usize,
    /// Bytes of payload that they are about.
    held: usize,
    /// Bytes in the outbox.
    queued: usize,
    closed: bool,
}

/// A request that is under way: its share of what a connection may have.
pub(super) struct Share {
    replies: Arc<Replies>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.replies.lock();
        state.requests = state.requests.saturating_sub(1);
        state.held = state.held.saturating_sub(self.bytes);
        drop(state);
        self.replies.room.notify_one();
    }
}

impl Share {
    /// Queues the reply: what `put` appends, then `body`, then `padding` bytes.
    pub(super) fn reply(self, put: impl FnOnce(&mut Vec<u8>), body: Option<Buffer>, padding: usize) {
        self.replies.put(put, body, padding);
    }
}

impl Replies {
    pub(super) fn new() -> Arc<Replies> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share for a request that is about so many bytes, as soon as there is one. One connection has one
    /// that waits.
    pub(super) async fn begin(self: &Arc<Self>, bytes: usize) -> Share {
        loop {
            {
                let mut state = self.lock();
                let held = state.held + state.queued;
                if state.requests < MAX_REQUESTS && (held == 0 || held + bytes <= MAX_HELD) {
                    state.requests += 1;
                    state.held += bytes;
                    return Share { replies: self.clone(), bytes };
                }
            }
            self.room.notified().await;
        }
    }

    /// Whether nothing is under way.
    pub(super) fn idle(&self) -> bool {
        let state = self.lock();
        state.requests == 0 && state.outbox.is_empty()
    }

    fn put(&self, put: impl FnOnce(&mut Vec<u8>), body: Option<Buffer>, padding: usize) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let mut length = padding;
        state.outbox.head(|out| {
            let before = out.len();
            put(out);
            length += out.len() - before;
        });
        if let Some(body) = body {
            length += body.len();
            state.outbox.body(body);
            if padding > 0 {
                state.outbox.head(|out| out.extend(std::iter::repeat_n(0, padding)));
            }
        }
        state.queued += length;
        drop(state);
        self.queued.notify_one();
    }

    /// The client has gone: replies are thrown away from now on.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queued = 0;
        let outbox = std::mem::take(&mut state.outbox);
        drop(state);
        drop(outbox);
    }

    /// Writes replies as they come, until `last` says that there will be no more, and none is left.
    ///
    /// # Errors
    /// If the socket fails, or the client takes nothing for too long.
    pub(super) async fn write_to(&self, socket: &TcpStream, last: impl Fn(&Replies) -> bool) -> io::Result<()> {
        loop {
            match self.write_once(socket) {
                Ok(true) => continue,
                Ok(false) if last(self) => return Ok(()),
                Ok(false) => self.queued.notified().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "it takes no replies");
                    timeout(PATIENCE, socket.writable()).await.map_err(slow)??;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes as much as the socket takes; whether there was anything.
    fn write_once(&self, socket: &TcpStream) -> io::Result<bool> {
        let mut state = self.lock();
        if state.outbox.is_empty() {
            return Ok(false);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, _) = state.outbox.gather(&mut slices);
        let written = socket.try_write_vectored(slices.get(..count).unwrap_or_default())?;
        state.outbox.written(written);
        state.queued = state.queued.saturating_sub(written);
        drop(state);
        self.room.notify_one();
        Ok(true)
    }
}
