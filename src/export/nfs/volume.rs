//! What there is to see: the units that are there, and what is known of those that are not.
//!
//! ```text
//!   handle ─► not ours            NFS3ERR_BADHANDLE
//!          ─► of an attach that is over                            NFS3ERR_STALE
//!          ─► there               its file
//!          ─► was there, is gone  logged out, or not on the target any more: NFS3ERR_STALE
//!          ─► not there yet       this daemon has just started, perhaps: waits, then NFS3ERR_JUKEBOX
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use super::answer::{Pending, later};
use super::attached::Attached;
use super::complaints::Complaints;
use super::handle::{Handle, Nonce, Object, Secret, UnitId, same};
use super::overseers::Overseers;
use super::proof::CONTENT;
use super::setup::{FlushPolicy, Setup};
use super::wire::{Attributes, Status};
use crate::block::{Block, UnitName};
use crate::export::bytes::Bytes;
use crate::export::name::file_name;
use crate::export::split::transfer_limit;

/// How long a request waits for its unit to come. Longer would keep the other units of the connection
/// waiting; a client tries again a few seconds after it was told to.
const HOLD: Duration = Duration::from_secs(10);

/// The longest READ and WRITE, in bytes.
pub(super) const MAX_IO: u32 = 1 << 20;

/// The file id of the directory of all units.
const ROOT_ID: u64 = 1;

/// All that is exported.
pub(super) struct Volume {
    setup: Setup,
    /// New at each start (RFC 1813 §3.3.7).
    pub(super) verifier: [u8; 8],
    /// To whom everything belongs.
    pub(super) owner: u32,
    group: u32,
    pub(super) runtime: runtime::Handle,
    changed: watch::Receiver<u64>,
    units: Mutex<Units>,
    pub(super) overseers: Overseers,
}

struct Units {
    seen: watch::Receiver<u64>,
    there: BTreeMap<UnitId, Arc<File>>,
    gone: BTreeSet<UnitId>,
}

/// A unit.
pub(super) struct File {
    pub(super) id: UnitId,
    pub(super) unit_name: UnitName,
    pub(super) name: String,
    pub(super) unit: Arc<dyn Block>,
    pub(super) bytes: Bytes<Pending>,
    pub(super) policy: FlushPolicy,
    pub(super) complaints: Arc<Complaints>,
}

/// What a client has shown a handle for.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) object: Object,
    /// The attach for which it is good.
    pub(super) attached: Option<Arc<Attached>>,
}

impl Shown {
    /// The nonce of handles that are got by it.
    pub(super) fn nonce(&self) -> Nonce {
        self.attached.as_ref().map_or(Nonce::NONE, |attached| attached.nonce)
    }
}

/// What a handle stands for, now.
#[derive(Clone)]
pub(super) enum Place {
    /// The directory of all units.
    Root,
    /// The directory of one unit, which may not be there.
    Directory(UnitId, Option<Arc<File>>),
    /// A unit.
    File(Arc<File>),
    /// A proof of whose this server is.
    Proof(UnitId),
}

impl Volume {
    pub(super) fn new(setup: Setup) -> io::Result<Arc<Volume>> {
        let mut verifier = [0; 8];
        getrandom::fill(&mut verifier).map_err(io::Error::other)?;
        let changed = setup.registry.subscribe();
        let mut seen = changed.clone();
        seen.mark_changed();
        Ok(Arc::new(Volume {
            setup,
            verifier,
            owner: nix::unistd::geteuid().as_raw(),
            group: nix::unistd::getegid().as_raw(),
            runtime: runtime::Handle::current(),
            changed,
            overseers: Overseers::default(),
            units: Mutex::new(Units { seen, there: BTreeMap::new(), gone: BTreeSet::new() }),
        }))
    }

    /// The content of a proof.
    pub(super) fn proof(&self, id: &UnitId) -> [u8; CONTENT] {
        self.setup.proofs.content(id)
    }

    /// What handles are made of.
    pub(super) fn secret(&self) -> &Secret {
        &self.setup.secret
    }

    /// Claims a unit for a client; not while a benchmark overwrites it.
    pub(super) fn claim(&self, file: &File) -> Option<crate::block::Claim> {
        let wanted = crate::block::Use::Client;
        self.setup.registry.claim(&file.unit_name, wanted).ok()
    }

