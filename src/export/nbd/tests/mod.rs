//! Scenarios between a small client, which sends any bytes that a test gives it, and the server.

mod client;
mod handshake;
mod hostile;
mod pressure;
mod requests;
mod small_blocks;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use super::small_blocks::SmallUnits;
use crate::block::testing::{Plan, RamDisk};
use crate::block::{Block, Geometry, Io, Op, Pool, Registry};
use crate::clients::{Clients, Limits};

const NAME: &str = "iqn.2026-01.example:disk/0";
const MIB: u64 = 1 << 20;
const LIMITS: Limits = Limits { all: 8, busy_leave: false };

/// One unit, [`NAME`], and the clients that connect to it.
struct Stage {
    disk: Arc<RamDisk>,
    registry: Arc<Registry>,
    small: Arc<SmallUnits>,
    stop: CancellationToken,
}

impl Stage {
    fn new(plan: Plan) -> Stage {
        let disk = RamDisk::start(plan);
        let registry = Arc::new(Registry::default());
        registry.insert(NAME.to_owned(), disk.clone());
        Stage { disk, registry, small: Arc::default(), stop: CancellationToken::new() }
    }

    fn with(bytes: u64, change: impl FnOnce(&mut Geometry)) -> Stage {
        let mut plan = Plan::of_bytes(bytes);
        change(&mut plan.geometry);
        Stage::new(plan)
    }

    /// A client that has not said anything, and the task that serves it.
    fn connect(&self) -> (Client, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let place = Clients::new(LIMITS).admit(0).map(Arc::new).expect("a place");
        let server =
            tokio::spawn(super::converse(theirs, place, self.registry.clone(), self.small.clone(), self.stop.clone()));
        (Client::new(ours), server)
    }

    /// A client in the transmission phase, with structured replies.
    async fn structured(&self) -> Client {
        let (mut client, _) = self.connect();
        client.greet().await;
        client.structured_replies().await;
        client.go(NAME).await;
        client
    }

    /// A client in the transmission phase, with simple replies.
    async fn simple(&self) -> Client {
        let (mut client, _) = self.connect();
        client.greet().await;
        client.go(NAME).await;
        client
    }
}

/// A disk with a lane, which keeps its first write back until a test lets it go.
struct Laggard {
    disk: Arc<RamDisk>,
    lane: Handle,
    late: Mutex<Late>,
}

enum Late {
    Expected,
    Kept(Io),
    Gone,
}

impl Laggard {
    /// In place of the stage's disk, which it passes everything else to.
    fn enter(stage: &Stage) -> Arc<Laggard> {
        let laggard = Laggard { disk: stage.disk.clone(), lane: Handle::current(), late: Mutex::new(Late::Expected) };
        let laggard = Arc::new(laggard);
        stage.registry.insert(NAME.to_owned(), laggard.clone());
        laggard
    }

    fn is_late(&self) -> bool {
        matches!(&*self.late.lock().unwrap_or_else(PoisonError::into_inner), Late::Kept(_))
    }

    fn let_go(&self) {
        let late = std::mem::replace(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner), Late::Gone);
        let Late::Kept(io) = late else { panic!("there was no write") };
        self.disk.submit(&mut vec![io]);
    }
}

impl Block for Laggard {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let first = batch.iter().position(|io| matches!(io.op, Op::Write { .. }));
        if let (Late::Expected, Some(first)) = (&*late, first) {
            *late = Late::Kept(batch.remove(first));
        }
        drop(late);
        self.disk.submit(batch);
    }

    fn pool(&self) -> &Pool {
        self.disk.pool()
    }

    fn lane(&self) -> Option<Handle> {
        Some(self.lane.clone())
    }
}

/// Waits for what the tasks of this runtime bring about by themselves.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let turns = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), turns).await.is_ok(), "it was waited in vain for {what}");
}

/// Bytes that differ from block to block.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut state = seed | 1;
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    bytes
}
