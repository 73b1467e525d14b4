//! The states of a login. Each is a struct that an answer of the target consumes; what comes out is
//! the next one.
//!
//! ```text
//!                 AuthMethod=None, T
//!      Opening ──────────────────────────────────────────────────────► Operational ── T ──► over
//!         │ AuthMethod=CHAP                                                 ▲
//!         ▼                                                                 │
//!      Offered ── CHAP_A, CHAP_I, CHAP_C ──► Proving ── [CHAP_N, CHAP_R] T ─┘
//! ```
//! An answer without T leaves the login where it is: what had to be answered is answered, and T set again.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::Lapses;
use super::chap::{self, ChapAlgorithm, ChapConfig};
use super::config::{Entropy, LoginConfig};
use super::error::LoginError;
use crate::error::PeerMisbehaved;
use crate::keys::{
    Key, KeyRow, Negotiated, Negotiation, Pair, RawPair, RawReader, SeenKeys, SessionType, TextWriter, When, lookup,
    number,
};
use crate::pdu::LoginStage;

/// What all states share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: LoginConfig,
    pub(super) seen: SeenKeys,
    pub(super) target_alias: Option<String>,
    pub(super) lapses: Lapses,
    pub(super) group_tag: Option<u16>,
    pub(super) algorithm: Option<ChapAlgorithm>,
    /// CHAP_A has been sent.
    pub(super) algorithms_offered: bool,
}

/// Where a login stands.
#[derive(Debug)]
pub(super) enum State {
    Opening(Opening),
    Offered(Offered),
    Proving(Proving),
    Operational(Operational),
}

/// Where an answer has brought it.
#[derive(Debug)]
pub(super) enum Next {
    /// To a state, with something to say in a stage; the second stage is the one we are ready for.
    Say(State, LoginStage, Option<LoginStage>, TextWriter),
    /// To its end.
    Over(Negotiated),
}

/// An answer's keys, those of the security stage picked out.
#[derive(Debug, Default)]
struct SecurityKeys {
    method: Option<String>,
    chap: [Option<String>; 5],
}

const CHAP: [Key; 5] = [Key::ChapA, Key::ChapI, Key::ChapC, Key::ChapN, Key::ChapR];

impl SecurityKeys {
    fn has_chap(&self) -> bool {
        self.chap.iter().any(Option::is_some)
    }

    fn is_empty(&self) -> bool {
        self.method.is_none() && !self.has_chap()
    }
}

fn failed<T>(why: impl Into<Cow<'static, str>>) -> Result<T, LoginError> {
    Err(LoginError::Authentication(why.into()))
}

impl Shared {
    /// Which session this login is for.
    pub(super) fn session(&self) -> SessionType {
        match self.config.target_name {
            Some(_) => SessionType::Normal,
            None => SessionType::Discovery,
        }
    }

