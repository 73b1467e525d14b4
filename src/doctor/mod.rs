//! `iscsictl doctor`: everything that a login and an attached disk need, looked at, and what to do.
//!
//! ```text
//!   Subject (paths, what iscsid says) ─┐
//!                                      ├─► examine ─► Report ─► table | plist | JSON, exit code
//!   World (files, network, tools) ─────┘
//! ```
//! It needs no daemon: one that does not run is a finding. It changes nothing, logs in nowhere, and ends
//! within seconds, even if a portal or a program keeps silent.

mod disks;
mod files;
mod finding;
mod mac;
mod network;
mod subject;
mod system;
#[cfg(test)]
mod tests;
mod world;

use serde::Serialize;

pub use self::finding::{Finding, Verdict};
use self::subject::Place;
pub use self::subject::{Answer, Subject};
pub use self::world::{Machine, World};
use crate::config::{Config, Portal};
use crate::ipc::ExitCode;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether there is no problem.
    pub healthy: bool,
    /// How the command exits: 0, or as the first problem says.
    pub exit_code: u8,
    /// What was looked at, causes before their effects.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The exit code as such.
    pub fn code(&self) -> ExitCode {
        self.findings.iter().find_map(|finding| finding.code).unwrap_or(ExitCode::Ok)
    }
}

/// Looks at everything.
pub fn examine(subject: &Subject, world: &dyn World) -> Report {
    let mut findings = Vec::new();
    let settings = files::examine(subject, world, &mut findings);
    files::room(subject, world, &mut findings);
    system::daemon(subject, &mut findings);
    disks::sessions(subject, &mut findings);
    disks::units(subject, &mut findings);
    disks::lost(subject, world, &mut findings);
    files::sockets(subject, world, &mut findings);
    system::tools(world, &mut findings);
    mac::examine(subject, world, &mut findings);
    system::extension(subject, world, &mut findings);
    system::clock(world, &mut findings);
    network::examine(&places(subject, settings.as_ref()), world, &mut findings);
    let code = findings.iter().find_map(|finding: &Finding| finding.code).unwrap_or(ExitCode::Ok);
    Report { healthy: code == ExitCode::Ok, exit_code: code as u8, findings }
}

/// Where the targets are: as the daemon says, or else as the file does.
fn places(subject: &Subject, settings: Option<&Config>) -> Vec<Place> {
    let mut places = Vec::new();
    match (&subject.daemon, settings) {
        (Ok(answer), _) => {
            for target in &answer.targets {
                places.extend(target.portals.iter().map(|portal| Place {
                    who: target.name.clone(),
                    portal: Portal {
                        address: portal.address.clone(),
                        port: portal.port,
                        interface: Some(portal.interface.clone()).filter(|name| name != "default"),
                        group_tag: portal.group_tag,
                    },
                }));
            }
        }
        (Err(_), Some(config)) => {
            for (name, target) in &config.targets {
                let here = target.portals.iter().cloned();
                places.extend(here.map(|portal| Place { who: name.clone(), portal }));
            }
        }
        (Err(_), None) => {}
    }
    if let Some(config) = settings {
        let asked = config.discovery.portals.iter().filter(|_| config.discovery.send_targets()).cloned();
        places.extend(asked.map(|portal| Place { who: "discovery".to_owned(), portal }));
    }
    places
}
