//! Logins: negotiation, security, redirection, refusals.

use sim_target::{Chap, DigestPolicy, LoginAction, Negotiation, SimDisk, SimTarget};

use crate::client::{Client, INITIATOR};

const NAME: &str = "iqn.2026-01.test.sim:disk";

fn names() -> [(&'static str, &'static str); 3] {
    [("InitiatorName", INITIATOR), ("SessionType", "Normal"), ("TargetName", NAME)]
}

fn disk() -> sim_target::Builder {
    SimTarget::builder(NAME).lun(0, SimDisk::new(1024, 512))
}

/// The value of `key` in a text with `;` for NUL.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    text.split(';')
        .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("{key}: {text}"))
}

#[tokio::test]
async fn every_key_is_answered_by_its_rule() {
    let negotiation =
        Negotiation { max_burst_length: 4096, initial_r2t: false, immediate_data: false, ..Negotiation::default() };
    let target = disk().negotiation(negotiation).start().await.unwrap();
    let mut client = Client::connect(&target).await;
    let mut keys = names().to_vec();
    keys.extend([
        ("InitialR2T", "No"),
        ("ImmediateData", "Yes"),
        ("MaxBurstLength", "0x2000"),
        ("FirstBurstLength", "512"),
        ("DefaultTime2Wait", "2"),
        ("DefaultTime2Retain", "20"),
        ("HeaderDigest", "None,CRC32C"),
        ("X-com.example", "1"),
    ]);
    let (_, text) = client.login(0x87, &keys).await;
    for (key, expected) in [
        ("InitialR2T", "No"),
        ("ImmediateData", "No"),
        ("MaxBurstLength", "4096"),
        ("FirstBurstLength", "512"),
        ("DefaultTime2Wait", "2"),
        ("DefaultTime2Retain", "0"),
        ("HeaderDigest", "None"),
        ("X-com.example", "NotUnderstood"),
        ("TargetPortalGroupTag", "1"),
    ] {
        assert_eq!(value(&text, key), expected, "{text}");
    }
    assert_eq!(target.sessions()[0].agreed.max_burst_length, 4096);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_digest_that_is_not_offered_is_rejected() {
    let negotiation = Negotiation { data_digest: DigestPolicy::Crc32c, ..Negotiation::default() };
    let target = disk().negotiation(negotiation).start().await.unwrap();
    let mut client = Client::connect(&target).await;
    let mut keys = names().to_vec();
    keys.push(("DataDigest", "None"));
    let (_, text) = client.login(0x87, &keys).await;
    assert_eq!(value(&text, "DataDigest"), "Reject");
}

/// RFC 1994 by hand: MD5 over identifier, secret, challenge.
fn chap_response(identifier: &str, secret: &str, challenge: &str) -> String {
    use md5::Digest as _;
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.strip_prefix("0x").unwrap();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    let message = [&[identifier.parse().unwrap()], secret.as_bytes(), &bytes(challenge)].concat();
    md5::Md5::digest(message).iter().fold("0x".into(), |text, byte| format!("{text}{byte:02x}"))
}

/// Goes as far as the challenge, offering MD5 only: identifier and challenge.
async fn up_to_the_challenge(client: &mut Client) -> (String, String) {
    let mut keys = names().to_vec();
    keys.push(("AuthMethod", "CHAP,None"));
    let (_, text) = client.login(0x00, &keys).await;
    assert_eq!(value(&text, "AuthMethod"), "CHAP");
    let (_, text) = client.login(0x00, &[("CHAP_A", "5")]).await;
    assert_eq!(value(&text, "CHAP_A"), "5");
    (value(&text, "CHAP_I").into(), value(&text, "CHAP_C").into())
}

#[tokio::test]
async fn mutual_chap_proves_both_sides() {
    let chap = Chap::new("client", "a secret of ours").mutual("target", "another of theirs");
    let target = disk().chap(chap).start().await.unwrap();
    let mut client = Client::connect(&target).await;
    let (identifier, challenge) = up_to_the_challenge(&mut client).await;
    let answer = chap_response(&identifier, "a secret of ours", &challenge);
    let ours = "0x000102030405060708090a0b0c0d0e0f";
    let keys = [("CHAP_N", "client"), ("CHAP_R", &*answer), ("CHAP_I", "7"), ("CHAP_C", ours)];
    let (response, text) = client.login(0x81, &keys).await;
    assert_eq!((response.status_class, response.flags), (0, 0x81));
    assert_eq!(value(&text, "CHAP_N"), "target");
    assert_eq!(value(&text, "CHAP_R"), chap_response("7", "another of theirs", ours));
    let (response, _) = client.login(0x87, &[]).await;
    assert_eq!((response.status_class, response.flags), (0, 0x87));
    assert!(target.logins()[0].succeeded);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_secret_or_none_at_all_is_refused() {
    let target = disk().chap(Chap::new("client", "a secret of ours")).start().await.unwrap();
    let mut client = Client::connect(&target).await;
    let (identifier, challenge) = up_to_the_challenge(&mut client).await;
    let answer = chap_response(&identifier, "a wrong secret", &challenge);
    let (response, _) = client.login(0x81, &[("CHAP_N", "client"), ("CHAP_R", &answer)]).await;
    assert_eq!((response.status_class, response.status_detail), (2, 1));

    let mut client = Client::connect(&target).await;
    let (response, _) = client.login(0x87, &names()).await;
    assert_eq!((response.status_class, response.status_detail), (2, 1));
    assert!(client.try_receive().await.is_none(), "the connection closes");
    assert!(target.sessions().is_empty());
}

#[tokio::test]
async fn another_name_is_not_found() {
    let target = disk().start().await.unwrap();
    let mut client = Client::connect(&target).await;
    let keys = [("InitiatorName", INITIATOR), ("TargetName", "iqn.2026-01.test.sim:other")];
    let (response, _) = client.login(0x87, &keys).await;
    assert_eq!((response.status_class, response.status_detail), (2, 3));
}

#[tokio::test]
async fn a_hook_sends_a_login_elsewhere_once() {
    let target = disk().start().await.unwrap();
    target.on_login(|attempt| match attempt.connection {
        0 => LoginAction::Redirect { address: Some("192.0.2.1:3260".into()), permanent: true },
        1 => LoginAction::Refuse(3, 1),
        _ => LoginAction::Proceed,
    });
    let mut client = Client::connect(&target).await;
    let (response, text) = client.login(0x87, &names()).await;
    assert_eq!((response.status_class, response.status_detail), (1, 2));
    assert_eq!(value(&text, "TargetAddress"), "192.0.2.1:3260");
    let mut client = Client::connect(&target).await;
    let (response, _) = client.login(0x87, &names()).await;
    assert_eq!((response.status_class, response.status_detail), (3, 1));
    Client::log_in(&target, &[]).await;
}

#[tokio::test]
async fn text_goes_both_ways_in_pieces() {
    let target = disk().text_chunk(10).start().await.unwrap();
    let mut client = Client::connect(&target).await;
    let text: String = names().iter().map(|(key, value)| format!("{key}={value}\0")).collect();
    let (head, tail) = text.split_at(17);
    let (response, answer) = client.login_text(0x44, head.as_bytes()).await;
    assert_eq!((response.flags, answer.as_str()), (0x04, ""), "C is answered by an empty response");
    let (mut response, mut answer) = client.login_text(0x87, tail.as_bytes()).await;
    while response.flags & 0x40 != 0 {
        assert_eq!(response.flags, 0x44);
        let (next, more) = client.login_text(0x87, &[]).await;
        response = next;
        answer.push_str(&more);
    }
    assert_eq!(response.flags, 0x87);
    assert_eq!(value(&answer, "TargetPortalGroupTag"), "1");
    assert_eq!(value(&answer, "MaxRecvDataSegmentLength"), "262144");
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_login_with_the_same_isid_ends_the_first_session() {
    let target = disk().start().await.unwrap();
    let mut first = Client::log_in(&target, &[]).await;
    let _second = Client::log_in(&target, &[]).await;
    assert!(first.try_receive().await.is_none());
    target.wait_until(|target| target.open_connections() == 1).await;
    assert_eq!(target.sessions()[0].connection, 1);
}

#[tokio::test]
async fn what_a_login_does_wrong_is_told() {
    let target = disk().start().await.unwrap();
    let mut client = Client::connect(&target).await;
    let mut keys = names().to_vec();
    keys.extend([("MaxBurstLength", "4096"), ("MaxBurstLength", "8192")]);
    client.login(0x00, &keys).await;
    client.isid.0[5] ^= 1;
    client.login(0x00, &[]).await;
    let violations = target.violations().join("\n");
    for expected in ["MaxBurstLength stands twice", "MaxBurstLength in the security stage", "ISID, TSIH, CID or ITT"] {
        assert!(violations.contains(expected), "{expected}: {violations}");
    }
}

#[tokio::test]
async fn the_first_status_number_may_be_any() {
    let target = disk().first_stat_sn(u32::MAX).start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    assert_eq!(client.exp_stat_sn.0, 0);
    assert_eq!(client.read(0, 0, 1).await.status, 0);
    assert_eq!(target.violations(), Vec::<String>::new());
}
