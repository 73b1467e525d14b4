//! Interfaces, portals, and how long a packet may be on the way to them.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::subject::Place;
use super::world::{Reached, World};
use crate::ipc::ExitCode;

/// Bytes of a packet that are not TCP's payload, at most: IPv6, TCP with time stamps and other options.
const OVERHEAD: u32 = 40 + 60;

/// What every way takes (RFC 8200 §5 asks for 1280; Ethernet has 1500).
const ORDINARY: u32 = 1500;

/// Looks at the interfaces that portals are bound to, and tries every portal.
pub(super) fn examine(places: &[Place], world: &dyn World, findings: &mut Vec<Finding>) {
    interfaces(places, world, findings);
    if places.is_empty() {
        findings.push(Finding::skipped("target", "none is known; `iscsictl discover HOST --add` looks for some"));
        return;
    }
    let mut portals = Vec::new();
    for place in places {
        if !portals.contains(&place.portal) {
            portals.push(place.portal.clone());
        }
    }
    let results = world.reach(&portals);
    // A target is reached if one of its portals is: the others are not as well as they could be.
    let reached: BTreeSet<&str> = places
        .iter()
        .filter(|place| portals.iter().zip(&results).any(|(portal, result)| *portal == place.portal && result.is_ok()))
        .map(|place| place.who.as_str())
        .collect();
    for place in places {
        let Some((_, result)) = portals.iter().zip(&results).find(|(portal, _)| **portal == place.portal) else {
            continue;
        };
        let (who, at) = (&place.who, place.portal.endpoint());
        findings.push(match result {
            // That the target is there as well, a login would tell.
            Ok(_) => Finding::ok("target", format!("the portal {at} of {who} takes connections")),
            Err((_, why)) if reached.contains(who.as_str()) => {
                let found = format!("{who} at {at}: {why}; another of its portals answers");
                Finding::warning("target", found, "repair the way to this one, or remove it")
            }
            Err((code, why)) => Finding::problem("target", *code, format!("{who} at {at}: {why}"), advice(*code)),
        });
    }
    packets(&results.iter().filter_map(|result| result.as_ref().ok()).copied().collect::<Vec<_>>(), world, findings);
}

fn advice(code: ExitCode) -> &'static str {
    match code {
        ExitCode::NoHost => "look at the name, the cable, the route, and the firewall in between",
        ExitCode::Unavailable => "switch the target's iSCSI service on, and look at its port",
        ExitCode::Data => "name an interface that is there",
        _ => "look at the portal's settings",
    }
}

fn interfaces(places: &[Place], world: &dyn World, findings: &mut Vec<Finding>) {
    let names: BTreeSet<&str> = places.iter().filter_map(|place| place.portal.interface.as_deref()).collect();
    for name in names {
        let check = "interface";
        findings.push(match world.interface(name) {
            None => {
                let found = format!("there is no interface {name}, to which portals are bound");
                let advice = "plug it in, or remove the portal and add it with another --interface";
                Finding::problem(check, ExitCode::Configuration, found, advice)
            }
            Some(interface) if !interface.running => {
                let found = format!("{name} is switched off or has no link");
                Finding::problem(check, ExitCode::NoHost, found, "look at its cable, and switch it on")
            }
            Some(interface) if interface.addresses.is_empty() => {
                let found = format!("{name} has no address");
                Finding::problem(check, ExitCode::NoHost, found, "give it one, or look at the DHCP server")
            }
            Some(_) => Finding::ok(check, format!("{name} is up and has an address")),
        });
    }
}

/// An interface that takes long packets gains nothing where the way does not; TCP knows what it does.
fn packets(reached: &[Reached], world: &dyn World, findings: &mut Vec<Finding>) {
    let mut shortest: BTreeMap<String, u32> = BTreeMap::new();
    for Reached { local, segment } in reached {
        if local.is_loopback() {
            continue;
        }
        if let (Some(name), Some(segment)) = (world.interface_with(*local), segment) {
            let there = shortest.entry(name).or_insert(*segment);
            *there = (*there).min(*segment);
        }
    }
    for (name, segment) in shortest {
        let Some(mtu) = world.interface(&name).and_then(|interface| interface.mtu) else { continue };
        let check = "mtu";
        findings.push(if segment.saturating_add(OVERHEAD) >= mtu {
            Finding::ok(check, format!("{name} takes {mtu} bytes, and so does the way to the targets"))
        } else if mtu > ORDINARY {
            let found = format!("{name} takes {mtu} bytes, the way to a target only segments of {segment}");
            Finding::warning(check, found, "set the same MTU on the switch and on the target, or 1500 here")
        } else {
            let found = format!("the way to a target takes only segments of {segment} bytes: a tunnel, or a wrong MTU");
            Finding::warning(check, found, "look at the MTU of the target and of routers in between")
        });
    }
}
