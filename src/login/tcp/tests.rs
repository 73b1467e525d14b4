//! Logins over real connections: to peers that are no targets, that keep silent, that send us elsewhere,
//! and to targets that want CHAP.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use iscsi_proto::ids::Isid;
use iscsi_proto::keys::Offer;
use sim_target::proxy::{Proxy, Segmentation};
use sim_target::{Builder, Chap, LoginAction, LoginRecord, NoChoice, SimDisk, SimTarget};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Mutual, SecretBytes};
use crate::ipc;
use crate::login::plan::Continues;

fn plan() -> Plan {
    Plan {
        initiator: "iqn.2026-11.org.example:host".parse().expect("a name"),
        alias: String::new(),
        target: Some("iqn.2026-11.org.example:disk".parse().expect("a name")),
        isid: Isid::random(1, 2),
        offer: Offer::default(),
        chap: None,
        timeout: Duration::from_secs(15),
        continues: None,
        named_by: None,
    }
}

async fn listen() -> (TcpListener, Portal) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its number").port();
    (listener, Portal { address: "127.0.0.1".into(), port, interface: None, group_tag: None })
}

/// What a login comes to at a peer that sends `greeting`, and then closes or waits.
async fn greeted(greeting: &'static [u8], closes: bool) -> Cause {
    let (listener, portal) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(greeting).await.expect("sent");
        let mut request = [0; 48];
        stream.read_exact(&mut request).await.expect("a login request");
        if !closes {
            let () = std::future::pending().await;
        }
    });
    OverTcp.open(&plan(), &portal).await.expect_err("no target").cause
}

// check: login-silence
#[tokio::test(start_paused = true)]
async fn a_silent_target_costs_the_login_timeout_and_no_more() {
    let started = Instant::now();
    assert_eq!(greeted(b"", false).await, Cause::Silent { after: Duration::from_secs(15) });
    assert!(started.elapsed() < Duration::from_secs(16));
}

#[tokio::test(start_paused = true)]
async fn a_short_greeting_of_another_protocol_is_recognised() {
    assert_eq!(
        greeted(b"SSH-2.0-OpenSSH_9.2\r\n", false).await,
        Cause::NotIscsi { why: "it says \"SSH-2.0-OpenSSH_9.2\"".into() }
    );
}

#[tokio::test]
async fn a_web_server_is_quoted_as_any_other_is() {
    let answer = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\n\r\n<html>";
    let says = Cause::NotIscsi { why: "it says \"HTTP/1.1 400 Bad Request\"".into() };
    assert_eq!(greeted(answer, true).await, says);
    assert_eq!(greeted(&answer[..26], false).await, says);
    // A TLS alert has no words to quote.
    let alert = Cause::NotIscsi { why: "its first bytes are none of a login response".into() };
    assert_eq!(greeted(b"\x15\x03\x03\x00\x02\x02\x32", true).await, alert);
}

#[tokio::test]
async fn a_connection_that_is_closed_without_an_answer_is_said_so() {
    assert!(matches!(greeted(b"", true).await, Cause::Dropped { .. }));
}

fn redirection(to: &str) -> Vec<u8> {
    use iscsi_proto::pdu::{self, LoginFlags, LoginResponse, LoginStage, Wire};
    use iscsi_proto::sn::StatSn;
    let flags = LoginFlags {
        transit: false,
        more: false,
        current: LoginStage::SecurityNegotiation,
        next: LoginStage::SecurityNegotiation,
    };
    let mut bhs = LoginResponse {
        flags: flags.encode(),
        version_max: 0,
        version_active: 0,
        isid: Isid::random(1, 2),
        tsih: Tsih(0),
        itt: iscsi_proto::ids::Itt(0),
        stat_sn: StatSn(0),
        exp_cmd_sn: CmdSn(1),
        max_cmd_sn: CmdSn(1),
        status_class: 1,
        status_detail: 1,
    }
    .encode();
    let text = format!("TargetAddress={to}\0");
    pdu::set_lengths(&mut bhs, 0, text.len() as u32);
    let mut whole = bhs.to_vec();
    whole.extend_from_slice(text.as_bytes());
    whole.resize(whole.len() + pdu::padding(text.len()), 0);
    whole
}

