//! The daemon, the programs it calls, the kernel extension, and the clock.

use std::time::{Duration, UNIX_EPOCH};

use super::finding::Finding;
use super::subject::Subject;
use super::world::{Os, World};
use crate::ipc::ExitCode;

/// The identifier of our kernel extension.
const EXTENSION: &str = "org.iscsid.iscsi";

/// The identifier of iscsi-osx's.
const ISCSI_OSX_EXTENSION: &str = "com.github.iscsi-osx.iSCSIInitiator";

/// This version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// No clock that is right shows an earlier time: 2026-01-01, in seconds.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// Nor one fifty years later.
const LATEST: Duration = Duration::from_secs(1_767_225_600 + 50 * 365 * 86400);

/// Whether a daemon answers, and which.
pub(super) fn daemon(subject: &Subject, findings: &mut Vec<Finding>) {
    let check = "daemon";
    match &subject.daemon {
        Ok(answer) if answer.initiator.version != VERSION => {
            let running = &answer.initiator.version;
            let found = format!("iscsid {running} runs, and this is iscsictl {VERSION}");
            let advice = "restart iscsid if this command is the newer one; else take the command that came with iscsid";
            findings.push(Finding::warning(check, found, advice));
        }
        Ok(answer) => {
            let (kernel, name) = (&answer.initiator.kernel, &answer.initiator.name);
            let found = format!("iscsid {VERSION} answers as {name}, with the {kernel} kernel");
            findings.push(Finding::ok(check, found));
        }
        Err(failure) => findings.push(Finding::failure(check, failure)),
    }
}

/// A program: any of these will do, and what it is for.
struct Tool {
    names: &'static [&'static str],
    purpose: &'static str,
    /// Nothing is attached without it.
    needed: bool,
    /// Only those need it who are not root.
    for_others: bool,
    /// Where it comes from.
    advice: &'static str,
}

const MAC: &[Tool] = &[
    Tool {
        names: &["mount_nfs"],
        purpose: "units are attached",
        needed: true,
        for_others: false,
        advice: "it is part of macOS; repair the system",
    },
    Tool {
        names: &["diskutil"],
        purpose: "disks are ejected",
        needed: true,
        for_others: false,
        advice: "it is part of macOS; repair the system",
    },
];

/// The first macOS whose `diskutil` attaches images: 13.
const DISKUTIL_IMAGE: u32 = 13;

/// What makes a disk of a file on a Mac: `hdiutil`, or, where it is there no more, `diskutil image`. What the latter knows
/// it says in the user's language; the version is a number.
fn image_tool(world: &dyn World, findings: &mut Vec<Finding>) -> Option<&'static str> {
    let has_image = || {
        let version = world.output("/usr/bin/sw_vers", &["-productVersion"])?;
        let major: u32 = version.trim().split('.').next()?.parse().ok()?;
        Some(world.has_tool("diskutil") && major >= DISKUTIL_IMAGE)
    };
    if world.has_tool("hdiutil") {
        return Some("hdiutil");
    }
    if has_image() == Some(true) {
        return Some("diskutil image");
    }
    let found = "there is neither hdiutil nor `diskutil image`, by which units are attached";
    findings.push(Finding::problem("tools", ExitCode::Unavailable, found, "it is part of macOS; repair the system"));
    None
}

const LINUX: &[Tool] = &[
    Tool {
        names: &["losetup"],
        purpose: "units are attached",
        needed: true,
        for_others: false,
        advice: "install util-linux",
    },
    Tool {
        names: &["fusermount3", "fusermount"],
        purpose: "units are attached by others than root",
        needed: false,
        for_others: true,
        advice: "install fuse3",
    },
    Tool {
        names: &["nbd-client", "nbdcopy", "qemu-nbd"],
        purpose: "units are used by NBD",
        needed: false,
        for_others: true,
        advice: "install nbd-client, libnbd or qemu-utils, if that is wanted",
    },
];

/// Looks for the programs by which units become disks.
pub(super) fn tools(world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "tools";
    let tools = match world.os() {
        Os::Mac => MAC,
        Os::Linux => LINUX,
    };
    let mut there = Vec::new();
    let root = world.user() == 0;
    for Tool { names, purpose, needed, advice, .. } in tools.iter().filter(|tool| !(root && tool.for_others)) {
        match names.iter().find(|name| world.has_tool(name)) {
            Some(name) => there.push(*name),
            None => {
                let found = format!("there is no {}, by which {purpose}", names.join(" or "));
                findings.push(match needed {
                    true => Finding::problem(check, ExitCode::Unavailable, found, *advice),
                    false => Finding::warning(check, found, *advice),
                });
            }
        }
    }
    if world.os() == Os::Mac {
        there.extend(image_tool(world, findings));
    }
    if world.os() == Os::Linux && world.stat("/dev/fuse".as_ref()).is_err() {
        let advice = "modprobe fuse; in a container, pass the device in";
        let found = "there is no /dev/fuse, without which units are not attached";
        findings.push(Finding::problem(check, ExitCode::Unavailable, found, advice));
    }
    if !there.is_empty() {
        findings.push(Finding::ok(check, there.join(", ")));
    }
}

/// Which extension is loaded, and whether it fits.
pub(super) fn extension(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "extension";
    if world.os() != Os::Mac {
        findings.push(Finding::skipped(check, "kernel extensions are for macOS; sessions run in iscsid"));
        return;
    }
    if loaded(world, ISCSI_OSX_EXTENSION).is_some() {
        let found =
            format!("the extension of iSCSIInitiator ({ISCSI_OSX_EXTENSION}) is loaded and holds its own sessions");
        let advice = "log out with its iscsictl, then `sudo kextunload -b` it and remove it from /Library/Extensions";
        findings.push(Finding::warning(check, found, advice));
    }
    let wanted = matches!(&subject.daemon, Ok(answer) if answer.initiator.kernel == "kext");
    findings.push(match (loaded(world, EXTENSION), wanted) {
        (None, false) => Finding::ok(check, "none is loaded, and none is needed: sessions run in iscsid"),
        (None, true) => {
            let found = "iscsid runs sessions in a kernel extension that is not loaded any more";
            Finding::problem(check, ExitCode::Unavailable, found, "restart iscsid")
        }
        (Some(version), _) if version != VERSION => {
            let found = format!("the kernel extension is version {version}, and iscsid {VERSION}");
            Finding::warning(check, found, "log out of all targets and load the one that came with this iscsid")
        }
        (Some(version), _) => Finding::ok(check, format!("version {version} is loaded")),
    });
}

/// The version of an extension that is loaded: `… org.iscsid.iscsi (0.1.0) 8A5… <…>`.
fn loaded(world: &dyn World, bundle: &str) -> Option<String> {
    let list = world
        .output("/usr/bin/kmutil", &["showloaded", "--list-only", "--bundle-identifier", bundle])
        .or_else(|| world.output("/usr/sbin/kextstat", &["-l", "-b", bundle]))?;
    let line = list.lines().find(|line| line.split_whitespace().any(|word| word == bundle))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != bundle);
    let version = words.nth(1)?;
    Some(version.trim_matches(['(', ')']).to_owned())
}

/// A clock that is far off makes the times of the log useless, and those of files on the disks wrong.
pub(super) fn clock(world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "clock";
    let since = world.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if (EARLIEST..LATEST).contains(&since) {
        findings.push(Finding::ok(check, "it shows a time that can be"));
    } else {
        let found = "it shows a time that cannot be, so files on the disks get wrong times";
        findings.push(Finding::warning(check, found, "set it, or switch on the setting of it by the network"));
    }
}
