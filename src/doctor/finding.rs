//! What was found, and what to do about it.

use serde::Serialize;

use crate::ipc::{ExitCode, Failure};

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
    pub(super) fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Finding {
        Finding { check, verdict, found: found.into(), advice: String::new(), code: None }
    }

    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Ok, found)
    }

    pub(super) fn skipped(check: &'static str, found: impl Into<String>) -> Finding {
        Finding::new(check, Verdict::Skipped, found)
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: advice.into(), ..Finding::new(check, Verdict::Warning, found) }
    }

    pub(super) fn problem(
        check: &'static str,
        code: ExitCode,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding { advice: advice.into(), code: Some(code), ..Finding::new(check, Verdict::Problem, found) }
    }

    /// What failed, and what to do about it.
    pub(super) fn failure(check: &'static str, failure: &Failure) -> Finding {
        Finding::problem(check, failure.code, failure.what.as_str(), failure.advice.as_deref().unwrap_or_default())
    }
}
