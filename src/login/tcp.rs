//! Logs in over TCP to one portal, and follows its redirections.
//!
//! ```text
//!   connect ─► login ─┬─ done ──────────────► Opened
//!                     ├─ redirected ────────► connect there (at most MAX_HOPS times)
//!                     ├─ failed over the ───► login with MD5 alone (once)
//!                     │  choice of algorithm
//!                     └─ failed ────────────► Cause
//! ```
//! A redirection changes the portal, never the target: its name stays, and with it the credentials that are
//! used. It holds for this login only, the configuration stays as it is. A target on another machine redirects to no loopback
//! address, and what answers at the new portal and is no target is not quoted: a target could otherwise look around here.

use std::net::SocketAddr;

use iscsi_proto::error::{Error, PeerMisbehaved};
use iscsi_proto::ids::{Cid, Tsih};
use iscsi_proto::login::{
    ChapAlgorithm, ChapConfig, Entropy, LoggedIn, Login, LoginConfig, LoginError, Progress, Secret,
};
use iscsi_proto::names::TargetAddress;
use iscsi_proto::pdu::{BHS_LEN, Opcode};
use iscsi_proto::sn::CmdSn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::connect::{Endpoint, connect};
use super::failure::{Cause, Failed};
use super::meant::{Asked, NOT_HERE, is_foreign_name};
use super::plan::{Opened, Opener, Opening, Plan};
use crate::config::{Credentials, Portal, endpoint};

/// How many redirections are followed.
const MAX_HOPS: usize = 4;

/// Logs in over TCP.
#[derive(Debug)]
pub(crate) struct OverTcp;

impl Opener for OverTcp {
    fn open<'a>(&'a self, plan: &'a Plan, portal: &'a Portal) -> Opening<'a> {
        Box::pin(async move {
            let mut way = Way {
                plan,
                via: portal.endpoint(),
                to: Endpoint {
                    foreign: plan.named_by.as_ref().is_some_and(|from| is_foreign_name(&portal.address, from)),
                    ..Endpoint::from(portal)
                },
                group_tag: portal.group_tag,
                hops: 0,
                md5_alone: false,
                deadline: Instant::now() + plan.timeout,
            };
            match way.follow().await {
                Ok(opened) => Ok(opened),
                Err(cause) => Err(Failed { portal: way.portal(), cause }),
            }
        })
    }
}

/// A login on its way from portal to portal.
struct Way<'a> {
    plan: &'a Plan,
    via: String,
    to: Endpoint,
    group_tag: Option<u16>,
    /// Redirections that were followed.
    hops: usize,
    /// MD5 alone is offered.
    md5_alone: bool,
    deadline: Instant,
}

/// What a login on one connection came to.
enum Outcome {
    Done(TcpStream, Box<LoggedIn>),
    Elsewhere(TargetAddress),
    Failed(Cause, Choice),
}

/// Where a login ended, seen from CHAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Before or without a list of algorithms.
    None,
    /// Over the list: the target was sent it, has chosen nothing, and has got no response.
    Offered,
    /// Over an algorithm of the target's choice, or after it.
    Made(ChapAlgorithm),
}

