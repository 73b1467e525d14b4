//! Scenarios between a small client, which sends any bytes that a test gives it, and the server.

mod client;
mod data;
mod hostile;
mod lives;
mod names;
mod patience;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use super::{Attachment, Attachments, FlushPolicy, Owners, Proofs, Secret, Setup, listen, serve};
use crate::block::testing::{Plan, RamDisk};
use crate::block::{Block, Geometry, Registry};

const NAME: &str = "iqn.2026-01.example:disk/0";
const FILE: &str = "iqn.2026-01.example:disk,0";
const MIB: u64 = 1 << 20;

/// One unit, [`NAME`], and the clients that connect to it.
struct Stage {
    disk: Arc<RamDisk>,
    registry: Arc<Registry>,
    attachments: Arc<Attachments>,
    /// Of the unit, with a mounted volume.
    attachment: Arc<Attachment>,
    policy: FlushPolicy,
    clients: usize,
}

/// A server, until it is stopped.
struct Server {
    address: SocketAddr,
    attachment: Arc<Attachment>,
    proofs: Arc<Proofs>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Stage {
    fn new(plan: Plan) -> Stage {
        let disk = RamDisk::start(plan);
        let registry = Arc::new(Registry::default());
        registry.insert(NAME.to_owned(), disk.clone());
        let attachments = Arc::new(Attachments::default());
        let attachment = Arc::new(attachments.open(NAME, disk.geometry().bytes()).expect("random numbers"));
        attachment.set_mounted(true);
        Stage { disk, registry, attachments, attachment, policy: FlushPolicy::WriteThrough, clients: 256 }
    }

    fn with(bytes: u64, change: impl FnOnce(&mut Geometry)) -> Stage {
        let mut plan = Plan::of_bytes(bytes);
        change(&mut plan.geometry);
        Stage::new(plan)
    }

    fn secret() -> Secret {
        Secret::new([9; 32])
    }

    /// A server at any port, or at that of an earlier one.
    fn serve_at(&self, port: u16) -> Server {
        let listener = listen(port).expect("a port");
        let address = listener.local_addr().expect("bound");
        let (policy, proofs) = (self.policy, Arc::new(Proofs::new().expect("random numbers")));
        let setup = Setup {
            registry: self.registry.clone(),
            secret: Stage::secret(),
            policy: Box::new(move |_| policy),
            attachments: self.attachments.clone(),
            owners: Arc::new(Owners::new(None).expect("the kernel tells")),
            proofs: proofs.clone(),
            clients: self.clients,
        };
        let stop = CancellationToken::new();
        let serving = serve(listener, setup, stop.clone());
        let served = tokio::spawn(async move { serving.await.expect("random numbers") });
        Server { address, attachment: self.attachment.clone(), proofs, stop, served }
    }

    fn serve(&self) -> Server {
        self.serve_at(0)
    }
}

impl Server {
    async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A client that has mounted the unit, and the handle of its directory. By a ticket, as no other path is good on
    /// every system.
    async fn mount_directory(&self) -> (Client, Vec<u8>) {
        let ticket = self.attachment.ticket().expect("random numbers");
        let mut client = self.connect().await;
        let directory = client.mount(&format!("/{}", ticket.path())).await.expect("the ticket is good");
        (client, directory)
    }

    /// A client that has mounted the unit, and the handle of its file.
    async fn mount(&self) -> (Client, Vec<u8>) {
        let (mut client, directory) = self.mount_directory().await;
        let file = client.look_up(&directory, FILE).await.expect("the unit is there");
        (client, file)
    }

    async fn end(self) {
        self.stop.cancel();
        self.served.await.expect("no panic");
    }
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
