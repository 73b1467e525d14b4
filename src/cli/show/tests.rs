//! What is printed, to the letter.

use super::*;
use crate::ipc::{
    BenchReport, Chap, Discovered, DiscoveryPortal, FailedIo, Latency, LostDisk, Lun, LunState, Origin, Portal, Rw,
    Session, SessionDetails, SessionState, SessionStats, Stats, Target, TargetDetails,
};

const DISK: &str = "iqn.2026-11.org.example:disk1";

fn portal(address: &str, cid: Option<u16>) -> Portal {
    Portal { address: address.into(), port: 3260, interface: "default".into(), group_tag: Some(1), cid }
}

fn session() -> Session {
    Session {
        id: 0,
        target: DISK.into(),
        state: SessionState::Active,
        kernel: "user".into(),
        isid: "80a1b2c3d4e5".into(),
        tsih: 1,
        group_tag: 1,
        cid: 0,
        portal: "192.0.2.1:3260".into(),
        age_seconds: 3725,
        recovery: None,
    }
}

fn target(session: Option<Session>) -> Target {
    let cid = session.as_ref().map(|session| session.cid);
    Target {
        name: DISK.into(),
        alias: None,
        origin: Origin::Static,
        auto_login: true,
        portals: vec![portal("192.0.2.1", cid), portal("2001:db8::1", None)],
        session,
    }
}

fn lun(number: u64) -> Lun {
    Lun {
        target: DISK.into(),
        lun: number,
        session: Some(0),
        state: LunState::Ok,
        r#type: 0,
        administrative: false,
        vendor: "ACME".into(),
        product: "Disk".into(),
        revision: "1.0".into(),
        serial: Some("S123".into()),
        block_size: 512,
        blocks: 2147483648,
        bytes: 1099511627776,
        read_only: false,
        device: Some("/dev/loop3".into()),
        nbd: Some(format!("nbd+unix:///{DISK}/{number}?socket=/run/iscsid/nbd.sock")),
        nfs: None,
        problem: None,
        advice: None,
        failed: None,
        workarounds: Vec::new(),
        lost: Vec::new(),
    }
}

fn table(what: Reply) -> String {
    reply(&what, Format::Table).expect("printed")
}

fn json(what: Reply) -> serde_json::Value {
    serde_json::from_str(&reply(&what, Format::Json).expect("printed")).expect("JSON")
}

fn plist_of(what: Reply) -> plist::Value {
    let text = reply(&what, Format::Plist).expect("printed");
    plist::Value::from_reader_xml(text.as_bytes()).expect("a property list")
}

#[test]
fn targets_are_listed_as_scripts_expect_them() {
    let inactive = Target { origin: Origin::Dynamic, name: "iqn.2026-11.org.example:disk2".into(), ..target(None) };
    assert_eq!(
        table(Reply::Targets(vec![target(Some(session())), inactive])),
        "iqn.2026-11.org.example:disk1 <active, static, sid 0, tpgt 1, tsid 0x1>\n\
         \t192.0.2.1 <active, cid 0, port 3260, interface default>\n\
         \t2001:db8::1 <inactive, port 3260, interface default>\n\
         iqn.2026-11.org.example:disk2 <inactive, dynamic>\n\
         \t192.0.2.1 <inactive, port 3260, interface default>\n\
         \t2001:db8::1 <inactive, port 3260, interface default>\n"
    );
}

#[test]
fn a_target_is_in_the_state_that_its_session_is_in() {
    let recovering = Session { state: SessionState::Recovering, ..session() };
    let listed = table(Reply::Targets(vec![target(Some(recovering.clone()))]));
    assert!(listed.starts_with("iqn.2026-11.org.example:disk1 <recovering, static, sid 0"), "{listed}");
    assert!(listed.contains("192.0.2.1 <recovering, cid 0"), "{listed}");
    assert!(table(Reply::Sessions(vec![recovering])).contains(" recovering "));
}