    /// The directory at a path to mount.
    pub(super) fn at_path(&self, path: &[u8]) -> Option<Handle> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let mut parts = path.splitn(2, |&byte| byte == b'/');
        let (first, rest) = (parts.next()?, parts.next());
        // A path that is seen in the mount table is no secret, except where connections show their owner.
        if self.setup.owners.are_shown() && same(first, self.secret().path().as_bytes()) {
            let nonce = Nonce::NONE;
            let Some(name) = rest else { return Some(Handle { object: Object::Root, nonce }) };
            let file = self.files().into_iter().find(|file| file.name.as_bytes() == name)?;
            return Some(Handle { object: Object::Directory(file.id), nonce });
        }
        let attached = self.setup.attachments.redeem(std::str::from_utf8(path).ok()?)?;
        Some(Handle { object: Object::Directory(attached.unit_id()), nonce: attached.nonce })
    }

    /// What a client shows a handle for.
    ///
    /// # Errors
    /// What to answer to one that is not good.
    pub(super) fn shown(&self, handle: &[u8]) -> Result<Shown, Status> {
        let Handle { object, nonce } = Handle::read(handle, self.secret()).ok_or(Status::BadHandle)?;
        let attached = match nonce {
            Nonce::NONE => None,
            nonce => Some(self.setup.attachments.with(&nonce).ok_or(Status::Stale)?),
        };
        Ok(Shown { object, attached })
    }

    /// All units that are there, in the order of their file ids.
    pub(super) fn files(&self) -> Vec<Arc<File>> {
        let mut files: Vec<_> = self.with_units(|units| units.there.values().cloned().collect());
        files.sort_by_key(|file: &Arc<File>| file.id.file_id());
        files
    }

    /// What is there now. Waits a while for a unit that is not there yet.
    ///
    /// # Errors
    /// What to answer where there is nothing.
    pub(super) async fn place(&self, shown: &Shown) -> Result<Place, Status> {
        let (id, directory) = match shown.object {
            Object::Root => return Ok(Place::Root),
            // It waits for no unit: it says who this is, and nothing of the target.
            Object::Proof(id) => return Ok(Place::Proof(id)),
            Object::Directory(id) => (id, true),
            Object::File(id) => (id, false),
        };
        let attached = shown.attached.as_deref();
        let mut changed = self.changed.clone();
        let arrival = async {
            loop {
                changed.mark_unchanged();
                match self.find(id) {
                    Err(Status::Jukebox) if directory => return Ok(Place::Directory(id, None)),
                    Err(Status::Jukebox) if attached.is_some_and(|attached| attached.standing().refuses()) => {
                        return Err(Status::Io);
                    }
                    Err(Status::Jukebox) => {}
                    Err(status) => return Err(status),
                    Ok(file) if directory => return Ok(Place::Directory(id, Some(file))),
                    Ok(file) => return Ok(Place::File(file)),
                }
                if changed.changed().await.is_err() {
                    return Err(Status::Stale);
                }
            }
        };
        if let Ok(found) = timeout(HOLD, arrival).await {
            return found;
        }
        // From now on until it comes, whoever does not wait for it is told so at once.
        if let Some(attached) = attached {
            attached.set_away(true);
        }
        Err(later(attached))
    }

    /// The unit with that id, if it is there.
    pub(super) fn file(&self, id: UnitId) -> Option<Arc<File>> {
        self.find(id).ok()
    }

    fn find(&self, id: UnitId) -> Result<Arc<File>, Status> {
        self.with_units(|units| match units.there.get(&id) {
            Some(file) => Ok(file.clone()),
            None if units.gone.contains(&id) => Err(Status::Stale),
            None => Err(Status::Jukebox),
        })
    }

    fn with_units<T>(&self, look: impl FnOnce(&Units) -> T) -> T {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = Vec::new();
        if units.seen.has_changed().unwrap_or(true) {
            units.seen.mark_unchanged();
            left = self.refresh(&mut units);
        }
        let result = look(&units);
        drop(units);
        // Their drop answers the requests that wait, which takes other locks.
        drop(left);
        result
    }

    /// Looks which units there are now; what is there no more is returned.
    fn refresh(&self, units: &mut Units) -> Vec<Arc<File>> {
        let mut left = Vec::new();
        let now: BTreeMap<UnitId, _> =
            self.setup.registry.list().into_iter().map(|(name, unit)| (UnitId::of(&name), (name, unit))).collect();
        let gone: Vec<UnitId> = units.there.keys().filter(|id| !now.contains_key(id)).copied().collect();
        for id in gone {
            left.extend(units.there.remove(&id));
            units.gone.insert(id);
        }
        for (id, (unit_name, unit)) in now {
            units.gone.remove(&id);
            if units.there.get(&id).is_some_and(|file| Arc::ptr_eq(&file.unit, &unit)) {
                continue;
            }
            let Some(name) = file_name(&unit_name) else {
                tracing::warn!(unit = unit_name, "its name is too long for a file: it is not exported by NFS");
                continue;
            };
            unit.pool().keep_ready();
            let bytes = Bytes::new(unit.clone(), &self.runtime);
            let policy = (self.setup.policy)(&unit_name);
            let complaints = Arc::new(Complaints::new(unit_name.clone()));
            let file = Arc::new(File { id, unit_name, name, unit, bytes, policy, complaints });
            left.extend(units.there.insert(id, file));
        }
        left
    }

    /// What GETATTR tells of a place.
    pub(super) fn attributes(&self, place: &Place, attached: Option<&Attached>) -> Attributes {
        let (directory, mode, size, file_id) = match place {
            Place::Root => (true, 0o500, 512, ROOT_ID),
            Place::Directory(id, _) => (true, 0o500, 512, directory_id(*id)),
            Place::File(file) => return self.file_attributes(file, attached),
            Place::Proof(id) => (false, 0o400, CONTENT as u64, id.file_id()),
        };
        Attributes { directory, mode, uid: self.owner, gid: self.group, size, file_id }
    }

    /// What GETATTR tells of a unit. Of one that is attached it never changes, and must not: where the size, the
    /// times or the file id of a file change under a client that writes to it, Apple's client throws away what it has
    /// cached, and panics where that races with a page that is being reclaimed ("nfs_vinvalbuf2: ubc_msync failed!",
    /// Apple's NFS, kext/nfs_bio.c). So one that has another size now is as long as it was until it is detached and
    /// attached again.
    pub(super) fn file_attributes(&self, file: &File, attached: Option<&Attached>) -> Attributes {
        let geometry = file.unit.geometry();
        let mode = if geometry.read_only { 0o400 } else { 0o600 };
        let (uid, gid) = (self.owner, self.group);
        let size = attached.map_or(geometry.bytes(), |attached| attached.size);
        Attributes { directory: false, mode, uid, gid, size, file_id: file.id.file_id() }
    }
}

