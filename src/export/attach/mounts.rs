//! The mount table of this process, and what it and the kernel know about who uses a disk.
//!
//! ```text
//!   /proc/self/mountinfo   file systems on the disk or a partition of it
//!   /proc/swaps            swap space on it
//!   /sys/block/…/holders   device mapper, RAID, LVM
//!   /proc/…/fd             programs that have it open
//!   open(O_EXCL)           anything else that has claimed it, such as another mount namespace
//! ```

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

use super::openers::openers;

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor` of the file system's device.
    pub(super) device: String,
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// What kind it is.
    pub(super) kind: String,
    /// What it was mounted from, where that is a path or name.
    pub(super) source: PathBuf,
}

/// All mounts that this process sees, in the order in which they were made.
pub(super) fn mounts() -> io::Result<Vec<Mount>> {
    Ok(fs::read("/proc/self/mountinfo")?.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect())
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|&byte| byte == b' ');
        let device = fields.nth(2)?;
        let point = fields.nth(1)?;
        // Any number of optional fields ends with a lone dash.
        fields.find(|field| field == b"-")?;
        let kind = fields.next()?;
        let source = fields.next()?;
        Some(Mount {
            device: String::from_utf8_lossy(device).into_owned(),
            point: unescape(point),
            kind: String::from_utf8_lossy(kind).into_owned(),
            source: unescape(source),
        })
    }
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = match (byte, tail.get(..3)) {
            (b'\\', Some(digits)) => {
                std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 8).ok())
            }
            _ => None,
        };
        match code {
            Some(code) => {
                bytes.push(code);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// A disk and its partitions, as the kernel names them.
#[derive(Debug)]
pub(super) struct Disk {
    /// `/dev/loop0`, `/dev/loop0p1` …
    nodes: Vec<PathBuf>,
    /// Their `major:minor`.
    numbers: Vec<String>,
    /// Their directories in sysfs.
    directories: Vec<PathBuf>,
}

impl Disk {
    /// The disk at that node, which is directly in `/dev`.
    pub(super) fn at(node: &Path) -> Disk {
        let mut disk = Disk { nodes: vec![node.to_owned()], numbers: Vec::new(), directories: Vec::new() };
        if let Some(name) = node.file_name() {
            let directory = Path::new("/sys/block").join(name);
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.path().join("partition").exists() {
                    disk.nodes.push(Path::new("/dev").join(entry.file_name()));
                    disk.directories.push(entry.path());
                }
            }
            disk.directories.push(directory);
        }
        for directory in &disk.directories {
            if let Ok(number) = fs::read_to_string(directory.join("dev")) {
                disk.numbers.push(number.trim().to_owned());
            }
        }
        disk
    }

    /// Where a file system of it is mounted, in the order in which they were mounted.
    pub(super) fn mount_points(&self) -> io::Result<Vec<PathBuf>> {
        let on_it = |mount: &Mount| self.numbers.contains(&mount.device) || self.nodes.contains(&mount.source);
        Ok(mounts()?.into_iter().filter(on_it).map(|mount| mount.point).collect())
    }

    /// Which of its nodes are swap space.
    pub(super) fn swaps(&self) -> Vec<PathBuf> {
        let table = fs::read_to_string("/proc/swaps").unwrap_or_default();
        let names = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        names.map(PathBuf::from).filter(|name| self.nodes.contains(name)).collect()
    }

    /// What block devices are built on it.
    pub(super) fn holders(&self) -> Vec<String> {
        let entries = self.directories.iter().flat_map(|directory| fs::read_dir(directory.join("holders")));
        entries.flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// What uses it as far as tables tell, for people to read. The disk itself is not touched.
    ///
    /// # Errors
    /// If the mount table cannot be read.
    pub(super) fn known_uses(&self) -> io::Result<Vec<String>> {
        let mut uses: Vec<String> =
            self.mount_points()?.iter().map(|point| format!("mounted on {}", point.display())).collect();
        uses.extend(self.swaps().iter().map(|node| format!("{} is swap space", node.display())));
        uses.extend(self.holders().iter().map(|name| format!("held by /dev/{name}")));
        Ok(uses)
    }

    /// Everything that uses it. Blocks.
    ///
    /// # Errors
    /// If the mount table cannot be read.
    pub(super) fn uses(&self) -> io::Result<Uses> {
        let lasting = self.known_uses()?;
        if !lasting.is_empty() {
            return Ok(Uses { who: lasting, fleeting: false });
        }
        let mut who = openers(&self.nodes);
        if who.is_empty()
            && let Some(node) = self.nodes.first()
            && let Err(error) = OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(node)
            && error.raw_os_error() == Some(libc::EBUSY)
        {
            who.push(format!("{} is claimed by another program or mount namespace", node.display()));
        }
        Ok(Uses { fleeting: !who.is_empty(), who })
    }
}

/// Who uses a disk.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Each of them, for people to read.
    pub(super) who: Vec<String>,
    /// Programs have it open, and no more: they may only have a look at it, and be done in a moment.
    pub(super) fleeting: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_and_without_optional_fields() {
        let line = b"36 35 7:3 / /mnt/a\\040b rw,noatime master:1 shared:2 - ext4 /dev/loop3 rw,errors=continue";
        let expected = Mount {
            device: "7:3".to_owned(),
            point: PathBuf::from("/mnt/a b"),
            kind: "ext4".to_owned(),
            source: PathBuf::from("/dev/loop3"),
        };
        assert_eq!(Mount::parse(line), Some(expected));
        let line = b"40 35 0:55 / /run/iscsid/luns/x rw - fuse iscsid rw,user_id=0";
        assert_eq!(Mount::parse(line).map(|mount| mount.kind), Some("fuse".to_owned()));
        assert_eq!(Mount::parse(b"40 35 0:55 / /run"), None);
        assert_eq!(Mount::parse(b""), None);
    }

    #[test]
    fn escapes_are_undone_and_what_is_none_stays() {
        assert_eq!(unescape(b"a\\134\\011b\\"), PathBuf::from("a\\\tb\\"));
        assert_eq!(unescape(b"\\999"), PathBuf::from("\\999"));
    }
}
