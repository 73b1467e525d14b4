//! istgt, the target that FreeBSD and FreeNAS once shipped.
//!
//! - Its disks are units 0, 1, …; SendTargets names all of its portals.
//! - It insists on InitialR2T=Yes and ErrorRecoveryLevel=0.
//! - Its challenges are 1024 bytes in upper-case hexadecimal.

use std::fmt::Write;
use std::fs::{File, Permissions};
use std::net::TcpStream;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{ATTEMPTS, Auth, CHAP_NAME, CHAP_SECRET, Disk, MUTUAL_NAME, MUTUAL_SECRET, Spec, Target};
use crate::common::port::Port;
use crate::common::process::{self, Process};
use crate::common::scratch_dir;

/// A running istgt with one target.
pub(crate) struct Istgt {
    target: Target,
    _process: Process,
    _control: Port,
    // Goes last: the process has its files in it.
    _dir: TempDir,
}

impl Deref for Istgt {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

impl Istgt {
    /// What has to be installed.
    pub(crate) const TOOLS: &[&str] = &["istgt", "setpriv"];

    pub(crate) fn start(spec: &Spec) -> Istgt {
        for _ in 0..ATTEMPTS {
            if let Some(istgt) = Istgt::try_start(spec) {
                return istgt;
            }
        }
        panic!("istgt did not start, {ATTEMPTS} times");
    }

    /// `None` if it ended at once, as it does where another program took a port.
    fn try_start(spec: &Spec) -> Option<Istgt> {
        let dir = scratch_dir();
        let (port, control) = (Port::reserve(), Port::reserve());
        let disks: Vec<_> = (0..spec.disks)
            .map(|number| Disk { lun: number.into(), file: dir.path().join(format!("disk{number}")) })
            .collect();
        for disk in &disks {
            File::create(&disk.file).and_then(|file| file.set_len(spec.bytes)).expect("a backing file");
        }
        let target = Target { iqn: spec.iqn(), disks, port };

        let secrets = dir.path().join("auth.conf");
        let account =
            format!("[AuthGroup1]\n  Auth \"{CHAP_NAME}\" \"{CHAP_SECRET}\" \"{MUTUAL_NAME}\" \"{MUTUAL_SECRET}\"\n");
        std::fs::write(&secrets, account).expect("auth.conf");
        std::fs::set_permissions(&secrets, Permissions::from_mode(0o600)).expect("auth.conf");
        let config = dir.path().join("istgt.conf");
        std::fs::write(&config, configuration(spec, &target, control.number, dir.path())).expect("istgt.conf");

        let mut command = Command::new("istgt");
        command.arg("-D").arg("-c").arg(&config);
        let mut process = Process::start(&command, &dir.path().join("istgt.log"));
        let up = process::eventually("a connection to istgt", Duration::from_secs(20), || {
            if process.exited().is_some() {
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", target.port())).is_ok().then_some(true)
        });
        if !up {
            eprintln!("{}", process.log());
            return None;
        }
        Some(Istgt { target, _process: process, _control: control, _dir: dir })
    }
}

fn configuration(spec: &Spec, target: &Target, control: u16, dir: &Path) -> String {
    let mut keys = String::new();
    let defaults = [
        ("DefaultTime2Wait", "2"),
        ("DefaultTime2Retain", "60"),
        ("FirstBurstLength", "262144"),
        ("MaxBurstLength", "1048576"),
        ("MaxRecvDataSegmentLength", "262144"),
        ("InitialR2T", "Yes"),
        ("ImmediateData", "Yes"),
        ("DataPDUInOrder", "Yes"),
        ("DataSequenceInOrder", "Yes"),
        ("ErrorRecoveryLevel", "0"),
    ];
    for (key, default) in defaults {
        let value = spec.keys.iter().find(|(changed, _)| *changed == key).map_or(default, |(_, value)| value);
        writeln!(keys, "  {key} {value}").expect("text");
    }
    let auth = match spec.auth {
        Auth::None => "None",
        Auth::Chap => "CHAP",
        Auth::Mutual => "CHAP Mutual",
    };
    let mut units = String::new();
    for disk in &target.disks {
        let (lun, file, mebibytes) = (disk.lun, disk.file.display(), spec.bytes >> 20);
        writeln!(units, "  LUN{lun} Storage {file} {mebibytes}MB").expect("text");
    }
    let (dir, port, iqn, block_size) = (dir.display(), target.port(), &target.iqn, spec.block_size);
    format!(
        r#"[Global]
  NodeBase "iqn.2026-11.org.example"
  PidFile {dir}/istgt.pid
  AuthFile {dir}/auth.conf
  MediaDirectory {dir}
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
{keys}
[UnitControl]
  AuthMethod CHAP Mutual
  AuthGroup AuthGroup1
  Portal UC1 127.0.0.1:{control}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:{port}
  Portal DA2 [::1]:{port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
  Netmask [::1]
[LogicalUnit1]
  TargetName {iqn}
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod {auth}
  AuthGroup AuthGroup1
  UseDigest Auto
  UnitType Disk
  QueueDepth 32
  BlockLength {block_size}
{units}"#
    )
}
