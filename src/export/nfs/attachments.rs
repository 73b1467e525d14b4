//! What is exported to one attach each: the unit of which a disk is made.
//!
//! ```text
//!   attach ──► Attachments::open ──► Attachment ─┬─ ticket ──► mount_nfs ──► MNT: the first handle
//!                                                ├─ set_mounted ──► may I/O wait for a target that is away?
//!                                                ├─ fail ──► NFS3ERR_IO at once, from now on
//!   detach ◄─────────────────────────────────────┴─ close ──► its handles are good no more
//! ```
//! What a client gets by a ticket is good for this attach and no longer: the attach's nonce is in every handle. A
//! hard mount outlives the daemon, and so must the nonce. It is kept in a file per attach in the runtime directory,
//! which root alone may read and which goes when the mounts go, with the restart of the machine.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;
use tokio::time::{Duration, Instant};

use super::attached::{Attached, Phase};
use super::handle::Nonce;
use crate::block::UnitName;
use crate::export::name::file_name;
use crate::regular_file;

/// How long a ticket is good.
const HOLDS: Duration = Duration::from_secs(60);

/// More than a nonce and the longest name of a unit.
const LARGEST: u64 = 4096;

/// The attaches that units are exported to.
#[derive(Debug, Default)]
pub struct Attachments {
    /// Where the nonces are kept; nowhere without.
    directory: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<Nonce, Arc<Attached>>,
    tickets: BTreeMap<String, (Arc<Attached>, Instant)>,
}

impl Attachments {
    /// Those that an earlier daemon has left in that directory, and from now on those that are opened. I/O waits for
    /// their units as long as it takes, until somebody has looked whether a volume is mounted.
    ///
    /// # Errors
    /// If the directory cannot be made or read. A file in it that holds none is left alone, with a warning.
    pub fn kept_in(directory: &Path) -> io::Result<Attachments> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut open = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            match regular_file::read(&path, LARGEST).map(|bytes| parse(&bytes)) {
                Ok(Some((nonce, size, unit))) => {
                    let attached = Arc::new(Attached::new(nonce, unit, size));
                    attached.set_mounted(true);
                    open.insert(nonce, attached);
                }
                Ok(None) => tracing::warn!("{} is not what iscsid writes there: it is not used", path.display()),
                Err(error) => tracing::warn!("{} cannot be read: {error}; its disk is lost", path.display()),
            }
        }
        let state = Mutex::new(State { open, tickets: BTreeMap::new() });
        Ok(Attachments { directory: Some(directory.to_owned()), state })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another attach of `unit`, whose file is `size` bytes long for as long as that lasts, and which has no mounted volume
    /// yet. An earlier one of it is closed: a unit is attached once.
    ///
    /// # Errors
    /// If the system gives no random numbers, or the nonce cannot be kept.
    pub fn open(self: &Arc<Self>, unit: &str, size: u64) -> io::Result<Attachment> {
        if let Some(earlier) = self.of(unit) {
            earlier.close()?;
        }
        let nonce = Nonce::new()?;
        self.keep(&nonce, size, unit)?;
        let attached = Arc::new(Attached::new(nonce, unit.to_owned(), size));
        self.lock().open.insert(nonce, attached.clone());
        Ok(Attachment { attached, all: self.clone() })
    }

    /// The attach of `unit`, also of an earlier daemon.
    pub fn of(self: &Arc<Self>, unit: &str) -> Option<Attachment> {
        let attached = self.lock().open.values().find(|attached| attached.unit == unit).cloned()?;
        Some(Attachment { attached, all: self.clone() })
    }

    /// The units that are attached.
    pub fn units(&self) -> Vec<UnitName> {
        self.lock().open.values().map(|attached| attached.unit.clone()).collect()
    }

    /// The attach with that nonce, as long as it is open.
    pub(super) fn with(&self, nonce: &Nonce) -> Option<Arc<Attached>> {
        self.lock().open.get(nonce).cloned()
    }

    /// What a ticket is for; it is good no more.
    pub(super) fn redeem(&self, ticket: &str) -> Option<Arc<Attached>> {
        let (attached, until) = self.lock().tickets.remove(ticket)?;
        (until > Instant::now()).then_some(attached)
    }

    fn file(&self, unit: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(file_name(unit)?))
    }

    fn keep(&self, nonce: &Nonce, size: u64, unit: &str) -> io::Result<()> {
        let (Some(directory), Some(path)) = (&self.directory, self.file(unit)) else { return Ok(()) };
        // Not synced: it need not outlive the machine.
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(format!("{nonce}\n{size}\n{unit}\n").as_bytes())?;
        file.persist(path)?;
        Ok(())
    }
}

/// What a file holds: a nonce, a size in bytes and the name of a unit.
fn parse(bytes: &[u8]) -> Option<(Nonce, u64, String)> {
    let (nonce, rest) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once('\n')?;
    let (size, unit) = rest.split_once('\n')?;
    Some((Nonce::parse(nonce)?, size.parse().ok()?, unit.to_owned()))
}

/// An attach, for those who make it and undo it. One that is dropped goes on; it ends when it is closed.
#[derive(Debug)]
pub struct Attachment {
    attached: Arc<Attached>,
    all: Arc<Attachments>,
}

