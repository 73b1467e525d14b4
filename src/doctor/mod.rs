//! `iscsictl doctor`: everything that a login and an attached disk need, looked at, and what to do.
//!
//! ```text
//!   Subject (paths, what iscsid says) ─┐
//!                                      ├─► examine ─► Report ─► table | plist | JSON, exit code
//!   World (files, network, tools) ─────┘
//! ```
//! It needs no daemon: one that does not run is a finding. It changes nothing, logs in nowhere, and ends
//! within seconds, even if a portal or a program keeps silent.

mod files;
mod network;
mod system;
#[cfg(test)]
mod tests;
mod world;

use std::path::PathBuf;

use serde::Serialize;

pub use self::world::{Machine, World};
use crate::config::{Config, Portal};
use crate::ipc::{ExitCode, Failure, Initiator, Target};

/// What is examined.
#[derive(Debug)]
pub struct Subject {
    /// The property list.
    pub config: PathBuf,
    /// The runtime directory in which a daemon answers, or would.
    pub runtime_dir: PathBuf,
    /// What the daemon says of itself, or why it says nothing.
    pub daemon: Result<Answer, Failure>,
}

/// What a daemon says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of itself.
    pub initiator: Initiator,
    /// Of the targets it knows.
    pub targets: Vec<Target>,
}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for everything.
    Warning,
    /// A login or an attach will fail.
    Problem,
    /// It could not be looked at, or is of no matter here.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which: one word.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// A clause: what was found.
    pub found: String,
    /// A clause: what to do; empty where there is nothing to do.
    pub advice: String,
    /// The exit code of a problem.
    #[serde(skip)]
    pub code: Option<ExitCode>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Finding {
        Finding { check, verdict, found: found.into(), advice: String::new(), code: None }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Ok, found)
    }

    fn skipped(check: &'static str, found: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Skipped, found)
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: advice.into(), ..Finding::new(check, Verdict::Warning, found) }
    }

    fn problem(check: &'static str, code: ExitCode, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: advice.into(), code: Some(code), ..Finding::new(check, Verdict::Problem, found) }
    }

    /// A failure's message is found and advice in one: `what, why; what to do`.
    fn failure(check: &'static str, failure: &Failure) -> Finding {
        let (found, advice) = failure.message.split_once("; ").unwrap_or((&failure.message, ""));
        Finding::problem(check, failure.code, found, advice)
    }
}

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
    system::daemon(subject, &mut findings);
    files::sockets(subject, world, &mut findings);
    system::tools(world, &mut findings);
    system::extension(subject, world, &mut findings);
    system::clock(world, &mut findings);
    network::examine(&places(subject, settings.as_ref()), world, &mut findings);
    let code = findings.iter().find_map(|finding: &Finding| finding.code).unwrap_or(ExitCode::Ok);
    Report { healthy: code == ExitCode::Ok, exit_code: code as u8, findings }
}

/// A portal that is to be reached, and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// A target's name, or `discovery`.
    who: String,
    portal: Portal,
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
