//! What the connections of a target share: settings, units, hooks, and what was recorded.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use iscsi_proto::ids::{Isid, Lun, Tsih};
use iscsi_proto::scsi::{Sense, SenseKey};
use tokio::sync::{Notify, mpsc};

use crate::agreed::Agreed;
use crate::builder::Builder;
use crate::disk::Unit;
use crate::event::Event;
use crate::lock::{lock, read};
use crate::script::{
    Action, Command, CommandHook, LoginAction, LoginAttempt, LoginHook, LoginRecord, Tmf, TmfAction, TmfHook,
};

/// Violations beyond this many are counted, not kept.
const MOST_VIOLATIONS: usize = 1000;

/// Commands beyond this many are not kept.
const MOST_COMMANDS: usize = 1 << 20;

/// Unit attentions that wait for a command.
pub(crate) type Attentions = Arc<Mutex<VecDeque<(Lun, Sense)>>>;

/// A session in its full-feature phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// On which connection, counted from 0.
    pub connection: u64,
    /// The initiator's name.
    pub initiator: String,
    /// Its ISID.
    pub isid: [u8; 6],
    /// Where it comes from.
    pub peer: SocketAddr,
    /// It is a discovery session.
    pub discovery: bool,
    /// What was agreed on.
    pub agreed: Agreed,
}

/// A connection, as the target knows it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) attentions: Attentions,
    pub(crate) address: SocketAddr,
    pub(crate) session: Option<SessionInfo>,
}

/// What the connections of a target share.
pub(crate) struct Shared {
    pub(crate) config: Builder,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) units: RwLock<BTreeMap<Lun, Arc<Unit>>>,
    pub(crate) command_hook: RwLock<Option<CommandHook>>,
    pub(crate) login_hook: RwLock<Option<LoginHook>>,
    pub(crate) tmf_hook: RwLock<Option<TmfHook>>,
    pub(crate) commands: Mutex<Vec<Command>>,
    pub(crate) tmfs: Mutex<Vec<Tmf>>,
    pub(crate) logins: Mutex<Vec<LoginRecord>>,
    pub(crate) aborted: Mutex<HashSet<(u64, u32)>>,
    pub(crate) violations: Mutex<Vec<String>>,
    pub(crate) peers: Mutex<HashMap<u64, Peer>>,
    /// The next login gets unit attentions.
    pub(crate) power_on: AtomicBool,
    pub(crate) next_tsih: AtomicU16,
    pub(crate) connections: AtomicU64,
    pub(crate) pdus_in: AtomicU64,
    pub(crate) pings_answered: AtomicU64,
    pub(crate) logouts: AtomicU64,
    pub(crate) window_frozen: AtomicBool,
    pub(crate) changed: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.config.name).field("addresses", &self.addresses).finish()
    }
}

impl Shared {
    pub(crate) fn complain(&self, connection: u64, what: String) {
        tracing::debug!(connection, "violation: {what}");
        let mut violations = lock(&self.violations);
        if violations.len() < MOST_VIOLATIONS {
            violations.push(format!("connection {connection}: {what}"));
        }
        drop(violations);
        self.changed.notify_waiters();
    }

    pub(crate) fn unit(&self, lun: Lun) -> Option<Arc<Unit>> {
        let units = read(&self.units);
        // Both ways of writing a number below 256 are legal (SAM-5 §4.7).
        let same = || lun.number().and_then(Lun::from_number).and_then(|lun| units.get(&lun));
        units.get(&lun).or_else(same).cloned()
    }

    pub(crate) fn luns(&self) -> Vec<Lun> {
        read(&self.units).keys().copied().collect()
    }

    pub(crate) fn command_action(&self, command: &Command) -> Action {
        // The hook runs without the lock, so that it may set another.
        let hook = read(&self.command_hook).clone();
        hook.map_or(Action::Proceed, |hook| hook(command))
    }

