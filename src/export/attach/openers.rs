//! Which programs have a disk open, without a mount or a claim that a table of the kernel would show: `/proc` tells.
//!
//! A name is read and no file is looked at, for one of the files may be on a disk that does not answer. What has the disk
//! open in another way (a mapping, a descriptor on its way between two programs) does not show.

use std::fs;
use std::path::PathBuf;

/// Programs of the system that look into every disk, and let go of it by themselves.
const HELPERS: [&str; 4] = ["(udev-worker)", "systemd-udevd", "udevd", "mdev"];

/// The programs that have one of these device nodes open, such as `open in dd (process 123)`. Those that this process may
/// not look at are left out, and those of the system that only look at a disk.
pub(super) fn openers(nodes: &[PathBuf]) -> Vec<String> {
    // Processes come and go while their list is read.
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let opener = |process: fs::DirEntry| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        open.find(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|file| nodes.contains(&file)))?;
        let name = fs::read(process.path().join("comm")).unwrap_or_default();
        let name = String::from_utf8_lossy(&name).trim_end().to_owned();
        (!HELPERS.contains(&name.as_str())).then(|| format!("open in {name} (process {id})"))
    };
    processes.filter_map(opener).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_file_open_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().canonicalize().expect("its name");
        let found = openers(std::slice::from_ref(&path));
        assert!(
            matches!(&found[..], [one] if one.ends_with(&format!("(process {})", std::process::id()))),
            "{found:?}"
        );
        drop(file.into_temp_path());
        assert_eq!(openers(&[path]), Vec::<String>::new());
    }
}
