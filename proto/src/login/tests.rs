//! Logins against a scripted target in memory.

mod chap;
mod scene;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::ids::{Cid, Isid};
use crate::keys::{DigestOffer, Offer};
use crate::names::IscsiName;
use crate::pdu::LoginStage::{FullFeature, OperationalNegotiation, SecurityNegotiation};
use crate::pdu::{BHS_LEN, Bhs, FINAL, Reject, Wire, set_lengths};
use crate::sn::{CmdSn, DataSn, StatSn};
use scene::{Counting, Outcome, Scene, text};

fn name(text: &str) -> IscsiName {
    IscsiName::parse(text).expect("a name")
}

fn secret(text: &str) -> Secret {
    Secret::new(text).expect("a secret")
}

fn normal() -> LoginConfig {
    LoginConfig {
        initiator_name: name("iqn.2001-04.com.example:host"),
        initiator_alias: Some("my host".into()),
        target_name: Some(name("iqn.2001-04.com.example:Disk1").into()),
        isid: Isid::random(0x12_3456, 7),
        tsih: Tsih(0),
        cid: Cid(3),
        cmd_sn: CmdSn(0xffff_fffe),
        offer: Offer::default(),
        chap: None,
        group_tag: None,
        session_group: None,
    }
}

fn with_chap(algorithms: &[ChapAlgorithm], mutual: bool) -> LoginConfig {
    let chap = ChapConfig {
        name: "host".into(),
        secret: secret("initiatorsecret"),
        mutual: mutual.then(|| ("disk".to_string(), secret("targetsecret12"))),
        algorithms: algorithms.into(),
    };
    LoginConfig { chap: Some(chap), ..normal() }
}

fn is_protocol_error(outcome: &Outcome) -> bool {
    matches!(outcome, Err(LoginError::Protocol(Error::PeerMisbehaved(_))))
}

fn authentication_error(outcome: Outcome) -> String {
    match outcome {
        Err(LoginError::Authentication(why)) => why.into(),
        other => panic!("{other:?}"),
    }
}

// Opening and the final response.

// check: login-first-request, login-identity-constant
#[test]
fn the_first_request_says_who_and_whom() {
    let mut scene = Scene::new(normal());
    let first = scene.hear();
    assert_eq!(first.stages(), (SecurityNegotiation, Some(OperationalNegotiation)));
    assert_eq!((first.header.tsih, first.header.cid, first.header.cmd_sn), (Tsih(0), Cid(3), CmdSn(0xffff_fffe)));
    assert_eq!((first.header.isid, first.header.exp_stat_sn), (Isid::random(0x12_3456, 7), StatSn(0)));
    let keys = first.keys();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        keys,
        [
            ("InitiatorName", "iqn.2001-04.com.example:host"),
            ("InitiatorAlias", "my host"),
            ("SessionType", "Normal"),
            ("TargetName", "iqn.2001-04.com.example:Disk1"),
            ("AuthMethod", "None"),
        ]
    );
}

// check: login-mrdsl-per-direction
#[test]
fn a_login_without_authentication_ends_in_a_handoff_that_holds() {
    let (mut scene, offers) = Scene::to_operational(normal());
    assert_eq!(offers.stages(), (OperationalNegotiation, Some(FullFeature)));
    assert_eq!(offers.key("MaxRecvDataSegmentLength").as_deref(), Some("262144"));
    let answers = [
        ("HeaderDigest", "None"),
        ("MaxBurstLength", "65536"),
        ("MaxRecvDataSegmentLength", "0x1000"),
        ("TargetAlias", "disks"),
    ];
    let done = scene.say(OperationalNegotiation, Some(FullFeature), &answers).expect("the end");
    let Progress::Done(logged_in) = done else { panic!("{done:?}") };
    let (session, connection) = logged_in.handoff.params().expect("a handoff that holds");
    assert_eq!((session.tsih, connection.cid, session.cmd_sn), (Tsih(9), Cid(3), CmdSn(0xffff_fffe)));
    assert_eq!((connection.exp_stat_sn, session.max_cmd_sn), (StatSn(102), CmdSn(29)));
    assert_eq!((session.max_burst_length, session.first_burst_length), (65_536, 65_536));
    assert_eq!((connection.max_recv_data_segment_length, connection.max_send_data_segment_length), (262_144, 4096));
    assert_eq!(logged_in.handoff.target_portal_group_tag, 1);
    assert_eq!(logged_in.target_alias.as_deref(), Some("disks"));
    assert_eq!(logged_in.authentication, "None");
    assert!(logged_in.negotiated.contains(&("MaxBurstLength".into(), "65536".into())));
    assert_eq!(scene.login.need(), 0, "what follows is not the login's to read");
    assert!(scene.login.poll_transmit().is_none());
    let again = scene.login.receive(&[], &mut Counting(0));
    assert_eq!(again, Err(LoginError::Protocol(Error::Misuse("this login has ended"))));
}

