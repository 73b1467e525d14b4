//! The login phase, from the target's side (RFC 7143 §6.3).
//!
//! ```text
//!   request ──C──► partial text … ──► whole text ──► security ──► operational ──► full feature
//!   response ◄──C── rest of a long text ◄────────── answers
//! ```

pub(crate) mod state;

use iscsi_proto::ids::Tsih;
use iscsi_proto::pdu::{LoginFlags, LoginRequest, LoginResponse, LoginStage, Opcode, Wire, opcode};
use iscsi_proto::sn::{CmdSn, StatSn};

use self::state::{Auth, Login};
use crate::builder::DigestPolicy;
use crate::chap::{self, NoChoice};
use crate::inbox::Pdu;
use crate::outbox::Outbox;
use crate::script::{LoginAction, LoginAttempt};
use crate::session::{Flow, Session};
use crate::text::{self, Pair};

/// A refusal: Status-Class and Status-Detail (§11.13.5).
type Refusal = (u8, u8);

const INITIATOR_ERROR: Refusal = (2, 0);
const AUTHENTICATION_FAILURE: Refusal = (2, 1);
const NOT_FOUND: Refusal = (2, 3);
const UNSUPPORTED_VERSION: Refusal = (2, 5);
const MISSING_PARAMETER: Refusal = (2, 7);
const SESSION_TYPE_NOT_SUPPORTED: Refusal = (2, 9);
const SESSION_DOES_NOT_EXIST: Refusal = (2, 10);

/// The longest text a login may gather over C bits.
const TEXT_LIMIT: usize = 256 * 1024;

impl Session {
    pub(crate) fn on_login(&mut self, login: &mut Login, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        if opcode(pdu.bhs) != LoginRequest::OPCODE {
            self.complain(format!("{:?} during the login phase", Opcode::from(opcode(pdu.bhs))));
            return Flow::Close;
        }
        let request = LoginRequest::decode(pdu.bhs);
        let Some(flags) = LoginFlags::decode(request.flags) else {
            self.complain(format!("login request with flags {:#04x}", request.flags));
            return Flow::Close;
        };
        self.check_login_header(login, &request, flags);
        let first = *login.first.get_or_insert(request);
        if first == request {
            self.cmd_sn = request.cmd_sn;
        }
        login.last_stage = flags.current;

        if login.partial.len() + pdu.data.len() > TEXT_LIMIT {
            return self.refuse_login(&request, INITIATOR_ERROR, out);
        }
        login.partial.extend_from_slice(pdu.data);
        if flags.more {
            if flags.transit {
                self.complain("login request with both T and C (RFC 7143 §11.12.2)".into());
            }
            let empty = LoginFlags { transit: false, more: false, ..flags };
            self.answer_login(&request, empty, Tsih(0), &[], out);
            return Flow::Continue;
        }
        if let Some(decided) = login.after_rest.take() {
            if !login.partial.is_empty() {
                self.complain("a login request with text while the response goes on with C".into());
            }
            return self.send_login_text(login, &request, decided, out);
        }
        let text = std::mem::take(&mut login.partial);
        let pairs = text::split(&text, |complaint| self.complain(format!("login text: {complaint}")));
        self.login_text(login, &request, flags, &pairs, out)
    }

    fn check_login_header(&mut self, login: &Login, request: &LoginRequest, flags: LoginFlags) {
        let Some(first) = login.first else {
            if request.tsih != Tsih(0) {
                self.complain(format!("first login request with TSIH {:#06x}", request.tsih.0));
            }
            return;
        };
        if (first.isid, first.tsih, first.cid, first.itt) != (request.isid, request.tsih, request.cid, request.itt) {
            self.complain("ISID, TSIH, CID or ITT changed during the login (RFC 7143 §6.3)".into());
        }
        if first.cmd_sn != request.cmd_sn {
            self.complain("CmdSN changed during the login (RFC 7143 §11.12.8)".into());
        }
        if request.exp_stat_sn != self.stat_sn {
            self.complain(format!(
                "login request with ExpStatSN {:#x}, {:#x} was due",
                request.exp_stat_sn.0, self.stat_sn.0
            ));
        }
        if flags.current < login.last_stage {
            self.complain("the login went back a stage".into());
        }
    }

