//! The login phase (RFC 7143 §6.3): from a connection to a session, or to a clear reason why not.
//!
//! ```text
//!   driver                                  Login
//!     │ ── poll_transmit() ──────────────────► │ whole PDUs, to be sent
//!     │ ── need() ───────────────────────────► │ exactly so many bytes are to be read:
//!     │ ── receive(bytes) ───────────────────► │ 48, then the rest of that PDU
//!     │ ◄── More ───────────────────────────── │ … from the start
//!     │ ◄── Redirect ───────────────────────── │ log in over there, with a new Login
//!     │ ◄── Done(LoggedIn { handoff, … }) ──── │ what follows on the connection is full-feature phase
//! ```
//! Nothing is read past the final response, so that the first PDU of the full-feature phase, and its
//! digests, belong to the code that takes the connection over. A login that has ended (or failed) stays so.
//!
//! ```
//! use iscsi_proto::login::{Entropy, Login, LoginConfig, LoginError, Progress};
//! use std::io::{Read, Write};
//!
//! fn log_in(
//!     config: LoginConfig,
//!     connection: &mut (impl Read + Write),
//!     entropy: &mut dyn Entropy,
//! ) -> std::io::Result<Result<Progress, LoginError>> {
//!     let mut login = Login::new(config, entropy);
//!     loop {
//!         while let Some(pdu) = login.poll_transmit() {
//!             connection.write_all(&pdu)?;
//!         }
//!         let mut bytes = vec![0; login.need()];
//!         connection.read_exact(&mut bytes)?;
//!         match login.receive(&bytes, entropy) {
//!             Ok(Progress::More) => {}
//!             end => return Ok(end),
//!         }
//!     }
//! }
//! ```

pub mod chap;
mod config;
mod discovery;
mod error;
mod exchange;
mod lapses;
mod secret;
mod stage;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use chap::{ChapAlgorithm, ChapConfig, Secret};
pub use config::{Entropy, LoginConfig};
pub use discovery::{
    DiscoveredTarget, DiscoveryError, LeftOut, MAX_ADDRESSES, MAX_ADDRESSES_IN_ALL, MAX_TARGETS, TargetList,
    parse_send_targets,
};
pub use error::{ChapError, LoginError, status_text};
pub use lapses::Lapses;

use crate::error::{Error, PeerMisbehaved};
use crate::handoff::{HANDOFF_VERSION, Handoff};
use crate::ids::{Itt, Tsih};
use crate::keys::{Negotiated, RawReader, SeenKeys, is_terminated};
use crate::names::{TargetAddress, parse_target_address};
use crate::pdu::LoginResponse;
use exchange::{Exchange, Identity, Received};
use stage::{Next, Shared, State};

/// How far a login has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Send what there is to send, then read [`Login::need`] bytes.
    More,
    /// The target is elsewhere (§11.13.5, class 1). The connection is of no further use.
    Redirect {
        /// Where.
        address: TargetAddress,
        /// For good (0102), or this once.
        permanent: bool,
    },
    /// Logged in.
    Done(Box<LoggedIn>),
}

/// A login's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The connection, as the full-feature phase needs to know it.
    pub handoff: Handoff,
    /// What people call the target, where it has told.
    pub target_alias: Option<String>,
    /// TargetPortalGroupTag, where it has told.
    pub group_tag: Option<u16>,
    /// How the two were authenticated: `None`, `CHAP SHA3-256`, `mutual CHAP MD5`.
    pub authentication: String,
    /// What was negotiated, by the standard's names and in its order; see [`Negotiated::entries`].
    pub negotiated: Vec<(String, String)>,
    /// What the target got wrong all the same.
    pub lapses: Lapses,
}

/// A login under way on one connection.
#[derive(Debug)]
pub struct Login {
    exchange: Exchange,
    shared: Shared,
    /// `None` once the login has ended.
    state: Option<State>,
}

impl Login {
    /// Begins a login: the first request is there to be sent. `entropy` gives the login's task tag.
    pub fn new(config: LoginConfig, entropy: &mut dyn Entropy) -> Login {
        let mut tag = [0; 2];
        entropy.fill(&mut tag);
        let identity = Identity {
            isid: config.isid,
            tsih: config.tsih,
            cid: config.cid,
            itt: Itt::new(0, u16::from_be_bytes(tag)),
            cmd_sn: config.cmd_sn,
        };
        let shared = Shared {
            config,
            seen: SeenKeys::default(),
            target_alias: None,
            lapses: Lapses::default(),
            group_tag: None,
            algorithm: None,
            algorithms_offered: false,
        };
        let mut login = Login { exchange: Exchange::new(identity), shared, state: None };
        let opening = State::open(&login.shared);
        login.go_on(opening);
        login
    }