// check: login-statsn-anywhere
#[test]
fn status_numbers_may_start_anywhere() {
    for first in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff] {
        let mut scene = Scene::new(normal());
        scene.stat_sn = StatSn(first);
        scene.hear();
        scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[("AuthMethod", "None")]).expect("security done");
        scene.hear(); // which compares ExpStatSN
        assert_eq!(scene.finish().handoff.exp_stat_sn, first.wrapping_add(2));
    }
}

// check: login-tsih-zero
#[test]
fn a_final_response_without_a_session_fails() {
    let (mut scene, _) = Scene::to_operational(normal());
    let response = LoginResponse { tsih: Tsih(0), ..scene.response(OperationalNegotiation, Some(FullFeature), false) };
    assert!(is_protocol_error(&scene.send(response, &[])));
}

// check: login-tsih-zero
#[test]
fn a_final_response_for_another_session_than_the_one_to_join_fails() {
    let (mut scene, offers) = Scene::to_operational(LoginConfig { tsih: Tsih(5), ..normal() });
    assert_eq!(offers.header.tsih, Tsih(5));
    assert!(is_protocol_error(&scene.say(OperationalNegotiation, Some(FullFeature), &[])));
}

// check: login-group-tag
#[test]
fn another_portal_group_than_the_session_s_is_told() {
    let mut scene = Scene::new(LoginConfig { session_group: Some(2), ..normal() });
    scene.hear();
    let outcome = scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[("TargetPortalGroupTag", "1")]);
    assert!(
        matches!(&outcome, Err(LoginError::Incompatible(why)) if why.contains("portal group 1 and the session to 2")),
        "{outcome:?}"
    );
    assert_eq!(scene.login.need(), 0);
}

// check: login-group-tag, login-group-tag-none
#[test]
fn the_declared_portal_group_counts_more_than_the_stored_one_and_none_is_none() {
    for (declared, group) in [(Some("1"), 1), (None, 2)] {
        let mut scene = Scene::new(LoginConfig { group_tag: Some(2), ..normal() });
        scene.hear();
        let tag = declared.map(|tag| ("TargetPortalGroupTag", tag));
        scene.say(SecurityNegotiation, Some(OperationalNegotiation), tag.as_slice()).expect("security done");
        scene.hear();
        let logged_in = scene.finish();
        assert_eq!(logged_in.handoff.target_portal_group_tag, group);
        assert_eq!(logged_in.group_tag, declared.map(|_| 1));
    }
}

// check: discovery-session
#[test]
fn a_discovery_session_names_no_target() {
    let mut scene = Scene::new(LoginConfig { target_name: None, ..normal() });
    let first = scene.hear();
    assert_eq!(first.key("SessionType").as_deref(), Some("Discovery"));
    assert_eq!(first.key("TargetName"), None);
    scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[("AuthMethod", "None")]).expect("security done");
    let offers = scene.hear();
    assert_eq!(offers.key("HeaderDigest").as_deref(), Some("None"));
    assert_eq!(offers.key("ImmediateData"), None);
    scene.finish();
}

