//! What the daemon does when something happens to the machine.
//!
//! | event | what follows |
//! |---|---|
//! | it goes to sleep | units with a write cache are flushed, for [`FLUSH_LIMIT`] at most; then it may |
//! | it has slept | every session is checked at once, and replaced if it does not answer |
//! | an interface is gone | the sessions that may be on it are checked at once |
//! | an interface or an address is new | sessions that wait log in at once, the others are checked; automatic logins and discovery try at once |
//! | it is switched off | as when the daemon is told to end: disks written back, units flushed, logouts, within a bound |
//!
//! A session may be on an interface if its portal is bound to it or to none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::event::PlatformEvent;
use super::hold::Hold;
use crate::block::{Op, run};
use crate::daemon::session::slot::Live;
use crate::daemon::state::{Daemon, all};
use crate::ipc::SessionState;
use crate::kernel_bridge::unit_name;

/// How long sleep is held for flushes. macOS gives 30 seconds, and takes its own time as well.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(20);

/// Does what is due about every event, until the source ends.
pub(crate) async fn obey(daemon: Arc<Daemon>, mut events: mpsc::UnboundedReceiver<PlatformEvent>) {
    // There is at most one. A machine that has woken no longer waits for it.
    let mut falling_asleep: Option<AbortOnDropHandle<()>> = None;
    while let Some(event) = events.recv().await {
        match event {
            PlatformEvent::WillSleep(hold) => {
                info!("the machine goes to sleep: units are flushed first");
                falling_asleep = Some(AbortOnDropHandle::new(tokio::spawn(flush_all(daemon.clone(), hold))));
            }
            PlatformEvent::DidWake => {
                drop(falling_asleep.take());
                info!("the machine has slept: all sessions are checked");
                concerned(&daemon, None).for_each(|live| live.look.notify_one());
                try_at_once(&daemon);
            }
            PlatformEvent::InterfaceGone(name) => {
                info!("the interface {name} is gone");
                concerned(&daemon, Some(&name)).for_each(|live| live.look.notify_one());
            }
            PlatformEvent::InterfaceBack(name) => {
                info!("the interface {name} is there");
                concerned(&daemon, Some(&name)).for_each(|live| live.look.notify_one());
                try_at_once(&daemon);
            }
            PlatformEvent::AddressChanged(name) => {
                info!("the interface {name} has other addresses");
                concerned(&daemon, Some(&name)).for_each(|live| live.look.notify_one());
                try_at_once(&daemon);
            }
            PlatformEvent::ShuttingDown(hold) => {
                info!("the machine is switched off");
                drop(falling_asleep.take());
                daemon.end(hold);
            }
        }
    }
}

/// The sessions that may be on an interface; all of them where none is named.
fn concerned(daemon: &Daemon, interface: Option<&str>) -> impl Iterator<Item = Arc<Live>> {
    let current = daemon.settings.current();
    let on_it = move |live: &Arc<Live>| {
        let Some(interface) = interface else { return true };
        let via = live.facts().via;
        let target = current.config.targets.get(&live.target);
        let portal = target.and_then(|target| target.portals.iter().find(|portal| portal.endpoint() == via));
        portal.and_then(|portal| portal.interface.as_deref()).is_none_or(|bound| bound == interface)
    };
    daemon.slots().into_iter().filter_map(|(_, slot)| slot.live()).filter(on_it).collect::<Vec<_>>().into_iter()
}

/// Wakes every task that waits for its next attempt.
fn try_at_once(daemon: &Daemon) {
    daemon.network_changed.notify_waiters();
    daemon.discovery_changed.notify_one();
}

/// Flushes everything to stable storage and then, also after an error, lets go of `hold`.
async fn flush_all(daemon: Arc<Daemon>, hold: Hold) {
    let lives = concerned(&daemon, None).filter(|live| live.facts().state == SessionState::Active);
    let work = all(lives, |live| {
        let daemon = daemon.clone();
        async move { flush(&daemon, &live).await }
    });
    if timeout(FLUSH_LIMIT, work).await.is_err() {
        warn!("not all units were flushed within {} seconds before the sleep", FLUSH_LIMIT.as_secs());
    }
    drop(hold);
}

async fn flush(daemon: &Arc<Daemon>, live: &Live) {
    let units = daemon.bridge.units(live.id()).into_iter().map(|unit| (unit_name(&live.target, unit.lun), unit));
    // Each may take its time: one does not wait for another.
    all(units, |(name, unit)| {
        let daemon = daemon.clone();
        async move {
            if let Err(failure) = daemon.disks.write_back(&name).await {
                warn!("{failure}");
            }
            let cached = unit.geometry.is_some_and(|geometry| geometry.write_cache && !geometry.read_only);
            let Some(block) = daemon.registry.get(&name).filter(|_| cached) else { return };
            if let Err(error) = run(&*block, Op::Flush, 0, 0, None).await {
                warn!("{name} was not flushed before the sleep: {error}");
            }
        }
    })
    .await;
}
