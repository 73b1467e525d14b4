//! tgt with a disk in memory: a target that people have.

use super::Unit;
use super::targets::{Spec, Tgt};

/// Size of its disk, in bytes.
const BYTES: u64 = 1 << 30;

/// Starts it; where it is not installed, says so. It runs until the first of the two is dropped.
pub(crate) fn start() -> Result<(Tgt, Unit), String> {
    if !Tgt::TOOLS.iter().all(|tool| is_there(tool)) {
        return Err("tgt is not installed".into());
    }
    let tgt = Tgt::start(&Spec::new().bytes(BYTES));
    let address = ([127, 0, 0, 1], tgt.port()).into();
    let unit = Unit { target: tgt.iqn.clone(), address, lun: tgt.disks[0].lun, block: 512 };
    Ok((tgt, unit))
}

fn is_there(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).chain(["/usr/sbin".into()]).any(|dir| dir.join(tool).is_file())
}