    /// A whole text has arrived.
    fn login_text(
        &mut self,
        login: &mut Login,
        request: &LoginRequest,
        flags: LoginFlags,
        pairs: &[Pair],
        out: &mut Outbox,
    ) -> Flow {
        let is_first = login.all_keys.is_empty();
        for (key, _) in pairs {
            if login.all_keys.iter().any(|(before, _)| before == key) {
                self.complain(format!("{key} was sent twice in one login (RFC 7143 §6.2)"));
            }
            if flags.current == LoginStage::SecurityNegotiation && is_operational(key) {
                self.complain(format!("{key} in the security stage (RFC 7143 §6.3.2)"));
            }
            if flags.current == LoginStage::OperationalNegotiation && (key == "AuthMethod" || key.starts_with("CHAP_"))
            {
                self.complain(format!("{key} in the operational stage (RFC 7143 §6.3.3)"));
            }
        }
        login.all_keys.extend_from_slice(pairs);
        self.shared.record_login(self.id, request.isid.0, &login.all_keys);

        if is_first {
            match self.first_login_text(login, request, pairs) {
                Ok(LoginAction::Proceed) => {}
                Ok(LoginAction::Refuse(class, detail)) => return self.refuse_login(request, (class, detail), out),
                Ok(LoginAction::Redirect { address, permanent }) => {
                    let text = address.map(|address| text::join(&[("TargetAddress".into(), address)]));
                    let status = (1, if permanent { 2 } else { 1 });
                    return self.end_login(request, status, &text.unwrap_or_default(), out);
                }
                Ok(LoginAction::Silence) => return Flow::Ignore,
                Ok(LoginAction::Disconnect) => return Flow::Close,
                Ok(LoginAction::Garbage(bytes)) => {
                    out.raw(&bytes);
                    return Flow::Close;
                }
                Err(refusal) => return self.refuse_login(request, refusal, out),
            }
        }

        let mut answers = Vec::new();
        if is_first && !login.discovery {
            // §13.9: in the first response of a session.
            answers.push(("TargetPortalGroupTag".into(), self.shared.config.portal_group_tag.to_string()));
            login.said_tag = true;
            if let Some(alias) = &self.shared.config.alias {
                answers.push(("TargetAlias".into(), alias.clone()));
            }
        }
        match self.no_choice(login, pairs) {
            None => {}
            Some(NoChoice::Status(class, detail)) => return self.refuse_login(request, (class, detail), out),
            Some(NoChoice::Reject(reason)) => {
                self.reject(&request.encode(), reason, out);
                return Flow::Close;
            }
            Some(NoChoice::Close) => return Flow::Close,
        }
        let result = match flags.current {
            LoginStage::SecurityNegotiation => self.security(login, pairs, &mut answers),
            LoginStage::OperationalNegotiation => self.operational(login, pairs, &mut answers),
            LoginStage::FullFeature => Err(INITIATOR_ERROR),
        };
        let may_transit = match result {
            Ok(may_transit) => may_transit,
            Err(refusal) => return self.refuse_login(request, refusal, out),
        };
        self.rewrite(&mut answers);

        let transit = flags.transit && may_transit;
        login.rest = text::join(&answers);
        if let Some(rewrite) = &self.shared.config.login_text {
            rewrite(&mut login.rest);
        }
        self.send_login_text(login, request, LoginFlags { transit, more: false, ..flags }, out)
    }

    /// Names, type, and what the test says.
    fn first_login_text(
        &mut self,
        login: &mut Login,
        request: &LoginRequest,
        pairs: &[Pair],
    ) -> Result<LoginAction, Refusal> {
        if request.version_min > 0 {
            return Err(UNSUPPORTED_VERSION);
        }
        let Some(initiator) = text::value(pairs, "InitiatorName") else { return Err(MISSING_PARAMETER) };
        login.initiator = initiator.into();
        let target = text::value(pairs, "TargetName");
        match text::value(pairs, "SessionType") {
            Some("Discovery") => login.discovery = true,
            Some("Normal") | None => {}
            Some(_) => return Err(SESSION_TYPE_NOT_SUPPORTED),
        }
        let attempt = LoginAttempt {
            connection: self.id,
            initiator: initiator.into(),
            target: target.map(Into::into),
            isid: request.isid.0,
            keys: pairs.to_vec(),
        };
        match self.shared.login_action(&attempt) {
            LoginAction::Proceed => {}
            other => return Ok(other),
        }
        match target {
            None if !login.discovery => return Err(MISSING_PARAMETER),
            Some(name) if !login.discovery && name != self.shared.config.name => return Err(NOT_FOUND),
            _ => {}
        }
        // One connection per session: there is none to join.
        if request.tsih != Tsih(0) { Err(SESSION_DOES_NOT_EXIST) } else { Ok(LoginAction::Proceed) }
    }