#[test]
fn luns_are_listed_as_scripts_expect_them() {
    let unattached = Lun { device: None, read_only: true, ..lun(1) };
    let other = Lun {
        r#type: 5,
        product: "CD".into(),
        serial: None,
        device: None,
        nbd: None,
        nfs: None,
        bytes: 0,
        blocks: 0,
        block_size: 0,
        problem: Some("no medium".into()),
        ..lun(2)
    };
    assert_eq!(
        table(Reply::Luns(vec![lun(0), unattached, other])),
        "iqn.2026-11.org.example:disk1 <scsi domain 1, target 0>\n\
         \tACME Disk 1.0\n\
         \tSerial Number S123\n\
         \tlun 0: type 0x00 (Block device)\n\
         \t\t/dev/loop3: 1.1 TB (2147483648 512 byte blocks)\n\
         \tlun 1: type 0x00 (Block device)\n\
         \t\tnot attached: 1.1 TB (2147483648 512 byte blocks, read-only)\n\
         \t\tnbd+unix:///iqn.2026-11.org.example:disk1/1?socket=/run/iscsid/nbd.sock\n\
         \tACME CD 1.0\n\
         \tSerial Number n/a\n\
         \tlun 2: type 0x05 (CD/DVD)\n\
         \t\tno medium\n"
    );
}

