//! Who has signed this program.

/// Who this program is to a keychain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// A team: all its versions are the same to a keychain.
    #[cfg_attr(not(any(test, target_os = "macos")), expect(dead_code, reason = "only macOS knows teams"))]
    Team,
    /// Nobody that Apple knows: each build is somebody else to a keychain.
    Nobody,
}
