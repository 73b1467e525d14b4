//! tgt, the Linux SCSI target framework, in user space.
//!
//! - Its unit 0 is a controller (type 0x0c); the disks are 1, 2, ….
//! - It takes CRC32C even where None is offered first, and CHAP with MD5 only.
//! - It ignores SIGTERM while a target exists; SIGKILL leaves nothing behind.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{ATTEMPTS, Auth, CHAP_NAME, CHAP_SECRET, Disk, MUTUAL_NAME, MUTUAL_SECRET, Spec, Target};
use crate::common::port::Port;
use crate::common::process::{self, Process};
use crate::common::scratch_dir;

/// A running tgtd with one target.
pub(crate) struct Tgt {
    target: Target,
    process: Process,
    socket: PathBuf,
    // Goes last: the process has its files in it.
    _dir: TempDir,
}

impl Deref for Tgt {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

impl Tgt {
    /// What has to be installed.
    pub(crate) const TOOLS: &[&str] = &["tgtd", "tgtadm", "setpriv"];

    pub(crate) fn start(spec: &Spec) -> Tgt {
        for _ in 0..ATTEMPTS {
            if let Some(tgt) = Tgt::try_start(spec) {
                return tgt;
            }
        }
        panic!("tgtd did not start, {ATTEMPTS} times");
    }

    /// `None` if it ended at once, as it does where another program took the port.
    fn try_start(spec: &Spec) -> Option<Tgt> {
        let dir = scratch_dir();
        let port = Port::reserve();
        let socket = dir.path().join("tgt");
        let n = port.number;
        let mut command = Command::new("tgtd");
        // Threads per unit: a few, or hundreds of units would take thousands.
        let threads = if spec.disks > 16 { "1" } else { "8" };
        command.args(["--foreground", "--control-port", "0", "--nr_iothreads", threads]);
        command.args(["--iscsi", &format!("portal=127.0.0.1:{n},portal=[::1]:{n}")]);
        command.env("TGT_IPC_SOCKET", &socket);
        let mut process = Process::start(&command, &dir.path().join("tgtd.log"));

        let up = process::eventually("an answer of tgtd", Duration::from_secs(20), || {
            if process.exited().is_some() {
                return Some(false);
            }
            (adm(&socket, &["--op", "show", "--mode", "system"]).code == 0).then_some(true)
        });
        if !up {
            eprintln!("{}", process.log());
            return None;
        }
        let disks = (1..=spec.disks)
            .map(|number| Disk { lun: number.into(), file: dir.path().join(format!("disk{number}")) })
            .collect();
        let tgt = Tgt { target: Target { iqn: spec.iqn(), disks, port }, process, socket, _dir: dir };
        tgt.set_up(spec);
        Some(tgt)
    }

    fn set_up(&self, spec: &Spec) {
        self.adm(&["--op", "new", "--mode", "target", "--tid", "1", "--targetname", &self.iqn]);
        // It takes no digest unless told to.
        for digest in ["HeaderDigest", "DataDigest"] {
            self.set(digest, "CRC32C,None");
        }
        for (key, value) in &spec.keys {
            self.set(key, value);
        }
        let block_size = spec.block_size.to_string();
        for disk in &self.disks {
            let file = std::fs::File::create(&disk.file).expect("a backing file");
            file.set_len(spec.bytes).expect("a backing file");
            let (lun, file) = (disk.lun.to_string(), disk.file.to_str().expect("a path in UTF-8"));
            let unit = ["--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", &lun];
            self.adm(&[&unit[..], &["--backing-store", file, "--blocksize", &block_size]].concat());
        }
        if spec.auth != Auth::None {
            self.adm(&["--op", "new", "--mode", "account", "--user", CHAP_NAME, "--password", CHAP_SECRET]);
            self.adm(&["--op", "bind", "--mode", "account", "--tid", "1", "--user", CHAP_NAME]);
        }
        if spec.auth == Auth::Mutual {
            self.adm(&["--op", "new", "--mode", "account", "--user", MUTUAL_NAME, "--password", MUTUAL_SECRET]);
            self.adm(&["--op", "bind", "--mode", "account", "--tid", "1", "--user", MUTUAL_NAME, "--outgoing"]);
        }
        self.adm(&["--op", "bind", "--mode", "target", "--tid", "1", "--initiator-address", "ALL"]);
    }

    /// What the target offers for a key, from the next login on.
    pub(crate) fn set(&self, key: &str, value: &str) {
        self.adm(&["--op", "update", "--mode", "target", "--tid", "1", "--name", key, "--value", value]);
    }

    /// Makes a disk refuse writes, from the next login on.
    pub(crate) fn set_read_only(&self, lun: u64) {
        let unit = ["--op", "update", "--mode", "logicalunit", "--tid", "1", "--lun", &lun.to_string()];
        self.adm(&[&unit[..], &["--params", "readonly=1"]].concat());
    }

    /// How many sessions the target has.
    pub(crate) fn sessions(&self) -> usize {
        let shown = self.adm(&["--op", "show", "--mode", "target"]);
        shown.lines().filter(|line| line.trim_start().starts_with("I_T nexus:")).count()
    }

    /// Ends the target under its sessions, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops the target without a word to anybody, as a network that is gone looks like.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on where it stopped.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    fn adm(&self, arguments: &[&str]) -> String {
        let output = adm(&self.socket, arguments);
        assert!(
            output.code == 0,
            "tgtadm {arguments:?} exited with {}\n{}{}",
            output.code,
            output.stdout,
            output.stderr
        );
        output.stdout
    }
}

fn adm(socket: &Path, arguments: &[&str]) -> process::Output {
    let mut command = Command::new("tgtadm");
    command.args(["--control-port", "0", "--lld", "iscsi"]).args(arguments).env("TGT_IPC_SOCKET", socket);
    process::output(&mut command)
}
