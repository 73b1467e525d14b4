//! macOS tells of its sleep by IOKit and of its network by SystemConfiguration, both on a run loop: a
//! thread of its own.

use tokio::sync::mpsc;
use tracing::warn;

use super::event::PlatformEvent;
use super::hold::Hold;
use super::interfaces::{Interfaces, watch};
use super::macos_sys::{self, Power};

pub(super) fn listen(events: &mpsc::UnboundedSender<PlatformEvent>) {
    let (tell, changed) = mpsc::unbounded_channel();
    tokio::spawn(watch(changed, events.clone(), Interfaces::now));
    let events = events.clone();
    let heard = move |power| {
        let event = match power {
            Power::WillSleep(release) => PlatformEvent::WillSleep(Hold::new(release)),
            Power::HasPoweredOn => PlatformEvent::DidWake,
            // launchd sends SIGTERM, too, and waits for the process: nothing is to be let go of.
            Power::WillPowerOff => PlatformEvent::ShuttingDown(Hold::new(|| {})),
        };
        // A daemon that ends does not listen any more; a hold in the event is let go of by that.
        drop(events.send(event));
    };
    let network = move || {
        // The receiver may have ended; then nobody needs to know.
        let _ = tell.send(());
    };
    let thread = std::thread::Builder::new().name("platform".to_owned()).spawn(move || {
        if let Err(why) = macos_sys::run(Box::new(heard), Box::new(network)) {
            warn!("macOS does not tell of {why}; what changes is found by pings alone");
        }
    });
    if let Err(error) = thread {
        warn!("there is no thread to hear of sleep and of the network: {error}");
    }
}
