//! Descriptors: how many there are, and how many of them are for clients.
//!
//! ```text
//!   soft limit ──► hard limit (the system's most)
//!       ├─ half: sessions, disks, the daemon's own
//!       └─ half: control socket │ NBD │ NFS
//! ```
//! A system that gives 256 by default (macOS) would let any user of the machine hold them all, and a session that
//! breaks could not be had again.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// The most that is asked for. macOS refuses more than OPEN_MAX; elsewhere so many are enough for any machine's disks.
const MOST: u64 = if cfg!(target_os = "macos") { 10_240 } else { 65_536 };

/// What the daemon has open before its first session and client.
const OWN: u64 = 32;

/// The most clients of one socket.
const MOST_CLIENTS: usize = 256;

/// How many clients each socket may have at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) control: usize,
    pub(super) nbd: usize,
    pub(super) nfs: usize,
}

/// Raises the soft limit to the hard one, and shares out what there is.
pub(super) fn share_out() -> Shares {
    let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) => raised(soft, hard),
        Err(error) => {
            warn!("the system does not tell how many descriptors there are: {error}");
            0
        }
    };
    let shares = Shares::of(limit);
    debug!("{limit} descriptors; of clients, {shares:?} at a time");
    shares
}

fn raised(soft: u64, hard: u64) -> u64 {
    let wanted = hard.min(MOST);
    if wanted <= soft {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(error) => {
            warn!("the limit of descriptors stays at {soft}: {error}");
            soft
        }
    }
}

impl Shares {
    /// Of that many descriptors.
    fn of(limit: u64) -> Shares {
        let all = usize::try_from(limit.saturating_sub(OWN) / 2).unwrap_or(usize::MAX);
        Shares {
            control: (all / 2).clamp(4, MOST_CLIENTS),
            // One whose socket is full has two descriptors for a while.
            nbd: (all / 8).clamp(2, MOST_CLIENTS),
            nfs: (all / 4).clamp(2, MOST_CLIENTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_half_of_what_there_is_at_most() {
        for limit in 64..20_000 {
            let Shares { control, nbd, nfs } = Shares::of(limit);
            assert!((control + 2 * nbd + nfs) as u64 <= limit.saturating_sub(OWN).div_ceil(2).max(10), "{limit}");
        }
        assert_eq!(Shares::of(256), Shares { control: 56, nbd: 14, nfs: 28 });
        assert_eq!(Shares::of(MOST), Shares { control: 256, nbd: 256, nfs: 256 });
    }
}
