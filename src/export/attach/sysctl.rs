//! Values of the kernel of macOS, where stand-ins for its tools say them.

use std::time::Duration;

use super::mac_tools::MacTools;
use super::program::Program;
use super::runner::{Runner, System};

/// How long that may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What stand-ins say of a value; nothing where there are none, and the machine itself is to be asked.
pub async fn sysctl(tools: &MacTools, name: &str) -> Option<String> {
    let system = System { tools: tools.clone() };
    if !tools.are_stand_ins() || !system.has(Program::Sysctl) {
        return None;
    }
    match system.run(Program::Sysctl, vec!["-n".into(), name.into()], LIMIT).await {
        Ok(outcome) if outcome.ok() => Some(String::from_utf8_lossy(&outcome.stdout).trim().to_owned()),
        Ok(outcome) => {
            tracing::warn!("{name} is not known: {}", outcome.reason());
            None
        }
        Err(error) => {
            tracing::warn!("{name} is not known: {error}");
            None
        }
    }
}