// check: chap-discovery
#[test]
fn a_discovery_session_authenticates_as_well() {
    let config = LoginConfig { target_name: None, ..with_chap(&[ChapAlgorithm::Md5], false) };
    let (mut scene, proof) = Scene::to_proof(config, ChapAlgorithm::Md5);
    assert!(proof.key("CHAP_R").is_some());
    scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[]).expect("believed");
    scene.hear();
    assert_eq!(scene.finish().authentication, "CHAP MD5");
}

#[test]
fn a_long_alias_is_cut_between_characters() {
    let mut scene = Scene::new(LoginConfig { initiator_alias: Some("ä".repeat(200)), ..normal() });
    assert_eq!(scene.hear().key("InitiatorAlias"), Some("ä".repeat(127)));
}

// Statuses.

// check: login-unknown-status
#[test]
fn refusals_keep_class_and_detail() {
    for (class, detail) in [(2, 1), (2, 3), (2, 0xff), (3, 1), (3, 0x77), (9, 9)] {
        let mut scene = Scene::new(normal());
        scene.hear();
        let response = LoginResponse {
            status_class: class,
            status_detail: detail,
            // The rest need not be valid in a refusal.
            itt: Itt(0),
            isid: Isid([0; 6]),
            flags: 0xff,
            ..scene.response(SecurityNegotiation, None, false)
        };
        assert_eq!(scene.send(response, &[]), Err(LoginError::Refused { class, detail }));
        assert_eq!(scene.login.need(), 0);
    }
}

// check: redirect-followed
#[test]
fn a_redirection_is_followed_to_wherever_it_points() {
    for (address, shown) in [
        ("192.0.2.7", "192.0.2.7:3260"),
        ("192.0.2.7:3261", "192.0.2.7:3261"),
        ("[2001:db8::7]", "[2001:db8::7]:3260"),
        ("[2001:db8::7]:3261", "[2001:db8::7]:3261"),
        ("nas.example", "nas.example:3260"),
        ("nas.example:3261", "nas.example:3261"),
        ("192.0.2.7:3260,1", "192.0.2.7:3260,1"),
    ] {
        for (detail, permanent) in [(1, false), (2, true), (0x33, false)] {
            let mut scene = Scene::new(normal());
            scene.hear();
            let response = LoginResponse {
                status_class: 1,
                status_detail: detail,
                ..scene.response(SecurityNegotiation, None, false)
            };
            let outcome = scene.send(response, &text(&[("TargetAddress", address)])).expect("a redirection");
            let Progress::Redirect { address, permanent: for_good } = outcome else { panic!("{outcome:?}") };
            assert_eq!((address.to_string().as_str(), for_good), (shown, permanent));
        }
    }
}

// check: redirect-nowhere
#[test]
fn a_redirection_to_nowhere_fails() {
    // What else is said does not matter, whatever it is.
    let mut scene = Scene::new(normal());
    scene.hear();
    let moved = LoginResponse { status_class: 1, status_detail: 1, ..scene.response(SecurityNegotiation, None, false) };
    let outcome = scene.send(moved, b"TargetAlias=\xff\0Caf\xe9=x\0TargetAddress=192.0.2.7").expect("a redirection");
    assert!(matches!(outcome, Progress::Redirect { .. }), "{outcome:?}");
    for keys in [&[][..], &[("TargetAddress", "")], &[("TargetAddress", "2001:db8::7")], &[("TargetAlias", "x")]] {
        let mut scene = Scene::new(normal());
        scene.hear();
        let response =
            LoginResponse { status_class: 1, status_detail: 1, ..scene.response(SecurityNegotiation, None, false) };
        assert!(is_protocol_error(&scene.send(response, &text(keys))), "{keys:?}");
    }
}

// Stages, and answers that do not leave them.

// check: login-t0-stays
#[test]
fn a_target_that_does_not_leave_a_stage_is_asked_again() {
    let mut scene = Scene::new(normal());
    scene.hear();
    scene.say(SecurityNegotiation, None, &[("AuthMethod", "None")]).expect("not yet");
    let again = scene.hear();
    assert_eq!(again.stages(), (SecurityNegotiation, Some(OperationalNegotiation)));
    assert_eq!(again.keys(), []);
    scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[]).expect("now");
    scene.hear();
    scene.say(OperationalNegotiation, None, &[("MaxBurstLength", "4096")]).expect("not yet");
    let again = scene.hear();
    assert_eq!((again.stages(), again.keys()), ((OperationalNegotiation, Some(FullFeature)), vec![]));
    assert_eq!(scene.finish().handoff.max_burst_length, 4096);
}

