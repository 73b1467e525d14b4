//! Units as disks of the operating system, from the daemon's side.

mod chosen;
mod system;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use self::chosen::{Chosen, mac_tools};
#[cfg(test)]
pub(crate) use self::system::{Release, SystemDisks};
use crate::block::Block;
use crate::export::attach::AttachError;
use crate::ipc::{ExitCode, Failure, LostDisk};

/// A change to a disk under way.
pub(crate) type DiskFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Who attaches units: one of the ways of the operating system, or a test's script. Units go by their name,
/// `<target>/<lun>`.
pub(crate) trait Disks: Send + Sync + 'static {
    /// Makes a unit a disk; what the disk is called, such as `/dev/loop3`. One that is attached stays as it is. `block`
    /// is what the unit is to the exports, or why it is nothing to them: a way that needs none does not look at it.
    fn attach(&self, unit: &str, block: Result<Arc<dyn Block>, Failure>) -> DiskFuture<'_, String>;

    /// Takes the disk away; what the user should know of it. Refused while it is in use, unless `force`.
    /// Nothing to do for one that is not attached.
    fn detach(&self, unit: &str, force: bool) -> DiskFuture<'_, Vec<String>>;

    /// Takes the disk away because the machine ends, also from whoever uses it, so that what was written to it is on the
    /// unit. Nothing to do for one that is not attached.
    fn put_away(&self, unit: &str) -> DiskFuture<'_, Vec<String>> {
        self.detach(unit, false)
    }

    /// Writes cached data of the disk back to the unit, for a while.
    fn write_back(&self, unit: &str) -> DiskFuture<'_, ()>;

    /// What the disk is called.
    fn device(&self, unit: &str) -> Option<String>;

    /// Whether a login attaches what its target's settings say.
    fn attach_at_login(&self) -> bool {
        true
    }

    /// What becomes of a disk that is in use when the daemon ends.
    fn afterlife(&self) -> Afterlife;

    /// Who uses it, such as "mounted on /mnt"; nobody if empty.
    fn in_use(&self, unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>>;

    /// The units that are attached by this daemon, and what the disk of each is called; not those that the system attaches.
    fn attached(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Clears away what an earlier daemon has left and nobody uses any more; says for each what was done.
    fn tidy(&self) -> DiskFuture<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The disks of an earlier daemon that are gone and still in use.
    fn lost(&self) -> Pin<Box<dyn Future<Output = Vec<LostDisk>> + Send + '_>> {
        Box::pin(async { Vec::new() })
    }
}

/// What becomes of a disk that is in use when the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterlife {
    /// It fails, with its session.
    None,
    /// It waits for the next daemon, which logs in again.
    Waits,
    /// It works on: its session goes on in the kernel until the next daemon takes it over.
    WorksOn,
}

fn failure(what: &str, unit: &str, error: &AttachError) -> Failure {
    let code = match error {
        AttachError::NotPermitted(_) => ExitCode::NotPermitted,
        AttachError::InUse(_) => ExitCode::TryAgain,
        AttachError::NotAttached => ExitCode::Data,
        AttachError::Unsupported(_) | AttachError::NotExported | AttachError::TimedOut(_) | AttachError::Failed(_) => {
            ExitCode::Unavailable
        }
    };
    let failure = Failure::new(code, format!("{unit} cannot be {what}: {error}"));
    match error {
        AttachError::InUse(_) => failure.advice("end that first, or use --force"),
        AttachError::NotPermitted(_) => {
            failure.advice("run iscsid as root, or use the unit's NBD URI, which `iscsictl list luns` shows")
        }
        AttachError::NotExported => failure.advice("start iscsid without `--nfs no`"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_advice_and_no_part_of_what_failed() {
        let why = AttachError::NotPermitted("it needs root".to_owned());
        let told = failure("attached", "a/0", &why);
        assert_eq!((told.code, told.what.as_str()), (ExitCode::NotPermitted, "a/0 cannot be attached: it needs root"));
        assert!(told.advice.is_some_and(|advice| advice.contains("NBD URI")));
        assert_eq!(
            failure("attached", "a/0", &AttachError::NotExported).advice.as_deref(),
            Some("start iscsid without `--nfs no`")
        );
    }
}
