//! A login and a target that knows the protocol well, and bends it, or sends anything at all.
//!
//! ```text
//!   input ──► configuration ──► Login ──────► requests, each checked
//!         └─► Peer: the right answer, bent ─► cut as the login asks for it ──► Login
//! ```
//! Where the login ends well, all that the target said is read again, apart from the login's own reading, and must
//! hold what the configuration demands of it.

use std::collections::{BTreeMap, VecDeque};

use arbitrary::Unstructured;
use iscsi_proto::ids::{Cid, Isid, Tsih};
use iscsi_proto::keys::{RawReader, TABLE, TextReader, TextWriter};
use iscsi_proto::login::{ChapAlgorithm, ChapConfig, Entropy, LoggedIn, Login, LoginConfig, Progress, Secret};
use iscsi_proto::names::IscsiName;
use iscsi_proto::pdu::{
    BHS_LEN, Bhs, LoginFlags, LoginRequest, LoginResponse, LoginStage, Wire, data_segment_len, is_immediate, padding,
    set_lengths,
};
use iscsi_proto::sn::{CmdSn, StatSn};

use crate::memory;
use crate::sentence::sentence;
use crate::text::offer;

const OURS: &str = "our secret 123";
const THEIRS: &str = "their secret 9";
const PEER: &str = "target";

/// A generator that counts.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// One login.
pub fn run(data: &[u8]) {
    let before = memory::mark();
    // Input that ends in the middle is a target that says no more.
    let _ = log_in(&mut Unstructured::new(data), &before);
    before.at_most(0, "a login that is over");
}

fn config(u: &mut Unstructured<'_>) -> arbitrary::Result<LoginConfig> {
    let chap = match u.int_in_range(0..=4)? {
        0 => None,
        kind => {
            let mutual = match kind {
                1 => None,
                2 => Some(String::new()),
                _ => Some(PEER.to_owned()),
            };
            let mutual = mutual.map(|name| (name, Secret::new(THEIRS).expect("a secret")));
            let first = u.int_in_range(0..=3)?;
            let algorithms = ChapAlgorithm::ALL.iter().skip(first).copied().collect();
            Some(ChapConfig { name: "host".into(), secret: Secret::new(OURS).expect("a secret"), mutual, algorithms })
        }
    };
    let name = |name| IscsiName::parse(name).expect("a name");
    Ok(LoginConfig {
        initiator_name: name("iqn.2001-04.com.example:host"),
        initiator_alias: u.ratio(1, 4)?.then(|| "alias".into()),
        target_name: (!u.ratio(1, 4)?).then(|| name("iqn.2001-04.com.example:disk").into()),
        isid: Isid([0x80, 1, 2, 3, 4, 5]),
        tsih: Tsih(if u.ratio(1, 8)? { 9 } else { 0 }),
        cid: Cid(0),
        cmd_sn: CmdSn(*u.choose(&[1, 0, u32::MAX])?),
        offer: offer(u)?,
        chap,
        group_tag: Some(7),
        session_group: u.ratio(1, 8)?.then_some(1),
    })
}

/// What both have said, as it was on the wire.
#[derive(Default)]
struct Record {
    /// The initiator's last request, its text put together, and all keys it ever sent.
    last: Option<LoginRequest>,
    said: Vec<u8>,
    ours: Vec<(String, String)>,
    /// The target's responses so far, and its text put together.
    responses: u32,
    answers: u32,
    text: Vec<u8>,
    theirs: Vec<(String, String)>,
    twice: bool,
    exp_stat_sn: StatSn,
}