    /// How the login ends over a list of algorithms, where they are one too many.
    fn no_choice(&self, login: &Login, pairs: &[Pair]) -> Option<NoChoice> {
        let config = self.shared.config.chap.as_ref().filter(|_| login.auth == Auth::AlgorithmAwaited)?;
        text::value(pairs, "CHAP_A").filter(|offered| *offered != "5")?;
        config.md5_alone
    }

    /// The security stage: whether it may be left.
    fn security(&mut self, login: &mut Login, pairs: &[Pair], answers: &mut Vec<Pair>) -> Result<bool, Refusal> {
        let shared = self.shared.clone();
        let Some(config) = &shared.config.chap else {
            if let Some(methods) = text::value(pairs, "AuthMethod") {
                if !methods.split(',').any(|method| method == "None") {
                    return Err(AUTHENTICATION_FAILURE);
                }
                answers.push(("AuthMethod".into(), "None".into()));
            }
            login.auth = Auth::Done;
            return Ok(true);
        };
        match login.auth.clone() {
            Auth::Open => {
                let methods = text::value(pairs, "AuthMethod").ok_or(AUTHENTICATION_FAILURE)?;
                if !methods.split(',').any(|method| method == "CHAP") {
                    return Err(AUTHENTICATION_FAILURE);
                }
                answers.push(("AuthMethod".into(), "CHAP".into()));
                login.auth = Auth::AlgorithmAwaited;
            }
            Auth::AlgorithmAwaited => {
                let offered = text::value(pairs, "CHAP_A").ok_or(INITIATOR_ERROR)?;
                let known = offered.split(',').filter_map(text::number).find(|one| config.algorithms.contains(one));
                let algorithm = known.ok_or(AUTHENTICATION_FAILURE)?;
                let mut challenge = vec![0; config.challenge_length + 1];
                if getrandom::fill(&mut challenge).is_err() {
                    return Err((3, 2));
                }
                let identifier = challenge.pop().unwrap_or_default();
                answers.push(("CHAP_A".into(), algorithm.to_string()));
                let shown =
                    if config.hexadecimal_identifier { format!("{identifier:#x}") } else { identifier.to_string() };
                answers.push(("CHAP_I".into(), shown));
                answers.push(("CHAP_C".into(), encode(&challenge, config.base64)));
                login.auth = Auth::ResponseAwaited { algorithm, identifier, challenge };
            }
            Auth::ResponseAwaited { algorithm, identifier, challenge } => {
                let name = text::value(pairs, "CHAP_N").ok_or(INITIATOR_ERROR)?;
                let given = text::value(pairs, "CHAP_R").and_then(text::binary).ok_or(INITIATOR_ERROR)?;
                let right = chap::response(algorithm, identifier, config.secret.as_bytes(), &challenge);
                if name != config.name || right != Some(given) {
                    return Err(AUTHENTICATION_FAILURE);
                }
                if let (Some(identifier), Some(theirs)) = (text::value(pairs, "CHAP_I"), text::value(pairs, "CHAP_C")) {
                    let (name, secret) = config.mutual.as_ref().ok_or(AUTHENTICATION_FAILURE)?;
                    let identifier = text::number(identifier).and_then(|one| u8::try_from(one).ok());
                    let identifier = identifier.ok_or(INITIATOR_ERROR)?;
                    let theirs = text::binary(theirs).filter(|bytes| (1..=1024).contains(&bytes.len()));
                    let theirs = theirs.ok_or(INITIATOR_ERROR)?;
                    if theirs == challenge {
                        self.complain("our CHAP challenge came back as the initiator's (RFC 7143 §9.2.1)".into());
                        return Err(AUTHENTICATION_FAILURE);
                    }
                    let answer = chap::response(algorithm, identifier, secret.as_bytes(), &theirs);
                    answers.push(("CHAP_N".into(), name.clone()));
                    answers.push(("CHAP_R".into(), encode(&answer.unwrap_or_default(), config.base64)));
                }
                login.auth = Auth::Done;
            }
            Auth::Done => {}
        }
        Ok(login.auth == Auth::Done)
    }

