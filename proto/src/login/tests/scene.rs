//! A login and the target it talks to.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::*;
use crate::keys::{TextReader, TextWriter};
use crate::pdu::LoginStage::{FullFeature, OperationalNegotiation, SecurityNegotiation};
use crate::pdu::{
    BHS_LEN, Bhs, LoginFlags, LoginRequest, LoginStage, Wire, data_segment_len, is_immediate, padding, set_lengths,
};
use crate::sn::StatSn;

/// A generator that counts: every byte differs from the one before.
pub(super) struct Counting(pub(super) u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// What the target heard: a header and its keys.
pub(super) struct Heard {
    pub(super) header: LoginRequest,
    pub(super) flags: LoginFlags,
    pub(super) data: Vec<u8>,
}

impl Heard {
    pub(super) fn keys(&self) -> Vec<(String, String)> {
        let pairs = TextReader::new(&self.data).map(|pair| pair.expect("a text of ours"));
        pairs.map(|pair| (pair.key.to_string(), pair.value.to_string())).collect()
    }

    pub(super) fn key(&self, name: &str) -> Option<String> {
        self.keys().into_iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    pub(super) fn stages(&self) -> (LoginStage, Option<LoginStage>) {
        (self.flags.current, self.flags.transit.then_some(self.flags.next))
    }
}

/// A login and the target it talks to. What the target says is set in `say` and may be bent.
///
/// Beside it goes a second login, which hears every text of the target a byte at a time, each but the last in
/// a PDU with C. Both must say and come to the same.
pub(super) struct Scene {
    pub(super) login: Login,
    pub(super) entropy: Counting,
    pub(super) stat_sn: StatSn,
    last: Option<LoginRequest>,
    pieces: Login,
    pieces_entropy: Counting,
}

pub(super) type Outcome = Result<Progress, LoginError>;

impl Scene {
    pub(super) fn new(config: LoginConfig) -> Scene {
        let (mut entropy, mut pieces_entropy) = (Counting(0), Counting(0));
        Scene {
            login: Login::new(config.clone(), &mut entropy),
            entropy,
            stat_sn: StatSn(100),
            last: None,
            pieces: Login::new(config, &mut pieces_entropy),
            pieces_entropy,
        }
    }

    /// The next request, which must be there, and the only one.
    pub(super) fn hear(&mut self) -> Heard {
        let pdu = self.poll_transmit().expect("a request");
        assert!(self.poll_transmit().is_none(), "one request at a time (RFC 7143 §6.3)");
        let (bhs, data) = pdu.split_first_chunk::<BHS_LEN>().expect("a header");
        let header = LoginRequest::decode(bhs);
        let len = data_segment_len(bhs) as usize;
        assert_eq!(data.len(), len + padding(len));
        assert!(is_immediate(bhs));
        assert_eq!((header.version_max, header.version_min), (0, 0));
        assert!(header.flags & 0x80 != 0 || header.flags & 3 == 0, "NSG without T (RFC 7143 §11.12.3)");
        assert!(header.flags & 0xc0 != 0xc0, "T and C (RFC 7143 §11.12.2)");
        if let Some(last) = self.last {
            let constant = |h: LoginRequest| (h.isid, h.tsih, h.itt, h.cid, h.cmd_sn);
            assert_eq!(constant(header), constant(last), "constant through a login (RFC 7143 §11.12)");
            assert_eq!(header.exp_stat_sn, self.stat_sn, "ExpStatSN acknowledges the last response");
        }
        self.last = Some(header);
        Heard { header, flags: LoginFlags::decode(header.flags).expect("stages"), data: data[..len].into() }
    }

    /// A response in `current` with those keys.
    pub(super) fn response(&mut self, current: LoginStage, next: Option<LoginStage>, more: bool) -> LoginResponse {
        let asked = self.last.expect("a request came before");
        let flags = LoginFlags { transit: next.is_some(), more, current, next: next.unwrap_or(current) };
        let stat_sn = self.stat_sn;
        self.stat_sn = self.stat_sn.next();
        LoginResponse {
            flags: flags.encode(),
            version_max: 0,
            version_active: 0,
            isid: asked.isid,
            tsih: if next == Some(FullFeature) { Tsih(9) } else { Tsih(0) },
            itt: asked.itt,
            stat_sn,
            exp_cmd_sn: asked.cmd_sn,
            max_cmd_sn: asked.cmd_sn.plus(31),
            status_class: 0,
            status_detail: 0,
        }
    }

    pub(super) fn say(&mut self, current: LoginStage, next: Option<LoginStage>, keys: &[(&str, &str)]) -> Outcome {
        let response = self.response(current, next, false);
        self.send(response, &text(keys))
    }

    /// The next request, as both have it; ExpStatSN counts the pieces.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let request = self.login.poll_transmit();
        let without_number = |mut pdu: Vec<u8>| {
            pdu[28..32].fill(0);
            pdu
        };
        assert_eq!(self.pieces.poll_transmit().map(without_number), request.clone().map(without_number), "in pieces");
        request
    }

    /// Cuts our own texts at that many bytes.
    pub(super) fn cut_at(&mut self, segment: usize) {
        self.login.exchange.cut_at(segment);
        self.pieces.exchange.cut_at(segment);
    }

    /// Delivers a response in the portions that the login asks for.
    pub(super) fn send(&mut self, response: LoginResponse, data: &[u8]) -> Outcome {
        let outcome = self.send_whole(response, data);
        assert_eq!(self.send_in_pieces(response, data), outcome, "in pieces");
        outcome
    }

    /// To the first of the two alone: it counts what the other would have counted otherwise.
    pub(super) fn send_whole(&mut self, response: LoginResponse, data: &[u8]) -> Outcome {
        deliver(&mut self.login, &mut self.entropy, &header(response, data), data)
    }

    fn send_in_pieces(&mut self, response: LoginResponse, data: &[u8]) -> Outcome {
        let flags = LoginFlags::decode(response.flags).filter(|flags| !flags.more && response.status_class == 0);
        let (Some(flags), [begin @ .., last]) = (flags, data) else {
            return deliver(&mut self.pieces, &mut self.pieces_entropy, &header(response, data), data);
        };
        let piece = LoginResponse { flags: LoginFlags { more: true, transit: false, ..flags }.encode(), ..response };
        for byte in begin {
            let byte = core::slice::from_ref(byte);
            let progress = deliver(&mut self.pieces, &mut self.pieces_entropy, &header(piece, byte), byte)?;
            assert_eq!(progress, Progress::More);
            let answer = self.pieces.poll_transmit().expect("leave to go on");
            assert_eq!(answer.len(), BHS_LEN, "what has C is answered with nothing (RFC 7143 §6.2)");
        }
        let last = core::slice::from_ref(last);
        deliver(&mut self.pieces, &mut self.pieces_entropy, &header(response, last), last)
    }

    pub(super) fn deliver(&mut self, bhs: &Bhs, data: &[u8]) -> Outcome {
        let outcome = deliver(&mut self.login, &mut self.entropy, bhs, data);
        assert_eq!(deliver(&mut self.pieces, &mut self.pieces_entropy, bhs, data), outcome);
        outcome
    }

    /// Security without authentication, up to and including the offers of the operational stage.
    pub(super) fn to_operational(config: LoginConfig) -> (Scene, Heard) {
        let mut scene = Scene::new(config);
        scene.hear();
        let keys = [("TargetPortalGroupTag", "1"), ("AuthMethod", "None")];
        scene.say(SecurityNegotiation, Some(OperationalNegotiation), &keys).expect("security done");
        let offers = scene.hear();
        (scene, offers)
    }

    /// CHAP up to where the target has chosen `algorithm` and we have answered its challenge.
    pub(super) fn to_proof(config: LoginConfig, algorithm: ChapAlgorithm) -> (Scene, Heard) {
        let mut scene = Scene::to_offer(config);
        let keys = [("CHAP_A", &*algorithm.number().to_string()), ("CHAP_I", "17"), ("CHAP_C", "0x0102030405")];
        scene.say(SecurityNegotiation, None, &keys).expect("a challenge");
        let proof = scene.hear();
        (scene, proof)
    }

    /// CHAP up to where we have offered algorithms.
    pub(super) fn to_offer(config: LoginConfig) -> Scene {
        let mut scene = Scene::new(config);
        scene.hear();
        scene.say(SecurityNegotiation, None, &[("AuthMethod", "CHAP")]).expect("CHAP");
        scene.hear();
        scene
    }

    pub(super) fn finish(mut self) -> LoggedIn {
        match self.say(OperationalNegotiation, Some(FullFeature), &[]) {
            Ok(Progress::Done(logged_in)) => *logged_in,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn text(keys: &[(&str, &str)]) -> Vec<u8> {
    let mut text = TextWriter::new();
    keys.iter().for_each(|(key, value)| text.push(key, value));
    text.into_bytes()
}

pub(super) fn header(response: LoginResponse, data: &[u8]) -> Bhs {
    let mut bhs = response.encode();
    set_lengths(&mut bhs, 0, data.len() as u32);
    bhs
}

pub(super) fn deliver(login: &mut Login, entropy: &mut Counting, bhs: &Bhs, data: &[u8]) -> Outcome {
    assert_eq!(login.need(), BHS_LEN);
    let progress = login.receive(bhs, entropy)?;
    if data.is_empty() {
        return Ok(progress);
    }
    assert_eq!(progress, Progress::More, "the rest of the PDU is still to come");
    let mut rest = data.to_vec();
    rest.resize(data.len() + padding(data.len()), 0);
    assert_eq!(login.need(), rest.len());
    login.receive(&rest, entropy)
}
