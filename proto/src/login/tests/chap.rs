//! CHAP, one-way and mutual.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::scene::{Heard, Scene};
use super::{authentication_error, is_protocol_error, normal, secret, with_chap};
use crate::pdu::LoginStage::{OperationalNegotiation, SecurityNegotiation};

// check: chap-algorithms
#[test]
fn every_algorithm_proves_us_and_the_target() {
    for algorithm in ChapAlgorithm::ALL {
        for mutual in [false, true] {
            let (mut scene, proof) = Scene::to_proof(with_chap(&ChapAlgorithm::ALL, mutual), algorithm);
            assert_eq!(scene.login.chosen_algorithm(), Some(algorithm));
            assert_eq!(proof.stages(), (SecurityNegotiation, Some(OperationalNegotiation)));
            let expected = algorithm.response(17, &secret("initiatorsecret"), &[1, 2, 3, 4, 5]);
            assert_eq!(proof.key("CHAP_N").as_deref(), Some("host"));
            assert_eq!(proof.key("CHAP_R"), Some(chap::encode(&expected)));
            let answer = match (proof.key("CHAP_I"), proof.key("CHAP_C")) {
                (Some(identifier), Some(challenge)) if mutual => {
                    let identifier = identifier.parse().expect("a number up to 255");
                    let challenge = chap::decode(&challenge).expect("a challenge");
                    let response = algorithm.response(identifier, &secret("targetsecret12"), &challenge);
                    vec![("CHAP_N", "disk".to_string()), ("CHAP_R", chap::encode(&response))]
                }
                (None, None) if !mutual => vec![],
                other => panic!("{other:?}"),
            };
            let answer: Vec<_> = answer.iter().map(|(key, value)| (*key, value.as_str())).collect();
            scene.say(SecurityNegotiation, Some(OperationalNegotiation), &answer).expect("proved");
            scene.hear();
            let how = if mutual { "mutual CHAP" } else { "CHAP" };
            assert_eq!(scene.finish().authentication, alloc::format!("{how} {algorithm}"));
        }
    }
}

// check: chap-algorithms, chap-evaded, login-nsg-reserved
#[test]
fn chap_is_offered_alone_and_its_algorithms_in_order() {
    let mut scene = Scene::new(with_chap(&ChapAlgorithm::ALL, false));
    let first = scene.hear();
    assert_eq!(first.key("AuthMethod").as_deref(), Some("CHAP"));
    assert_eq!(first.stages(), (SecurityNegotiation, None));
    scene.say(SecurityNegotiation, None, &[("AuthMethod", "CHAP")]).expect("CHAP");
    assert_eq!(scene.hear().key("CHAP_A").as_deref(), Some("8,7,6,5"));
}

// check: chap-evaded
#[test]
fn a_target_that_evades_chap_is_left() {
    for answer in ["None", "Reject", "KRB5", "CHAP,None"] {
        let mut scene = Scene::new(with_chap(&ChapAlgorithm::ALL, false));
        scene.hear();
        authentication_error(scene.say(SecurityNegotiation, None, &[("AuthMethod", answer)]));
    }
}

// check: chap-not-configured
#[test]
fn a_target_that_wants_chap_where_none_is_configured_is_told() {
    let mut scene = Scene::new(normal());
    scene.hear();
    let why = authentication_error(scene.say(SecurityNegotiation, None, &[("AuthMethod", "Reject")]));
    assert!(why.contains("set a CHAP name and secret"));
    for answer in [&[("AuthMethod", "CHAP")][..], &[("AuthMethod", "None"), ("CHAP_A", "5")]] {
        let mut scene = Scene::new(normal());
        scene.hear();
        authentication_error(scene.say(SecurityNegotiation, None, answer));
    }
}

// check: chap-algorithm-not-offered
#[test]
fn algorithms_that_were_not_offered_end_the_login() {
    for algorithm in ["8", "6", "0", "MD5", "", "5,8", "0x", "-5", "261", "Reject"] {
        let mut scene = Scene::to_offer(with_chap(&[ChapAlgorithm::Md5], false));
        let keys = [("CHAP_A", algorithm), ("CHAP_I", "1"), ("CHAP_C", "0x01")];
        authentication_error(scene.say(SecurityNegotiation, None, &keys));
        assert_eq!(scene.login.chosen_algorithm(), None);
    }
}