impl Way<'_> {
    fn portal(&self) -> String {
        endpoint(&self.to.host, self.to.port)
    }

    fn silent(&self) -> Cause {
        Cause::Silent { after: self.plan.timeout }
    }

    async fn follow(&mut self) -> Result<Opened, Cause> {
        let mut chap = self.plan.chap.as_ref().map(chap_config).transpose()?;
        loop {
            let connected = connect(&self.to, self.deadline, self.plan.timeout).await;
            let stream = connected.map_err(|cause| match cause {
                // Nobody has sent us on: a list of targets has the name.
                Cause::Redirected { .. } if self.hops == 0 => {
                    Cause::Unreachable { why: format!("its name leads to this machine: {NOT_HERE}") }
                }
                other => other,
            })?;
            let peer = stream.peer_addr().map_err(|error| Cause::Dropped { why: error.to_string() })?;
            match self.log_in(stream, chap.clone()).await {
                Outcome::Done(stream, logged_in) => return self.opened(stream, *logged_in),
                Outcome::Elsewhere(address) => self.turn(address, peer)?,
                Outcome::Failed(cause, choice) => match md5_alone(&cause, choice, chap.as_ref()) {
                    Some(weaker) => {
                        let what = self.plan.what();
                        let met = match choice {
                            Choice::Made(algorithm) => format!("chose {algorithm} and then failed"),
                            _ => "failed over the list of CHAP algorithms".to_owned(),
                        };
                        info!(
                            "{what} at {}: the target {met} ({cause}); trying once more with MD5 alone",
                            self.portal()
                        );
                        chap = Some(weaker);
                        self.md5_alone = true;
                    }
                    None if matches!(cause, Cause::Refused { class: 2, detail: 1 }) && chap.is_none() => {
                        return Err(Cause::ChapMissing);
                    }
                    None => return Err(cause),
                },
            }
        }
    }

    /// Goes where the target at `peer` sends us.
    fn turn(&mut self, address: TargetAddress, peer: SocketAddr) -> Result<(), Cause> {
        self.hops += 1;
        if self.hops > MAX_HOPS {
            return Err(Cause::Redirected { why: format!("that after {MAX_HOPS} redirections already") });
        }
        let asked = Asked { host: &self.to.host, peer };
        let named = address.to_string();
        let meant = asked.meant(address);
        let address = meant.map_err(|why| Cause::Redirected { why: format!("{named} cannot be meant: {why}") })?;
        info!("{} sends us from {} to {address}", self.plan.what(), self.portal());
        self.to.foreign |= !asked.is_here();
        self.to.host = address.portal.host;
        self.to.port = address.portal.port;
        // Another portal may belong to another group; what we know is of the first one.
        self.group_tag = address.group_tag;
        Ok(())
    }

    fn opened(&self, stream: TcpStream, logged_in: LoggedIn) -> Result<Opened, Cause> {
        let LoggedIn { handoff, target_alias, group_tag, authentication, negotiated, lapses } = logged_in;
        let stream = stream.into_std().map_err(|error| Cause::Dropped { why: error.to_string() })?;
        Ok(Opened {
            stream,
            handoff,
            portal: self.portal(),
            via: self.via.clone(),
            alias: target_alias,
            authentication,
            keys: negotiated,
            declared_tag: group_tag.filter(|_| self.hops == 0),
            md5_alone: self.md5_alone,
            lapses,
        })
    }

    /// The group that the portal must be of, if the session is to go on over it. One that a redirection leads to is another
    /// portal, also behind the one of before.
    fn session_group(&self) -> Option<u16> {
        let continues = self.plan.continues.as_ref()?;
        (self.hops > 0 || self.via != continues.via).then_some(continues.group_tag)
    }

    async fn log_in(&self, mut stream: TcpStream, chap: Option<ChapConfig>) -> Outcome {
        let plan = self.plan;
        let config = LoginConfig {
            initiator_name: plan.initiator.clone(),
            initiator_alias: Some(plan.alias.clone()).filter(|alias| !alias.is_empty()),
            target_name: plan.target.clone(),
            isid: plan.isid,
            tsih: Tsih(0),
            cid: Cid(0),
            cmd_sn: CmdSn(1),
            offer: plan.offer.clone(),
            chap,
            group_tag: self.group_tag,
            session_group: self.session_group(),
        };
        let mut entropy = SystemEntropy::default();
        let mut login = Login::new(config, &mut entropy);
        let mut bytes = Vec::new();
        let mut first = true;
        loop {
            match self.exchange(&mut stream, &mut login, &mut bytes, &mut entropy, first).await {
                Ok(Progress::More) => first = false,
                Ok(Progress::Redirect { address, .. }) => return Outcome::Elsewhere(address),
                Ok(Progress::Done(logged_in)) => return Outcome::Done(stream, logged_in),
                Err(cause) => {
                    let choice = match login.chosen_algorithm() {
                        Some(algorithm) => Choice::Made(algorithm),
                        None if login.awaits_algorithm() => Choice::Offered,
                        None => Choice::None,
                    };
                    return Outcome::Failed(cause, choice);
                }
            }
        }
    }

    /// Sends what there is to send, and takes the next piece of the answer; the first may be that of a stranger.
    async fn exchange(
        &self,
        stream: &mut TcpStream,
        login: &mut Login,
        bytes: &mut Vec<u8>,
        entropy: &mut SystemEntropy,
        first: bool,
    ) -> Result<Progress, Cause> {
        let foreign = |begun: &[u8]| if first { self.foreign(begun) } else { None };
        while let Some(pdu) = login.poll_transmit() {
            entropy.check()?;
            match timeout_at(self.deadline, stream.write_all(&pdu)).await {
                Err(_) => return Err(self.silent()),
                Ok(Err(error)) => return Err(Cause::Dropped { why: error.to_string() }),
                Ok(Ok(())) => {}
            }
        }
        bytes.resize(login.need(), 0);
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let trouble = match timeout_at(self.deadline, stream.read(rest)).await {
                Err(_) => self.silent(),
                Ok(Err(error)) => Cause::Dropped { why: error.to_string() },
                Ok(Ok(0)) => Cause::Dropped { why: "end of the stream".to_owned() },
                Ok(Ok(count)) => {
                    filled += count;
                    continue;
                }
            };
            return Err(foreign(bytes.get(..filled).unwrap_or_default()).unwrap_or(trouble));
        }
        login.receive(bytes, entropy).map_err(|error| foreign(bytes).unwrap_or_else(|| cause(error)))
    }

    /// Whether the beginning of an answer shows that it is none: many servers greet with fewer bytes than a header has, and then
    /// wait; others answer in words of their own.
    fn foreign(&self, begun: &[u8]) -> Option<Cause> {
        let opcode = Opcode::from(begun.first()? & 0x3f);
        if matches!(opcode, Opcode::LoginResponse | Opcode::Reject) {
            return None;
        }
        // Only the first line: what follows would be cut anyway.
        let line = begun.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii();
        let words = !line.is_empty() && line.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic());
        let why = match str::from_utf8(line) {
            Ok(line) if words && self.hops == 0 => format!("it says \"{}\"", line.escape_debug()),
            _ if begun.len() < BHS_LEN || words => "its first bytes are none of a login response".to_owned(),
            _ => return None,
        };
        Some(Cause::NotIscsi { why })
    }
}