#[test]
fn a_lost_disk_is_named_with_who_uses_it_and_what_to_do() {
    let gone =
        LostDisk { unit: format!("{DISK}/0"), device: "/dev/loop2".into(), uses: vec!["mounted on /mnt".into()] };
    let unit = Lun { lost: vec![gone], ..lun(0) };
    let text = table(Reply::Luns(vec![unit.clone()]));
    let line = text.lines().last().expect("a line");
    for word in ["/dev/loop2", "mounted on /mnt", "is lost", "unmount it, then mount the disk"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    let list = json(Reply::Luns(vec![unit]));
    assert_eq!(list[0]["lost"][0]["device"], "/dev/loop2");
    assert_eq!(list[0]["lost"][0]["uses"][0], "mounted on /mnt");
}

#[test]
fn how_it_is_with_a_units_io_is_shown_with_what_to_do() {
    let failed = FailedIo { count: 1, last: "the unit did not answer in time".into(), seconds_ago: 9 };
    let advice = Some("look at it".to_owned());
    let failing = Lun { state: LunState::Failing, failed: Some(failed.clone()), advice: advice.clone(), ..lun(0) };
    let text = table(Reply::Luns(vec![failing.clone()]));
    assert!(text.contains("\tlun 0: type 0x00 (Block device), failing\n"), "{text}");
    let said = "\t\tI/O has failed once since the login, the last time 9 s ago: the unit did not answer in time\n\t\t→ look at it\n";
    assert!(text.ends_with(said), "{text}");
    let list = json(Reply::Luns(vec![failing, lun(1)]));
    assert_eq!((&list[0]["state"], &list[0]["failed"]["count"]), (&"failing".into(), &1.into()));
    assert_eq!((&list[1]["state"], &list[1]["failed"]), (&"ok".into(), &serde_json::Value::Null));
}

#[test]
fn a_lost_disk_is_listed_without_a_session_as_well() {
    let gone =
        LostDisk { unit: format!("{DISK}/0"), device: "/dev/loop2".into(), uses: vec!["mounted on /mnt".into()] };
    let unit =
        Lun { session: None, state: LunState::Lost, bytes: 0, blocks: 0, device: None, lost: vec![gone], ..lun(0) };
    let text = table(Reply::Luns(vec![unit.clone()]));
    assert!(text.starts_with(&format!("{DISK} <no session>\n\tlun 0: lost\n\t\t/dev/loop2, ")), "{text}");
    assert_eq!(json(Reply::Luns(vec![unit]))[0]["session"], serde_json::Value::Null);
}

#[test]
fn empty_lists_say_so() {
    assert_eq!(table(Reply::Targets(vec![])), "No persistent targets are defined\n");
    assert_eq!(table(Reply::Luns(vec![])), "No active targets with LUNs exist\n");
    assert_eq!(json(Reply::Luns(vec![])), serde_json::json!([]));
    assert_eq!(plist_of(Reply::Luns(vec![])), plist::Value::Array(vec![]));
}

#[test]
fn sessions_are_listed_in_columns() {
    assert_eq!(
        table(Reply::Sessions(vec![session()])),
        "SID  TARGET                         STATE   PORTAL          KERNEL  AGE\n\
         0    iqn.2026-11.org.example:disk1  active  192.0.2.1:3260  user    1 h 2 min\n"
    );
}

#[test]
fn luns_in_json_are_an_array_of_objects_with_null_for_what_is_not_there() {
    let unattached = Lun { device: None, nbd: None, ..lun(0) };
    assert_eq!(
        json(Reply::Luns(vec![unattached])),
        serde_json::json!([{
            "target": DISK, "lun": 0, "session": 0, "state": "ok", "type": 0, "vendor": "ACME", "product": "Disk",
            "revision": "1.0", "serial": "S123", "block_size": 512, "blocks": 2147483648u64, "bytes": 1099511627776u64,
            "read_only": false, "device": null, "nbd": null, "problem": null, "workarounds": [],
        }])
    );
}

#[test]
fn luns_in_a_property_list_have_the_same_shape_without_what_is_not_there() {
    let unattached = Lun { device: None, ..lun(0) };
    let plist = plist_of(Reply::Luns(vec![unattached]));
    let unit = plist.as_array().and_then(|list| list.first()?.as_dictionary()).expect("a dictionary");
    assert_eq!(unit.get("bytes").and_then(plist::Value::as_unsigned_integer), Some(1099511627776));
    assert_eq!(unit.get("type").and_then(plist::Value::as_unsigned_integer), Some(0));
    assert_eq!(unit.get("read_only").and_then(plist::Value::as_boolean), Some(false));
    assert!(!unit.contains_key("device"));
    assert!(unit.contains_key("nbd"));
}

#[test]
fn a_target_in_json_carries_its_session() {
    let list = json(Reply::Targets(vec![target(Some(session())), target(None)]));
    assert_eq!(list[0]["session"]["tsih"], 1);
    assert_eq!(list[0]["session"]["state"], "active");
    assert_eq!(list[0]["portals"][0]["cid"], 0);
    assert_eq!(list[0]["origin"], "static");
    assert!(list[1]["session"].is_null());
}

fn details() -> TargetDetails {
    TargetDetails {
        target: target(None),
        discovered_from: None,
        persistent: true,
        attach: false,
        flush_policy: crate::ipc::FlushPolicy::WriteThrough,
        keys: vec![("HeaderDigest".into(), "CRC32C,None".into()), ("MaxBurstLength".into(), "262144".into())],
        timers: vec![("LoginTimeout".into(), 15)],
        workarounds: Vec::new(),
        chap: Chap {
            name: Some("me".into()),
            secret_set: true,
            mutual_name: None,
            mutual_secret_set: false,
            algorithms: vec!["SHA-256".into(), "MD5".into()],
        },
    }
}

// check: chap-secret-log
#[test]
fn a_targets_settings_are_shown_with_dots_for_secrets_and_the_rfcs_names() {
    assert_eq!(
        table(Reply::Target(Box::new(details()))),
        "iqn.2026-11.org.example:disk1 <inactive, static>\n\
         \t192.0.2.1 <inactive, port 3260, interface default>\n\
         \t2001:db8::1 <inactive, port 3260, interface default>\n\
         Alias               none\n\
         Automatic login     yes\n\
         Persistent          yes\n\
         Attach              no\n\
         Flush policy        write-through\n\
         CHAP name           me\n\
         CHAP secret         stored\n\
         Mutual CHAP name    any\n\
         Mutual CHAP secret  none\n\
         CHAP algorithms     SHA-256, MD5\n\
         \n\
         Timers\n\
         LoginTimeout  15 s\n\
         \n\
         Offered\n\
         HeaderDigest    CRC32C,None\n\
         MaxBurstLength  262144\n"
    );
}

#[test]
fn keys_and_timers_are_dictionaries_for_programs() {
    let shown = json(Reply::Target(Box::new(details())));
    assert_eq!(shown["keys"]["HeaderDigest"], "CRC32C,None");
    assert_eq!(shown["timers"]["LoginTimeout"], 15);
    assert_eq!(serde_json::from_value::<TargetDetails>(shown).expect("reads back"), details());
}

#[test]
fn a_session_is_shown_with_what_was_negotiated_and_its_counters() {
    let counters = SessionStats { commands: 7, bytes_read: 4096, ..SessionStats::default() };
    let details = SessionDetails {
        session: session(),
        keys: vec![("ImmediateData".into(), "Yes".into())],
        authentication: "CHAP SHA-256".into(),
        stats: Stats { target: DISK.into(), session: 0, counters },
    };
    let text = table(Reply::Session(Box::new(details.clone())));
    for line in ["Authentication  CHAP SHA-256\n", "\nNegotiated\nImmediateData  Yes\n", "Commands       7\n"] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    let json = json(Reply::Session(Box::new(details)));
    assert_eq!(json["stats"]["bytes_read"], 4096);
    assert_eq!(json["session"]["isid"], "80a1b2c3d4e5");
}

#[test]
fn discovered_targets_and_discovery_portals_list_what_belongs_to_them_indented() {
    let found = Discovered { name: DISK.into(), portals: vec!["192.0.2.1:3260,1".into()] };
    assert_eq!(
        table(Reply::Discovered { targets: vec![found], remarks: vec![] }),
        "iqn.2026-11.org.example:disk1\n\t192.0.2.1:3260,1\n"
    );
    let portal = DiscoveryPortal {
        address: "nas.example".into(),
        port: 3260,
        interface: "default".into(),
        targets: vec![DISK.into()],
        problem: Some("it did not answer".into()),
    };
    assert_eq!(
        table(Reply::DiscoveryPortals(vec![portal])),
        "nas.example <port 3260, interface default>\n\tiqn.2026-11.org.example:disk1\n\tit did not answer\n"
    );
}

// check: text-characters
#[test]
fn no_control_character_of_a_target_reaches_the_terminal() {
    let nasty = "\u{1b}]0;owned\u{7}\u{9b}2J\r\n\u{202e}\u{7f}";
    let lun = Lun {
        vendor: nasty.into(),
        product: nasty.into(),
        serial: Some(nasty.into()),
        device: Some(nasty.into()),
        problem: Some(nasty.into()),
        ..lun(0)
    };
    let mut target = target(None);
    target.alias = Some(nasty.into());
    target.portals = vec![portal(nasty, None)];
    let details = TargetDetails { target: target.clone(), discovered_from: Some(nasty.into()), ..details() };
    let replies = [
        Reply::Luns(vec![lun]),
        Reply::Targets(vec![target]),
        Reply::Target(Box::new(details)),
        Reply::Done(vec![nasty.into()]),
        Reply::Discovered {
            targets: vec![Discovered { name: nasty.into(), portals: vec![nasty.into()] }],
            remarks: vec![nasty.into()],
        },
        Reply::Sessions(vec![Session { portal: nasty.into(), ..session() }]),
    ];
    for what in &replies {
        for format in [Format::Table, Format::Plist, Format::Json] {
            let text = reply(what, format).expect("printed");
            let bad = text.chars().find(|c| is_harmful(*c) && !matches!(c, '\n' | '\t'));
            assert_eq!(bad, None, "{format:?}: {text:?}");
            assert!(text.contains("owned"), "{format:?}: {text:?}");
        }
    }
    // And it is not lost for programs.
    let list: serde_json::Value =
        serde_json::from_str(&reply(&replies[0], Format::Json).expect("printed")).expect("JSON");
    assert_eq!(list[0]["vendor"], nasty);
}

fn measured() -> Reply {
    Reply::Bench(Box::new(BenchReport {
        iops: 123_456.7,
        mb_per_s: 505.679,
        latency_us: Latency { p50: 250.1, p99: 400.0, p999: 900.5, max: 1234.5 },
        cpu_us_per_io: 1.25,
        syscalls_per_io: 0.0938,
        seconds: 5.001,
        rw: Rw::RandRead,
        block_size: 4096,
        depth: 32,
    }))
}

#[test]
fn a_benchmark_in_json_has_the_names_that_are_promised() {
    let text = reply(&measured(), Format::Json).expect("printed");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "iops": 123_456.7, "mb_per_s": 505.679,
            "latency_us": { "p50": 250.1, "p99": 400.0, "p999": 900.5, "max": 1234.5 },
            "cpu_us_per_io": 1.25, "syscalls_per_io": 0.0938, "seconds": 5.001,
            "rw": "randread", "block_size": 4096, "depth": 32,
        })
    );
}

#[test]
fn a_benchmark_in_a_property_list_has_the_same_names() {
    let text = reply(&measured(), Format::Plist).expect("printed");
    let value: plist::Value = plist::from_bytes(text.as_bytes()).expect("a property list");
    let top = value.as_dictionary().expect("a dictionary");
    assert_eq!(top.len(), 9);
    assert_eq!(top["iops"].as_real(), Some(123_456.7));
    assert_eq!(top["depth"].as_unsigned_integer(), Some(32));
    assert_eq!(top["latency_us"].as_dictionary().expect("a dictionary")["p99"].as_real(), Some(400.0));
}

#[test]
fn a_benchmark_for_people_has_its_units() {
    assert_eq!(
        reply(&measured(), Format::Table).expect("printed"),
        "Load                  randread, 4096 bytes each, 32 under way\n\
         Time                  5.001 s\n\
         I/Os per second       123457\n\
         Throughput            505.7 MB/s\n\
         Latency, 50 %         250.1 us\n\
         Latency, 99 %         400.0 us\n\
         Latency, 99.9 %       900.5 us\n\
         Latency, longest      1234.5 us\n\
         CPU time per I/O      1.25 us\n\
         System calls per I/O  0.094\n"
    );
}
