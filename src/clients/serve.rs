//! Clients taken one after another and served side by side.

use std::fs::File;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::libc::{ECONNABORTED, EMFILE, ENFILE};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::seldom::Seldom;
use super::table::{Clients, Limits, Place};
use crate::trust::is_trusted;

/// How many turns the clients' tasks get before one is evicted.
const TURNS: usize = 32;

/// How long nothing is accepted after an error that says nothing of when it will be over.
const PAUSE: Duration = Duration::from_millis(100);

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A user's.
    User(u32),
    /// Somebody's who has no business here.
    Unwanted,
}

/// Where clients come in.
pub(crate) trait Listener {
    /// A client's connection.
    type Stream;

    /// The next one. May be cancelled and called again without loss.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Whose it is.
    ///
    /// # Errors
    /// If the system does not tell.
    fn caller(&self, stream: &Self::Stream) -> io::Result<Caller>;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn caller(&self, stream: &UnixStream) -> io::Result<Caller> {
        Ok(Caller::User(stream.peer_cred()?.uid()))
    }
}

/// What is said of clients that are not served, seldom.
#[derive(Debug, Default)]
struct Lines {
    unwanted: Seldom,
    unknown: Seldom,
    full: Seldom,
    exhausted: Seldom,
    failed: Seldom,
}

/// Converses with every client of `listener` until `stop`; then no new one is taken, and the conversations are waited for.
/// `place_name`, such as "the control socket", is for the log. A conversation is dropped when its client has to leave for another.
pub(crate) async fn serve<L: Listener, F: Future<Output = ()> + Send + 'static>(
    place_name: &str,
    listener: L,
    limits: Limits,
    stop: &CancellationToken,
    converse: impl Fn(L::Stream, Arc<Place>, u32) -> F,
) {
    let (clients, lines) = (Clients::new(limits), Lines::default());
    let mut connections = JoinSet::new();
    let mut spare = Spare::default();
    loop {
        spare.keep();
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    warn!("a connection to {place_name} ended by a bug: {error}");
                }
                continue;
            }
            accepted = listener.next() => accepted,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) if client_has_gone(&error) => continue,
            Err(error) if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) && spare.give() => {
                // The client is let in by the spare descriptor: root to stay, and others to be shown out, or they
                // would keep root waiting.
                if let Some(more) = lines.exhausted.may() {
                    warn!("iscsid has no descriptor left for clients of {place_name}: {error}{more}");
                }
                clients.shrink();
                match tokio::time::timeout(PAUSE, listener.next()).await {
                    Ok(Ok(stream)) if matches!(listener.caller(&stream), Ok(Caller::User(uid)) if is_trusted(uid)) => {
                        stream
                    }
                    _ => continue,
                }
            }
            Err(error) => {
                // Nothing tells when it will be over.
                if let Some(more) = lines.failed.may() {
                    warn!("{place_name} cannot take a client: {error}{more}");
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(PAUSE) => continue,
                }
            }
        };
        let uid = match listener.caller(&stream) {
            Ok(Caller::User(uid)) => uid,
            Ok(Caller::Unwanted) => {
                if let Some(more) = lines.unwanted.may() {
                    warn!("a client of another user was turned away from {place_name}{more}");
                }
                continue;
            }
            Err(error) => {
                if let Some(more) = lines.unknown.may() {
                    warn!("a client was turned away from {place_name}: it cannot be seen whose it is: {error}{more}");
                }
                continue;
            }
        };
        // Clients that have hung up give their places back as soon as their tasks have a turn. Without it, a
        // storm of them would evict a client that waits for its answer.
        for _ in 0..TURNS {
            if !clients.is_full_for(uid) {
                break;
            }
            tokio::task::yield_now().await;
        }
        let Some(place) = clients.admit(uid).map(Arc::new) else {
            if let Some(more) = lines.full.may() {
                warn!("a client was turned away from {place_name}: {} are connected already{more}", limits.all);
            }
            continue;
        };
        let evict = place.evict().clone();
        let conversation = converse(stream, place, uid);
        connections.spawn(async move {
            tokio::select! {
                () = evict.cancelled() => {}
                () = conversation => {}
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Whether that client alone is what could not be accepted: it broke off before it was taken, and the next is as good as
/// any. macOS takes it all the same and tells no address of it (xnu, tcp_usr_accept in bsd/netinet/tcp_usrreq.c), for which
/// mio's error has no number.
fn client_has_gone(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(number) => number == ECONNABORTED,
        None => error.kind() == io::ErrorKind::InvalidInput,
    }
}

/// A descriptor that is kept for the time when there is none.
#[derive(Debug, Default)]
struct Spare(Option<File>);

impl Spare {
    /// Gets one, where there is one to be had.
    fn keep(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Gives it up for another use. Whether there was one.
    fn give(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    /// So many clients, of which only the last one waits until it is taken.
    struct Impatient(AtomicU32);

    impl Listener for Impatient {
        type Stream = ();

        async fn next(&self) -> io::Result<()> {
            let left = self.0.load(Ordering::Relaxed);
            if left == 0 {
                return std::future::pending().await;
            }
            self.0.store(left - 1, Ordering::Relaxed);
            match left {
                1 => Ok(()),
                _ if left.is_multiple_of(2) => Err(io::ErrorKind::InvalidInput.into()),
                _ => Err(io::Error::from_raw_os_error(ECONNABORTED)),
            }
        }

        fn caller(&self, (): &()) -> io::Result<Caller> {
            Ok(Caller::User(0))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_break_off_before_they_are_taken_keep_nobody_waiting() {
        let (stop, limits) = (CancellationToken::new(), Limits { all: 4, busy_leave: false });
        let (served, mut heard) = mpsc::unbounded_channel();
        let converse = |(), _place, uid| {
            let served = served.clone();
            async move { served.send(uid).expect("somebody listens") }
        };
        let begun = Instant::now();
        tokio::select! {
            () = serve("test", Impatient(AtomicU32::new(40)), limits, &stop, converse) => unreachable!("nothing stops it"),
            uid = heard.recv() => assert_eq!(uid, Some(0)),
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
