//! What a login goes on past.

use crate::error::PeerMisbehaved;

/// What a target gets wrong in a login without harm to anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lapses {
    /// What is wrong with its TargetAlias, which is left out.
    pub alias: Option<PeerMisbehaved>,
    /// A text of it lacks the zero byte of its last pair (§6.1), which ends with the text.
    pub unterminated: bool,
}