// check: login-t0-endless
#[test]
fn a_target_that_never_leaves_a_stage_is_given_up() {
    let (mut scene, _) = Scene::to_operational(normal());
    let answers = (0..1000).take_while(|_| {
        let outcome = scene.say(OperationalNegotiation, None, &[]);
        outcome == Ok(Progress::More) && scene.poll_transmit().is_some()
    });
    assert!(answers.count() < 40);
    assert_eq!(scene.login.need(), 0);
}

// check: login-target-proposes, login-key-unknown
#[test]
fn proposals_of_the_target_are_answered_before_the_login_ends() {
    let (mut scene, _) = Scene::to_operational(normal());
    let theirs = [("IFMarker", "No"), ("TaskReporting", "RFC3720"), ("X-vendor", "1"), ("InitialR2T", "Yes")];
    scene.say(OperationalNegotiation, None, &theirs).expect("proposals");
    let answer = scene.hear();
    assert_eq!(answer.stages(), (OperationalNegotiation, Some(FullFeature)));
    let keys = answer.keys();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(keys, [("IFMarker", "No"), ("TaskReporting", "RFC3720"), ("X-vendor", "NotUnderstood")]);
    assert_eq!(scene.finish().handoff.initial_r2t, 1);
}

// check: login-key-unknown
#[test]
fn keys_nobody_knows_are_not_understood_in_the_security_stage_too() {
    let mut scene = Scene::new(normal());
    scene.hear();
    let keys = [("AuthMethod", "None"), ("Zork", "1")];
    scene.say(SecurityNegotiation, Some(OperationalNegotiation), &keys).expect("security done");
    assert_eq!(scene.hear().key("Zork").as_deref(), Some("NotUnderstood"));
}

// check: login-key-wrong-stage
#[test]
fn operational_keys_do_not_belong_to_the_security_stage() {
    let mut scene = Scene::new(normal());
    scene.hear();
    assert!(is_protocol_error(&scene.say(SecurityNegotiation, None, &[("MaxBurstLength", "4096")])));
}

// check: login-stage-not-asked
#[test]
fn stages_that_were_not_asked_for_are_refused() {
    for (current, next) in [
        (OperationalNegotiation, None),
        (SecurityNegotiation, Some(FullFeature)),
        (SecurityNegotiation, Some(SecurityNegotiation)),
        (FullFeature, Some(FullFeature)),
    ] {
        let mut scene = Scene::new(normal());
        scene.hear();
        assert!(is_protocol_error(&scene.say(current, next, &[])), "{current:?} {next:?}");
    }
    // Not ready to leave, since CHAP is still to come.
    let mut scene = Scene::new(with_chap(&ChapAlgorithm::ALL, false));
    scene.hear();
    let keys = [("AuthMethod", "CHAP")];
    assert!(is_protocol_error(&scene.say(SecurityNegotiation, Some(OperationalNegotiation), &keys)));
}

// check: login-key-twice
#[test]
fn a_repeated_key_drops_the_connection() {
    let (mut scene, _) = Scene::to_operational(normal());
    let twice = [("ImmediateData", "Yes"), ("ImmediateData", "Yes")];
    assert!(is_protocol_error(&scene.say(OperationalNegotiation, None, &twice)));
    let (mut scene, _) = Scene::to_operational(normal());
    scene.say(OperationalNegotiation, None, &[("ImmediateData", "Yes")]).expect("once");
    scene.hear();
    assert!(is_protocol_error(&scene.say(OperationalNegotiation, None, &[("ImmediateData", "Yes")])));
}

