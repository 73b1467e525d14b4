//! The control socket: who may connect, what a frame is, and why no client holds up another one.
//!
//! ```text
//!   clients::serve ─► one task per client: Hello ─► (Request ─► Progress* ─ Reply)*
//!     │                                                │
//!     └─ full: the oldest idle client                  └─ the request runs in a task of
//!        of the busiest user must go                      its own, to its end
//! ```
//! A client has [`PATIENCE`] for each frame it sends and each frame it takes. It can lose its own connection,
//! and disturb nothing else. A running request learns that its client has gone, and decides what follows
//! ([`Progress::gone`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use zeroize::Zeroize;

use super::redact::redacted;
use crate::clients::{self, Limits, Place};
use crate::daemon::progress::Progress;
use crate::ipc::{ExitCode, Failure, Frame, Hello, MAX_FRAME, MAX_REQUEST, Reply, Request, VERSION};
use crate::trust::is_trusted;

/// How long a client may take to send its next frame, and to take one of ours.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What all others are told.
const NOT_PERMITTED: &str = "only root and the user that iscsid runs as may discover, log in, measure or change anything; all others may list and show";

/// Who answers requests.
pub(crate) trait Answer: Send + Sync + 'static {
    /// Does what is asked. Whether the client may ask it has been checked.
    fn answer(
        self: Arc<Self>,
        request: Request,
        progress: Progress,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send;
}

/// Serves at most `clients` clients of `listener` at a time, until `stop`.
pub(crate) async fn serve<A: Answer>(listener: UnixListener, clients: usize, answer: Arc<A>, stop: CancellationToken) {
    let converse = |stream, place, uid| {
        let (answer, stop) = (answer.clone(), stop.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = Client::new(stream, uid, place).serve(answer) => {}
            }
        }
    };
    // A client that leaves for another does not end what it has asked for.
    let limits = Limits { all: clients, busy_leave: true };
    clients::serve("the control socket", listener, limits, &stop, converse).await;
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
    place: Arc<Place>,
}

impl Client {
    fn new(stream: UnixStream, uid: u32, place: Arc<Place>) -> Client {
        let (read, write) = stream.into_split();
        let codec = |limit| LengthDelimitedCodec::builder().max_frame_length(limit).new_codec();
        Client {
            requests: FramedRead::new(read, codec(MAX_REQUEST)),
            replies: FramedWrite::new(write, codec(MAX_FRAME)),
            early: None,
            may_change: is_trusted(uid),
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
                return self.refuse(other_version(version)).await;
            }
            Err(error) => {
                let message = format!("the first frame is no Hello: {error}");
                return self.refuse(Failure::new(ExitCode::Protocol, message)).await;
            }
        }
        while let Some(mut frame) = self.receive().await? {
            let request = serde_json::from_slice::<Request>(&frame);
            // There may have been secrets in it; the request wipes its own.
            frame.zeroize();
            let request = match request {
                Ok(request) => request,
                Err(error) => {
                    let message = format!("not a request: {error}");
                    return self.refuse(Failure::new(ExitCode::Protocol, message)).await;
                }
            };
            let reply = if request.is_read_only() || self.may_change {
                self.place.set_busy(true);
                if let Some(due) = self.place.request() {
                    sleep_until(due).await;
                }
                self.run(answer.clone(), request).await?
            } else {
                Err(Failure::new(ExitCode::NotPermitted, NOT_PERMITTED).advice("try it with sudo"))
            };
            let reply = if self.may_change { reply } else { reply.map(redacted) };
            self.reply(reply).await?;
            self.place.set_busy(false);
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

    /// Sends an answer: a list in as many frames as it takes.
    async fn reply(&mut self, reply: Result<Reply, Failure>) -> Result<(), Dropped> {
        let mut left = match reply {
            Ok(reply) => vec![reply],
            Err(failure) => return self.send(&Frame::Reply(Err(failure))).await,
        };
        while let Some(reply) = left.pop() {
            let frame = if left.is_empty() { Frame::Reply(Ok(reply)) } else { Frame::Part(reply) };
            let json = json(&frame)?;
            if json.len() <= MAX_FRAME {
                self.put(json).await?;
                continue;
            }
            let (Frame::Reply(Ok(reply)) | Frame::Part(reply)) = frame else { continue };
            match reply.halves() {
                // The first half is on top: it is sent first.
                Some((first, second)) => left.extend([second, first]),
                None => {
                    let failure = Failure::new(ExitCode::Internal, "the answer is too long for a frame")
                        .advice("ask for one target");
                    return self.send(&Frame::Reply(Err(failure))).await;
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), Dropped> {
        self.put(json(frame)?).await
    }

    async fn put(&mut self, json: Vec<u8>) -> Result<(), Dropped> {
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

fn json(frame: &Frame) -> Result<Vec<u8>, Dropped> {
    serde_json::to_vec(frame).map_err(|error| Dropped::Io(error.into()))
}

/// What a command of another version is told: the older of the two is to be replaced.
fn other_version(version: u32) -> Failure {
    let message = format!(
        "this command speaks version {version} of the control protocol and the running iscsid version {VERSION}"
    );
    let advice = if version < VERSION {
        "this iscsictl is the older one: take the one that came with the iscsid that runs"
    } else {
        "the iscsid that runs is the older one: restart iscsid"
    };
    Failure::new(ExitCode::Protocol, message).advice(advice)
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