// check: chap-keys-out-of-order, chap-identifier
#[test]
fn incomplete_and_early_chap_keys_end_the_login() {
    for keys in [
        &[("CHAP_A", "5")][..],
        &[("CHAP_A", "5"), ("CHAP_I", "1")],
        &[("CHAP_A", "5"), ("CHAP_C", "0x01")],
        &[("CHAP_I", "1"), ("CHAP_C", "0x01")],
        &[("CHAP_N", "disk"), ("CHAP_R", "0x01")],
        &[("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", "0x01"), ("CHAP_N", "disk")],
        &[("CHAP_A", "5"), ("CHAP_I", "256"), ("CHAP_C", "0x01")],
        &[("CHAP_A", "5"), ("CHAP_I", "one"), ("CHAP_C", "0x01")],
    ] {
        let mut scene = Scene::to_offer(with_chap(&[ChapAlgorithm::Md5], true));
        authentication_error(scene.say(SecurityNegotiation, None, keys));
    }
}

// check: chap-challenge
#[test]
fn challenges_of_1_to_1024_bytes_in_either_encoding_are_answered() {
    let long = "AB".repeat(1024);
    let long = alloc::format!("0x{long}");
    for (challenge, bytes) in [("0x07", vec![7]), ("0bBwg=", vec![7, 8]), (&*long, vec![0xab; 1024])] {
        let mut scene = Scene::to_offer(with_chap(&[ChapAlgorithm::Sha256], false));
        let keys = [("CHAP_A", "7"), ("CHAP_I", "0xff"), ("CHAP_C", challenge)];
        scene.say(SecurityNegotiation, None, &keys).expect("a challenge");
        let expected = ChapAlgorithm::Sha256.response(255, &secret("initiatorsecret"), &bytes);
        assert_eq!(scene.hear().key("CHAP_R"), Some(chap::encode(&expected)));
    }
}

// check: chap-challenge
#[test]
fn challenges_that_are_none_end_the_login() {
    for challenge in ["", "0x", "0x123", "0xzz", "0b", "0b!", "0bBwg", "12", "Reject"] {
        let mut scene = Scene::to_offer(with_chap(&[ChapAlgorithm::Md5], false));
        let keys = [("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", challenge)];
        authentication_error(scene.say(SecurityNegotiation, None, &keys));
    }
}