// check: redirect-loop
#[tokio::test]
async fn a_target_that_redirects_in_a_circle_is_left() {
    let (listener, portal) = listen().await;
    let here = portal.endpoint();
    let visits = tokio::spawn(async move {
        let mut visits = 0;
        while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_secs(1), listener.accept()).await {
            visits += 1;
            let mut bhs = [0; 48];
            stream.read_exact(&mut bhs).await.expect("a login request");
            let length = iscsi_proto::pdu::data_segment_len(&bhs) as usize;
            let mut text = vec![0; length + iscsi_proto::pdu::padding(length)];
            stream.read_exact(&mut text).await.expect("its text");
            // The answer belongs to the request by its tag.
            let mut answer = redirection(&here);
            answer[16..20].copy_from_slice(&bhs[16..20]);
            stream.write_all(&answer).await.expect("sent");
        }
        visits
    });
    let failed = OverTcp.open(&plan(), &portal).await.expect_err("a circle");
    assert!(matches!(failed.cause, Cause::Redirected { .. }), "{failed:?}");
    assert_eq!(visits.await.expect("the target"), MAX_HOPS + 1);
}

// check: chap-md5-retry
#[test]
fn md5_alone_is_tried_once_and_only_where_it_is_allowed() {
    let credentials = |algorithms: &[&str]| Credentials {
        name: "host".into(),
        secret: SecretBytes::from(&ipc::Secret("correct horse".into())),
        mutual: None,
        algorithms: algorithms.iter().map(ToString::to_string).collect(),
    };
    let both = chap_config(&credentials(&["SHA-256", "MD5"])).expect("settings");
    let strong = chap_config(&credentials(&["SHA-256"])).expect("settings");
    let refused = Cause::Refused { class: 2, detail: 0 };
    let sha = Choice::Made(ChapAlgorithm::Sha256);
    let weaker = md5_alone(&refused, sha, Some(&both)).expect("one more attempt");
    assert_eq!(weaker.algorithms, [ChapAlgorithm::Md5]);
    let dropped = Cause::Dropped { why: "end of the stream".into() };
    assert!(md5_alone(&dropped, Choice::Made(ChapAlgorithm::Sha3_256), Some(&both)).is_some());
    for cause in [&refused, &dropped, &Cause::Refused { class: 2, detail: 1 }] {
        assert!(md5_alone(cause, Choice::Offered, Some(&both)).is_some(), "{cause:?}");
    }
    for (cause, choice, chap) in [
        (&dropped, Choice::None, Some(&both)),
        (&refused, Choice::Made(ChapAlgorithm::Md5), Some(&weaker)),
        (&refused, Choice::Offered, Some(&weaker)),
        (&refused, Choice::Offered, Some(&strong)),
        (&refused, sha, Some(&strong)),
        (&refused, Choice::None, Some(&both)),
        (&refused, sha, None),
        (&Cause::Refused { class: 2, detail: 3 }, sha, Some(&both)),
        (&Cause::Refused { class: 2, detail: 2 }, Choice::Offered, Some(&both)),
    ] {
        assert!(md5_alone(cause, choice, chap).is_none(), "{cause:?} {choice:?}");
    }
}

const DISK: &str = "iqn.2026-11.org.example:disk";

fn target(name: &str) -> Builder {
    SimTarget::builder(name).lun(0, SimDisk::new(1024, 512))
}

async fn start(builder: Builder) -> SimTarget {
    builder.start().await.expect("a free port")
}

fn at(address: SocketAddr) -> Portal {
    Portal { address: address.ip().to_string(), port: address.port(), interface: None, group_tag: None }
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::from(&ipc::Secret(text.into()))
}

/// With CHAP, mutual if `theirs` is given.
fn with_chap(theirs: Option<&str>) -> Plan {
    let mutual = theirs.map(|theirs| Mutual { name: None, secret: secret(theirs) });
    let algorithms = ["SHA3-256", "SHA-256", "SHA1", "MD5"].map(str::to_owned).into();
    let chap = Credentials { name: "host".into(), secret: secret("a secret of ours"), mutual, algorithms };
    Plan { chap: Some(chap), ..plan() }
}