    pub(crate) fn login_action(&self, attempt: &LoginAttempt) -> LoginAction {
        let hook = read(&self.login_hook).clone();
        hook.map_or(LoginAction::Proceed, |hook| hook(attempt))
    }

    pub(crate) fn tmf_action(&self, tmf: &Tmf) -> TmfAction {
        lock(&self.tmfs).push(*tmf);
        self.changed.notify_waiters();
        let hook = read(&self.tmf_hook).clone();
        hook.map_or(TmfAction::Proceed, |hook| hook(tmf))
    }

    pub(crate) fn record_command(&self, command: &Command) {
        if self.config.record_commands {
            let mut commands = lock(&self.commands);
            if commands.len() < MOST_COMMANDS {
                commands.push(*command);
            }
            drop(commands);
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn record_login(&self, connection: u64, isid: [u8; 6], keys: &[(String, String)]) {
        let mut logins = lock(&self.logins);
        match logins.iter_mut().find(|login| login.connection == connection) {
            Some(login) => login.keys = keys.to_vec(),
            None => logins.push(LoginRecord { connection, isid, keys: keys.to_vec(), succeeded: false }),
        }
        drop(logins);
        self.changed.notify_waiters();
    }

    pub(crate) fn record_abort(&self, connection: u64, itt: u32) {
        lock(&self.aborted).insert((connection, itt));
    }

    pub(crate) fn was_aborted(&self, connection: u64, itt: u32) -> bool {
        lock(&self.aborted).contains(&(connection, itt))
    }

    pub(crate) fn record_logout(&self, connection: u64, reason: u8) {
        tracing::debug!(connection, reason, "logout");
        self.logouts.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub(crate) fn count_pdu_in(&self) {
        self.pdus_in.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ping_answered(&self) {
        self.pings_answered.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_window_frozen(&self) -> bool {
        self.window_frozen.load(Ordering::Relaxed)
    }

    pub(crate) fn new_tsih(&self) -> Tsih {
        loop {
            let tsih = self.next_tsih.fetch_add(1, Ordering::Relaxed);
            if tsih != 0 {
                return Tsih(tsih);
            }
        }
    }

    /// A session is there. One of the same initiator and ISID ends (RFC 7143 §6.3.5).
    pub(crate) fn login_succeeded(
        &self,
        connection: u64,
        initiator: &str,
        isid: Isid,
        discovery: bool,
        agreed: &Agreed,
    ) {
        let mut peers = lock(&self.peers);
        for (id, peer) in peers.iter() {
            let is_same = |session: &SessionInfo| session.initiator == initiator && session.isid == isid.0;
            if *id != connection && peer.session.as_ref().is_some_and(is_same) {
                let _ = peer.events.send(Event::Close { reset: true });
            }
        }
        if let Some(peer) = peers.get_mut(&connection) {
            peer.session = Some(SessionInfo {
                connection,
                initiator: initiator.into(),
                isid: isid.0,
                peer: peer.address,
                discovery,
                agreed: agreed.clone(),
            });
            if !discovery && self.power_on.swap(false, Ordering::Relaxed) {
                let sense = Sense::new(SenseKey::UnitAttention, 0x29, 0);
                lock(&peer.attentions).extend(self.luns().into_iter().map(|lun| (lun, sense)));
            }
        }
        drop(peers);
        if let Some(login) = lock(&self.logins).iter_mut().find(|login| login.connection == connection) {
            login.succeeded = true;
        }
        self.changed.notify_waiters();
    }

    /// Every session gets that unit attention.
    pub(crate) fn attention(&self, lun: Lun, asc: u8, ascq: u8) {
        let sense = Sense::new(SenseKey::UnitAttention, asc, ascq);
        for peer in lock(&self.peers).values().filter(|peer| peer.session.is_some()) {
            lock(&peer.attentions).push_back((lun, sense));
        }
    }

    /// Every session is told that the units have changed (3F/0E).
    pub(crate) fn luns_changed(&self) {
        for lun in self.luns() {
            self.attention(lun, 0x3f, 0x0e);
        }
    }
}
