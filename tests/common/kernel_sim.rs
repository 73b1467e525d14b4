//! The kernel extension in its harness, where the tests are to run over that: `ISCSID_TEST_BRIDGE=kext`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytemuck::{bytes_of, pod_read_unaligned};
use iscsi_kext_messages::harness::{FRAME_MAGIC, FRAME_UNLOAD, FrameAnswer, FrameRequest};
use iscsi_kext_messages::io_return::SUCCESS;

use super::process::{Process, eventually};

const LIMIT: Duration = Duration::from_secs(60);

/// Whether the daemons under test run their sessions in the extension.
pub(crate) fn is_wanted() -> bool {
    match std::env::var("ISCSID_TEST_BRIDGE").as_deref() {
        Ok("kext") => true,
        Ok("user") | Err(std::env::VarError::NotPresent) => false,
        other => panic!("ISCSID_TEST_BRIDGE is kext or user, not {other:?}"),
    }
}

/// The harness that was built, or the one that `ISCSI_KERNEL_SIM` names.
pub(crate) fn command(socket: &Path, nbd: &Path) -> Command {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kext/sim-address-undefined/iscsi-kernel-sim");
    let binary = std::env::var_os("ISCSI_KERNEL_SIM").map_or(built, PathBuf::from);
    assert!(binary.exists(), "{} is not there: make test-kext builds it", binary.display());
    let seed = std::env::var("ISCSI_KERNEL_SIM_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut command = Command::new(binary);
    command.arg("--socket").arg(socket).arg("--nbd").arg(nbd).args(["--awkward", &seed]);
    command.env("TSAN_OPTIONS", "halt_on_error=1 second_deadlock_stack=1");
    command.env("ASAN_OPTIONS", "detect_stack_use_after_return=1");
    command
}

/// A kernel with the extension loaded, under one home's daemons: it outlives each of them.
pub(crate) struct KernelSim {
    process: Process,
    socket: PathBuf,
    crashed: bool,
}

impl KernelSim {
    pub(crate) fn start(dir: &Path) -> KernelSim {
        let socket = dir.join("kernel.sock");
        let mut process = Process::start(&command(&socket, &dir.join("kernel-nbd.sock")), &dir.join("kernel.log"));
        eventually("the harness is ready", LIMIT, || {
            assert!(process.exited().is_none(), "{}", process.log());
            process.log().contains("ready").then_some(())
        });
        KernelSim { process, socket, crashed: false }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The whole kernel goes, as far as its processes are told: with a service that is there no more.
    #[allow(dead_code, reason = "the scenarios of the Mac's machine alone")]
    pub(crate) fn crash(mut self) {
        self.process.kill();
        self.crashed = true;
    }

    /// Unloads the extension; whether it let itself be unloaded, as it does without sessions.
    fn unload(&self) -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let request = FrameRequest { magic: FRAME_MAGIC, selector: FRAME_UNLOAD, input: 0, output: 0, id: 1 };
        stream.write_all(bytes_of(&request))?;
        let mut answer = [0; size_of::<FrameAnswer>()];
        stream.read_exact(&mut answer)?;
        Ok(pod_read_unaligned::<FrameAnswer>(&answer).result == SUCCESS)
    }
}

impl Drop for KernelSim {
    /// What the extension leaves behind when it is unloaded fails the test. With sessions of a daemon that was
    /// killed it is not unloaded.
    fn drop(&mut self) {
        if self.crashed {
            return;
        }
        if let Some(status) = self.process.exited() {
            assert!(
                std::thread::panicking(),
                "the extension's harness ended by itself, {status}:\n{}",
                self.process.log()
            );
            return;
        }
        match self.unload() {
            Ok(true) if !std::thread::panicking() => {
                let status = eventually("the harness has ended", LIMIT, || self.process.exited());
                assert!(status.success(), "{status}\n{}", self.process.log());
            }
            Ok(_) => {}
            Err(error) => {
                assert!(std::thread::panicking(), "the harness does not answer: {error}\n{}", self.process.log());
            }
        }
    }
}
