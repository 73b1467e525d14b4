//! One connection through the proxy, and what happens to it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::RwLock;

use super::framing::{Framing, Part};
use super::state::{Fault, Shared, State, Toward};

/// How much is read at a time, in bytes.
const READ: usize = 64 << 10;

/// How long a side may take to answer a FIN.
const FAREWELL: Duration = Duration::from_secs(5);

/// What both directions of a connection share.
struct Link {
    number: u64,
    full_feature: AtomicBool,
    /// Held while nothing is to be passed on.
    gate: RwLock<()>,
}

/// How a connection is to end.
enum End {
    Reset,
    Finish,
    Silence,
}

/// Carries a connection to its end.
pub(super) async fn carry(mut initiator: TcpStream, number: u64, shared: Arc<Shared>) -> io::Result<()> {
    if shared.state().muted {
        return hush(&mut initiator).await;
    }
    let mut target = TcpStream::connect(shared.upstream).await?;
    initiator.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let link = Link { number, full_feature: AtomicBool::new(false), gate: RwLock::new(()) };
    let end = {
        let (from_initiator, to_initiator) = initiator.split();
        let (from_target, to_target) = target.split();
        tokio::select! {
            // A fault is looked for before another byte is passed on.
            biased;
            end = strike(&link, &shared) => end,
            end = pump(Toward::Target, from_initiator, to_target, &link, &shared) => end,
            end = pump(Toward::Initiator, from_target, to_initiator, &link, &shared) => end,
        }
    };
    match end {
        End::Reset => {
            initiator.set_zero_linger()?;
            target.set_zero_linger()
        }
        End::Finish => {
            let (one, other) = tokio::join!(say_goodbye(&mut initiator), say_goodbye(&mut target));
            one.and(other)
        }
        End::Silence => hush(&mut initiator).await,
    }
}

/// Waits for faults that do not depend on what is passed on.
async fn strike(link: &Link, shared: &Shared) -> End {
    let mut changes = shared.changed.subscribe();
    loop {
        let wanted = |state: &State, fault| {
            state.current == Some(link.number)
                && matches!(fault, Fault::Reset | Fault::Finish | Fault::Silence | Fault::Delay(_))
        };
        if let Some(armed) = shared.take(wanted) {
            let fault = armed.fault;
            let end = match fault {
                Fault::Finish => End::Finish,
                Fault::Silence => End::Silence,
                Fault::Delay(time) => {
                    let _closed = link.gate.write().await;
                    tokio::time::sleep(time).await;
                    drop(armed);
                    continue;
                }
                _ => End::Reset,
            };
            drop(armed);
            return end;
        }
        if changes.changed().await.is_err() {
            return End::Reset;
        }
    }
}

/// Carries bytes one way until the sender has ended, or a fault ends both ways.
async fn pump(toward: Toward, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, link: &Link, shared: &Shared) -> End {
    let (mut bytes, mut framing) = (vec![0; READ], Framing::new(shared.digests));
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return End::Reset };
        if read == 0 {
            return End::Finish;
        }
        let bytes = &mut bytes[..read];
        let before = link.full_feature.load(Ordering::Acquire);
        let mut full_feature = before;
        let parts = framing.parts(bytes, &mut full_feature);
        let mut cut = None;
        let wanted = |state: &State, fault| {
            let is_ours = match fault {
                Fault::CorruptHeader(way) => way == toward && find(&parts, 1, is_header).is_some(),
                Fault::CorruptData(way) => way == toward && find(&parts, 1, is_data).is_some(),
                Fault::Cut(way) => way == toward && find(&parts, 2, |_| true).is_some(),
                _ => false,
            };
            before && is_ours && state.current == Some(link.number)
        };
        if let Some(armed) = shared.take(wanted) {
            let (fault, seed) = (armed.fault, armed.seed);
            let is_wanted: fn(&Part) -> bool = match fault {
                Fault::CorruptHeader(_) => is_header,
                Fault::CorruptData(_) => is_data,
                _ => |_| true,
            };
            // A cut in front of the first byte would be none.
            let skip = usize::from(matches!(fault, Fault::Cut(_)));
            if let Some(range) = find(&parts, 1 + skip, is_wanted) {
                let at = range.start + skip + (seed as usize >> 3) % (range.len() - skip);
                match fault {
                    Fault::Cut(_) => cut = Some(at),
                    _ => bytes[at] ^= 1 << (seed & 7),
                }
            }
        }
        if full_feature && !before {
            // Before the initiator can know it and act on it.
            link.full_feature.store(true, Ordering::Release);
        }
        let passed = {
            let _open = link.gate.read().await;
            to.write_all(&bytes[..cut.unwrap_or(read)]).await
        };
        if passed.is_err() || cut.is_some() {
            return End::Reset;
        }
        if full_feature && !before {
            shared.begin_full_feature(link.number);
        }
    }
}

fn is_header(part: &Part) -> bool {
    matches!(part, Part::Header(_))
}

fn is_data(part: &Part) -> bool {
    *part == Part::Data
}

/// The first part of that kind with at least so many bytes here.
fn find(
    parts: &[(std::ops::Range<usize>, Part)],
    length: usize,
    is_wanted: impl Fn(&Part) -> bool,
) -> Option<std::ops::Range<usize>> {
    parts.iter().find(|(range, part)| range.len() >= length && is_wanted(part)).map(|(range, _)| range.clone())
}

/// Hears everything and says nothing, until the other side has had enough.
async fn hush(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; READ];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

/// A FIN, and everything that is still said is heard: what is not would make a RST of it.
async fn say_goodbye(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::time::timeout(FAREWELL, hush(stream)).await.unwrap_or(Ok(()))
}
