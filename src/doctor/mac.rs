//! What disks need of a Mac besides its programs: that it tells its end from a restart of the daemon, that mounts find
//! the daemon again, and that they wait for it.
//!
//! What is read here is the same in every language: names of variables, numbers, options of mounts.

use super::finding::Finding;
use super::subject::Subject;
use super::world::{Os, World};
use crate::ipc::ExitCode;

/// Looks at all of it.
pub(super) fn examine(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) {
    if world.os() == Os::Mac {
        shutdown(world, findings);
        port(subject, world, findings);
        mounts(subject, world, findings);
    }
}

/// Whether it tells that it shuts down (IOPMrootDomain.cpp of xnu): then disks are unmounted before the daemon ends, which
/// at a restart of the daemon they are not.
fn shutdown(world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "shutdown";
    let said = world.output("/usr/sbin/sysctl", &["-n", "kern.willshutdown"]);
    findings.push(match said.as_deref().map(str::trim) {
        Some("0") => Finding::ok(check, "macOS tells a shutdown from a restart of iscsid"),
        Some("1") => Finding::warning(check, "the machine is shutting down", "wait for it"),
        _ => {
            let found =
                "macOS does not tell whether it shuts down (kern.willshutdown), so disks are not unmounted then";
            Finding::warning(check, found, "eject the disks, or `iscsictl logout --all`, before you shut down")
        }
    });
}

/// Whether somebody listens where mounts come back after the daemon has been away.
fn port(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "nfs";
    if subject.daemon.is_err() {
        findings.push(Finding::skipped(check, "without iscsid nothing is exported"));
        return;
    }
    findings.push(match world.nfs_port(&subject.config) {
        None => Finding::skipped(check, "which port disks are mounted from only root may read"),
        Some(port) if world.listens(port) => {
            Finding::ok(check, format!("disks are mounted from port {port} of this machine, where iscsid listens"))
        }
        Some(port) => {
            let found = format!("nobody listens at port {port} of this machine, from which disks are mounted");
            Finding::problem(check, ExitCode::Unavailable, found, "restart iscsid, which keeps its port")
        }
    });
}

/// What is in force of the options of a mount.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    point: &'a str,
    options: Vec<&'a str>,
    /// It waits for its server, or has given up.
    status: Vec<&'a str>,
}

/// The mounts below a directory, as `nfsstat -m` has them (nfsstat.c of NFS-339):
/// ```text
/// POINT from SERVER:/PATH
///   -- Original mount options:
///      NFS parameters: vers=3,tcp,…
///   -- Current mount parameters:
///      NFS parameters: vers=3,tcp,port=…,hard,…
///      Status flags: 0x0 …
/// ```
fn mounts_below<'a>(text: &'a str, directory: &str) -> Vec<Mount<'a>> {
    let mut mounts: Vec<Mount> = Vec::new();
    let (mut ours, mut current) = (false, false);
    for line in text.lines() {
        if let Some((point, _)) = line.split_once(" from ").filter(|_| line.starts_with('/')) {
            // /var is a link to /private/var there.
            let below = point.strip_prefix("/private").unwrap_or(point).strip_prefix(directory);
            ours = below.is_some_and(|rest| rest.starts_with('/'));
            current = false;
            if ours {
                mounts.push(Mount { point, options: Vec::new(), status: Vec::new() });
            }
            continue;
        }
        let Some(mount) = mounts.last_mut().filter(|_| ours) else { continue };
        let line = line.trim_start();
        if line.starts_with("-- ") {
            current = line.starts_with("-- Current");
        } else if let Some(list) = line.strip_prefix("NFS parameters:").filter(|_| current) {
            mount.options = list.trim().split(',').collect();
        } else if let Some(list) = line.strip_prefix("Status flags:") {
            // The number comes first: `0x2,not responding`.
            mount.status = list.trim().split(',').skip(1).map(str::trim).collect();
        }
    }
    mounts
}