/// The number of the directory of one unit: not that of its file.
fn directory_id(id: UnitId) -> u64 {
    id.file_id() | 1 << 63
}

impl Place {
    /// The handle that stands for it.
    pub(super) fn object(&self) -> Object {
        match self {
            Place::Root => Object::Root,
            Place::Directory(id, _) => Object::Directory(*id),
            Place::File(file) => Object::File(file.id),
            Place::Proof(id) => Object::Proof(*id),
        }
    }

    /// The units in it.
    pub(super) fn entries(&self, volume: &Volume) -> Vec<Arc<File>> {
        match self {
            Place::Root => volume.files(),
            Place::Directory(_, file) => file.iter().cloned().collect(),
            Place::File(_) | Place::Proof(_) => Vec::new(),
        }
    }

    /// The longest READ and WRITE to ask for, in bytes: what the unit does at once.
    pub(super) fn longest(&self) -> u32 {
        match self {
            Place::File(file) | Place::Directory(_, Some(file)) => {
                let geometry = file.unit.geometry();
                let longest = transfer_limit(&geometry).saturating_mul(geometry.block_size).clamp(4096, MAX_IO);
                1 << longest.ilog2()
            }
            Place::Root | Place::Directory(_, None) | Place::Proof(_) => MAX_IO,
        }
    }
}