impl Record {
    fn ours(&self, name: &str) -> Option<&str> {
        self.ours.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn theirs(&self, name: &str) -> Option<&str> {
        self.theirs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A request of ours: everything that has to hold of it (RFC 7143 §11.12).
    fn request(&mut self, pdu: &[u8], config: &LoginConfig) {
        let (bhs, data) = pdu.split_first_chunk::<BHS_LEN>().expect("a header");
        let header = LoginRequest::decode(bhs);
        let length = data_segment_len(bhs) as usize;
        assert_eq!(*bhs, {
            let mut again = header.encode();
            set_lengths(&mut again, 0, length as u32);
            again
        });
        assert!(is_immediate(bhs) && length <= 8192 && data.len() == length + padding(length));
        assert!(data[length..].iter().all(|byte| *byte == 0));
        assert_eq!((header.version_max, header.version_min), (0, 0));
        assert_eq!(
            (header.isid, header.tsih, header.cid, header.cmd_sn),
            (config.isid, config.tsih, config.cid, config.cmd_sn)
        );
        let flags = LoginFlags::decode(header.flags).expect("stages");
        assert!(flags.transit || header.flags & 3 == 0, "NSG without T");
        assert!(!(flags.transit && flags.more), "T and C");
        if let Some(last) = self.last {
            assert_eq!(header.itt, last.itt);
            assert!(header.flags >> 2 & 3 >= last.flags >> 2 & 3, "back to an earlier stage");
            assert_eq!(header.exp_stat_sn, self.exp_stat_sn);
        }
        for secret in [OURS, THEIRS] {
            assert!(!pdu.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "a secret on the wire");
        }
        self.last = Some(header);
        self.said.extend_from_slice(&data[..length]);
        if !flags.more {
            let said = std::mem::take(&mut self.said);
            for pair in TextReader::new(&said) {
                let pair = pair.expect("a text of ours");
                self.ours.push((pair.key.into(), pair.value.into()));
            }
        }
    }

    /// A response of the target, as the login took it.
    fn response(&mut self, bhs: &Bhs, data: &[u8]) {
        let header = LoginResponse::decode(bhs);
        self.responses += 1;
        self.exp_stat_sn = header.stat_sn.next();
        self.text.extend_from_slice(&data[..data_segment_len(bhs) as usize]);
        if header.flags & 0x40 != 0 {
            return;
        }
        self.answers += u32::from(!self.text.is_empty());
        let text = std::mem::take(&mut self.text);
        for pair in RawReader::new(&text).map_while(Result::ok) {
            let Ok(key) = pair.key() else { break };
            self.twice |= self.theirs(key).is_some();
            // What is only shown, or not understood, may be anything.
            self.theirs.push((key.into(), pair.value_of(key).unwrap_or_default().into()));
        }
    }

    /// What must have been said before a login may end well.
    fn is_proved(&self, config: &LoginConfig, done: &LoggedIn) {
        assert!(!self.twice, "a key came twice and nobody minded");
        let (session, connection) = done.handoff.params().expect("a handoff that holds");
        assert_eq!((session.isid, session.cmd_sn, connection.cid), (config.isid, config.cmd_sn, config.cid));
        assert_eq!(connection.exp_stat_sn, self.exp_stat_sn);
        assert_eq!(connection.max_recv_data_segment_length, config.offer.max_recv_data_segment_length);
        if let (Some(tag), Some(said)) = (config.session_group, self.theirs("TargetPortalGroupTag")) {
            assert_eq!(iscsi_proto::keys::number(said), Some(tag.into()));
        }
        let Some(chap) = &config.chap else {
            assert_eq!(done.authentication, "None");
            assert!(!self.ours.iter().any(|(key, _)| key.starts_with("CHAP_")));
            return;
        };
        assert_eq!(self.ours("AuthMethod"), Some("CHAP"), "nothing is offered next to CHAP");
        assert_eq!(self.theirs("AuthMethod"), Some("CHAP"));
        let number = |text: Option<&str>| text.and_then(iscsi_proto::keys::number);
        let algorithm = number(self.theirs("CHAP_A")).expect("an algorithm");
        let algorithm = chap.algorithms.iter().find(|a| u64::from(a.number()) == algorithm).expect("one we offered");
        let identifier = number(self.theirs("CHAP_I")).expect("an identifier") as u8;
        let challenge = binary(self.theirs("CHAP_C").expect("a challenge"));
        let proof = algorithm.response(identifier, &chap.secret, &challenge);
        assert_eq!(self.ours("CHAP_N"), Some(chap.name.as_str()));
        assert_eq!(binary(self.ours("CHAP_R").expect("our proof")), proof);
        let Some((name, secret)) = &chap.mutual else {
            assert!(done.authentication.starts_with("CHAP "));
            assert!(self.theirs("CHAP_R").is_none() && self.ours("CHAP_C").is_none());
            return;
        };
        assert!(done.authentication.starts_with("mutual CHAP "));
        let identifier = number(self.ours("CHAP_I")).expect("our identifier") as u8;
        let ours = binary(self.ours("CHAP_C").expect("our challenge"));
        assert_ne!(ours, challenge, "a reflected challenge");
        assert_eq!(binary(self.theirs("CHAP_R").expect("its proof")), algorithm.response(identifier, secret, &ours));
        assert!(name.is_empty() || self.theirs("CHAP_N") == Some(name));
    }
}

/// Reads `0x…` or `0b…`.
fn binary(text: &str) -> Vec<u8> {
    let (prefix, digits) = text.split_at(2);
    if prefix.eq_ignore_ascii_case("0x") {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a hexadecimal digit") as u8;
        return digits
            .as_bytes()
            .chunks(2)
            .map(|two| two.iter().fold(0, |byte, next| byte << 4 | digit(next)))
            .collect();
    }
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in digits.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | alphabet.iter().position(|byte| *byte == digit).expect("a digit") as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".into(), |text, byte| format!("{text}{byte:02x}"))
}

/// The target's side.
struct Peer {
    stat_sn: StatSn,
}

impl Peer {
    /// What a target in order would answer, and to which stage it would go.
    fn right(
        record: &Record,
        secret: &Secret,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<BTreeMap<String, String>> {
        let mut keys = BTreeMap::new();
        let mut put = |key: &str, value: &str| {
            keys.insert(key.to_owned(), value.to_owned());
        };
        let unanswered = |key: &str| record.ours(key).filter(|_| record.theirs(key).is_none());
        if let Some(method) = unanswered("AuthMethod") {
            put("AuthMethod", method);
            put("TargetPortalGroupTag", "1");
        } else if let Some(offered) = unanswered("CHAP_A") {
            let all: Vec<&str> = offered.split(',').collect();
            put("CHAP_A", u.choose(&all)?);
            put("CHAP_I", &u.arbitrary::<u8>()?.to_string());
            let length = u.int_in_range(1..=20)?;
            put(
                "CHAP_C",
                &match u.int_in_range(0..=3)? {
                    0 => "0bAAECAwQFBgc=".to_owned(),
                    1 => "0X00fF".to_owned(),
                    _ => hexadecimal(u.bytes(length)?),
                },
            );
        } else if record.last.is_some_and(|last| last.flags >> 2 & 3 == 0) {
            if let (Some(identifier), Some(challenge), Some(algorithm)) =
                (record.ours("CHAP_I"), record.ours("CHAP_C"), record.theirs("CHAP_A"))
                && let Some(algorithm) = ChapAlgorithm::ALL.into_iter().find(|a| a.number().to_string() == algorithm)
                && let Ok(identifier) = identifier.parse()
            {
                put("CHAP_N", PEER);
                put("CHAP_R", &hexadecimal(&algorithm.response(identifier, secret, &binary(challenge))));
            }
        } else {
            for row in TABLE {
                if let Some(value) = unanswered(row.name) {
                    put(row.name, value.split(',').next().unwrap_or(""));
                }
            }
        }
        Ok(keys)
    }

    /// The next PDU.
    fn respond(
        &mut self,
        record: &Record,
        config: &LoginConfig,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Vec<u8>> {
        let secret = Secret::new(if u.ratio(1, 16)? { OURS } else { THEIRS }).expect("a secret");
        let mut keys = Peer::right(record, &secret, u)?;
        let asked = record.last.map(|last| last.flags).unwrap_or_default();
        let mut flags = asked & 0x8f;
        for _ in 0..u.int_in_range(0..=2)? {
            match u.int_in_range(0..=9)? {
                0 => {
                    let key = u.choose(&["CHAP_R", "CHAP_N", "CHAP_C", "CHAP_A", "AuthMethod", "CHAP_I"])?;
                    keys.remove(*key);
                }
                1 => {
                    let value: &str = u.choose(&[
                        "CHAP",
                        "None",
                        "Reject",
                        "5",
                        "7",
                        "0x",
                        "0b",
                        "0x0",
                        "Yes",
                        "No",
                        "0",
                        "65536",
                        "NotUnderstood",
                        "",
                    ])?;
                    let row = u.choose(TABLE)?;
                    keys.insert(row.name.into(), value.into());
                }
                2 => {
                    // A reflection.
                    if let (Some(challenge), Some(proof)) = (record.ours("CHAP_C"), record.ours("CHAP_R")) {
                        keys.insert("CHAP_C".into(), challenge.into());
                        keys.insert("CHAP_R".into(), proof.into());
                    }
                }
                3 => flags = u.arbitrary()?,
                4 => flags &= 0x0c,
                5 => flags |= 0x40,
                6 => {
                    for n in 0..u.int_in_range(0..=60)? {
                        keys.insert(format!("X-{n}"), "v".repeat(u.int_in_range(0..=256)?));
                    }
                }
                7 => keys.clear(),
                8 => {
                    // All that can be said, in one answer.
                    keys.extend(
                        [("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", "0x01"), ("CHAP_N", PEER)]
                            .map(|(k, v)| (k.into(), v.into())),
                    );
                }
                _ => {
                    keys.insert("TargetAddress".into(), "192.0.2.1:3260,1".into());
                }
            }
        }
        let mut text = TextWriter::new();
        keys.iter().for_each(|(key, value)| text.push(key, value));
        let mut text = text.into_bytes();
        if u.ratio(1, 8)? {
            let length = u.int_in_range(0..=64)?;
            text.extend_from_slice(u.bytes(length)?);
        }
        if u.ratio(1, 16)? {
            let keep = u.int_in_range(0..=text.len())?;
            text.truncate(keep);
        }
        text.truncate(8192);
        let tsih = if flags & 0x83 == 0x83 { 9 } else { config.tsih.0 };
        let last = record.last;
        let mut header = LoginResponse {
            flags,
            version_max: 0,
            version_active: 0,
            isid: config.isid,
            tsih: Tsih(tsih),
            itt: last.map(|last| last.itt).unwrap_or(iscsi_proto::ids::Itt(0)),
            stat_sn: self.stat_sn,
            exp_cmd_sn: config.cmd_sn,
            max_cmd_sn: config.cmd_sn.plus(31),
            status_class: 0,
            status_detail: 0,
        };
        self.stat_sn = self.stat_sn.next();
        if u.ratio(1, 16)? {
            match u.int_in_range(0..=4)? {
                0 => (header.status_class, header.status_detail) = u.arbitrary()?,
                1 => header.tsih = Tsih(u.arbitrary()?),
                2 => header.itt = iscsi_proto::ids::Itt(u.arbitrary()?),
                3 => header.version_active = u.arbitrary()?,
                _ => header.stat_sn = StatSn(u.arbitrary()?),
            }
        }
        let mut bhs = header.encode();
        set_lengths(&mut bhs, 0, text.len() as u32);
        if u.ratio(1, 32)? {
            bhs[u.int_in_range(0..=7)?] = u.arbitrary()?;
        }
        let mut pdu = bhs.to_vec();
        pdu.extend_from_slice(&text);
        pdu.resize(pdu.len() + padding(text.len()), 0);
        Ok(pdu)
    }
}

fn log_in(u: &mut Unstructured<'_>, before: &memory::Mark) -> arbitrary::Result<()> {
    let config = config(u)?;
    let mut entropy = Counting(u.arbitrary()?);
    let mut login = Login::new(config.clone(), &mut entropy);
    let mut record = Record::default();
    let mut peer = Peer { stat_sn: StatSn(*u.choose(&[0, u32::MAX, 7])?) };
    let mut coming: VecDeque<u8> = VecDeque::new();
    let mut header: Option<Bhs> = None;
    loop {
        let mut requests = 0;
        while let Some(pdu) = login.poll_transmit() {
            record.request(&pdu, &config);
            requests += 1;
        }
        assert!(requests <= 1, "one request at a time (RFC 7143 §6.3)");
        let need = login.need();
        match header {
            None => assert_eq!(need, BHS_LEN),
            Some(_) => assert!((1..=8192).contains(&need) && need.is_multiple_of(4)),
        }
        while coming.len() < need {
            match u.int_in_range(0..=15)? {
                0 => {
                    let length = u.int_in_range(1..=64)?;
                    coming.extend(u.bytes(length)?);
                }
                1 => {
                    // The same over and over: a login has an end.
                    let pdu = peer.respond(&record, &config, u)?;
                    for _ in 0..4200 * BHS_LEN / pdu.len() {
                        coming.extend(&pdu);
                    }
                }
                _ => coming.extend(peer.respond(&record, &config, u)?),
            }
        }
        let bytes: Vec<u8> = coming.drain(..need).collect();
        match header.take() {
            Some(bhs) => record.response(&bhs, &bytes),
            None => {
                let bhs: Bhs = bytes.as_slice().try_into().expect("a header");
                if data_segment_len(&bhs) == 0 {
                    record.response(&bhs, &[]);
                } else {
                    header = Some(bhs);
                }
            }
        }
        assert!(record.responses <= 4097, "a login without an end");
        let progress = login.receive(&bytes, &mut entropy);
        // The record and what is still to come are in it, too.
        before.at_most(2 << 20, "a login under way");
        match progress {
            Ok(Progress::More) => continue,
            Ok(Progress::Redirect { .. }) => {}
            Ok(Progress::Done(done)) => {
                let flags = record.last.and_then(|last| LoginFlags::decode(last.flags)).expect("a request");
                assert_eq!((flags.transit, flags.next), (true, LoginStage::FullFeature));
                record.is_proved(&config, &done);
            }
            Err(error) => {
                sentence(&error);
                let told = format!("{error} {error:?} {login:?} {config:?}");
                assert!(!told.contains(OURS) && !told.contains(THEIRS), "a secret is told");
            }
        }
        assert_eq!(login.need(), 0);
        assert!(login.receive(&[], &mut entropy).is_err() && login.poll_transmit().is_none());
        return Ok(());
    }
}
