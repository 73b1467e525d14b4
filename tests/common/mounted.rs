//! A file system on a disk under test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{run, scratch_dir};

/// A mounted file system; unmounted with the test, however it ends.
pub(crate) struct Mounted {
    pub(crate) at: PathBuf,
    _dir: TempDir,
}

impl Mounted {
    pub(crate) fn new(device: &str) -> Mounted {
        let dir = scratch_dir();
        let at = dir.path().join("mnt");
        std::fs::create_dir(&at).expect("a mount point");
        run("mount", [device, name(&at)]);
        Mounted { at, _dir: dir }
    }

    pub(crate) fn unmount(self) {
        run("umount", [name(&self.at)]);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if is_mounted(&self.at) {
            let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.at).status();
        }
    }
}

fn is_mounted(at: &Path) -> bool {
    let mounts = std::fs::read("/proc/self/mounts").expect("the list of mounts");
    let mounts = String::from_utf8_lossy(&mounts);
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(name(at)))
}

pub(crate) fn name(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