// check: chap-target-silent, chap-wrong-name, chap-wrong-response, chap-reflection
#[test]
fn a_target_that_does_not_prove_itself_never_reaches_full_feature() {
    let right = |proof: &Heard| {
        let identifier = proof.key("CHAP_I").and_then(|i| i.parse().ok()).expect("an identifier");
        let challenge = proof.key("CHAP_C").and_then(|c| chap::decode(&c)).expect("a challenge");
        ChapAlgorithm::Md5.response(identifier, &secret("targetsecret12"), &challenge)
    };
    type Bend = fn(Vec<u8>, String) -> Vec<(&'static str, String)>;
    let bends: [(&str, Bend); 8] = [
        ("nothing", |_, _| vec![]),
        ("no response", |_, _| vec![("CHAP_N", "disk".into())]),
        ("no name", |right, _| vec![("CHAP_R", chap::encode(&right))]),
        ("another name", |right, _| vec![("CHAP_N", "disc".into()), ("CHAP_R", chap::encode(&right))]),
        ("a wrong response", |mut right, _| {
            right[0] ^= 1;
            vec![("CHAP_N", "disk".into()), ("CHAP_R", chap::encode(&right))]
        }),
        ("a short response", |right, _| vec![("CHAP_N", "disk".into()), ("CHAP_R", chap::encode(&right[..15]))]),
        ("a response and more", |mut right, _| {
            right.push(0);
            vec![("CHAP_N", "disk".into()), ("CHAP_R", chap::encode(&right))]
        }),
        ("our own response", |_, ours| vec![("CHAP_N", "disk".into()), ("CHAP_R", ours)]),
    ];
    for (what, bend) in bends {
        let (mut scene, proof) = Scene::to_proof(with_chap(&[ChapAlgorithm::Md5], true), ChapAlgorithm::Md5);
        let keys = bend(right(&proof), proof.key("CHAP_R").expect("our response"));
        let keys: Vec<_> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let why = authentication_error(scene.say(SecurityNegotiation, Some(OperationalNegotiation), &keys));
        assert!(!why.contains("targetsecret12") && !why.contains("initiatorsecret"), "{what}: {why}");
        assert_eq!(scene.login.need(), 0, "{what}");
    }
}

#[test]
fn any_name_will_do_where_none_is_configured() {
    let mut config = with_chap(&[ChapAlgorithm::Md5], true);
    config.chap =
        config.chap.map(|chap| ChapConfig { mutual: Some((String::new(), secret("targetsecret12"))), ..chap });
    let (mut scene, proof) = Scene::to_proof(config, ChapAlgorithm::Md5);
    let identifier = proof.key("CHAP_I").and_then(|i| i.parse().ok()).expect("an identifier");
    let challenge = proof.key("CHAP_C").and_then(|c| chap::decode(&c)).expect("a challenge");
    let response = ChapAlgorithm::Md5.response(identifier, &secret("targetsecret12"), &challenge);
    let keys = [("CHAP_N", "whoever"), ("CHAP_R", &*chap::encode(&response))];
    // Proved without T, then T alone.
    scene.say(SecurityNegotiation, None, &keys).expect("proved");
    assert_eq!(scene.hear().stages(), (SecurityNegotiation, Some(OperationalNegotiation)));
    scene.say(SecurityNegotiation, Some(OperationalNegotiation), &[]).expect("security done");
    scene.hear();
    assert_eq!(scene.finish().authentication, "mutual CHAP MD5");
}

// check: chap-keys-out-of-order
#[test]
fn a_proof_that_nobody_asked_for_ends_the_login() {
    let (mut scene, _) = Scene::to_proof(with_chap(&[ChapAlgorithm::Md5], false), ChapAlgorithm::Md5);
    let keys = [("CHAP_N", "disk"), ("CHAP_R", "0x00112233445566778899aabbccddeeff")];
    authentication_error(scene.say(SecurityNegotiation, Some(OperationalNegotiation), &keys));
}

// check: chap-random, chap-reflection
#[test]
fn our_challenges_come_from_the_generator_and_a_reflected_one_is_refused() {
    let (_, proof) = Scene::to_proof(with_chap(&[ChapAlgorithm::Md5], true), ChapAlgorithm::Md5);
    // Two bytes went into the task tag, one into the identifier.
    assert_eq!(proof.key("CHAP_I").as_deref(), Some("3"));
    let ours: Vec<u8> = (4..36).collect();
    assert_eq!(proof.key("CHAP_C"), Some(chap::encode(&ours)));
    let mut scene = Scene::to_offer(with_chap(&[ChapAlgorithm::Md5], true));
    let keys = [("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", &*chap::encode(&ours))];
    let why = authentication_error(scene.say(SecurityNegotiation, None, &keys));
    assert!(why.contains("our own CHAP challenge"));
}

// check: chap-equal-secrets
#[test]
fn equal_secrets_are_not_used_even_if_nobody_checked() {
    let mut config = with_chap(&[ChapAlgorithm::Md5], true);
    config.chap = config.chap.map(|chap| ChapConfig { mutual: Some((String::new(), chap.secret.clone())), ..chap });
    let mut scene = Scene::to_offer(config);
    let keys = [("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", "0x01")];
    authentication_error(scene.say(SecurityNegotiation, None, &keys));
}

// check: chap-keys-out-of-order
#[test]
fn a_second_challenge_ends_the_login() {
    let (mut scene, _) = Scene::to_proof(with_chap(&[ChapAlgorithm::Md5], true), ChapAlgorithm::Md5);
    assert!(is_protocol_error(&scene.say(SecurityNegotiation, None, &[("CHAP_C", "0x01")])));
}

// check: chap-md5-retry
#[test]
fn a_failure_after_the_choice_tells_which_algorithm_it_was() {
    let (mut scene, _) = Scene::to_proof(with_chap(&ChapAlgorithm::ALL, false), ChapAlgorithm::Sha256);
    let response = LoginResponse { status_class: 2, ..scene.response(SecurityNegotiation, None, false) };
    assert_eq!(scene.send(response, &[]), Err(LoginError::Refused { class: 2, detail: 0 }));
    assert_eq!(scene.login.chosen_algorithm(), Some(ChapAlgorithm::Sha256));
}

// check: chap-secret-log
#[test]
fn nothing_secret_is_printed() {
    let (scene, _) = Scene::to_proof(with_chap(&ChapAlgorithm::ALL, true), ChapAlgorithm::Md5);
    let printed = alloc::format!("{:?}", scene.login);
    assert!(!printed.contains("initiatorsecret") && !printed.contains("targetsecret12"));
}