    /// Takes a pair that has no consequences, or that may come in any stage. What it was if it is neither.
    fn plain<'a>(
        &mut self,
        raw: RawPair<'a>,
        out: &mut TextWriter,
    ) -> Result<Option<(&'static KeyRow, Pair<'a>)>, LoginError> {
        let key = raw.key()?;
        self.seen.note(key)?;
        // Of what nobody understands or uses, the value may be anything: only what has consequences has to be text.
        let Some(row) = lookup(key).filter(|row| row.key != Key::Private) else {
            out.push(key, "NotUnderstood");
            return Ok(None);
        };
        match self.declared(row.key, &raw)? {
            true => Ok(None),
            false => Ok(Some((row, Pair { key, value: raw.value_of(key)? }))),
        }
    }

    /// A key that may come in any stage: what the target says of itself. `false` for others.
    fn declared(&mut self, key: Key, raw: &RawPair<'_>) -> Result<bool, LoginError> {
        match key {
            // It is for people to see, and for nothing else: no reason to leave a target.
            Key::TargetAlias => match raw.value_of(key.name()) {
                Ok(alias) => self.target_alias = Some(alias.to_string()),
                Err(wrong) => self.lapses.alias = Some(wrong),
            },
            Key::TargetPortalGroupTag => {
                let value = raw.value_of(key.name())?;
                let tag = number(value).and_then(|tag| u16::try_from(tag).ok()).ok_or_else(|| {
                    PeerMisbehaved::key(
                        "TargetPortalGroupTag",
                        "its value is not a number up to 65535 (RFC 7143 §13.9)",
                    )
                })?;
                if let Some(group) = self.config.session_group
                    && group != tag
                {
                    let sentence = format!(
                        "the portal belongs to portal group {tag} and the session to {group}, so that it cannot go on there"
                    );
                    return Err(LoginError::Incompatible(sentence.into()));
                }
                self.group_tag = Some(tag);
            }
            // Of no use here, or an echo of ours.
            Key::TargetAddress | Key::TargetName | Key::InitiatorName | Key::InitiatorAlias | Key::SessionType => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a text of the security stage. Keys nobody knows are answered into `out`.
    fn security_keys(&mut self, text: &[u8], out: &mut TextWriter) -> Result<SecurityKeys, LoginError> {
        let mut keys = SecurityKeys::default();
        for raw in RawReader::new(text) {
            let Some((row, pair)) = self.plain(raw?, out)? else { continue };
            match (row.key, CHAP.iter().position(|&key| key == row.key)) {
                (Key::AuthMethod, _) => keys.method = Some(pair.value.to_string()),
                (_, Some(at)) => keys.chap.iter_mut().skip(at).take(1).for_each(|slot| *slot = Some(pair.value.into())),
                _ if row.when == When::FullFeature => out.push(pair.key, "Reject"),
                _ => {
                    let wrong = "it does not belong to the security stage (RFC 7143 §6.3.2)";
                    return Err(PeerMisbehaved::key(pair.key, wrong).into());
                }
            }
        }
        Ok(keys)
    }

    fn chap(&self) -> Option<&ChapConfig> {
        self.config.chap.as_ref()
    }

    /// Into the operational stage, with all our offers.
    fn operational(&self, mut out: TextWriter) -> Next {
        let mut negotiation = Negotiation::new(self.config.offer.clone(), self.session());
        negotiation.propose(&mut out);
        operational(Operational { negotiation }, out)
    }
}

/// Goes on in the security stage, not ready to leave it.
fn stay(state: State, out: TextWriter) -> Next {
    Next::Say(state, LoginStage::SecurityNegotiation, None, out)
}

/// Goes on in the security stage, ready to leave it.
fn leave(state: State, out: TextWriter) -> Next {
    Next::Say(state, LoginStage::SecurityNegotiation, Some(LoginStage::OperationalNegotiation), out)
}

fn operational(state: Operational, out: TextWriter) -> Next {
    Next::Say(State::Operational(state), LoginStage::OperationalNegotiation, Some(LoginStage::FullFeature), out)
}

impl State {
    /// The first request.
    pub(super) fn open(shared: &Shared) -> Next {
        let config = &shared.config;
        let mut out = TextWriter::new();
        out.push("InitiatorName", &config.initiator_name);
        if let Some(alias) = &config.initiator_alias {
            out.push("InitiatorAlias", cut(alias, 255));
        }
        out.push("SessionType", shared.session().as_str());
        if let Some(target) = &config.target_name {
            out.push("TargetName", target.as_written());
        }
        match &config.chap {
            // Never next to None: a target could pick it, or an attacker between us strike CHAP out.
            Some(_) => {
                out.push("AuthMethod", "CHAP");
                stay(State::Opening(Opening), out)
            }
            None => {
                out.push("AuthMethod", "None");
                leave(State::Opening(Opening), out)
            }
        }
    }

    /// Takes an answer of the target.
    pub(super) fn handle(
        self,
        shared: &mut Shared,
        text: &[u8],
        transit: bool,
        entropy: &mut dyn Entropy,
    ) -> Result<Next, LoginError> {
        match self {
            State::Opening(state) => state.handle(shared, text, transit),
            State::Offered(state) => state.handle(shared, text, entropy),
            State::Proving(state) => state.handle(shared, text, transit),
            State::Operational(state) => state.handle(shared, text, transit),
        }
    }
}

/// As much of a text as fits.
fn cut(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// We have said who we are and which method we want.
#[derive(Debug)]
pub(super) struct Opening;

impl Opening {
    fn handle(self, shared: &mut Shared, text: &[u8], transit: bool) -> Result<Next, LoginError> {
        let mut out = TextWriter::new();
        let keys = shared.security_keys(text, &mut out)?;
        if keys.has_chap() {
            return failed("the target sent CHAP keys before its turn");
        }
        match (shared.config.chap.as_ref(), keys.method.as_deref()) {
            (None, None | Some("None")) if transit => Ok(shared.operational(out)),
            (None, None | Some("None")) => Ok(leave(State::Opening(self), out)),
            (None, Some("Reject")) => {
                failed("the target wants authentication and none is configured; set a CHAP name and secret")
            }
            (None, Some(_)) => failed("the target chose an authentication method that was not offered"),
            (Some(chap), Some("CHAP")) => {
                let offered = chap.algorithms.clone();
                let numbers: Vec<_> = offered.iter().map(|algorithm| algorithm.number().to_string()).collect();
                out.push("CHAP_A", numbers.join(","));
                shared.algorithms_offered = true;
                Ok(stay(State::Offered(Offered { offered }), out))
            }
            (Some(_), None) => Ok(stay(State::Opening(self), out)),
            (Some(_), Some("None" | "Reject")) => {
                failed("CHAP is configured and the target does not do it; configure CHAP there, or none here")
            }
            (Some(_), Some(_)) => failed("the target chose an authentication method that was not offered"),
        }
    }
}

/// We have offered algorithms.
#[derive(Debug)]
pub(super) struct Offered {
    offered: Vec<ChapAlgorithm>,
}

impl Offered {
    fn handle(self, shared: &mut Shared, text: &[u8], entropy: &mut dyn Entropy) -> Result<Next, LoginError> {
        let mut out = TextWriter::new();
        let keys = shared.security_keys(text, &mut out)?;
        if keys.is_empty() {
            return Ok(stay(State::Offered(self), out));
        }
        let [algorithm, identifier, challenge, None, None] = &keys.chap else {
            return failed("the target answered a challenge before it was given one");
        };
        if algorithm.as_deref() == Some("Reject") {
            return failed("the target does none of the CHAP algorithms that are allowed; allow MD5");
        }
        let (Some(algorithm), Some(identifier), Some(challenge)) = (algorithm, identifier, challenge) else {
            return failed("the target's CHAP challenge is incomplete");
        };
        let chosen = number(algorithm).and_then(|n| self.offered.iter().find(|a| u64::from(a.number()) == n).copied());
        let Some(algorithm) = chosen else {
            return failed("the target chose a CHAP algorithm that was not offered");
        };
        shared.algorithm = Some(algorithm);
        let Some(identifier) = number(identifier).and_then(|n| u8::try_from(n).ok()) else {
            return failed("the target's CHAP identifier is not a number up to 255");
        };
        let Some(challenge) = chap::decode(challenge) else {
            return failed("the target's CHAP challenge is not a binary value of 1 to 1024 bytes");
        };
        let Some(chap) = shared.chap() else {
            return failed("CHAP is not configured");
        };
        if let Err(error) = chap.check() {
            return failed(error.to_string());
        }
        let response = algorithm.response(identifier, &chap.secret, &challenge);
        out.push("CHAP_N", &chap.name);
        out.push("CHAP_R", chap::encode(&response));
        let expected = match &chap.mutual {
            None => None,
            Some((name, secret)) => {
                let mut ours = [0; 1 + chap::CHALLENGE];
                entropy.fill(&mut ours);
                let [identifier, ours @ ..] = ours;
                // §12.1.3: a challenge is not to be reflected, neither by us nor by the target.
                if ours.as_slice() == challenge.as_slice() {
                    return failed("the target sent our own CHAP challenge back");
                }
                out.push("CHAP_I", identifier);
                out.push("CHAP_C", chap::encode(&ours));
                let proof = algorithm.response(identifier, secret, &ours);
                Some(Expected { name: name.clone(), proof, ours: response })
            }
        };
        Ok(leave(State::Proving(Proving { expected }), out))
    }
}

/// What the target has to prove itself with.
struct Expected {
    /// Its name; empty for any.
    name: String,
    /// Its response to our challenge.
    proof: Vec<u8>,
    /// Our response to its challenge, which is no proof of its own.
    ours: Vec<u8>,
}

/// We have proved ourselves, and wait for the target's word, and for its proof if we want one.
#[derive(Debug)]
pub(super) struct Proving {
    /// `None`: the target need not, or has.
    expected: Option<Expected>,
}

impl Proving {
    fn handle(self, shared: &mut Shared, text: &[u8], transit: bool) -> Result<Next, LoginError> {
        let mut out = TextWriter::new();
        let keys = shared.security_keys(text, &mut out)?;
        let state = match (self.expected, &keys.chap) {
            (expected, [None, None, None, None, None]) => Proving { expected },
            (Some(expected), [None, None, None, Some(name), Some(response)]) => {
                expected.verify(name, response)?;
                Proving { expected: None }
            }
            (Some(_), [None, None, None, ..]) => return failed("the target's proof of itself is incomplete"),
            (_, _) => return failed("the target sent CHAP keys out of order"),
        };
        match (transit, &state.expected) {
            (true, None) => Ok(shared.operational(out)),
            (true, Some(_)) => failed("the target did not prove itself, although mutual CHAP is configured"),
            (false, _) => Ok(leave(State::Proving(state), out)),
        }
    }
}

impl fmt::Debug for Expected {
    /// Proofs are nobody's business: a weak secret could be guessed from one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Expected {
    fn verify(&self, name: &str, response: &str) -> Result<(), LoginError> {
        if !self.name.is_empty() && self.name != name {
            return failed("the target gave another CHAP name than the one configured for it");
        }
        let Some(response) = chap::decode(response) else {
            return failed("the target's CHAP response is not a binary value");
        };
        if chap::same(&response, &self.ours) {
            return failed("the target sent our own CHAP response back");
        }
        match chap::same(&response, &self.proof) {
            true => Ok(()),
            false => failed("the target does not know its CHAP secret; check the target's secret on both sides"),
        }
    }
}

/// Everybody is who they say; now for the parameters.
#[derive(Debug)]
pub(super) struct Operational {
    negotiation: Negotiation,
}

impl Operational {
    fn handle(mut self, shared: &mut Shared, text: &[u8], transit: bool) -> Result<Next, LoginError> {
        let mut out = TextWriter::new();
        for raw in RawReader::new(text) {
            if let Some((_, pair)) = shared.plain(raw?, &mut out)? {
                self.negotiation.receive(pair.key, pair.value, &mut out)?;
            }
        }
        match transit {
            true => Ok(Next::Over(self.negotiation.finish()?)),
            false => Ok(operational(self, out)),
        }
    }
}
