//! The connection a session runs over: its phase, its status numbers, its pulse.
//!
//! ```text
//!   FullFeature ── Logout sent ──► LoggedOut ── response, close ──► Down
//!        └──────────── error, close ─────────────────────────────────► │
//!        ▲─────────────────────── reinstate ─────────────────────────┘
//! ```

use crate::error::{Error, PeerMisbehaved};
use crate::handoff::Params;
use crate::ids::Itt;
use crate::sn::StatSn;
use crate::time::{Duration, Instant};

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

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) params: Params,
    pub(crate) phase: Phase,
    exp_stat_sn: StatSn,
    last_received: Instant,
    pulse: Pulse,
    timers: PingTimers,
}

impl Connection {
    pub(crate) fn new(params: Params, timers: PingTimers, now: Instant) -> Connection {
        Connection {
            params,
            phase: Phase::FullFeature,
            exp_stat_sn: params.exp_stat_sn,
            last_received: now,
            pulse: Pulse::Quiet,
            timers,
        }
    }

    /// The same timers over another connection.
    pub(crate) fn replaced_by(&self, params: Params, now: Instant) -> Connection {
        Connection::new(params, self.timers, now)
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
