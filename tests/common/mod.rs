//! What every scenario against a real target stands on: processes that cannot outlive their test, the
//! daemon under test and its command line, data to compare, free ports.

pub(crate) mod daemon;
pub(crate) mod data;
pub(crate) mod held;
pub(crate) mod kernel_sim;
pub(crate) mod mounted;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod rewriting;

pub(crate) use daemon::Daemon;
pub(crate) use data::RandomFile;
pub(crate) use held::HeldPort;
pub(crate) use mounted::Mounted;
pub(crate) use process::{need, need_root, run};

/// Whether this test may attach a unit by FUSE and a loop device.
pub(crate) fn need_loop() -> bool {
    program::needs_linux("the scenario goes by FUSE and a loop device") && need_root() && need(&["losetup"])
}

/// A directory of this test's own, in memory where the machine has such a place.
pub(crate) fn scratch_dir() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("iscsid-test-");
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    dir.expect("a scratch directory")
}
