//! The program under test: what Cargo has built for this machine, or what `ISCSID_UNDER_TEST` names.
//!
//! ```text
//!   ISCSID_UNDER_TEST=target/darwin/iscsid ──► the Mac's program under its loader (tests/darwin)
//!   nothing                                ──► target/…/iscsid
//! ```

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The variable that names it.
const VARIABLE: &str = "ISCSID_UNDER_TEST";

/// How a file ends that holds a loader and, behind it, the Mac's program (tests/darwin/loader/packed.c).
const TRAILER: &[u8] = b"machrun\n";

/// The program under test, as an absolute path: both the daemon and, by a symlink of that name, `iscsictl`.
pub(crate) fn under_test() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os(VARIABLE) {
        None => PathBuf::from(env!("CARGO_BIN_EXE_iscsid")),
        Some(named) => {
            let named = PathBuf::from(named);
            std::path::absolute(&named)
                .and_then(|path| path.metadata().map(|_| path))
                .unwrap_or_else(|error| panic!("{VARIABLE} names {}: {error}", named.display()))
        }
    });
    &PROGRAM
}

/// Whether it is a Mac's: it attaches units by mount_nfs and hdiutil, and knows neither FUSE nor loop devices.
pub(crate) fn is_a_macs() -> bool {
    static MACS: LazyLock<bool> = LazyLock::new(|| {
        cfg!(target_os = "macos") || ends_with_trailer(under_test()).expect("the program can be read")
    });
    *MACS
}

/// The loopback's name to the program under test.
pub(crate) fn loopback() -> &'static str {
    if is_a_macs() { "lo0" } else { "lo" }
}

fn ends_with_trailer(program: &Path) -> std::io::Result<bool> {
    let mut file = File::open(program)?;
    let mut end = [0; TRAILER.len()];
    file.seek(SeekFrom::End(-(TRAILER.len() as i64)))?;
    file.read_exact(&mut end)?;
    Ok(end == TRAILER)
}

/// Whether the program under test does what a scenario takes for granted and only Linux' program does. Where not,
/// that is told where other skipped tests are, in CI as well: no tool that could be installed would help.
pub(crate) fn needs_linux(what: &str) -> bool {
    !is_a_macs() || iscsid::testing::cannot(&format!("the program under test is a Mac's, and {what}"))
}
