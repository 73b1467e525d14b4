//! The connection a session runs over: its phase, its status numbers, its pulse, its place in the stream,
//! and the PDUs that are due over it.
//!
//! ```text
//!   FullFeature ── Logout sent ──► LoggedOut ── response, close ──► Down
//!        └──────────── error, close ─────────────────────────────────► │
//!        ▲─────────────────────── reinstate ─────────────────────────┘
//!
//!   urgent, then bursts ──► wire ──► framing
//! ```
//! The command window, the tasks and the events outlive it: they are the session's.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::error::{Error, PeerMisbehaved};
use crate::handoff::ConnectionParams;
use crate::ids::{Itt, Lun, Ttt};
use crate::pdu::{BHS_LEN, LogoutReason};
use crate::rx::{Collected, Framing};
use crate::sn::StatSn;
use crate::time::{Duration, Instant};
use crate::transfer::Burst;

/// The most memory that answers to a target's pings may take, in bytes: far more than a read of the driver
/// brings in, so that it does not matter how many of them come at once.
const MAX_PONGS: usize = 1 << 20;

/// Asynchronous messages and rejects that a target may send in a second. Each makes somebody log or look; a target that
/// rejects everything of the greatest depth at once, or tells of a thousand units, is far below.
const MAX_UNASKED: u32 = 2048;

/// What the connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    FullFeature,
    /// The logout has been sent: nothing may be sent after it (RFC 7143 §11.14).
    LoggedOut,
    /// There is no connection.
    Down,
}

/// Our pings (RFC 7143 §11.18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulse {
    Quiet,
    Asked { ping: Itt, at: Instant },
}

/// How often to ping and how long to wait. `None` switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingTimers {
    /// After this much silence.
    pub interval: Option<Duration>,
    /// An unanswered ping, and silence since, loses the connection after this long.
    pub timeout: Option<Duration>,
}

/// What a timer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    Dead,
}

/// A PDU that goes before data and commands: of immediate delivery, but for text where the window is open.
#[derive(Debug)]
pub(crate) enum Urgent {
    Ping(Itt),
    Pong { lun: Lun, ttt: Ttt, data: Vec<u8> },
    Manage(Itt),
    Text { itt: Itt, lun: Lun, ttt: Ttt, data: Vec<u8> },
    Logout { itt: Itt, reason: LogoutReason },
}

impl Urgent {
    /// Memory that an answer with so much data takes, in bytes.
    const fn pong_len(data: usize) -> usize {
        size_of::<Urgent>() + data
    }
}

/// A text exchange under way: one at a time (RFC 7143 §11.10).
#[derive(Debug)]
pub(crate) struct TextExchange {
    pub(crate) itt: Itt,
    pub(crate) answer: Vec<u8>,
    /// Bytes that the answer may have.
    pub(crate) limit: usize,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) params: ConnectionParams,
    pub(crate) phase: Phase,
    exp_stat_sn: StatSn,
    last_received: Instant,
    pulse: Pulse,
    timers: PingTimers,
    /// The target takes no more commands over it: it waits for a logout, or will drop it.
    held: bool,
    /// When it was told that the target wants a logout, and that it will drop the connection.
    told: (Option<Instant>, Option<Instant>),
    /// Asynchronous messages and rejects in the second that began then.
    unasked: (Instant, u32),
    pub(crate) urgent: VecDeque<Urgent>,
    /// Memory that the answers to pings among them take, in bytes.
    pong_bytes: usize,
    /// Data-Out that is due.
    pub(crate) bursts: VecDeque<Burst>,
    /// The bytes of the core in the PDU that was polled last.
    pub(crate) core_payload: Vec<u8>,
    pub(crate) text: Option<TextExchange>,
    pub(crate) framing: Framing,
    /// Fewer bytes than that make no progress.
    pub(crate) scratch_need: usize,
    pub(crate) collected: Collected,
}

/// Whether something that a target may repeat is to be told again: once a second. Not only once, for who is told may not
/// have heard it.
fn is_news(told: &mut Option<Instant>, now: Instant) -> bool {
    let news = told.is_none_or(|told| now - told >= Duration::from_secs(1));
    if news {
        *told = Some(now);
    }
    news
}

impl Connection {
    /// A connection that has just logged in. So many of `urgent` and `bursts` have room without an allocation.
    pub(crate) fn new(
        params: ConnectionParams,
        timers: PingTimers,
        urgent: usize,
        bursts: usize,
        now: Instant,
    ) -> Connection {
        Connection {
            params,
            phase: Phase::FullFeature,
            exp_stat_sn: params.exp_stat_sn,
            last_received: now,
            pulse: Pulse::Quiet,
            timers,
            held: false,
            told: (None, None),
            unasked: (now, 0),
            urgent: VecDeque::with_capacity(urgent),
            pong_bytes: 0,
            bursts: VecDeque::with_capacity(bursts),
            core_payload: Vec::new(),
            text: None,
            framing: Framing::Header,
            scratch_need: BHS_LEN,
            collected: Collected::default(),
        }
    }