// check: login-mrdsl-range
#[test]
fn a_segment_length_out_of_range_drops_the_connection() {
    for wrong in ["0", "511", "16777216"] {
        let (mut scene, _) = Scene::to_operational(normal());
        let keys = [("MaxRecvDataSegmentLength", wrong)];
        assert!(is_protocol_error(&scene.say(OperationalNegotiation, Some(FullFeature), &keys)), "{wrong}");
    }
}

// check: login-digests-negotiated, login-key-left-open
#[test]
fn a_digest_we_insist_on_and_do_not_get_is_told() {
    let mut config = normal();
    config.offer.header_digest = DigestOffer::Crc32c;
    let (mut scene, _) = Scene::to_operational(config);
    let outcome = scene.say(OperationalNegotiation, Some(FullFeature), &[("HeaderDigest", "Reject")]);
    assert!(matches!(outcome, Err(LoginError::Incompatible(_))), "{outcome:?}");
}

// Headers.

// check: login-wrong-opcode, login-segment-bounded, order-opcode, order-length
#[test]
fn headers_that_cannot_be_are_refused_before_their_data_is_read() {
    type Bend = fn(&mut Bhs);
    let bends: [(&str, Bend); 7] = [
        ("a NOP-In", |bhs| bhs[0] = 0x20),
        ("a SCSI Response", |bhs| bhs[0] = 0x21),
        ("an opcode of no PDU", |bhs| bhs[0] = 0x2f),
        ("a request", |bhs| bhs[0] = 0x03),
        ("header segments", |bhs| bhs[4] = 1),
        ("data beyond 8192 bytes", |bhs| set_lengths(bhs, 0, 8193)),
        ("data of 16 MiB", |bhs| set_lengths(bhs, 0, 0xff_ffff)),
    ];
    for (what, bend) in bends {
        let mut scene = Scene::new(normal());
        scene.hear();
        let mut bhs = scene.response(SecurityNegotiation, Some(OperationalNegotiation), false).encode();
        bend(&mut bhs);
        assert!(is_protocol_error(&scene.deliver(&bhs, &[])), "{what}");
        assert_eq!(scene.login.need(), 0, "{what}");
    }
}

// check: login-rejected
#[test]
fn a_reject_ends_the_login_and_is_told_as_one() {
    let mut scene = Scene::new(normal());
    scene.hear();
    let (stat_sn, cmd_sn) = (scene.stat_sn, CmdSn(0xffff_fffe));
    let reject = Reject {
        flags: FINAL,
        reason: 0x04,
        itt: Itt::RESERVED,
        stat_sn,
        exp_cmd_sn: cmd_sn,
        max_cmd_sn: cmd_sn,
        data_sn: DataSn(0),
    };
    let mut bhs = reject.encode();
    // The request it quotes is not waited for.
    set_lengths(&mut bhs, 0, 48);
    assert_eq!(scene.deliver(&bhs, &[]), Err(LoginError::Rejected { reason: 4 }));
    assert_eq!(scene.login.need(), 0);
}

// Texts that are not as they should be.

// check: login-shown-only
#[test]
fn what_is_only_shown_or_not_understood_may_be_anything() {
    let long = "x".repeat(256);
    for bad in [&b"\xff\xfe"[..], b"a\nb", "a\u{85}b".as_bytes(), b"\x1b[2J", long.as_bytes()] {
        let own = [b"X-com.example.Key=", bad, b"\0Unheard=", bad, b"\0"].concat();
        let all = [b"TargetAlias=", bad, b"\0InitiatorAlias=", bad, b"\0TargetAddress=", bad, b"\0", &own].concat();
        // In the security stage, and in the operational one.
        let mut scene = Scene::new(normal());
        scene.hear();
        let response = scene.response(SecurityNegotiation, Some(OperationalNegotiation), false);
        scene.send(response, &[&all[..], b"AuthMethod=None\0"].concat()).expect("security done");
        let answered = scene.hear();
        for key in ["X-com.example.Key", "Unheard"] {
            assert_eq!(answered.key(key).as_deref(), Some("NotUnderstood"), "{:?}", bad.escape_ascii());
        }
        let done = scene.finish();
        assert_eq!(done.target_alias, None);
        assert!(matches!(&done.lapses.alias, Some(PeerMisbehaved::Key { key, .. }) if key == "TargetAlias"));

        let (mut scene, _) = Scene::to_operational(normal());
        let response = scene.response(OperationalNegotiation, None, false);
        scene.send(response, &all).expect("it goes on");
        assert_eq!(scene.hear().key("Unheard").as_deref(), Some("NotUnderstood"));
        assert!(scene.finish().lapses.alias.is_some());

        // What has consequences has to be right.
        for key in ["MaxBurstLength", "HeaderDigest", "TargetPortalGroupTag", "AuthMethod"] {
            let (mut scene, _) = Scene::to_operational(LoginConfig { group_tag: None, ..normal() });
            let response = scene.response(OperationalNegotiation, Some(FullFeature), false);
            let text = [key.as_bytes(), b"=", bad, b"\0"].concat();
            assert!(is_protocol_error(&scene.send(response, &text)), "{key}");
        }
    }
    let plain = Scene::to_operational(normal()).0.finish();
    assert_eq!(plain.lapses, Lapses::default());
}

