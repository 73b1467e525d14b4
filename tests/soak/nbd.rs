//! An NBD client with many requests under way, as little as it can be (NBD protocol, fixed newstyle, simple
//! replies).
//!
//! ```text
//!   request ─► writer ═══ nbd.sock ═══ reader ─► the request with that cookie
//! ```
//! There is no library for it: what crates there are serve, or wrap the C library.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

const READ: u16 = 0;
const WRITE: u16 = 1;
const FLUSH: u16 = 3;
const FUA: u16 = 1;

/// Why a request was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// The server is gone: nobody knows whether it was done.
    Gone,
    /// The server says so, with that error number.
    Failed(u32),
}

type Answer = std::result::Result<Vec<u8>, NotDone>;

struct Waiting {
    /// How many bytes follow a reply without error.
    length: usize,
    tell: oneshot::Sender<Answer>,
}

/// What waits for an answer; `None` when there will be none any more.
type Pending = Arc<Mutex<Option<HashMap<u64, Waiting>>>>;

/// A connection to one export.
pub(crate) struct Connection {
    next: AtomicU64,
    pending: Pending,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    gone: watch::Receiver<bool>,
    size: u64,
    tasks: [AbortHandle; 2],
}

impl Connection {
    /// Connects to that export.
    ///
    /// # Errors
    /// Nobody listens, or there is no such export.
    pub(crate) async fn open(socket: &Path, export: &str) -> Result<Connection> {
        let mut stream = UnixStream::connect(socket).await?;
        let size = shake_hands(&mut stream, export).await?;
        let (read, write) = stream.into_split();
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (tell, gone) = watch::channel(false);
        let reader = tokio::spawn(hear(read, pending.clone(), tell)).abort_handle();
        let writer = tokio::spawn(say(write, to_send)).abort_handle();
        Ok(Connection { next: AtomicU64::new(1), pending, outgoing, gone, size, tasks: [reader, writer] })
    }

    /// The export's size, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Waits until the server is gone.
    pub(crate) async fn gone(&self) {
        // An error is a reader that ended without a word.
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    pub(crate) async fn read(&self, offset: u64, length: usize) -> Answer {
        self.request(READ, 0, offset, length, &[]).await
    }

    pub(crate) async fn write(&self, offset: u64, bytes: &[u8], fua: bool) -> Answer {
        self.request(WRITE, if fua { FUA } else { 0 }, offset, bytes.len(), bytes).await
    }

    pub(crate) async fn flush(&self) -> Answer {
        self.request(FLUSH, 0, 0, 0, &[]).await
    }

    async fn request(&self, command: u16, flags: u16, offset: u64, length: usize, payload: &[u8]) -> Answer {
        let cookie = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        let length_asked = u32::try_from(length).map_err(|_| NotDone::Failed(0))?;
        match self.pending.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            None => return Err(NotDone::Gone),
            Some(pending) => {
                let length = if command == READ { length } else { 0 };
                pending.insert(cookie, Waiting { length, tell });
            }
        }
        let mut bytes = Vec::with_capacity(28 + payload.len());
        bytes.extend(0x2560_9513_u32.to_be_bytes());
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(cookie.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(length_asked.to_be_bytes());
        bytes.extend(payload);
        if self.outgoing.send(bytes).is_err() {
            return Err(NotDone::Gone);
        }
        told.await.unwrap_or(Err(NotDone::Gone))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn say(mut stream: OwnedWriteHalf, mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = outgoing.recv().await {
        if stream.write_all(&bytes).await.is_err() {
            // The reader notices too, and tells everybody.
            return;
        }
    }
}

async fn hear(stream: OwnedReadHalf, pending: Pending, gone: watch::Sender<bool>) {
    let mut stream = BufReader::with_capacity(256 << 10, stream);
    if let Err(error) = replies(&mut stream, &pending).await
        && !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
    {
        eprintln!("the NBD server does not follow the protocol: {error}");
    }
    pending.lock().unwrap_or_else(PoisonError::into_inner).take();
    gone.send_replace(true);
}

async fn replies(stream: &mut BufReader<OwnedReadHalf>, pending: &Pending) -> Result<()> {
    loop {
        let (magic, error, cookie) = (stream.read_u32().await?, stream.read_u32().await?, stream.read_u64().await?);
        if magic != 0x6744_6698 {
            return Err(wrong(&format!("a reply does not begin with {magic:08x}")));
        }
        let waiting =
            pending.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(|all| all.remove(&cookie));
        let Some(Waiting { length, tell }) = waiting else { return Err(wrong("an answer to no request")) };
        let answer = if error == 0 {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).await?;
            Ok(bytes)
        } else {
            Err(NotDone::Failed(error))
        };
        // Who asked may have been ended meanwhile.
        let _ = tell.send(answer);
    }
}

/// Chooses the export; its size.
async fn shake_hands(stream: &mut UnixStream, export: &str) -> Result<u64> {
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting).await?;
    if &greeting[..16] != b"NBDMAGICIHAVEOPT" {
        return Err(wrong("that is no NBD server"));
    }
    let mut bytes = 3_u32.to_be_bytes().to_vec();
    let name = export.as_bytes();
    bytes.extend(b"IHAVEOPT");
    bytes.extend(7_u32.to_be_bytes());
    bytes.extend((name.len() as u32 + 6).to_be_bytes());
    bytes.extend((name.len() as u32).to_be_bytes());
    bytes.extend(name);
    bytes.extend(0_u16.to_be_bytes());
    stream.write_all(&bytes).await?;
    let mut size = None;
    loop {
        let (_magic, _option) = (stream.read_u64().await?, stream.read_u32().await?);
        let (kind, length) = (stream.read_u32().await?, stream.read_u32().await?);
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data).await?;
        match kind {
            1 => return size.ok_or_else(|| wrong("an export without a size")),
            3 if data.starts_with(&[0, 0]) && data.len() >= 10 => {
                size = data[2..].first_chunk().map(|size| u64::from_be_bytes(*size));
            }
            3 => {}
            _ => return Err(Error::new(ErrorKind::NotFound, String::from_utf8_lossy(&data).into_owned())),
        }
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
