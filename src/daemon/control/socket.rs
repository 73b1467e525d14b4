//! The control socket: who may connect, what a frame is, and why no client holds up another one.
//!
//! ```text
//!   accept ─► Clients::admit ─► one task per client: Hello ─► (Request ─► Progress* ─ Reply)*
//!                  │                                            │
//!                  └─ full: the oldest idle client              └─ the request runs in a task of
//!                     of the busiest user must go                  its own, to its end
//! ```
//! A client has [`PATIENCE`] for each frame it sends and each frame it takes. It can lose its own connection,
//! and disturb nothing else. A running request learns that its client has gone, and decides what follows
//! ([`Progress::gone`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use nix::unistd::Uid;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::daemon::progress::Progress;
use crate::ipc::{ExitCode, Failure, Frame, Hello, MAX_FRAME, MAX_REQUEST, Reply, Request, VERSION};

/// How long a client may take to send its next frame, and to take one of ours.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How many clients there are at a time.
pub(crate) const MAX_CLIENTS: usize = 256;

/// How many turns the clients' tasks get before one is evicted.
const TURNS: usize = 32;

/// Who answers requests.
pub(crate) trait Answer: Send + Sync + 'static {
    /// Does what is asked. Whether the client may ask it has been checked.
    fn answer(
        self: Arc<Self>,
        request: Request,
        progress: Progress,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send;
}