// check: text-last-zero
#[test]
fn the_last_zero_byte_of_a_text_may_be_missing() {
    let mut scene = Scene::new(with_chap(&[ChapAlgorithm::Md5], false));
    scene.hear();
    let mut say = |current, next, text: &[u8]| {
        let response = scene.response(current, next, false);
        let outcome = scene.send(response, text);
        if let Ok(Progress::More) = outcome {
            scene.hear();
        }
        outcome
    };
    let more = Ok(Progress::More);
    assert_eq!(say(SecurityNegotiation, None, b"TargetPortalGroupTag=1\0AuthMethod=CHAP"), more);
    assert_eq!(say(SecurityNegotiation, None, b"CHAP_A=5\0CHAP_I=1\0CHAP_C=0x0102"), more);
    assert_eq!(say(SecurityNegotiation, Some(OperationalNegotiation), b""), more);
    let done = say(OperationalNegotiation, Some(FullFeature), b"MaxBurstLength=65536\0ImmediateData=No");
    let Ok(Progress::Done(done)) = done else { panic!("{done:?}") };
    assert_eq!((done.handoff.max_burst_length, done.handoff.immediate_data), (65_536, 0));
    assert_eq!(done.lapses, Lapses { alias: None, unterminated: true });
}

// check: login-foreign-response
#[test]
fn responses_of_another_login_are_refused() {
    type Bend = fn(&mut LoginResponse);
    let bends: [(&str, Bend); 5] = [
        ("ITT", |response| response.itt = Itt(response.itt.0.wrapping_add(1))),
        ("ISID", |response| response.isid = Isid([1; 6])),
        ("version", |response| response.version_active = 1),
        ("stage 2", |response| response.flags = 0x08),
        ("T and C", |response| response.flags |= 0x40),
    ];
    for (what, bend) in bends {
        let mut scene = Scene::new(normal());
        scene.hear();
        let mut response = scene.response(SecurityNegotiation, Some(OperationalNegotiation), false);
        bend(&mut response);
        assert!(is_protocol_error(&scene.send(response, &[])), "{what}");
    }
}

#[test]
fn any_other_number_of_bytes_than_needed_is_misuse() {
    for len in [0, 1, 47, 49, 4096] {
        let mut scene = Scene::new(normal());
        scene.hear();
        let outcome = scene.login.receive(&vec![0x23; len], &mut scene.entropy);
        assert!(matches!(outcome, Err(LoginError::Protocol(Error::Misuse(_)))), "{len}");
    }
}