fn chap_keys(login: &LoginRecord) -> Vec<&str> {
    login.keys.iter().map(|(key, _)| key.as_str()).filter(|key| key.starts_with("CHAP")).collect()
}

fn value<'a>(login: &'a LoginRecord, key: &str) -> &'a str {
    login.keys.iter().find_map(|(name, value)| (name == key).then_some(value)).unwrap_or_else(|| panic!("no {key}"))
}

fn elsewhere(address: SocketAddr, permanent: bool) -> LoginAction {
    LoginAction::Redirect { address: Some(address.to_string()), permanent }
}

// check: redirect-followed, redirect-same-name
#[tokio::test]
async fn behind_a_redirection_the_same_name_is_asked_for() {
    for permanent in [false, true] {
        let there = start(target(DISK).chap(Chap::new("host", "a secret of ours"))).await;
        let here = start(target(DISK)).await;
        let address = there.address();
        here.on_login(move |_| elsewhere(address, permanent));
        let opened = OverTcp.open(&with_chap(None), &at(here.address())).await.expect("a login");
        assert_eq!((opened.portal, opened.via), (address.to_string(), here.address().to_string()));
        assert_eq!(opened.authentication, "CHAP SHA3-256");
        assert_eq!(chap_keys(&here.logins()[0]), Vec::<&str>::new());
        assert_eq!(value(&there.logins()[0], "TargetName"), DISK);
        assert_eq!(here.violations(), there.violations());
    }
}

// check: redirect-followed
#[tokio::test]
async fn a_redirection_may_name_an_ipv6_address_or_a_host() {
    let there = start(target(DISK).portal("127.0.0.1:0").portal("[::1]:0")).await;
    let [v4, v6] = there.addresses() else { panic!("two portals") };
    let by_name = format!("localhost:{}", v4.port());
    for (to, shown) in
        [(v6.to_string(), v6.to_string()), (format!("{v4},1"), v4.to_string()), (by_name.clone(), by_name)]
    {
        let here = start(target(DISK)).await;
        let address = Some(to);
        here.on_login(move |_| LoginAction::Redirect { address: address.clone(), permanent: false });
        let opened = OverTcp.open(&plan(), &at(here.address())).await.expect("a login");
        assert_eq!(opened.portal, shown);
    }
}

// check: redirect-unspecified
#[tokio::test]
async fn a_redirection_to_every_address_is_one_to_another_port_of_the_same_host() {
    let there = start(target(DISK)).await;
    for named in ["0.0.0.0", "[::]"] {
        let here = start(target(DISK)).await;
        let address = Some(format!("{named}:{},1", there.address().port()));
        here.on_login(move |_| LoginAction::Redirect { address: address.clone(), permanent: false });
        let opened = OverTcp.open(&plan(), &at(here.address())).await.expect("a login");
        assert_eq!(opened.portal, there.address().to_string());
    }
}

fn way(plan: &Plan) -> Way<'_> {
    let to = Endpoint { host: "nas.example".into(), port: 3260, interface: None, foreign: false };
    let deadline = Instant::now() + plan.timeout;
    Way { plan, via: "nas.example:3260".into(), to, group_tag: Some(1), hops: 0, md5_alone: false, deadline }
}

// check: redirect-loopback
#[tokio::test]
async fn a_target_elsewhere_cannot_send_us_to_a_service_of_this_machine() {
    let plan = plan();
    for named in
        ["127.0.0.1:25", "[::1]:631", "localhost:3260", "[::ffff:127.0.0.1]:22", "224.0.0.1", "255.255.255.255"]
    {
        let mut way = way(&plan);
        let address = iscsi_proto::names::parse_target_address(named).expect("an address");
        let refused = way.turn(address, "192.0.2.1:3260".parse().expect("an address")).expect_err(named);
        assert!(matches!(&refused, Cause::Redirected { why } if why.contains(named)), "{refused:?}");
        assert_eq!(way.to.host, "nas.example");
    }
    // Neither by a name that is found to lead there.
    let mut way = way(&plan);
    let address = iscsi_proto::names::parse_target_address("nas2.example").expect("an address");
    way.turn(address, "192.0.2.1:3260".parse().expect("an address")).expect("elsewhere");
    assert!(way.to.foreign);
    let (listener, portal) = listen().await;
    let there = Endpoint { host: "localhost".into(), port: portal.port, interface: None, foreign: true };
    let refused = connect(&there, way.deadline, plan.timeout).await.expect_err("this machine");
    assert!(matches!(refused, Cause::Redirected { .. }), "{refused:?}");
    drop(listener);
}

