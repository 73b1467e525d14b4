//! Logs in over TCP to one portal, and follows its redirections.
//!
//! ```text
//!   connect ─► login ─┬─ done ──────────────► Opened
//!                     ├─ redirected ────────► connect there (at most MAX_HOPS times)
//!                     ├─ refused, with an ──► login with MD5 alone (once)
//!                     │  algorithm above MD5
//!                     └─ failed ────────────► Cause
//! ```
//! A redirection changes the portal, never the target: its name stays, and with it the credentials that are
//! used. It holds for this login only, the configuration stays as it is.

use iscsi_proto::error::Error;
use iscsi_proto::ids::{Cid, Tsih};
use iscsi_proto::login::{
    ChapAlgorithm, ChapConfig, Entropy, LoggedIn, Login, LoginConfig, LoginError, Progress, Secret,
};
use iscsi_proto::names::TargetAddress;
use iscsi_proto::pdu::Opcode;
use iscsi_proto::sn::CmdSn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::connect::{Endpoint, connect};
use super::failure::{Cause, Failed};
use super::plan::{Opened, Opener, Opening, Plan};
use crate::config::{Credentials, Portal, endpoint};

/// How many redirections are followed.
const MAX_HOPS: usize = 8;

/// Logs in over TCP.
#[derive(Debug)]
pub(crate) struct OverTcp;

impl Opener for OverTcp {
    fn open<'a>(&'a self, plan: &'a Plan, portal: &'a Portal) -> Opening<'a> {
        Box::pin(async move {
            let mut way = Way {
                plan,
                via: portal.endpoint(),
                to: Endpoint::from(portal),
                group_tag: portal.group_tag,
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
    deadline: Instant,
}

/// What a login on one connection came to.
enum Outcome {
    Done(TcpStream, Box<LoggedIn>),
    Elsewhere(TargetAddress),
    Failed(Cause, Option<ChapAlgorithm>),
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
        let mut hops = 0;
        loop {
            let stream = connect(&self.to, self.deadline, self.plan.timeout).await?;
            match self.log_in(stream, chap.clone()).await {
                Outcome::Done(stream, logged_in) => return self.opened(stream, *logged_in),
                Outcome::Elsewhere(address) => {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Err(Cause::Redirected { why: format!("that after {MAX_HOPS} redirections already") });
                    }
                    info!("{} sends us from {} to {address}", self.plan.what(), self.portal());
                    self.to.host = address.portal.host;
                    self.to.port = address.portal.port;
                    // Another portal may belong to another group; what we know is of the first one.
                    self.group_tag = address.group_tag;
                }
                Outcome::Failed(cause, algorithm) => match md5_alone(&cause, algorithm, chap.as_ref()) {
                    Some(weaker) => {
                        info!(
                            "{} at {}: the target chose {} and then refused; trying once more with MD5 alone",
                            self.plan.what(),
                            self.portal(),
                            algorithm.map_or("an algorithm", ChapAlgorithm::name),
                        );
                        chap = Some(weaker);
                    }
                    None => return Err(cause),
                },
            }
        }
    }

    fn opened(&self, stream: TcpStream, logged_in: LoggedIn) -> Result<Opened, Cause> {
        let LoggedIn { handoff, target_alias, authentication, negotiated } = logged_in;
        let stream = stream.into_std().map_err(|error| Cause::Dropped { why: error.to_string() })?;
        Ok(Opened {
            stream,
            handoff,
            portal: self.portal(),
            via: self.via.clone(),
            alias: target_alias,
            authentication,
            keys: negotiated,
        })
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
        };
        let mut entropy = SystemEntropy::default();
        let mut login = Login::new(config, &mut entropy);
        let mut bytes = Vec::new();
        loop {
            match self.exchange(&mut stream, &mut login, &mut bytes, &mut entropy).await {
                Ok(Progress::More) => {}
                Ok(Progress::Redirect { address, .. }) => return Outcome::Elsewhere(address),
                Ok(Progress::Done(logged_in)) => return Outcome::Done(stream, logged_in),
                Err(cause) => return Outcome::Failed(cause, login.chosen_algorithm()),
            }
        }
    }

    /// Sends what there is to send, and takes the next piece of the answer.
    async fn exchange(
        &self,
        stream: &mut TcpStream,
        login: &mut Login,
        bytes: &mut Vec<u8>,
        entropy: &mut SystemEntropy,
    ) -> Result<Progress, Cause> {
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
        login.receive(bytes, entropy).map_err(cause)
    }
}

/// Whether the beginning of a header shows that it is none: many servers greet with fewer bytes than
/// a header has, and then wait.
fn foreign(begun: &[u8]) -> Option<Cause> {
    let opcode = Opcode::from(begun.first()? & 0x3f);
    let plausible = matches!(opcode, Opcode::LoginResponse | Opcode::Reject) || begun.len() >= 48;
    let greeting = String::from_utf8_lossy(begun).trim().escape_debug().to_string();
    (!plausible).then(|| Cause::NotIscsi { why: format!("it says \"{greeting}\"") })
}

fn cause(error: LoginError) -> Cause {
    match error {
        LoginError::Refused { class, detail } => Cause::Refused { class, detail },
        LoginError::Authentication(why) => Cause::Authentication { why: why.into_owned() },
        LoginError::Incompatible(why) => Cause::Incompatible { why: why.into_owned() },
        LoginError::Protocol(error @ Error::Misuse(_)) => Cause::Settings { why: error.to_string() },
        LoginError::Protocol(error) => Cause::NotIscsi { why: error.to_string() },
        other => Cause::NotIscsi { why: other.to_string() },
    }
}

/// MD5 alone, if the target failed on another algorithm that it chose itself and MD5 is allowed: tgt
/// takes SHA-256 and then refuses every response to it, with 0200. Others might just hang up.
fn md5_alone(cause: &Cause, algorithm: Option<ChapAlgorithm>, chap: Option<&ChapConfig>) -> Option<ChapConfig> {
    let chap = chap?;
    let failed = matches!(cause, Cause::Refused { class: 2, detail: 0 | 1 } | Cause::Dropped { .. });
    let stronger = algorithm.is_some_and(|algorithm| algorithm != ChapAlgorithm::Md5);
    let allowed = chap.algorithms.contains(&ChapAlgorithm::Md5);
    (failed && stronger && allowed).then(|| ChapConfig { algorithms: vec![ChapAlgorithm::Md5], ..chap.clone() })
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
