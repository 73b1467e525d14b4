//! Requests of a client of the control socket, each a line of the input: read as the daemon reads them, written as
//! they were, and those that change the configuration change it. In the end all of it is saved and read again.

use iscsi_proto::login::{DiscoveredTarget, parse_send_targets};
use iscsid::config::{Config, Found, Portal, Secrets, Store};
use iscsid::ipc::{Frame, Hello, Request};

use crate::plist::path;
use crate::sentence::sentence;

/// What one client asks.
pub fn run(data: &[u8]) {
    let path = path();
    let mut store = Store::open(&path).expect("the defaults");
    let edited = store.edit(|config, secrets| {
        for line in data.split(|byte| *byte == b'\n') {
            // The daemon takes no longer ones, and says so.
            ask(line, config, secrets);
        }
        Ok(())
    });
    match edited {
        Ok(()) => {
            let (config, secrets) = (store.config().clone(), store.secrets().clone());
            drop(store);
            let again = Store::open(&path).unwrap_or_else(|failure| panic!("it was saved: {failure}"));
            assert_eq!((again.config(), again.secrets()), (&config, &secrets), "what was saved is not what is read");
        }
        Err(failure) => panic!("it cannot be saved: {failure}"),
    }
}

fn ask(line: &[u8], config: &mut Config, secrets: &mut Secrets) {
    // An error may quote the JSON. The code that shows the error escapes it.
    for parsed in [serde_json::from_slice::<Hello>(line).err(), serde_json::from_slice::<Frame>(line).err()] {
        assert!(parsed.is_none_or(|error| !error.to_string().is_empty()));
    }
    if let Ok(list) = parse_send_targets(line) {
        // A line that is no request may be what a portal answers.
        let found = |target: DiscoveredTarget| {
            let DiscoveredTarget { name, addresses, whole } = target;
            Found { name, portals: addresses, whole }
        };
        let found: Vec<Found> = list.targets.into_iter().map(found).collect();
        let from = Portal { address: "192.0.2.1".into(), port: 3260, interface: None, group_tag: None };
        let recorded = config.record_discovered(&from, &found, |_| false);
        assert!(recorded.added.len() <= found.len());
        return;
    }
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(_) => return,
    };
    let again = serde_json::to_vec(&request).expect("JSON");
    assert_eq!(serde_json::from_slice::<Request>(&again).expect("a request of ours"), request);
    let done = match &request {
        Request::AddTarget { target, portal, interface } => {
            config.add_target(target, portal, interface.as_deref()).map(drop)
        }
        Request::RemoveTarget { target, portal, .. } => {
            config.remove_target(secrets, target, portal.as_deref()).map(drop)
        }
        Request::ModifyTarget { target, changes } => config.modify_target(secrets, target, changes).map(drop),
        Request::ModifyInitiator(changes) => config.modify_initiator(secrets, changes).map(drop),
        Request::ModifyDiscovery(changes) => config.modify_discovery(changes),
        Request::AddDiscoveryPortal { portal, interface } => {
            config.add_discovery_portal(portal, interface.as_deref()).map(drop)
        }
        Request::RemoveDiscoveryPortal { portal } => config.remove_discovery_portal(portal).map(drop),
        Request::ShowTarget { target } => config.find_target(target).map(|(name, _)| {
            config.effective(&name, false);
        }),
        _ => Ok(()),
    };
    if let Err(failure) = done {
        sentence(failure);
    }
}