fn cause(error: LoginError) -> Cause {
    match error {
        LoginError::Refused { class, detail } => Cause::Refused { class, detail },
        LoginError::Rejected { reason } => Cause::Rejected { reason },
        LoginError::Authentication(why) => Cause::Authentication { why: why.into_owned() },
        LoginError::Incompatible(why) => Cause::Incompatible { why: why.into_owned() },
        LoginError::Protocol(Error::PeerMisbehaved(how @ PeerMisbehaved::Key { .. })) => {
            Cause::Misspoken { why: how.to_string() }
        }
        LoginError::Protocol(error @ Error::Misuse(_)) => Cause::Settings { why: error.to_string() },
        LoginError::Protocol(error) => Cause::NotIscsi { why: error.to_string() },
        other => Cause::NotIscsi { why: other.to_string() },
    }
}

/// MD5 alone, where it is allowed, if the target failed over the choice of an algorithm. tgt takes SHA-256 and then refuses every
/// response to it, with 0200; others compare the whole list with "5", and refuse it, in whichever way: by a status, by a Reject PDU,
/// by hanging up.
///
/// A target that has chosen has got a response to a challenge of its own; with MD5 it gets another one, which it could have had at
/// once. One that has not chosen has got none.
fn md5_alone(cause: &Cause, choice: Choice, chap: Option<&ChapConfig>) -> Option<ChapConfig> {
    let chap = chap?;
    let failed = match choice {
        Choice::None | Choice::Made(ChapAlgorithm::Md5) => false,
        Choice::Made(_) => {
            matches!(cause, Cause::Refused { class: 2, detail: 0 | 1 } | Cause::Rejected { .. } | Cause::Dropped { .. })
        }
        // Missing parameter and invalid request as well; not what is said of names, or of the target's state.
        Choice::Offered => matches!(
            cause,
            Cause::Refused { class: 2, detail: 0 | 1 | 7 | 0xb }
                | Cause::Rejected { .. }
                | Cause::Dropped { .. }
                | Cause::Authentication { .. }
        ),
    };
    let allowed = chap.algorithms.contains(&ChapAlgorithm::Md5) && chap.algorithms.len() > 1;
    (failed && allowed).then(|| ChapConfig { algorithms: vec![ChapAlgorithm::Md5], ..chap.clone() })
}

fn chap_config(credentials: &Credentials) -> Result<ChapConfig, Cause> {
    let wrong = |error: iscsi_proto::login::ChapError| Cause::Settings { why: error.to_string() };
    let secret = |bytes: &[u8]| Secret::new(bytes).map_err(wrong);
    let mutual = match &credentials.mutual {
        Some(mutual) => Some((mutual.name.clone().unwrap_or_default(), secret(mutual.secret.as_bytes())?)),
        None => None,
    };
    let algorithms: Result<Vec<ChapAlgorithm>, _> = credentials.algorithms.iter().map(|name| name.parse()).collect();
    let chap = ChapConfig {
        name: credentials.name.clone(),
        secret: secret(credentials.secret.as_bytes())?,
        mutual,
        algorithms: algorithms.map_err(wrong)?,
    };
    chap.check().map_err(wrong)?;
    Ok(chap)
}

/// The system's generator. Should it ever fail, nothing more is sent: a challenge that can be guessed
/// is worse than none.
#[derive(Debug, Default)]
struct SystemEntropy {
    failed: Option<getrandom::Error>,
}

impl SystemEntropy {
    fn check(&self) -> Result<(), Cause> {
        match self.failed {
            None => Ok(()),
            Some(error) => Err(Cause::Settings { why: format!("the system has no random numbers: {error}") }),
        }
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            self.failed = Some(error);
        }
    }
}

#[cfg(test)]
mod tests;
