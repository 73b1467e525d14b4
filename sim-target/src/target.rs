//! A running target: what its connections share, and the handle that tests hold.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::AsyncEvent;
use iscsi_proto::scsi::Sense;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::builder::Builder;
use crate::connection;
use crate::disk::{SimDisk, Unit};
use crate::event::{Event, asynchronous};
use crate::lock::{lock, read, write};
use crate::script::{Action, Command, LoginAction, LoginAttempt, LoginRecord, Tmf, TmfAction};
use crate::sense::fixed_sense;
use crate::shared::{Attentions, Peer, SessionInfo, Shared};

/// A target that runs until it is dropped.
#[derive(Debug)]
pub struct SimTarget {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// Closes when every task of the target has ended.
    ended: mpsc::Receiver<()>,
}

/// Counters, over all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections taken.
    pub connections: u64,
    /// PDUs received.
    pub pdus_in: u64,
    /// Pings that were answered.
    pub pings_answered: u64,
    /// Logouts asked for.
    pub logouts: u64,
}

impl SimTarget {
    /// A target of that name, to be put together.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    async fn start(config: Builder) -> io::Result<SimTarget> {
        if !config.own_thread {
            return SimTarget::listen(config).await.map(|(target, _)| target);
        }
        let (tell, told) = oneshot::channel();
        std::thread::Builder::new().name("sim-target".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let started = runtime.and_then(|runtime| {
                let (target, tasks) = runtime.block_on(SimTarget::listen(config))?;
                Ok((runtime, target, tasks))
            });
            match started {
                Ok((runtime, target, mut tasks)) => {
                    // The receiver may be gone: then the target has no user.
                    if tell.send(Ok(target)).is_ok() {
                        runtime.block_on(async { while tasks.join_next().await.is_some() {} });
                    }
                    // Connections see the same signal as the listeners; what they still send is cut off.
                    runtime.shutdown_background();
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        told.await.unwrap_or_else(|_| Err(io::Error::other("the target's thread ended before it listened")))
    }

    async fn listen(mut config: Builder) -> io::Result<(SimTarget, tokio::task::JoinSet<()>)> {
        if config.portals.is_empty() {
            config.portals.push("127.0.0.1:0".into());
        }
        let mut listeners = Vec::new();
        for portal in &config.portals {
            listeners.push(TcpListener::bind(portal).await?);
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let units = std::mem::take(&mut config.units);
        let shared = Arc::new(Shared {
            units: RwLock::new(units.into_iter().map(|(lun, disk)| (lun, Arc::new(Unit::new(disk)))).collect()),
            command_hook: RwLock::new(config.command_hook.take()),
            login_hook: RwLock::new(config.login_hook.take()),
            tmf_hook: RwLock::new(config.tmf_hook.take()),
            addresses,
            config,
            commands: Mutex::default(),
            tmfs: Mutex::default(),
            logins: Mutex::default(),
            aborted: Mutex::default(),
            violations: Mutex::default(),
            peers: Mutex::default(),
            power_on: AtomicBool::new(false),
            next_tsih: AtomicU16::new(1),
            connections: AtomicU64::new(0),
            pdus_in: AtomicU64::new(0),
            pings_answered: AtomicU64::new(0),
            logouts: AtomicU64::new(0),
            window_frozen: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        let mut tasks = tokio::task::JoinSet::new();
        for listener in listeners {
            tasks.spawn(accept(listener, shared.clone(), stopped.clone(), alive.clone()));
        }
        let target = SimTarget { shared, stop, ended };
        if !target.shared.config.own_thread {
            tasks.detach_all();
        }
        Ok((target, tasks))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// Where it listens, first.
    pub fn address(&self) -> SocketAddr {
        self.shared.addresses[0]
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// Ends it: all connections close, and none of its tasks is left when this returns.
    pub async fn shutdown(mut self) {
        // No receiver means that all tasks have ended.
        let _ = self.stop.send(true);
        while self.ended.recv().await.is_some() {}
    }

    /// What the initiators did that the standard forbids.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }

    /// The commands that came, in order.
    pub fn commands(&self) -> Vec<Command> {
        lock(&self.shared.commands).clone()
    }

    /// The commands that came for a unit, in order.
    pub fn commands_of(&self, number: u32) -> Vec<Command> {
        let lun = Lun::from_number(number);
        lock(&self.shared.commands).iter().copied().filter(|command| Some(command.lun) == lun).collect()
    }

    /// Forgets the commands that came.
    pub fn forget_commands(&self) {
        lock(&self.shared.commands).clear();
    }

    /// The task management functions that came, in order.
    pub fn task_management(&self) -> Vec<Tmf> {
        lock(&self.shared.tmfs).clone()
    }

    /// The logins that came, in order.
    pub fn logins(&self) -> Vec<LoginRecord> {
        lock(&self.shared.logins).clone()
    }

    /// The sessions there are.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let mut sessions: Vec<_> = lock(&self.shared.peers).values().filter_map(|peer| peer.session.clone()).collect();
        sessions.sort_by_key(|session| session.connection);
        sessions
    }

    /// How many connections there are, those that log in included.
    pub fn open_connections(&self) -> usize {
        lock(&self.shared.peers).len()
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        let shared = &self.shared;
        Counters {
            connections: shared.connections.load(Ordering::Relaxed),
            pdus_in: shared.pdus_in.load(Ordering::Relaxed),
            pings_answered: shared.pings_answered.load(Ordering::Relaxed),
            logouts: shared.logouts.load(Ordering::Relaxed),
        }
    }

    /// Waits until `condition` holds; it is asked again whenever something was recorded.
    pub async fn wait_until(&self, mut condition: impl FnMut(&SimTarget) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    /// Decides over commands from now on.
    pub fn on_command(&self, hook: impl Fn(&Command) -> Action + Send + Sync + 'static) {
        *write(&self.shared.command_hook) = Some(Arc::new(hook));
    }

    /// Lets commands proceed from now on.
    pub fn clear_command_hook(&self) {
        *write(&self.shared.command_hook) = None;
    }

    /// Decides over logins from now on.
    pub fn on_login(&self, hook: impl Fn(&LoginAttempt) -> LoginAction + Send + Sync + 'static) {
        *write(&self.shared.login_hook) = Some(Arc::new(hook));
    }

    /// Decides over task management functions from now on.
    pub fn on_task_management(&self, hook: impl Fn(&Tmf) -> TmfAction + Send + Sync + 'static) {
        *write(&self.shared.tmf_hook) = Some(Arc::new(hook));
    }

    /// Ends all connections: in order, or with a reset.
    pub fn disconnect_all(&self, reset: bool) {
        self.send_all(|| Event::Close { reset });
    }

    /// Sends an asynchronous message to every session (RFC 7143 §11.9).
    pub fn send_async(&self, event: AsyncEvent, lun: Lun, parameters: [u16; 3], data: &[u8]) {
        let message = asynchronous(event, lun, parameters);
        self.send_all(|| Event::Async(message, data.to_vec()));
    }

    /// Sends the sense data of a unit as an asynchronous SCSI event.
    pub fn send_scsi_event(&self, lun: Lun, sense: &Sense) {
        let sense = fixed_sense(sense);
        let segment = [&(sense.len() as u16).to_be_bytes(), sense.as_slice()].concat();
        self.send_async(AsyncEvent::ScsiEvent, lun, [0; 3], &segment);
    }

    /// Sends every session a NOP-In that wants an answer with the same data.
    pub fn ping(&self, data: &[u8]) {
        self.send_all(|| Event::Ping(data.to_vec()));
    }

    /// Sends every session a Reject with `header` as the header that is rejected.
    pub fn send_reject(&self, reason: u8, header: &[u8]) {
        self.send_all(|| Event::Reject(reason, header.to_vec()));
    }

    /// Sends every connection these bytes, as they are.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.send_all(|| Event::Raw(bytes.to_vec()));
    }

    /// Holds MaxCmdSN where it is, or lets it go again and tells so by a NOP-In.
    pub fn freeze_window(&self, frozen: bool) {
        self.shared.window_frozen.store(frozen, Ordering::Relaxed);
        if !frozen {
            self.send_all(|| Event::OpenWindow);
        }
    }

    /// The next command of every session to that unit ends with that unit attention.
    pub fn unit_attention(&self, number: u32, asc: u8, ascq: u8) {
        if let Some(lun) = Lun::from_number(number) {
            self.shared.attention(lun, asc, ascq);
        }
    }

    /// Adds a unit, or puts another in its place; all sessions are told by a unit attention (3F/0E).
    pub fn add_lun(&self, number: u32, disk: SimDisk) {
        if let Some(lun) = Lun::from_number(number) {
            write(&self.shared.units).insert(lun, Arc::new(Unit::new(disk)));
            self.shared.luns_changed();
        }
    }

    /// Takes a unit away; all sessions are told by a unit attention on the others.
    pub fn remove_lun(&self, number: u32) {
        if let Some(lun) = Lun::from_number(number) {
            write(&self.shared.units).remove(&lun);
            self.shared.luns_changed();
        }
    }

    /// Makes a unit larger or smaller; all sessions are told by a unit attention (2A/09).
    pub fn resize(&self, number: u32, blocks: u64) {
        self.with_unit(number, |unit| unit.resize(blocks));
        self.unit_attention(number, 0x2a, 0x09);
    }

    /// Makes a unit refuse writes, or take them again.
    pub fn set_write_protected(&self, number: u32, protected: bool) {
        self.with_unit(number, |unit| unit.set_write_protected(protected));
    }

    /// How many bytes a power cut would lose, over all units.
    pub fn volatile_bytes(&self) -> u64 {
        self.units().iter().map(|unit| unit.store().volatile_bytes()).sum()
    }

    /// How many bytes a power cut would lose on that unit.
    pub fn volatile_bytes_of(&self, number: u32) -> u64 {
        self.with_unit(number, |unit| unit.store().volatile_bytes())
    }

    /// The power fails: connections break off, content goes back to what was on stable storage, and
    /// the next session gets a unit attention (29/00) from every unit.
    pub fn power_cut(&self) {
        self.disconnect_all(true);
        for unit in self.units() {
            unit.store().power_cut();
        }
        self.shared.power_on.store(true, Ordering::Relaxed);
    }

    /// The unit's content, `len` bytes from byte `offset` on.
    pub fn content(&self, number: u32, offset: u64, len: u64) -> Vec<u8> {
        self.with_unit(number, |unit| {
            let mut content = Vec::new();
            unit.store().append_to(offset, len, &mut content);
            content
        })
    }

    /// Whether a sector of 512 bytes of that unit begins with these bytes, at most 512: as it reads now, and as it would
    /// after a power cut.
    pub fn has_sector(&self, number: u32, beginning: &[u8]) -> (bool, bool) {
        self.with_unit(number, |unit| unit.store().has_sector(beginning))
    }

    /// Puts content onto a unit, on stable storage; offset and length are multiples of 512 bytes.
    pub fn set_content(&self, number: u32, offset: u64, data: &[u8]) {
        self.with_unit(number, |unit| unit.store().write(offset, data, true));
    }

    /// How many bytes of memory a unit's content takes: less after an UNMAP of whole 64 KiB.
    pub fn allocated_bytes(&self, number: u32) -> u64 {
        self.with_unit(number, |unit| unit.store().allocated_bytes())
    }

    fn units(&self) -> Vec<Arc<Unit>> {
        read(&self.shared.units).values().cloned().collect()
    }

    fn with_unit<T>(&self, number: u32, with: impl FnOnce(&Unit) -> T) -> T {
        let unit = Lun::from_number(number).and_then(|lun| self.shared.unit(lun));
        with(&unit.unwrap_or_else(|| panic!("the target has no unit {number}")))
    }

    fn send_all(&self, event: impl Fn() -> Event) {
        for peer in lock(&self.shared.peers).values() {
            // One that has just ended needs nothing any more.
            let _ = peer.events.send(event());
        }
    }
}

impl Builder {
    /// Listens. Fails where an address cannot be bound.
    pub async fn start(self) -> io::Result<SimTarget> {
        SimTarget::start(self).await
    }
}

impl Drop for SimTarget {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>, alive: mpsc::Sender<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = serve(stream, address, shared.clone(), stop.clone());
                let alive = alive.clone();
                tokio::spawn(async move {
                    connection.await;
                    drop(alive);
                });
            }
            // Out of descriptors, or a connection that broke off at once: the next may do better.
            Err(error) => {
                tracing::warn!(%error, "accept");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let id = shared.connections.fetch_add(1, Ordering::Relaxed);
    let (sender, events) = mpsc::unbounded_channel();
    let attentions = Attentions::default();
    let peer = Peer { events: sender.clone(), attentions: attentions.clone(), address, session: None };
    lock(&shared.peers).insert(id, peer);
    shared.changed.notify_waiters();
    let result = match stream.set_nodelay(true) {
        Ok(()) => connection::serve(stream, shared.clone(), id, events, sender, attentions, stop).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        // An initiator may break off at any time; what it had to do right is judged elsewhere.
        tracing::debug!(connection = id, %error, "connection lost");
    }
    lock(&shared.peers).remove(&id);
    shared.changed.notify_waiters();
}