    /// The next PDU to send, whole.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.exchange.poll_transmit()
    }

    /// How many bytes to read next, exactly. 0 once the login has ended.
    pub fn need(&self) -> usize {
        match self.state {
            Some(_) => self.exchange.need(),
            None => 0,
        }
    }

    /// The CHAP algorithm that the target chose, once it has.
    pub fn chosen_algorithm(&self) -> Option<ChapAlgorithm> {
        self.shared.algorithm
    }

    /// Whether the target was offered CHAP algorithms and has chosen none: it has not got a response to a challenge then.
    pub fn awaits_algorithm(&self) -> bool {
        self.shared.algorithms_offered && self.shared.algorithm.is_none()
    }

    /// Takes the bytes that [`need`](Login::need) asked for.
    ///
    /// # Errors
    /// The login has failed, and the connection is to be closed.
    pub fn receive(&mut self, bytes: &[u8], entropy: &mut dyn Entropy) -> Result<Progress, LoginError> {
        // The state is taken out: after any error below, the login does not go on.
        let state = self.state.take().ok_or(Error::Misuse("this login has ended"))?;
        match self.exchange.receive(bytes)? {
            Received::Piece => {
                self.state = Some(state);
                Ok(Progress::More)
            }
            Received::Status { class: 1, detail, text } => redirect(detail, &text),
            Received::Status { class, detail, .. } => Err(LoginError::Refused { class, detail }),
            Received::Answer(answer) => {
                self.shared.lapses.unterminated |= !is_terminated(&answer.text);
                match state.handle(&mut self.shared, &answer.text, answer.transit, entropy)? {
                    Next::Over(negotiated) => self.done(&answer.header, &negotiated),
                    next => {
                        self.go_on(next);
                        Ok(Progress::More)
                    }
                }
            }
        }
    }

    fn go_on(&mut self, next: Next) {
        if let Next::Say(state, current, ready_for, text) = next {
            self.exchange.send(current, ready_for, text.into_bytes());
            self.state = Some(state);
        }
    }

    fn done(&self, last: &LoginResponse, negotiated: &Negotiated) -> Result<Progress, LoginError> {
        let Identity { isid, tsih, cid, cmd_sn, .. } = *self.exchange.identity();
        // §11.13.3: the final response of a new session carries the target's handle of it, not 0.
        if last.tsih == Tsih(0) {
            return Err(PeerMisbehaved::Rule("a final login response with TSIH 0 (RFC 7143 §11.13.3)").into());
        }
        if tsih != Tsih(0) && tsih != last.tsih {
            return Err(PeerMisbehaved::Rule("a final login response for another session (RFC 7143 §11.13.3)").into());
        }
        let authentication = match (self.shared.algorithm, &self.shared.config.chap) {
            (Some(algorithm), Some(ChapConfig { mutual: Some(_), .. })) => format!("mutual CHAP {algorithm}"),
            (Some(algorithm), _) => format!("CHAP {algorithm}"),
            (None, _) => "None".to_string(),
        };
        let handoff = Handoff {
            version: HANDOFF_VERSION,
            cmd_sn: cmd_sn.0,
            exp_stat_sn: last.stat_sn.next().0,
            max_cmd_sn: last.max_cmd_sn.0,
            first_burst_length: negotiated.first_burst_length,
            max_burst_length: negotiated.max_burst_length,
            max_recv_data_segment_length: negotiated.max_recv_data_segment_length,
            max_send_data_segment_length: negotiated.max_send_data_segment_length,
            tsih: last.tsih.0,
            cid: cid.0,
            max_outstanding_r2t: negotiated.max_outstanding_r2t,
            default_time2wait: negotiated.default_time2wait,
            default_time2retain: negotiated.default_time2retain,
            target_portal_group_tag: self.shared.group_tag.or(self.shared.config.group_tag).unwrap_or(0),
            isid: isid.0,
            header_digest: negotiated.header_digest.into(),
            data_digest: negotiated.data_digest.into(),
            initial_r2t: negotiated.initial_r2t.into(),
            immediate_data: negotiated.immediate_data.into(),
            error_recovery_level: negotiated.error_recovery_level,
            reserved: [0; 3],
        };
        Ok(Progress::Done(Box::new(LoggedIn {
            handoff,
            target_alias: self.shared.target_alias.clone(),
            group_tag: self.shared.group_tag,
            authentication,
            negotiated: negotiated.entries(),
            lapses: self.shared.lapses.clone(),
        })))
    }
}

/// The target has moved: where to, is in TargetAddress (§11.13.5).
fn redirect(detail: u8, text: &[u8]) -> Result<Progress, LoginError> {
    for raw in RawReader::new(text) {
        let raw = raw?;
        if let Ok(key @ "TargetAddress") = raw.key() {
            let address = parse_target_address(raw.value_of(key)?).map_err(|_| {
                PeerMisbehaved::key("TargetAddress", "the address it redirects to is malformed (RFC 7143 §13.8)")
            })?;
            return Ok(Progress::Redirect { address, permanent: detail == 2 });
        }
    }
    Err(PeerMisbehaved::Rule("a redirection that does not say where to (RFC 7143 §11.13.5)").into())
}
