//! Which portal group a portal belongs to: what the target declares in a login is the truth (RFC 7143 §13.9), what discovery has
//! said of it is hearsay. There are targets that list one address under several tags.

use tracing::warn;

use super::slot::Live;
use crate::daemon::state::Daemon;
use crate::quirks::Quirk;

/// Corrects the recorded tag of the portal `via`, `address:port`.
pub(crate) async fn learn(daemon: &Daemon, live: &Live, via: &str, declared: u16) {
    let target = live.target.as_str();
    let current = daemon.settings.current();
    let portals = current.config.targets.get(target).map_or(&[][..], |target| &target.portals);
    let recorded = portals.iter().find(|portal| portal.endpoint() == via).and_then(|portal| portal.group_tag);
    // Nearly always there is nothing to write.
    let Some(recorded) = recorded.filter(|&recorded| recorded != declared) else { return };
    live.seen.note(target, Quirk::OtherPortalGroup, &format!("{via} belongs to {declared}, not {recorded}"));
    let (key, portal) = (target.to_owned(), via.to_owned());
    let corrected = daemon.settings.edit(move |config, _| Ok(config.record_group_tag(&key, &portal, declared))).await;
    if let Err(failure) = corrected {
        warn!("the portal group of {via} of {target} is {declared}, and could not be recorded: {failure}");
    }
}
