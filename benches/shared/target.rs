//! The null target, in a process of its own.

use std::net::SocketAddr;

use sim_target::{SimDisk, SimTarget};

pub(crate) const NAME: &str = "iqn.2026-11.org.iscsid.bench:null";

/// Of its units, in bytes.
pub(crate) const BLOCK: u32 = 4096;

/// How long its units are, in blocks: no client gets to the end.
const BLOCKS: u64 = 1 << 28;

/// How many units it has.
const UNITS: u32 = 4;

/// Serves until standard input ends; `ready` hears where.
pub(crate) fn serve(ready: fn(SocketAddr)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut builder = SimTarget::builder(NAME).record_commands(false).hasty();
        for unit in 0..UNITS {
            builder = builder.lun(unit, SimDisk::new(BLOCKS, BLOCK).null());
        }
        let target = builder.start().await.expect("a free port");
        ready(target.address());
        tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await.expect("the pipe");
        assert_eq!(target.violations(), Vec::<String>::new());
    });
}