// check: address-foreign-loopback
#[tokio::test]
async fn a_name_from_another_machines_list_that_leads_to_this_one_is_not_followed() {
    let here = start(target(DISK)).await;
    // A name that the resolver takes, and that does not say by itself where it leads.
    let portal = Portal { address: "127.1".into(), ..at(here.address()) };
    let named_by = |from: &str| Plan { named_by: Some(from.into()), ..plan() };
    let failed = OverTcp.open(&named_by("nas.example"), &portal).await.expect_err("this machine");
    assert!(matches!(&failed.cause, Cause::Unreachable { why } if why.contains(NOT_HERE)), "{failed:?}");
    assert_eq!(here.counters().connections, 0);
    OverTcp.open(&named_by("localhost"), &portal).await.expect("named by this machine");
    OverTcp.open(&plan(), &portal).await.expect("named by the user");
}

// check: redirect-not-quoted
#[tokio::test]
async fn what_answers_behind_a_redirection_is_not_quoted() {
    let (listener, elsewhere) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"220 secret.internal ESMTP\r\n").await.expect("sent");
        let mut request = [0; 48];
        stream.read_exact(&mut request).await.expect("a login request");
    });
    let here = start(target(DISK)).await;
    let address = Some(elsewhere.endpoint());
    here.on_login(move |_| LoginAction::Redirect { address: address.clone(), permanent: false });
    let failed = OverTcp.open(&plan(), &at(here.address())).await.expect_err("no target");
    assert!(matches!(failed.cause, Cause::NotIscsi { .. }), "{failed:?}");
    assert!(!failed.to_string().contains("secret"), "{failed}");
}

// check: login-group-tag
#[tokio::test]
async fn the_portal_group_that_a_target_declares_is_believed() {
    let here = start(target(DISK).portal_group_tag(2)).await;
    let known = Portal { group_tag: Some(1), ..at(here.address()) };
    let opened = OverTcp.open(&plan(), &known).await.expect("a login");
    assert_eq!((opened.declared_tag, opened.handoff.target_portal_group_tag), (Some(2), 2));
    // A session goes on over another portal of its group alone, and over its own whatever that says now.
    let continues = |via: &str| Plan { continues: Some(Continues { group_tag: 1, via: via.into() }), ..plan() };
    let failed = OverTcp.open(&continues("nas.example:3260"), &known).await.expect_err("another group");
    assert!(matches!(&failed.cause, Cause::Incompatible { why } if why.contains("portal group 2")), "{failed:?}");
    OverTcp.open(&continues(&known.endpoint()), &known).await.expect("a login");
}

// check: login-group-tag, redirect-followed
#[tokio::test]
async fn a_session_goes_on_behind_a_redirection_in_its_group_alone() {
    for (group, goes_on) in [(1, true), (2, false)] {
        let there = start(target(DISK).portal_group_tag(group)).await;
        let here = start(target(DISK)).await;
        let address = there.address();
        here.on_login(move |_| elsewhere(address, false));
        let known = at(here.address());
        let continues = Continues { group_tag: 1, via: known.endpoint() };
        let opened = OverTcp.open(&Plan { continues: Some(continues), ..plan() }, &known).await;
        match opened {
            Ok(_) => assert!(goes_on, "group {group}"),
            Err(failed) => {
                assert!(!goes_on, "{failed:?}");
                assert!(matches!(&failed.cause, Cause::Incompatible { .. }), "{failed:?}");
            }
        }
    }
}

// check: login-group-tag-none
#[tokio::test]
async fn a_target_that_declares_no_portal_group_is_logged_in_to() {
    let here = start(target(DISK).rewrite_login_key("TargetPortalGroupTag", None)).await;
    let opened = OverTcp.open(&plan(), &at(here.address())).await.expect("a login");
    assert_eq!(opened.declared_tag, None);
}