// check: order-no-panic
#[test]
fn no_bytes_a_target_can_send_make_the_login_panic() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..2000 {
        let mut scene = Scene::new(with_chap(&ChapAlgorithm::ALL, true));
        while scene.login.need() != 0 {
            let mut bytes: Vec<u8> = (0..scene.login.need()).map(|_| next() as u8).collect();
            if let [opcode, _, _, _, ahs, high, middle, _, ..] = bytes.as_mut_slice() {
                // Often enough near to what is right.
                (*opcode, *ahs, *high) = (0x23, 0, 0);
                *middle &= 0x1f;
            }
            if bytes.len() == BHS_LEN && next() % 2 == 0 {
                bytes[1] = 0;
                bytes[3] = 0;
                bytes[36] = 0;
            }
            if scene.login.receive(&bytes, &mut scene.entropy).is_err() {
                assert_eq!(scene.login.need(), 0);
            }
        }
    }
}

// The C bit.

// check: login-continuation-in
#[test]
fn a_text_may_be_cut_anywhere() {
    let keys = [("MaxBurstLength", "65536"), ("TargetAlias", "größe"), ("ImmediateData", "No")];
    let whole = text(&keys);
    for cut in 0..=whole.len() {
        let (mut scene, _) = Scene::to_operational(normal());
        let piece = scene.response(OperationalNegotiation, None, true);
        scene.send(piece, &whole[..cut]).expect("a piece");
        let empty = scene.hear();
        assert_eq!((empty.data.len(), empty.flags.more, empty.flags.current), (0, false, OperationalNegotiation));
        let rest = scene.response(OperationalNegotiation, Some(FullFeature), false);
        let done = scene.send(rest, &whole[cut..]).expect("the rest");
        let Progress::Done(logged_in) = done else { panic!("{done:?}") };
        assert_eq!((logged_in.handoff.max_burst_length, logged_in.handoff.immediate_data), (65_536, 0), "cut at {cut}");
        assert_eq!(logged_in.target_alias.as_deref(), Some("größe"));
    }
}

// check: login-continuation-in
#[test]
fn a_text_may_come_byte_by_byte() {
    let (mut scene, _) = Scene::to_operational(normal());
    for byte in text(&[("MaxBurstLength", "65536")]) {
        let piece = scene.response(OperationalNegotiation, None, true);
        scene.send(piece, &[byte]).expect("a piece");
        assert_eq!(scene.hear().data, []);
    }
    assert_eq!(scene.finish().handoff.max_burst_length, 65_536);
}

// check: login-continuation-endless
#[test]
fn a_text_without_end_is_given_up() {
    for piece in [&[b'x'; 4096][..], &[]] {
        let (mut scene, _) = Scene::to_operational(normal());
        let pieces = (0..100_000).take_while(|_| {
            let response = scene.response(OperationalNegotiation, None, true);
            scene.send_whole(response, piece) == Ok(Progress::More) && scene.login.poll_transmit().is_some()
        });
        let most = if piece.is_empty() { 5000 } else { 4 };
        assert!(pieces.count() <= most, "pieces of {} bytes", piece.len());
    }
}

// check: login-continuation-out, login-nsg-reserved
#[test]
fn a_text_of_ours_that_does_not_fit_is_cut() {
    let (_, whole) = Scene::to_operational(normal());
    let mut scene = Scene::new(normal());
    scene.cut_at(64);
    scene.hear();
    scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[("AuthMethod", "None")]).expect("security done");
    let mut data = Vec::new();
    loop {
        let piece = scene.hear();
        assert!(piece.data.len() <= 64);
        data.extend_from_slice(&piece.data);
        if !piece.flags.more {
            assert_eq!(piece.stages(), (OperationalNegotiation, Some(FullFeature)));
            break;
        }
        assert!(!piece.flags.transit, "T and C exclude each other (RFC 7143 §11.12.2)");
        scene.say(OperationalNegotiation, None, &[]).expect("leave to go on");
    }
    assert_eq!(data, whole.data);
    scene.finish();
}

// check: login-continuation-out
#[test]
fn a_target_that_answers_half_a_text_is_refused() {
    for (next, keys) in [(None, &[("TargetAlias", "x")][..]), (Some(FullFeature), &[])] {
        let mut scene = Scene::new(normal());
        scene.cut_at(64);
        scene.hear();
        scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[]).expect("security done");
        assert!(scene.hear().flags.more);
        assert!(is_protocol_error(&scene.say(OperationalNegotiation, next, keys)));
    }
}
