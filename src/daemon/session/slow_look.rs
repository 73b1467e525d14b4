//! A slow look for disks, for as long as a session has none.
//!
//! A target tells of its units' changes by a unit attention, which it can only put into the answer to a command
//! (SAM-5 §5.14), or by an asynchronous message, which many never send. A session without a disk sends no commands:
//! what is mapped to it later it would never hear of.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info};

use super::slot::Live;
use super::units::{attach_found, scan};
use crate::daemon::progress::Progress;
use crate::daemon::state::Daemon;
use crate::ipc::SessionState;
use crate::kernel_bridge::unit_name;

/// How long it is from one look to the next: soon enough for somebody who has just mapped a disk and waits for it,
/// and next to nothing for the target.
const BETWEEN_LOOKS: Duration = Duration::from_secs(45);

/// Looks, now and then, for a disk that a session without one has been given, and attaches it.
pub(crate) async fn look_slowly(daemon: Arc<Daemon>, live: Arc<Live>) {
    let target = &live.target;
    loop {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        // Without a connection there is nobody to ask: recovery sees to that.
        if has_disk(&daemon, &live) || live.facts().state != SessionState::Active {
            continue;
        }
        match scan(&daemon, &live).await {
            Ok(units) if units.iter().any(|unit| unit.geometry.is_some()) => {
                info!("{target} had no disk for us, and has one now");
                let attach = daemon.settings.current().effective(target).attach;
                attach_found(&daemon, &live, units, attach, &Progress::default()).await;
            }
            Ok(_) => {}
            // Somebody who asks for a scan is told; this one comes again.
            Err(failure) => debug!("{failure}"),
        }
    }
}

/// Whether a session has a disk, be it one that takes no I/O now: then commands go out, or a look is under way.
fn has_disk(daemon: &Daemon, live: &Live) -> bool {
    let units = daemon.bridge.units(live.id());
    units
        .iter()
        .any(|unit| unit.geometry.is_some() || daemon.registry.get(&unit_name(&live.target, unit.lun)).is_some())
}