// check: name-of-a-target
#[tokio::test]
async fn a_target_is_called_by_its_name_byte_for_byte() {
    for name in ["iqn.2015-1.workgroup:RAID.iscsi0.vg0.data1", "iqn.com.example-10", "Target-911data"] {
        let here = start(target(name)).await;
        let plan = Plan { target: Some(name.parse().expect("a target's name")), ..plan() };
        OverTcp.open(&plan, &at(here.address())).await.expect("a login");
        assert_eq!(value(&here.logins()[0], "TargetName"), name);
    }
}

// check: redirect-same-name
#[tokio::test]
async fn no_credentials_go_to_a_target_of_another_name() {
    let there = start(target("iqn.2026-11.org.example:other").chap(Chap::new("host", "a secret of ours"))).await;
    let here = start(target(DISK)).await;
    let address = there.address();
    here.on_login(move |_| elsewhere(address, false));
    let failed = OverTcp.open(&with_chap(None), &at(here.address())).await.expect_err("another target");
    assert_eq!(failed.cause, Cause::Refused { class: 2, detail: 3 });
    assert_eq!(failed.portal, address.to_string());
    assert_eq!(value(&there.logins()[0], "TargetName"), DISK);
    assert_eq!(chap_keys(&there.logins()[0]), Vec::<&str>::new());
}

// check: redirect-same-name
#[tokio::test]
async fn a_name_in_a_redirection_is_not_followed() {
    let there = start(target(DISK)).await;
    let (listener, portal) = listen().await;
    let address = there.address();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut bhs = [0; 48];
        stream.read_exact(&mut bhs).await.expect("a login request");
        let to = format!("{address}\0TargetName=iqn.2026-11.org.example:other");
        stream.write_all(&redirection(&to)).await.expect("sent");
    });
    let opened = OverTcp.open(&plan(), &portal).await.expect("a login");
    assert_eq!(opened.portal, address.to_string());
    assert_eq!(value(&there.logins()[0], "TargetName"), DISK);
}

// check: redirect-nowhere
#[tokio::test]
async fn a_redirection_without_an_address_fails_at_once() {
    let here = start(target(DISK)).await;
    here.on_login(|_| LoginAction::Redirect { address: None, permanent: true });
    let failed = OverTcp.open(&plan(), &at(here.address())).await.expect_err("nowhere");
    assert!(matches!(failed.cause, Cause::NotIscsi { .. }), "{failed:?}");
    assert_eq!(here.counters().connections, 1);
}

// check: login-02xx, login-03xx, login-unknown-status
#[tokio::test]
async fn a_refusal_is_not_answered_by_another_attempt() {
    for (class, detail) in [(2, 0), (2, 1), (2, 0x42), (3, 0), (3, 1), (3, 0x42), (7, 7)] {
        let here = start(target(DISK).chap(Chap::new("host", "a secret of ours"))).await;
        here.on_login(move |_| LoginAction::Refuse(class, detail));
        let failed = OverTcp.open(&with_chap(None), &at(here.address())).await.expect_err("refused");
        assert_eq!(failed.cause, Cause::Refused { class, detail });
        assert_eq!(here.counters().connections, 1, "{class:02x}{detail:02x}");
    }
}

// check: chap-not-configured
#[tokio::test]
async fn a_target_that_refuses_who_brings_no_secret_is_told_as_that() {
    let here = start(target(DISK)).await;
    here.on_login(move |_| LoginAction::Refuse(2, 1));
    let failed = OverTcp.open(&plan(), &at(here.address())).await.expect_err("refused");
    assert_eq!(failed.cause, Cause::ChapMissing);
    let failure = failed.failure("login");
    assert_eq!(failure.code, crate::ipc::ExitCode::NotPermitted);
    assert!(
        failure.to_string().contains("no CHAP name and secret are set here; set them by `iscsictl modify target"),
        "{failure}"
    );
}

