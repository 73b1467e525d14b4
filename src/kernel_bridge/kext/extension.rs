//! The extension's calls by name, and its notices sorted by session.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::{AnyBitPattern, NoUninit, bytes_of, pod_read_unaligned};
use iscsi_kext_messages::io_return::{BAD_ARGUMENT, Code, EXCLUSIVE_ACCESS, NOT_ATTACHED, NOT_FOUND, NOT_READY};
use iscsi_kext_messages::*;
use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::Lun;
use tokio::sync::mpsc;

use super::harness;
use super::port::Port;
use crate::kernel_bridge::router::Router;
use crate::kernel_bridge::{SessionSpec, SessionStats};

/// What a session hears of the extension.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something happened.
    Notice(Box<IscsiNotice>),
    /// Some notices were lost: what was missed can be asked for.
    Gap,
}

/// Why the extension did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused(Code);

impl Refused {
    /// The SCSI stack still looks for units: it can be asked again soon.
    pub(super) fn is_early(self) -> bool {
        self.0 == NOT_READY
    }

    /// The session, or the whole extension, is not there any more.
    pub(super) fn is_gone(self) -> bool {
        matches!(self.0, NOT_FOUND | NOT_ATTACHED)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NOT_READY => f.write_str("the kernel extension is not ready for that"),
            NOT_FOUND => f.write_str("the kernel extension does not have the session"),
            NOT_ATTACHED => f.write_str("the kernel extension is gone"),
            BAD_ARGUMENT => f.write_str("the kernel extension refused what it was given"),
            code => write!(f, "the kernel extension refused it (IOReturn {code:#010x})"),
        }
    }
}

/// What a command of the daemon came to.
pub(super) struct Executed {
    pub(super) out: IscsiExecuteOut,
    pub(super) data: Vec<u8>,
}

/// The kernel extension, opened.
pub(crate) struct Extension {
    port: Port,
    routes: Mutex<Routes>,
    /// Sessions of a daemon that is gone, by target: number, and the target's in the SCSI domain.
    orphans: Mutex<BTreeMap<String, (u32, u32)>>,
}

#[derive(Default)]
struct Routes {
    sessions: Router<u32, Heard>,
    /// The numbers of their targets in the SCSI domain.
    targets: HashMap<u32, u32>,
    sequence: Option<u64>,
    /// Nothing comes any more.
    over: bool,
}

