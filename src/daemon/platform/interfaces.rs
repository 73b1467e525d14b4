//! The network interfaces, before and after something about them has changed.
//!
//! ```text
//!   "something has changed" ─► settle ─► getifaddrs ─► what differs from the last time ─► PlatformEvent
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use tokio::sync::mpsc;
use tracing::warn;

use super::event::PlatformEvent;

/// The system reports an interface that comes up several times: the link, then each address.
const SETTLE: Duration = Duration::from_millis(200);

/// The interfaces that can be used, and their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interfaces(BTreeMap<String, BTreeSet<IpAddr>>);

impl Interfaces {
    /// Those of this machine now, without the loopback.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn now() -> std::io::Result<Interfaces> {
        let mut all: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for entry in getifaddrs()? {
            let usable = entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
            let address = entry.address.as_ref().and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            });
            if let Some(address) = address.filter(|_| usable && !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK)) {
                all.entry(entry.interface_name).or_default().insert(address);
            }
        }
        Ok(Interfaces(all))
    }

    /// What happened between `self` and `after`.
    fn until(&self, after: &Interfaces) -> Vec<PlatformEvent> {
        let gone = self.0.keys().filter(|name| !after.0.contains_key(*name)).cloned();
        let changed = after.0.iter().filter_map(|(name, addresses)| match self.0.get(name) {
            None => Some(PlatformEvent::InterfaceBack(name.clone())),
            Some(before) if before != addresses => Some(PlatformEvent::AddressChanged(name.clone())),
            Some(_) => None,
        });
        gone.map(PlatformEvent::InterfaceGone).chain(changed).collect()
    }
}

/// Sends an event for each change, whenever `changed` reports one, until either side ends.
pub(crate) async fn watch(
    mut changed: mpsc::UnboundedReceiver<()>,
    events: mpsc::UnboundedSender<PlatformEvent>,
    now: impl Fn() -> std::io::Result<Interfaces>,
) {
    let mut last = now().unwrap_or_default();
    while changed.recv().await.is_some() {
        tokio::time::sleep(SETTLE).await;
        while changed.try_recv().is_ok() {}
        let after = match now() {
            Ok(after) => after,
            Err(error) => {
                warn!("the network interfaces cannot be listed: {error}");
                continue;
            }
        };
        for event in last.until(&after) {
            if events.send(event).is_err() {
                return;
            }
        }
        last = after;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn interfaces(all: &[(&str, &[&str])]) -> Interfaces {
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().expect("an address")).collect();
        Interfaces(all.iter().map(|(name, list)| ((*name).to_owned(), addresses(list))).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_flurry_of_changes_is_told_once_as_what_has_changed() {
        let state = Arc::new(Mutex::new(interfaces(&[("en0", &["192.0.2.1"]), ("en1", &["192.0.2.2"])])));
        let (tell, changed) = mpsc::unbounded_channel();
        let (events, mut heard) = mpsc::unbounded_channel();
        let seen = state.clone();
        let watching = tokio::spawn(watch(changed, events, move || Ok(seen.lock().expect("sound").clone())));
        tokio::task::yield_now().await;
        tell.send(()).expect("heard");
        tell.send(()).expect("heard");
        *state.lock().expect("sound") = interfaces(&[("en1", &["192.0.2.9"]), ("en2", &["2001:db8::1"])]);
        for _ in 0..50 {
            tell.send(()).expect("heard");
        }
        drop(tell);
        watching.await.expect("it ends");
        let mut told = Vec::new();
        while let Some(event) = heard.recv().await {
            told.push(format!("{event:?}"));
        }
        assert_eq!(told, [r#"InterfaceGone("en0")"#, r#"AddressChanged("en1")"#, r#"InterfaceBack("en2")"#]);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let now = Interfaces::now().expect("a list");
        assert!(!now.0.keys().any(|name| name == "lo" || name == "lo0"), "{now:?}");
        assert!(now.until(&now).is_empty());
    }
}