// check: chap-md5-retry
#[tokio::test]
async fn a_wrong_secret_costs_one_more_attempt_with_md5_and_no_third() {
    let here = start(target(DISK).chap(Chap::new("host", "a secret of theirs"))).await;
    let failed = OverTcp.open(&with_chap(None), &at(here.address())).await.expect_err("a wrong secret");
    assert_eq!(failed.cause, Cause::Refused { class: 2, detail: 1 });
    let offers: Vec<_> = here.logins().iter().map(|login| value(login, "CHAP_A").to_owned()).collect();
    assert_eq!(offers, ["8,7,6,5", "5"]);
}

// check: chap-md5-alone
#[tokio::test]
async fn a_target_that_knows_no_list_of_algorithms_is_offered_md5_alone() {
    for end in [
        NoChoice::Status(2, 0),
        NoChoice::Status(2, 1),
        NoChoice::Status(2, 7),
        NoChoice::Reject(0x04),
        NoChoice::Reject(0x09),
        NoChoice::Close,
    ] {
        let chap = Chap::new("host", "a secret of ours").algorithms(&[5]).md5_alone(end);
        let here = start(target(DISK).chap(chap)).await;
        let opened = OverTcp.open(&with_chap(None), &at(here.address())).await.expect("a login");
        assert_eq!((opened.authentication.as_str(), opened.md5_alone), ("CHAP MD5", true), "{end:?}");
        let logins = here.logins();
        let offers: Vec<_> = logins.iter().map(|login| value(login, "CHAP_A")).collect();
        assert_eq!(offers, ["8,7,6,5", "5"]);
        // The first login has shown the target nothing that the secret is in.
        assert_eq!(chap_keys(&logins[0]), ["CHAP_A"]);
    }
}

// check: chap-md5-alone
#[tokio::test]
async fn a_wrong_secret_is_final_after_md5_alone_and_md5_is_not_tried_where_it_is_not_allowed() {
    // What ends over MD5 alone, too, is not tried a third time.
    for end in [NoChoice::Reject(0x04), NoChoice::Close] {
        let here = start(target(DISK).chap(Chap::new("host", "a secret of theirs").md5_alone(end))).await;
        let failed = OverTcp.open(&with_chap(None), &at(here.address())).await.expect_err("a wrong secret");
        assert_eq!(failed.cause, Cause::Refused { class: 2, detail: 1 });
        assert_eq!(here.counters().connections, 2);
    }
    let chap = || Chap::new("host", "a secret of theirs").md5_alone(NoChoice::Status(2, 1));
    let here = start(target(DISK).chap(chap())).await;
    let failed = OverTcp.open(&with_chap(None), &at(here.address())).await.expect_err("a wrong secret");
    assert_eq!(failed.cause, Cause::Refused { class: 2, detail: 1 });
    assert_eq!(here.counters().connections, 2);

    let here = start(target(DISK).chap(chap())).await;
    let mut strict = with_chap(None);
    strict.chap.iter_mut().for_each(|chap| chap.algorithms.retain(|algorithm| algorithm != "MD5"));
    OverTcp.open(&strict, &at(here.address())).await.expect_err("no algorithm in common");
    assert_eq!(here.counters().connections, 1);
}

// check: login-rejected
#[tokio::test]
async fn a_login_that_is_rejected_is_told_so_and_not_tried_again() {
    use iscsi_proto::pdu::{FINAL, Reject, Wire};
    let (listener, portal) = listen().await;
    let came = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let reject = Reject {
            flags: FINAL,
            reason: 0x04,
            itt: iscsi_proto::ids::Itt::RESERVED,
            stat_sn: iscsi_proto::sn::StatSn(0),
            exp_cmd_sn: CmdSn(1),
            max_cmd_sn: CmdSn(1),
            data_sn: iscsi_proto::sn::DataSn(0),
        };
        stream.write_all(&reject.encode()).await.expect("sent");
        let mut request = [0; 48];
        stream.read_exact(&mut request).await.expect("a login request");
        listener
    });
    let failed = OverTcp.open(&with_chap(None), &portal).await.expect_err("rejected");
    assert_eq!(failed.cause, Cause::Rejected { reason: 4 });
    assert_eq!(failed.cause.code(), ipc::ExitCode::Protocol);
    let listener = came.await.expect("the target");
    assert!(listener.accept().now_or_never().is_none(), "it was before any choice of an algorithm");
}