impl Extension {
    /// Opens it, adopts its sessions and hears its notices, on the present runtime: that in the harness at `sim`, else
    /// this machine's. Where it cannot be used, a sentence's end says why.
    pub(crate) fn open(sim: Option<&Path>) -> Result<Arc<Extension>, String> {
        let (sender, mut notices) = mpsc::unbounded_channel();
        let port = Port::open(sim, sender)?;
        let extension = Arc::new(Extension { port, routes: Mutex::default(), orphans: Mutex::default() });
        let sentence = |refused: Refused| refused.to_string();
        let hello = IscsiHelloIn { version: ISCSI_KEXT_VERSION, handoff_version: ISCSI_HANDOFF_VERSION };
        let theirs: IscsiHelloOut = extension.ask(ISCSI_HELLO, &hello).map_err(sentence)?;
        if theirs.accepted != 1 {
            return Err(format!(
                "the kernel extension speaks version {}.{} and this iscsid {ISCSI_KEXT_VERSION}.{ISCSI_HANDOFF_VERSION}; \
                 install both from the same release",
                theirs.version, theirs.handoff_version
            ));
        }
        extension.port.listen().map_err(|code| match code {
            EXCLUSIVE_ACCESS => "another iscsid uses the kernel extension".to_owned(),
            code => Refused(code).to_string(),
        })?;
        let orphans = extension.sessions().map_err(sentence)?;
        *extension.lock_orphans() =
            orphans.iter().map(|info| (target_of(&info.spec), (info.session, info.target))).collect();
        let weak = Arc::downgrade(&extension);
        tokio::spawn(async move {
            while let Some(notice) = notices.recv().await {
                let Some(extension) = weak.upgrade() else { return };
                extension.routes().pass_on(notice);
            }
            if let Some(extension) = weak.upgrade() {
                tracing::error!("the kernel extension is gone, and its sessions with it");
                let mut routes = extension.routes();
                routes.over = true;
                routes.sessions.end();
            }
        });
        Ok(extension)
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_orphans(&self) -> MutexGuard<'_, BTreeMap<String, (u32, u32)>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The targets of sessions that an earlier daemon has left and that nobody has taken over yet.
    pub(crate) fn orphans(&self) -> Vec<String> {
        self.lock_orphans().keys().cloned().collect()
    }

    /// A session with that target, that an earlier daemon has left: number, and the target's in the SCSI domain.
    /// It is the caller's from now on.
    pub(crate) fn adopt(&self, target: &str) -> Option<(u32, u32)> {
        self.lock_orphans().remove(target)
    }

    /// What is heard of a session from now on, what came before first. Ends with the extension.
    pub(super) fn hear(&self, session: u32, target: u32) -> mpsc::UnboundedReceiver<Heard> {
        let (sender, heard) = mpsc::unbounded_channel();
        let mut routes = self.routes();
        routes.targets.insert(session, target);
        routes.subscribe(session, sender);
        heard
    }

    /// Forgets the way to the driver of that session.
    pub(super) fn unhear(&self, session: u32) {
        let mut routes = self.routes();
        routes.sessions.forget(session);
        routes.targets.remove(&session);
    }

    fn call(&self, selector: u32, input: &[u8], room: usize) -> Result<Vec<u8>, Refused> {
        self.port.call(selector, input, room, None).map_err(Refused)
    }

    fn ask<Out: AnyBitPattern>(&self, selector: u32, input: &impl NoUninit) -> Result<Out, Refused> {
        whole(&self.call(selector, bytes_of(input), size_of::<Out>())?)
    }

    fn tell(&self, selector: u32, input: &impl NoUninit) -> Result<(), Refused> {
        self.call(selector, bytes_of(input), 0).map(drop)
    }

    fn sessions(&self) -> Result<Vec<IscsiSessionInfo>, Refused> {
        let mut all: Vec<IscsiSessionInfo> = Vec::new();
        loop {
            let after = all.last().map_or(0, |info| info.session);
            let part: IscsiSessionsOut = self.ask(ISCSI_SESSIONS, &IscsiSessionsIn { after, reserved: 0 })?;
            let count = (part.count as usize).min(ISCSI_SESSIONS_AT_ONCE);
            all.extend_from_slice(part.sessions.get(..count).unwrap_or_default());
            if part.more == 0 || count == 0 {
                return Ok(all);
            }
        }
    }

    /// A session over a connection: its number, and the target's in the SCSI domain.
    pub(super) fn create(
        &self,
        spec: &SessionSpec,
        handoff: &Handoff,
        stream: &TcpStream,
    ) -> Result<(u32, u32), Refused> {
        let fd = stream.as_fd();
        let descriptor = self.port.descriptor(fd);
        let input = IscsiCreateIn { spec: spec_of(spec), handoff: handoff.into(), descriptor, flags: 0, reserved: 0 };
        let room = size_of::<IscsiCreateOut>();
        let answer = self.port.call(ISCSI_CREATE, bytes_of(&input), room, Some(fd)).map_err(Refused)?;
        let out: IscsiCreateOut = whole(&answer)?;
        Ok((out.session, out.target))
    }

    /// Another connection for a session; with `hold`, the SCSI stack's commands wait for [`resume`](Self::resume).
    pub(super) fn replace(
        &self,
        session: u32,
        handoff: &Handoff,
        stream: &TcpStream,
        hold: bool,
    ) -> Result<(), Refused> {
        let fd = stream.as_fd();
        let descriptor = self.port.descriptor(fd);
        let flags = if hold { ISCSI_FLAG_HOLD } else { 0 };
        let input = IscsiReplaceIn { session, descriptor, flags, handoff: handoff.into() };
        self.port.call(ISCSI_REPLACE, bytes_of(&input), 0, Some(fd)).map(drop).map_err(Refused)
    }

    pub(super) fn resume(&self, session: u32) -> Result<(), Refused> {
        self.tell(ISCSI_RESUME, &of(session))
    }

    /// Commands of the SCSI stack for a unit fail, or do not any more.
    pub(super) fn fence(&self, session: u32, lun: Lun, fence: bool) -> Result<(), Refused> {
        self.tell(ISCSI_FENCE, &IscsiFenceIn { session, fence: fence.into(), lun: lun.0.to_be_bytes() })
    }

    pub(super) fn rescan(&self, session: u32) -> Result<(), Refused> {
        self.tell(ISCSI_RESCAN, &of(session))
    }

    pub(super) fn remove(&self, session: u32, what: u32) -> Result<(), Refused> {
        self.tell(ISCSI_REMOVE, &IscsiRemoveIn { session, what })
    }

    pub(super) fn log_out(&self, session: u32) -> Result<(), Refused> {
        self.tell(ISCSI_LOGOUT, &IscsiLogoutIn { session, reason: 0 })
    }

    /// Closes the connection; the session waits for another one.
    pub(super) fn drop_connection(&self, session: u32) -> Result<(), Refused> {
        self.tell(ISCSI_DROP, &of(session))
    }

    /// Whether it has a connection, and why not.
    pub(super) fn connection(&self, session: u32) -> Result<IscsiConnectionOut, Refused> {
        self.ask(ISCSI_CONNECTION, &of(session))
    }

    /// A command of the daemon, that reads up to `length` bytes or none; waits for its end.
    pub(super) fn execute(&self, input: &IscsiExecuteIn) -> Result<Executed, Refused> {
        let head = size_of::<IscsiExecuteOut>();
        let mut bytes = self.call(ISCSI_EXECUTE, bytes_of(input), head + input.length as usize)?;
        if bytes.len() < head {
            return Err(Refused(BAD_ARGUMENT));
        }
        let data = bytes.split_off(head);
        Ok(Executed { out: pod_read_unaligned(&bytes), data })
    }

    /// A session's counters.
    pub(crate) fn statistics(&self, session: u32) -> Option<SessionStats> {
        self.ask::<IscsiStatisticsOut>(ISCSI_STATISTICS, &of(session)).ok().map(SessionStats::from)
    }

    /// Ends a session that an earlier daemon has left and nobody wants.
    pub(crate) fn end_orphan(&self, target: &str) {
        if let Some((session, _)) = self.adopt(target)
            && let Err(refused) = self.remove(session, ISCSI_REMOVE_ALL)
        {
            tracing::warn!(target, "a session in the kernel cannot be ended: {refused}");
        }
    }

    /// The device that the operating system has made of a unit.
    pub(crate) fn device(&self, session: u32, lun: Lun) -> Option<String> {
        let target = self.routes().targets.get(&session).copied()?;
        self.port.device(target, u64::from(lun.number()?))
    }

    /// The harness, which takes tasks for its SCSI stack; `None` where the operating system has the disks.
    pub(super) fn harness(&self) -> Option<&harness::Port> {
        self.port.harness()
    }

    /// Whether the exports serve the units: where the operating system makes disks of them, nobody else may.
    pub(crate) fn exports(&self) -> bool {
        self.harness().is_some()
    }
}

impl From<IscsiStatisticsOut> for SessionStats {
    fn from(out: IscsiStatisticsOut) -> SessionStats {
        SessionStats {
            commands: out.commands,
            errors: out.errors,
            bytes_read: out.bytes_read,
            bytes_written: out.bytes_written,
            pdus_in: out.pdus_in,
            pdus_out: out.pdus_out,
            receives: out.receives,
            sends: out.sends,
            reconnects: out.reconnects,
            in_flight: out.in_flight,
        }
    }
}

impl Routes {
    fn pass_on(&mut self, notice: IscsiNotice) {
        if self.sequence.replace(notice.sequence).is_some_and(|before| before.wrapping_add(1) != notice.sequence) {
            tracing::warn!("notices of the kernel extension were lost");
            self.sessions.tell_all(|| Heard::Gap);
        }
        match notice.session {
            0 => self.sessions.tell_all(|| Heard::Notice(Box::new(notice))),
            session => self.sessions.route(session, Heard::Notice(Box::new(notice))),
        }
    }

