//! Reads, writes and flushes of one unit, each checked against the [`Memory`].
//!
//! ```text
//!   workers (as many as the depth) ──► Connection ══ nbd.sock ══ iscsid
//!      ▲                                   │ gone: the daemon was killed
//!      └── what was not answered is issued again over the next one
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::memory::Memory;
use crate::nbd::{Connection, NotDone};
use crate::pattern::{BLOCK, Noise};
use crate::tally::{Progress, Tally};

/// How often a connection is tried while the daemon is down.
const RETRY: Duration = Duration::from_millis(20);

/// What is read at a time at the end, in blocks.
const SWEEP: u64 = 64;

/// A load on one unit.
pub(crate) struct Load {
    pub(crate) unit: String,
    pub(crate) memory: Memory,
    pub(crate) progress: Progress,
    tally: Arc<Tally>,
    connection: watch::Receiver<Option<Arc<Connection>>>,
    keeper: AbortHandle,
    stop: AtomicBool,
}

/// What is asked of a unit; offset and length in bytes.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Read { offset: u64, length: usize },
    Write { offset: u64, bytes: &'a [u8], fua: bool },
    Flush,
}

impl Load {
    /// On the export of that name, which may not be there yet.
    pub(crate) fn new(socket: PathBuf, unit: &str, memory: Memory, tally: Arc<Tally>) -> Arc<Load> {
        let (publish, connection) = watch::channel(None);
        let (size, name) = (memory.bytes(), unit.to_owned());
        let keeper = tokio::spawn(async move {
            loop {
                match Connection::open(&socket, &name).await {
                    Ok(opened) if opened.size() == size => {
                        let opened = Arc::new(opened);
                        publish.send_replace(Some(opened.clone()));
                        opened.gone().await;
                        publish.send_replace(None);
                    }
                    Ok(opened) => panic!("{name} has {} bytes, not {size}", opened.size()),
                    // The daemon does not run, or has not logged in yet: nobody tells when that changes.
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
        });
        Arc::new(Load {
            unit: unit.to_owned(),
            memory,
            progress: Progress::new(),
            tally,
            connection,
            keeper: keeper.abort_handle(),
            stop: AtomicBool::new(false),
        })
    }

    /// Starts so many workers.
    pub(crate) fn start(self: &Arc<Load>, depth: u64, seed: u64, workers: &mut JoinSet<()>) {
        let mut dice = Noise::new(seed);
        for _ in 0..depth {
            let dice = Noise::new(dice.next());
            workers.spawn(self.clone().work(dice));
        }
    }

    /// Lets the workers end, each after what it has under way.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    async fn work(self: Arc<Load>, mut dice: Noise) {
        while !self.stop.load(Relaxed) {
            match dice.below(100) {
                0 => {
                    self.insist(Ask::Flush).await;
                    self.tally.flushes.fetch_add(1, Relaxed);
                }
                1..50 => {
                    let Some((range, write)) = self.memory.reserve_write(&mut dice) else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let (bytes, fua) = (self.memory.content(&range, write), dice.below(20) == 0);
                    self.insist(Ask::Write { offset: range.start * BLOCK as u64, bytes: &bytes, fua }).await;
                    self.memory.acknowledged(&range, write);
                    self.tally.writes.fetch_add(1, Relaxed);
                }
                _ => {
                    let Some(range) = self.memory.reserve_read(&mut dice) else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let length = (range.end - range.start) as usize * BLOCK;
                    let bytes = self.insist(Ask::Read { offset: range.start * BLOCK as u64, length }).await;
                    self.tally.damage(&self.unit, &self.memory.read(&range, &bytes));
                    self.tally.reads.fetch_add(1, Relaxed);
                }
            }
            self.progress.step();
        }
    }

    /// Asks until it is done, over one connection after the other.
    async fn insist(&self, ask: Ask<'_>) -> Vec<u8> {
        let started = Instant::now();
        let mut connection = self.connection.clone();
        loop {
            let there = connection.wait_for(Option::is_some).await.map(|there| there.clone());
            let Ok(Some(there)) = there else { std::future::pending().await };
            let answer = match ask {
                Ask::Read { offset, length } => there.read(offset, length).await,
                Ask::Write { offset, bytes, fua } => there.write(offset, bytes, fua).await,
                Ask::Flush => there.flush().await,
            };
            match answer {
                Ok(bytes) => {
                    self.tally.waited(started);
                    return bytes;
                }
                Err(NotDone::Gone) => {
                    self.tally.issued_again.fetch_add(1, Relaxed);
                    // Until the next connection is there, or this one would be asked again.
                    let _ = connection.wait_for(|now| now.as_ref().is_none_or(|now| !Arc::ptr_eq(now, &there))).await;
                }
                Err(NotDone::Failed(error)) => {
                    self.tally.error(format!("{}: error {error} after {:?}", self.unit, started.elapsed()));
                    // As a program would that cannot give up: not at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Reads everything and compares it with what was acknowledged; nothing else is under way.
    pub(crate) async fn sweep(&self) {
        let blocks = self.memory.bytes() / BLOCK as u64;
        for start in (0..blocks).step_by(SWEEP as usize) {
            let range = start..(start + SWEEP).min(blocks);
            let length = (range.end - range.start) as usize * BLOCK;
            let bytes = self.insist(Ask::Read { offset: range.start * BLOCK as u64, length }).await;
            self.tally.damage(&self.unit, &self.memory.compare(&range, &bytes));
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