impl Attachment {
    /// A path by which the unit's directory can be mounted once, within a minute and until the ticket is dropped.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn ticket(&self) -> io::Result<Ticket> {
        let path = Nonce::new()?.to_string();
        self.all.lock().tickets.insert(path.clone(), (self.attached.clone(), Instant::now() + HOLDS));
        Ok(Ticket { path, all: self.all.clone() })
    }

    /// Whether a volume of the unit's disk is mounted. While one is, I/O waits for the unit as long as it takes.
    /// While none is, I/O that takes longer than half a minute fails, and all other I/O at once until the unit
    /// answers again: macOS looks at the disk then, and panics where that takes more than a minute (xnu,
    /// iokit/Kernel/IOService.cpp, the busy timeout).
    pub fn set_mounted(&self, mounted: bool) {
        self.attached.set_mounted(mounted);
    }

    /// All I/O fails, now and from now on: before a disk is taken away by force from those who use it.
    pub fn fail(&self) {
        self.attached.fail();
    }

    /// How long its file is, in bytes, also where the unit has grown since.
    pub fn size(&self) -> u64 {
        self.attached.size
    }

    /// Whether all I/O fails from now on, though the attach is not closed.
    pub fn fails(&self) -> bool {
        self.attached.standing().phase == Phase::Failing
    }

    /// Comes back when there has been I/O since it came back last, or since the attach.
    pub async fn stirred(&self) {
        self.attached.stirred().await;
    }

    /// Whether I/O waits for the unit as long as it takes.
    #[cfg(test)]
    pub(crate) fn waits(&self) -> bool {
        self.attached.waits()
    }

    /// There is I/O.
    #[cfg(test)]
    pub(crate) fn stir(&self) {
        self.attached.stir();
    }

    /// Comes back when the attach is closed.
    pub async fn closed(&self) {
        self.attached.closed().await;
    }

    /// Ends it: its handles and tickets are good no more.
    ///
    /// # Errors
    /// If the nonce's file cannot be removed.
    pub fn close(&self) -> io::Result<()> {
        let mut state = self.all.lock();
        let was_open = state.open.remove(&self.attached.nonce).is_some();
        state.tickets.retain(|_, (attached, _)| attached.nonce != self.attached.nonce);
        drop(state);
        self.attached.close();
        let file = self.all.file(&self.attached.unit).filter(|_| was_open);
        match file.map(fs::remove_file) {
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A path, without the `/` before it, that is good for one mount. It is seen by all: in the arguments of mount_nfs
/// while it runs, and in the mount table afterwards. It prints as dots, and is good no more when it is dropped.
pub struct Ticket {
    path: String,
    all: Arc<Attachments>,
}

impl Ticket {
    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `text` without the path: mount_nfs names it where it fails (Apple's NFS, mount_nfs.c), and what it says is
    /// logged.
    pub fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.path, "…")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.lock().tickets.remove(&self.path);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "iqn.2026-11.org.example:a/0";

    fn kept_in(directory: &Path) -> Arc<Attachments> {
        Arc::new(Attachments::kept_in(directory).expect("a directory"))
    }

    // check: nfs-tickets-end-with-their-mount
    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_for_a_minute_and_no_longer_than_it_is_held() {
        let all = Arc::new(Attachments::default());
        let attachment = all.open(UNIT, 4096).expect("random numbers");
        let ticket = attachment.ticket().expect("random numbers");
        assert_eq!(all.redeem(ticket.path()).map(|attached| attached.unit.clone()).as_deref(), Some(UNIT));
        assert!(all.redeem(ticket.path()).is_none(), "it was good once");
        let late = attachment.ticket().expect("random numbers");
        tokio::time::advance(HOLDS).await;
        assert!(all.redeem(late.path()).is_none(), "a minute is over");
        let dropped = attachment.ticket().expect("random numbers");
        let path = dropped.path().to_owned();
        drop(dropped);
        assert!(all.redeem(&path).is_none(), "whoever mounts by it has ended");
        let closed = attachment.ticket().expect("random numbers");
        attachment.close().expect("no file");
        assert!(all.redeem(closed.path()).is_none(), "the attach is over");
    }

    #[test]
    fn a_ticket_is_neither_printed_nor_left_in_what_a_tool_says() {
        let all = Arc::new(Attachments::default());
        let ticket = all.open(UNIT, 4096).and_then(|attachment| attachment.ticket()).expect("random numbers");
        let said = format!("mount_nfs: can't mount /{} from 127.0.0.1 onto /x", ticket.path());
        assert_eq!(ticket.hidden_in(&said), "mount_nfs: can't mount /… from 127.0.0.1 onto /x");
        assert_eq!(format!("{ticket:?}"), "Ticket(…)");
    }

    // check: nfs-handles-end-with-their-attach
    #[test]
    fn an_attach_outlives_the_daemon_until_it_is_closed_and_only_its_owner_may_read_of_it() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let directory = scratch.path().join("attached");
        let first = kept_in(&directory);
        let nonce = first.open(UNIT, 4096).expect("it is kept").attached.nonce;
        let file = directory.join(file_name(UNIT).expect("a name"));
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));

        let second = kept_in(&directory);
        assert!(second.with(&nonce).is_some(), "its mount may be there still");
        assert_eq!(second.of(UNIT).expect("it is open").size(), 4096, "what a client knows of its file stays true");
        second.of(UNIT).expect("it is open").close().expect("our file");
        assert!(second.with(&nonce).is_none() && !file.exists());
        assert!(kept_in(&directory).with(&nonce).is_none());
    }

    #[test]
    fn a_unit_is_attached_once_and_files_of_others_are_no_attaches() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let all = kept_in(scratch.path());
        let (first, second) = (all.open(UNIT, 4096).expect("kept"), all.open(UNIT, 4096).expect("kept"));
        assert!(all.with(&first.attached.nonce).is_none() && all.with(&second.attached.nonce).is_some());
        first.close().expect("it is closed already");
        fs::write(scratch.path().join("x"), "nonsense").expect("our directory");
        let later = kept_in(scratch.path());
        assert_eq!(later.lock().open.keys().collect::<Vec<_>>(), [&second.attached.nonce]);
    }
}