    fn subscribe(&mut self, session: u32, sender: mpsc::UnboundedSender<Heard>) {
        if !self.over {
            self.sessions.subscribe(session, sender);
        }
    }
}

fn whole<Out: AnyBitPattern>(bytes: &[u8]) -> Result<Out, Refused> {
    if bytes.len() != size_of::<Out>() {
        tracing::error!("the kernel extension answered {} bytes where {} belong", bytes.len(), size_of::<Out>());
        return Err(Refused(BAD_ARGUMENT));
    }
    Ok(pod_read_unaligned(bytes))
}

fn of(session: u32) -> IscsiSessionIn {
    IscsiSessionIn { session, reserved: 0 }
}

fn target_of(spec: &IscsiSpec) -> String {
    text(&spec.target)
}

/// Text that ends with a zero byte.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn spec_of(spec: &SessionSpec) -> IscsiSpec {
    let mut target = [0; ISCSI_NAME_LENGTH];
    // Names have at most 223 bytes (RFC 7143 §4.2.7.1); a longer one would have no NUL at its end, and be refused.
    for (to, from) in target.iter_mut().zip(spec.target.bytes()) {
        *to = from;
    }
    let milliseconds = |span: std::time::Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
    IscsiSpec {
        target,
        depth: spec.depth.into(),
        ping_interval: milliseconds(spec.nop_interval),
        ping_timeout: milliseconds(spec.nop_timeout),
        replacement_timeout: milliseconds(spec.replacement_timeout),
    }
}