    /// The operational stage: every key gets its answer.
    fn operational(&mut self, login: &mut Login, pairs: &[Pair], answers: &mut Vec<Pair>) -> Result<bool, Refusal> {
        if self.shared.config.chap.is_some() && login.auth != Auth::Done {
            return Err(AUTHENTICATION_FAILURE);
        }
        if !std::mem::replace(&mut login.said_operational, true) {
            answers.extend(self.shared.config.extra_keys.iter().cloned());
        }
        for (key, value) in pairs {
            if let Some(answer) = self.operational_key(login, key, value)? {
                answers.push((key.clone(), answer));
            }
        }
        if !std::mem::replace(&mut login.declared, true)
            && let Some(length) = self.shared.config.negotiation.max_recv_data_segment_length
        {
            login.agreed.target_segment = length;
            answers.push(("MaxRecvDataSegmentLength".into(), length.to_string()));
        }
        Ok(true)
    }

    /// The answer to one key; `None` for what is only declared.
    fn operational_key(&mut self, login: &mut Login, key: &str, value: &str) -> Result<Option<String>, Refusal> {
        let ours = self.shared.config.negotiation.clone();
        let agreed = &mut login.agreed;
        let bad = |range: &str| {
            let complaint = format!("{key}={value} is out of range: {range} (RFC 7143 §13)");
            self.shared.complain(self.id, complaint);
            INITIATOR_ERROR
        };
        let ranged = |low: u32, high: u32| {
            text::number(value)
                .filter(|number| (low..=high).contains(number))
                .ok_or_else(|| bad(&format!("{low} to {high}")))
        };
        let yes = match value {
            "Yes" => Some(true),
            "No" => Some(false),
            _ => None,
        };
        let word = |yes: bool| Some(if yes { "Yes" } else { "No" }.to_string());
        const SEGMENT: u32 = (1 << 24) - 1;
        Ok(match key {
            "HeaderDigest" => {
                let chosen = digest(ours.header_digest, value);
                agreed.header_digest = chosen == "CRC32C";
                Some(chosen.into())
            }
            "DataDigest" => {
                let chosen = digest(ours.data_digest, value);
                agreed.data_digest = chosen == "CRC32C";
                Some(chosen.into())
            }
            "InitialR2T" => {
                agreed.initial_r2t = ours.initial_r2t || yes.ok_or(INITIATOR_ERROR)?;
                word(agreed.initial_r2t)
            }
            "ImmediateData" => {
                agreed.immediate_data = ours.immediate_data && yes.ok_or(INITIATOR_ERROR)?;
                word(agreed.immediate_data)
            }
            "DataPDUInOrder" => word(ours.data_pdu_in_order || yes.ok_or(INITIATOR_ERROR)?),
            "DataSequenceInOrder" => word(ours.data_sequence_in_order || yes.ok_or(INITIATOR_ERROR)?),
            "MaxRecvDataSegmentLength" => {
                agreed.initiator_segment = ranged(512, SEGMENT)?;
                None
            }
            "MaxBurstLength" => {
                agreed.max_burst_length = ranged(512, SEGMENT)?.min(ours.max_burst_length);
                agreed.first_burst_length = agreed.first_burst_length.min(agreed.max_burst_length);
                Some(agreed.max_burst_length.to_string())
            }
            "FirstBurstLength" => {
                let low = ranged(512, SEGMENT)?.min(ours.first_burst_length);
                agreed.first_burst_length = low;
                Some(low.to_string())
            }
            "MaxOutstandingR2T" => {
                agreed.max_outstanding_r2t = ranged(1, 65_535)?.min(ours.max_outstanding_r2t.into());
                Some(agreed.max_outstanding_r2t.to_string())
            }
            "MaxConnections" => {
                ranged(1, 65_535)?;
                Some("1".into())
            }
            "ErrorRecoveryLevel" => {
                ranged(0, 2)?;
                Some("0".into())
            }
            "DefaultTime2Wait" => Some(ranged(0, 3600)?.max(ours.default_time2wait.into()).to_string()),
            "DefaultTime2Retain" => Some(ranged(0, 3600)?.min(ours.default_time2retain.into()).to_string()),
            "IFMarker" | "OFMarker" => Some("No".into()),
            "InitiatorName" | "InitiatorAlias" | "TargetName" | "SessionType" => None,
            "iSCSIProtocolLevel" => Some(ranged(0, 31)?.min(1).to_string()),
            "TaskReporting" => Some("RFC3720".into()),
            _ => Some("NotUnderstood".into()),
        })
    }

