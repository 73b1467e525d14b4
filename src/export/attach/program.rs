//! The programs of the operating system that are run, and where it has them.
//!
//! Never where the environment of whoever started the daemon says: root would run what is there.

use std::path::{Path, PathBuf};

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Blockdev,
    Cat,
    Diskutil,
    Hdiutil,
    Kmutil,
    Losetup,
    Lsof,
    Mount,
    MountNfs,
    /// This one, iscsid, which also has the words for what it needs done in another process.
    Own,
    Stat,
    Swapoff,
    Sync,
    Sysctl,
    Umount,
}

/// Where Linux has its administrators' programs: some distributions have them here, some there.
const PLACES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

impl Program {
    /// Where macOS has it; what is Linux's alone, where most distributions do.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Program::Blockdev => "/usr/sbin/blockdev",
            Program::Cat => "/bin/cat",
            Program::Diskutil => "/usr/sbin/diskutil",
            Program::Hdiutil => "/usr/bin/hdiutil",
            Program::Kmutil => "/usr/bin/kmutil",
            Program::Losetup => "/usr/sbin/losetup",
            Program::Lsof => "/usr/sbin/lsof",
            Program::Mount => "/sbin/mount",
            Program::MountNfs => "/sbin/mount_nfs",
            Program::Own => "iscsid",
            Program::Stat => "/usr/bin/stat",
            Program::Swapoff => "/usr/sbin/swapoff",
            Program::Sync => "/bin/sync",
            Program::Sysctl => "/usr/sbin/sysctl",
            Program::Umount => "/sbin/umount",
        }
    }

    /// Where this Linux has it.
    pub(super) fn on_linux(self) -> PathBuf {
        let usual = Path::new(self.path());
        let name = usual.file_name().unwrap_or_default();
        let there = PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file());
        there.unwrap_or_else(|| usual.to_owned())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    // check: tools-by-absolute-path
    #[test]
    fn a_program_is_found_without_a_path_to_search() {
        if !crate::testing::need(&["losetup"]) {
            return;
        }
        for program in [Program::Losetup, Program::Blockdev, Program::Swapoff] {
            let path = program.on_linux();
            assert!(path.is_absolute() && path.is_file(), "{}", path.display());
        }
        assert_eq!(Program::Hdiutil.on_linux(), Path::new("/usr/bin/hdiutil"), "it is said where it should be");
    }
}