    /// The connection is gone: drops everything that was due over it.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Down;
        (self.held, self.told) = (false, (None, None));
        self.urgent.clear();
        self.pong_bytes = 0;
        self.bursts.clear();
        self.text = None;
        self.framing = Framing::Header;
        self.collected.finish();
    }

    /// Another connection in the place of one that was closed, with the same timers.
    pub(crate) fn reopen(&mut self, params: ConnectionParams, now: Instant) {
        self.params = params;
        self.phase = Phase::FullFeature;
        self.exp_stat_sn = params.exp_stat_sn;
        self.last_received = now;
        self.unasked = (now, 0);
        self.pulse = Pulse::Quiet;
        self.next_header();
    }

    /// Whether the target takes no more commands over it.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// The target wants a logout: nothing new goes to it before that. Whether this is to be told.
    pub(crate) fn wants_logout(&mut self) -> bool {
        self.held = true;
        is_news(&mut self.told.0, self.last_received)
    }

    /// The target will drop the connection: nothing new goes to it before that. Whether this is to be told.
    pub(crate) fn announces_drop(&mut self) -> bool {
        self.held = true;
        is_news(&mut self.told.1, self.last_received)
    }

    /// A message has arrived that answers nothing.
    ///
    /// # Errors
    /// There are too many of them.
    pub(crate) fn unasked(&mut self) -> Result<(), Error> {
        let (since, count) = &mut self.unasked;
        if self.last_received - *since >= Duration::from_secs(1) {
            (*since, *count) = (self.last_received, 0);
        }
        *count += 1;
        if *count > MAX_UNASKED {
            return Err(PeerMisbehaved::Rule("a flood of asynchronous messages or rejects").into());
        }
        Ok(())
    }

    /// The stream goes on with a header.
    pub(crate) fn next_header(&mut self) {
        self.framing = Framing::Header;
        self.scratch_need = BHS_LEN;
    }

    /// An answer to a ping of the target is due.
    ///
    /// # Errors
    /// The target pings, and does not read the answers.
    pub(crate) fn owe_pong(&mut self, lun: Lun, ttt: Ttt, data: Vec<u8>) -> Result<(), Error> {
        let len = Urgent::pong_len(data.len());
        if self.pong_bytes > 0 && self.pong_bytes.saturating_add(len) > MAX_PONGS {
            return Err(PeerMisbehaved::Rule("a flood of pings").into());
        }
        self.pong_bytes = self.pong_bytes.saturating_add(len);
        self.urgent.push_back(Urgent::Pong { lun, ttt, data });
        Ok(())
    }

    /// The next PDU that goes before all others.
    pub(crate) fn next_urgent(&mut self) -> Option<Urgent> {
        let urgent = self.urgent.pop_front()?;
        if let Urgent::Pong { data, .. } = &urgent {
            self.pong_bytes = self.pong_bytes.saturating_sub(Urgent::pong_len(data.len()));
        }
        Some(urgent)
    }

    /// ExpStatSN of everything that is sent.
    pub(crate) fn exp_stat_sn(&self) -> StatSn {
        self.exp_stat_sn
    }

    /// Takes the number of a PDU that carries a status: acknowledged from now on. At
    /// ErrorRecoveryLevel 0 a gap cannot be filled, so it ends the connection (§7.1.4, §7.10).
    pub(crate) fn accept_status(&mut self, received: StatSn) -> Result<(), Error> {
        if received != self.exp_stat_sn {
            let how = PeerMisbehaved::StatSn { expected: self.exp_stat_sn.0, received: received.0 };
            return Err(how.into());
        }
        self.exp_stat_sn = received.next();
        Ok(())
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_received = now;
    }

    pub(crate) fn asked(&mut self, ping: Itt, now: Instant) {
        self.pulse = Pulse::Asked { ping, at: now };
    }

    pub(crate) fn answered(&mut self, itt: Itt) {
        if matches!(self.pulse, Pulse::Asked { ping, .. } if ping == itt) {
            self.pulse = Pulse::Quiet;
        }
    }

    /// When [`due`](Self::due) must be asked next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.phase != Phase::FullFeature {
            return None;
        }
        match self.pulse {
            Pulse::Quiet => self.timers.interval.map(|interval| self.last_received + interval),
            // Anything that arrives shows that the target lives, even if the pong is behind much data.
            Pulse::Asked { at, .. } => self.timers.timeout.map(|timeout| at.max(self.last_received) + timeout),
        }
    }

    pub(crate) fn due(&self, now: Instant) -> Due {
        match self.deadline() {
            Some(deadline) if deadline <= now => match self.pulse {
                Pulse::Quiet => Due::Ping,
                Pulse::Asked { .. } => Due::Dead,
            },
            _ => Due::Nothing,
        }
    }
}