/// Serves `listener` until `stop`.
pub(crate) async fn serve<A: Answer>(listener: UnixListener, answer: Arc<A>, stop: CancellationToken) {
    let clients = Arc::new(Clients::default());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
            Ok((uid, stream)) => {
                // Clients that have hung up give their places back as soon as their tasks have a turn. Without it, a
                // storm of them would evict a client that waits for its answer.
                for _ in 0..TURNS {
                    if !clients.is_full() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                let place = Clients::admit(&clients, uid, stop.child_token());
                let answer = answer.clone();
                tokio::spawn(async move {
                    let evict = place.evict.clone();
                    let client = Client::new(stream, uid, place);
                    tokio::select! {
                        () = evict.cancelled() => {}
                        () = client.serve(answer) => {}
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: those that are served will give some back.
                warn!("a client could not be accepted on the control socket: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The clients that are connected.
#[derive(Debug, Default)]
struct Clients {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    clients: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    uid: u32,
    /// When it became idle, by the table's count; `None` while it waits for an answer.
    idle: Option<u64>,
    evict: CancellationToken,
}

/// A client's place among them; given up when dropped.
#[derive(Debug)]
struct Place {
    number: u64,
    evict: CancellationToken,
    clients: Arc<Clients>,
}

impl Clients {
    /// Whether the next one evicts another.
    fn is_full(&self) -> bool {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).clients.len() >= MAX_CLIENTS
    }

    /// Takes one more in. If there are too many, one must leave: of the user with the most clients,
    /// the one that has been idle longest. So nobody can shut another user out, nor himself.
    fn admit(self: &Arc<Self>, uid: u32, evict: CancellationToken) -> Place {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.clients.len() >= MAX_CLIENTS
            && let Some(victim) = table.victim().and_then(|number| table.clients.remove(&number))
        {
            debug!("too many clients on the control socket: one of user {} is sent away", victim.uid);
            victim.evict.cancel();
        }
        let number = table.tick();
        table.clients.insert(number, Entry { uid, idle: Some(number), evict: evict.clone() });
        Place { number, evict, clients: self.clone() }
    }
}

impl Table {
    fn victim(&self) -> Option<u64> {
        let mut per_user = BTreeMap::<u32, usize>::new();
        for entry in self.clients.values() {
            *per_user.entry(entry.uid).or_default() += 1;
        }
        let (&busiest, _) = per_user.iter().max_by_key(|(_, count)| **count)?;
        let theirs = || self.clients.iter().filter(|(_, entry)| entry.uid == busiest);
        let longest_idle = theirs().filter(|(_, entry)| entry.idle.is_some()).min_by_key(|(_, entry)| entry.idle);
        longest_idle.or_else(|| theirs().next()).map(|(&number, _)| number)
    }

    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Place {
    fn set_idle(&self, idle: bool) {
        let mut table = self.clients.table.lock().unwrap_or_else(PoisonError::into_inner);
        let now = table.tick();
        if let Some(entry) = table.clients.get_mut(&self.number) {
            entry.idle = idle.then_some(now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.table.lock().unwrap_or_else(PoisonError::into_inner).clients.remove(&self.number);
    }
}

/// The next frame, or the end.
type Early = Option<std::io::Result<BytesMut>>;

/// One client's connection.
struct Client {
    requests: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    replies: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    /// What came while a request ran.
    early: Option<Early>,
    may_change: bool,
    place: Place,
}

impl Client {
    fn new(stream: UnixStream, uid: u32, place: Place) -> Client {
        let (read, write) = stream.into_split();
        let codec = |limit| LengthDelimitedCodec::builder().max_frame_length(limit).new_codec();
        Client {
            requests: FramedRead::new(read, codec(MAX_REQUEST)),
            replies: FramedWrite::new(write, codec(MAX_FRAME)),
            early: None,
            may_change: uid == 0 || uid == Uid::effective().as_raw(),
            place,
        }
    }

    async fn serve<A: Answer>(mut self, answer: Arc<A>) {
        if let Err(why) = self.converse(answer).await {
            debug!("a client of the control socket is dropped: {why}");
        }
    }

    async fn converse<A: Answer>(&mut self, answer: Arc<A>) -> Result<(), Dropped> {
        let Some(frame) = self.receive().await? else { return Ok(()) };
        match serde_json::from_slice::<Hello>(&frame) {
            Ok(Hello { version: VERSION }) => {}
            Ok(Hello { version }) => {
                let message = format!(
                    "this command speaks version {version} of the control protocol and the running iscsid version {VERSION}"
                );
                return self.refuse(Failure::new(ExitCode::Protocol, message).advice("restart iscsid")).await;
            }
            Err(error) => {
                let message = format!("the first frame is no Hello: {error}");
                return self.refuse(Failure::new(ExitCode::Protocol, message)).await;
            }
        }
        while let Some(frame) = self.receive().await? {
            let request = match serde_json::from_slice::<Request>(&frame) {
                Ok(request) => request,
                Err(error) => {
                    let message = format!("not a request: {error}");
                    return self.refuse(Failure::new(ExitCode::Protocol, message)).await;
                }
            };
            let reply = if request.is_read_only() || self.may_change {
                self.place.set_idle(false);
                self.run(answer.clone(), request).await?
            } else {
                Err(Failure::new(
                    ExitCode::NotPermitted,
                    "only root and the user that iscsid runs as may change anything",
                )
                .advice("try it with sudo"))
            };
            self.send(&Frame::Reply(reply)).await?;
            self.place.set_idle(true);
        }
        Ok(())
    }

    /// Runs a request in a task of its own, so that it runs to its end even if the client does not wait for
    /// it.
    async fn run<A: Answer>(&mut self, answer: Arc<A>, request: Request) -> Result<Result<Reply, Failure>, Dropped> {
        let (to, mut frames) = mpsc::channel(64);
        let gone = CancellationToken::new();
        // The request learns of it when this future ends in any way.
        let _leaves = gone.clone().drop_guard();
        let work = tokio::spawn(answer.answer(request, Progress::to(to, gone.clone())));
        loop {
            tokio::select! {
                frame = frames.recv() => match frame {
                    Some(frame) => self.send(&frame).await?,
                    None => break,
                },
                early = self.requests.next(), if self.early.is_none() => {
                    if !matches!(early, Some(Ok(_))) {
                        gone.cancel();
                    }
                    self.early = Some(early);
                }
            }
        }
        Ok(work.await.unwrap_or_else(|error| {
            tracing::error!("a request ended in a panic: {error}");
            Err(Failure::new(ExitCode::Internal, "iscsid has a bug: this request made it stumble")
                .advice("its log says more"))
        }))
    }

    async fn receive(&mut self) -> Result<Option<BytesMut>, Dropped> {
        if let Some(early) = self.early.take() {
            return early.transpose().map_err(Dropped::Io);
        }
        match timeout(PATIENCE, self.requests.next()).await {
            Err(_) => Err(Dropped::Silent),
            Ok(frame) => frame.transpose().map_err(Dropped::Io),
        }
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), Dropped> {
        let mut json = serde_json::to_vec(frame).map_err(|error| Dropped::Io(error.into()))?;
        if json.len() > MAX_FRAME {
            let failure =
                Failure::new(ExitCode::Internal, "the answer is too long for a frame").advice("ask for one target");
            json = serde_json::to_vec(&Frame::Reply(Err(failure))).map_err(|error| Dropped::Io(error.into()))?;
        }
        match timeout(PATIENCE, self.replies.send(Bytes::from(json))).await {
            Err(_) => Err(Dropped::Deaf),
            Ok(sent) => sent.map_err(Dropped::Io),
        }
    }

    /// Answers once and gives up.
    async fn refuse(&mut self, failure: Failure) -> Result<(), Dropped> {
        self.send(&Frame::Reply(Err(failure))).await
    }
}

/// Why a client is served no longer.
#[derive(Debug)]
enum Dropped {
    Silent,
    Deaf,
    Io(std::io::Error),
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dropped::Silent => f.write_str("it did not send a frame in time"),
            Dropped::Deaf => f.write_str("it did not take the answer in time"),
            Dropped::Io(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests;
