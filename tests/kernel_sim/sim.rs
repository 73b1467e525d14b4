//! The harness as a process, and a target for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use iscsi_proto::ids::Isid;
use iscsi_proto::keys::{Key, Offer, Value};
use sim_target::{SimDisk, SimTarget};
use tempfile::TempDir;

use crate::TARGET;
use crate::client::{Client, Connection, FRAME_UNLOAD, FrameUnit, SUCCESS};
use crate::common::kernel_sim;
use crate::common::process::{Process, eventually};

/// Blocks of 512 bytes of the scenarios' disk.
pub(crate) const BLOCKS: u64 = 65_536;

const LIMIT: Duration = Duration::from_secs(60);

/// The extension, loaded.
pub(crate) struct Sim {
    pub(crate) dir: TempDir,
    process: Process,
}

impl Sim {
    /// Cuts streams by `ISCSI_KERNEL_SIM_SEED`, 1 if that is not set.
    pub(crate) fn start() -> Sim {
        Sim::with(&[])
    }

    pub(crate) fn with(options: &[&str]) -> Sim {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = kernel_sim::command(&dir.path().join("control.sock"), &dir.path().join("nbd.sock"));
        command.args(options);
        let mut process = Process::start(&command, &dir.path().join("log"));
        eventually("the harness is ready", LIMIT, || {
            assert!(process.exited().is_none(), "{}", process.log());
            process.log().contains("ready").then_some(())
        });
        Sim { dir, process }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    pub(crate) fn daemon(&self) -> Client {
        Client::daemon(&self.socket())
    }

    /// Of a unit, for NBD clients.
    pub(crate) fn uri(&self, unit: &FrameUnit) -> String {
        let socket = self.dir.path().join("nbd.sock");
        format!("nbd+unix:///{}%2f{}?socket={}", unit.target, unit.number, socket.display())
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Unloads the extension, and asserts that nothing is left of it.
    pub(crate) fn end(mut self, client: &mut Client) {
        let (code, _) = client.call(FRAME_UNLOAD, &[], 0, &[]);
        assert_eq!(code, SUCCESS, "{}", self.process.log());
        self.gone();
    }

    /// After a call has unloaded it.
    pub(crate) fn gone(&mut self) {
        let status = eventually("the harness has ended", LIMIT, || self.process.exited());
        assert!(status.success(), "{status}\n{}", self.process.log());
    }
}

/// A target with one disk.
pub(crate) async fn target() -> SimTarget {
    SimTarget::builder(TARGET).lun(0, SimDisk::new(BLOCKS, 512)).start().await.expect("a free port")
}

/// Logs in with digests, or without; always as the same initiator port, so that a second login reinstates the session.
pub(crate) async fn log_in(target: &SimTarget, digest: &str) -> Connection {
    log_in_to(TARGET, target.address(), digest).await
}

/// The same, to any target.
pub(crate) async fn log_in_to(name: &str, portal: SocketAddr, digest: &str) -> Connection {
    let digest = Value::parse(Key::HeaderDigest, digest).expect("a digest").try_into().expect("a digest");
    let offer = Offer { header_digest: digest, data_digest: digest, ..Offer::default() };
    let isid = Isid::random(1, 1);
    let (handoff, stream) =
        iscsid::selftest::lab::log_in_bare(name, portal, &offer, Some(isid)).await.expect("a login");
    Connection { handoff, stream }
}

/// The one disk, once it has been found.
pub(crate) fn disk(client: &mut Client) -> FrameUnit {
    eventually("a disk", LIMIT, || client.units().first().copied())
}
