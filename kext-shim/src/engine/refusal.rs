//! Why a call was not done.

/// Why a call was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    BadArgument,
    NoMemory,
    Full,
    NotFound,
    WrongState,
    Offline,
    /// The connection is of no further use.
    Broken,
}