    /// Makes of the answers what the test wants.
    fn rewrite(&self, answers: &mut Vec<Pair>) {
        for (key, value) in &self.shared.config.rewritten_keys {
            match value {
                Some(value) => {
                    for (_, old) in answers.iter_mut().filter(|(name, _)| name == key) {
                        old.clone_from(value);
                    }
                }
                None => answers.retain(|(name, _)| name != key),
            }
        }
    }

    /// Sends as much of `login.rest` as fits.
    fn send_login_text(
        &mut self,
        login: &mut Login,
        request: &LoginRequest,
        flags: LoginFlags,
        out: &mut Outbox,
    ) -> Flow {
        let limit = self.shared.config.text_chunk.unwrap_or(8192);
        if login.rest.len() > limit {
            let rest = login.rest.split_off(limit);
            let text = std::mem::replace(&mut login.rest, rest);
            login.after_rest = Some(flags);
            let more = LoginFlags { transit: false, more: true, ..flags };
            self.answer_login(request, more, Tsih(0), &text, out);
            return Flow::Continue;
        }
        let text = std::mem::take(&mut login.rest);
        if !(flags.transit && flags.next == LoginStage::FullFeature) {
            self.answer_login(request, flags, Tsih(0), &text, out);
            return Flow::Continue;
        }
        login.agreed.first_burst_length = login.agreed.first_burst_length.min(login.agreed.max_burst_length);
        let tsih = self.shared.new_tsih();
        self.answer_login(request, flags, tsih, &text, out);
        self.shared.login_succeeded(self.id, &login.initiator, request.isid, login.discovery, &login.agreed);
        Flow::LoggedIn
    }

    fn answer_login(&mut self, request: &LoginRequest, flags: LoginFlags, tsih: Tsih, text: &[u8], out: &mut Outbox) {
        let response = LoginResponse {
            flags: flags.encode(),
            version_max: 0,
            version_active: 0,
            isid: request.isid,
            tsih,
            itt: request.itt,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            status_class: 0,
            status_detail: 0,
        };
        out.pdu(response.encode(), text);
    }

    fn refuse_login(&mut self, request: &LoginRequest, refusal: Refusal, out: &mut Outbox) -> Flow {
        self.end_login(request, refusal, &[], out)
    }

    fn end_login(&mut self, request: &LoginRequest, status: Refusal, text: &[u8], out: &mut Outbox) -> Flow {
        let response = LoginResponse {
            flags: request.flags & 0x0c,
            version_max: 0,
            version_active: 0,
            isid: request.isid,
            tsih: request.tsih,
            itt: request.itt,
            // StatSN is valid only with Status-Class 0 (§11.13.4).
            stat_sn: StatSn(0),
            exp_cmd_sn: CmdSn(0),
            max_cmd_sn: CmdSn(0),
            status_class: status.0,
            status_detail: status.1,
        };
        out.pdu(response.encode(), text);
        Flow::Close
    }
}

fn encode(bytes: &[u8], base64: bool) -> String {
    if base64 { text::to_base64(bytes) } else { text::to_hexadecimal(bytes) }
}

/// The choice out of a list of digests; `Reject` where there is none.
fn digest(policy: DigestPolicy, offered: &str) -> &'static str {
    let mut offered = offered.split(',').filter_map(|name| match name {
        "CRC32C" => Some("CRC32C"),
        "None" => Some("None"),
        _ => None,
    });
    let chosen = match policy {
        DigestPolicy::Either => offered.next(),
        DigestPolicy::Crc32c => offered.find(|&name| name == "CRC32C"),
        DigestPolicy::None => offered.find(|&name| name == "None"),
        DigestPolicy::PreferCrc32c => offered.max_by_key(|&name| name == "CRC32C"),
    };
    chosen.unwrap_or("Reject")
}

fn is_operational(key: &str) -> bool {
    matches!(
        key,
        "HeaderDigest"
            | "DataDigest"
            | "MaxConnections"
            | "InitialR2T"
            | "ImmediateData"
            | "MaxRecvDataSegmentLength"
            | "MaxBurstLength"
            | "FirstBurstLength"
            | "DefaultTime2Wait"
            | "DefaultTime2Retain"
            | "MaxOutstandingR2T"
            | "DataPDUInOrder"
            | "DataSequenceInOrder"
            | "ErrorRecoveryLevel"
            | "TaskReporting"
            | "iSCSIProtocolLevel"
    )
}