// check: login-shown-only, text-last-zero
#[tokio::test]
async fn a_login_goes_on_past_an_alias_that_is_no_text_and_a_text_without_its_last_zero_byte() {
    let here = start(target(DISK).alias("ALIAS").rewrite_login_text(|text| {
        let found = text.windows(5).position(|bytes| bytes == b"ALIAS");
        if let Some(at) = found {
            text[at..at + 5].copy_from_slice(b"\xff\x1b[2J");
        }
        text.pop();
    }))
    .await;
    let opened = OverTcp.open(&plan(), &at(here.address())).await.expect("a login");
    assert_eq!(opened.alias, None);
    assert!(opened.lapses.unterminated && opened.lapses.alias.is_some(), "{:?}", opened.lapses);
}

// check: chap-binary-forms
#[tokio::test]
async fn an_identifier_in_hexadecimal_a_challenge_in_base64_and_a_name_like_a_number_are_right() {
    let mut chap = Chap::new("0x6e616d65", "a secret of ours").mutual("0xfeed", "a secret of theirs");
    (chap.base64, chap.hexadecimal_identifier) = (true, true);
    let here = start(target(DISK).chap(chap)).await;
    let mut plan = with_chap(Some("a secret of theirs"));
    let credentials = plan.chap.as_mut().expect("CHAP");
    credentials.name = "0x6e616d65".into();
    credentials.mutual.as_mut().expect("mutual CHAP").name = Some("0xfeed".into());
    let opened = OverTcp.open(&plan, &at(here.address())).await.expect("a login");
    assert_eq!(opened.authentication, "mutual CHAP SHA3-256");
    assert_eq!(value(&here.logins()[0], "CHAP_N"), "0x6e616d65");
    assert_eq!(here.violations(), Vec::<String>::new());
}

// check: chap-random
#[tokio::test]
async fn each_login_has_a_challenge_of_its_own() {
    let chap = Chap::new("host", "a secret of ours").mutual("disk", "a secret of theirs");
    let here = start(target(DISK).chap(chap)).await;
    let mut seen = Vec::new();
    for n in 0..20 {
        OverTcp.open(&with_chap(Some("a secret of theirs")), &at(here.address())).await.expect("a login");
        let challenge = value(&here.logins()[n], "CHAP_C").to_owned();
        assert!(challenge.len() > 32 && !seen.contains(&challenge), "{challenge}");
        seen.push(challenge);
    }
}

// check: chap-discovery
#[tokio::test]
async fn a_discovery_session_proves_itself_to_the_portal() {
    let here = start(target(DISK).chap(Chap::new("host", "a secret of ours"))).await;
    let discovery = Plan { target: None, ..with_chap(None) };
    let opened = OverTcp.open(&discovery, &at(here.address())).await.expect("a login");
    assert_eq!(opened.authentication, "CHAP SHA3-256");
}

/// {however the stream is cut} × {however the target's text is cut} × {every first StatSN}.
// check: stream-segments, login-continuation-in, login-statsn-anywhere
#[tokio::test]
async fn a_login_is_the_same_however_it_arrives() {
    let chap = || Chap::new("host", "a secret of ours").mutual("disk", "a secret of theirs");
    let mut seen = Vec::new();
    for segmentation in Segmentation::ALL {
        for chunk in [None, Some(1), Some(7)] {
            let mut builder = target(DISK).chap(chap()).first_stat_sn(u32::MAX - 1).alias("größe");
            if let Some(bytes) = chunk {
                builder = builder.text_chunk(bytes);
            }
            let here = start(builder).await;
            let proxy = Proxy::start(here.address(), segmentation).expect("a free port");
            let plan = with_chap(Some("a secret of theirs"));
            let opened = OverTcp.open(&plan, &at(proxy.address())).await.expect("a login");
            assert_eq!(opened.authentication, "mutual CHAP SHA3-256", "{segmentation:?} {chunk:?}");
            assert_eq!(here.violations(), Vec::<String>::new(), "{segmentation:?} {chunk:?}");
            seen.push((opened.keys, opened.alias));
        }
    }
    assert_eq!(seen[0].1.as_deref(), Some("größe"));
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}
