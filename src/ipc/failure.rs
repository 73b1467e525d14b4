//! Why something was not done, and what to do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A refusal or failure. It displays as one sentence, `what; advice`, where it is the only one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How the command exits.
    pub code: ExitCode,
    /// A clause that names what failed, and why.
    // On the wire it has the name that it had in version 1, so that a command and a daemon of two versions understand
    // each other's refusal.
    #[serde(rename = "message")]
    pub what: String,
    /// A clause: what to do, where there is something to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What else has failed, where one command does several things.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Failure>,
}

impl Failure {
    /// A failure of that kind, without advice.
    pub fn new(code: ExitCode, what: impl Into<String>) -> Failure {
        Failure { code, what: what.into(), advice: None, others: Vec::new() }
    }

    /// Says what to do, too.
    #[must_use]
    pub fn advice(self, advice: impl Into<String>) -> Failure {
        Failure { advice: Some(advice.into()), ..self }
    }

    /// Each failure for itself: this one, and the others.
    pub fn sentences(&self) -> Vec<String> {
        let own = match &self.advice {
            Some(advice) => format!("{}; {advice}", self.what),
            None => self.what.clone(),
        };
        std::iter::once(own).chain(self.others.iter().flat_map(Failure::sentences)).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentences().join(". "))
    }
}

impl std::error::Error for Failure {}

/// Exit codes, from sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// The command line, or an argument on it, is wrong.
    Usage = 64,
    /// Data is wrong: names something that is not there or is there twice.
    Data = 65,
    /// The host is unknown or does not answer.
    NoHost = 68,
    /// The daemon, or the target, is not there.
    Unavailable = 69,
    /// A bug of ours.
    Internal = 70,
    /// Busy now; may work later.
    TryAgain = 75,
    /// The other side does not speak iSCSI, or speaks it wrongly.
    Protocol = 76,
    /// Not permitted: not root, or refused by the target.
    NotPermitted = 77,
    /// The configuration is wrong.
    Configuration = 78,
    /// The user has ended it: 128 and the number of SIGINT, as shells say it.
    Interrupted = 130,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_sentence_for_people_and_two_clauses_on_the_wire() {
        let failure = Failure::new(ExitCode::Data, "there is no target a").advice("look for it");
        assert_eq!(failure.to_string(), "there is no target a; look for it");
        let json = serde_json::to_string(&failure).expect("JSON");
        assert_eq!(json, r#"{"code":"Data","message":"there is no target a","advice":"look for it"}"#);
        assert_eq!(serde_json::from_str::<Failure>(&json).expect("a failure"), failure);
    }

    #[test]
    fn several_failures_are_several_sentences() {
        let mut failure = Failure::new(ExitCode::Data, "there is no target a").advice("look for it");
        failure.others.push(Failure::new(ExitCode::NoHost, "nas is not known"));
        assert_eq!(failure.sentences(), ["there is no target a; look for it", "nas is not known"]);
        assert_eq!(failure.to_string(), "there is no target a; look for it. nas is not known");
        let json = serde_json::to_string(&failure).expect("JSON");
        assert_eq!(serde_json::from_str::<Failure>(&json).expect("a failure"), failure);
    }

    #[test]
    fn a_refusal_of_another_version_is_understood() {
        let refusal = Failure::new(ExitCode::Protocol, "restart iscsid");
        let first = r#"{"code":"Protocol","message":"restart iscsid"}"#;
        assert_eq!(serde_json::from_str::<Failure>(first).expect("of version 1"), refusal);
        assert_eq!(serde_json::to_string(&refusal).expect("for version 1"), first);
    }
}