/// What a mount must have to wait for its unit as long as that takes, and what it must not have. /etc/nfs.conf may say
/// otherwise for all mounts of a machine.
fn wrong(options: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for wanted in ["hard", "tcp"] {
        if !options.contains(&wanted) {
            wrong.push(format!("not {wanted}"));
        }
    }
    for option in options {
        let gives_up = option.strip_prefix("deadtimeout=").is_some_and(|seconds| seconds != "0");
        if gives_up || matches!(*option, "soft" | "async") {
            wrong.push((*option).to_owned());
        }
    }
    wrong
}

/// Whether the mounts under the disks are as they have to be.
fn mounts(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "mounts";
    let Some(text) = world.output("/usr/bin/nfsstat", &["-m"]) else {
        findings.push(Finding::skipped(check, "`nfsstat -m` does not tell what is mounted"));
        return;
    };
    let directory = subject.runtime_dir.to_string_lossy();
    let directory = directory.strip_prefix("/private").unwrap_or(&directory);
    let (mut sound, mut silent) = (0, 0);
    for Mount { point, options, status } in mounts_below(&text, directory) {
        let wrong = wrong(&options);
        if !wrong.is_empty() {
            let found = format!("{point} is mounted with other options than it has to be ({})", wrong.join(", "));
            let advice = "take what says so out of /etc/nfs.conf, then `iscsictl detach` and `iscsictl attach`; until \
                          then, writes may be lost when the target is away";
            findings.push(Finding::problem(check, ExitCode::Configuration, found, advice));
        } else if status.iter().any(|flag| matches!(*flag, "dead" | "not responding")) {
            silent += 1;
            let advice = "see what is said of its session; do not disconnect it where macOS offers that";
            findings.push(Finding::warning(check, format!("{point} waits for an answer"), advice));
        } else {
            sound += 1;
        }
    }
    match (sound, silent) {
        (0, 0) if !findings.iter().any(|finding| finding.check == check) => {
            findings.push(Finding::ok(check, "no unit is mounted"));
        }
        (0, _) => {}
        (1, _) => findings.push(Finding::ok(check, "one unit is mounted, and waits for its target as it has to")),
        (sound, _) => {
            findings.push(Finding::ok(
                check,
                format!("{sound} units are mounted, and wait for their targets as they have to"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
/private/var/run/iscsid/luns/a from 127.0.0.1:/x
  -- Original mount options:
     General mount flags: 0x8018 nodev,nosuid,nobrowse
     NFS parameters: vers=3,tcp,port=20049,mountport=20049,soft
     File system locations:
       /x @ 127.0.0.1 (127.0.0.1)
  -- Current mount parameters:
     General mount flags: 0x8018 nodev,nosuid,nobrowse,multilabel
     NFS parameters: vers=3,tcp,port=20049,mountport=20049,hard,nointr,locallocks,deadtimeout=0
     File system locations:
       /x @ 127.0.0.1 (127.0.0.1)
     Status flags: 0x2,not responding

/private/var/run/iscsidious/b from 127.0.0.1:/y
  -- Current mount parameters:
     NFS parameters: vers=3,udp,soft
     Status flags: 0x0
/var/run/iscsid/luns/c from 127.0.0.1:/z
  -- Current mount parameters:
     NFS parameters: vers=3,udp,soft,deadtimeout=60
     Status flags: 0x0
";

    #[test]
    fn what_is_in_force_is_read_and_not_what_was_asked_for() {
        let mounts = mounts_below(TEXT, "/var/run/iscsid");
        let points: Vec<&str> = mounts.iter().map(|mount| mount.point).collect();
        assert_eq!(points, ["/private/var/run/iscsid/luns/a", "/var/run/iscsid/luns/c"]);
        assert_eq!((wrong(&mounts[0].options), &mounts[0].status), (Vec::new(), &vec!["not responding"]));
        assert_eq!(wrong(&mounts[1].options), ["not hard", "not tcp", "soft", "deadtimeout=60"]);
        assert_eq!(mounts[1].status, Vec::<&str>::new());
    }

    #[test]
    fn a_list_that_is_cut_short_is_no_reason_to_fall() {
        for end in 0..TEXT.len() {
            mounts_below(&TEXT[..end], "/var/run/iscsid");
        }
        assert_eq!(mounts_below("", "/var/run/iscsid"), []);
    }
}
