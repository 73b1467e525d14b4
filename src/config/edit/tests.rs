//! Changes as users make them: what is changed, and what is refused with nothing changed.

use iscsi_proto::keys::{Key, Value};
use iscsi_proto::names::{TargetName, parse_target_address};

use crate::config::*;
use crate::ipc::{
    ChapChanges, DiscoveryChanges, ExitCode, Failure, FlushPolicy, InitiatorChanges, Origin, Secret, TargetChanges,
};

const DISK: &str = "iqn.2026-11.org.example:disk1";

/// A configuration with one target at 192.0.2.1:3260.
fn with_disk() -> (Config, Secrets) {
    let mut config = Config::default();
    config.initiator.name = "iqn.2026-11.org.example:me".into();
    config.add_target(DISK, "192.0.2.1", None).expect("added");
    (config, Secrets::default())
}

/// The edit is refused with that code and those words, and has changed nothing.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(
    edit: impl FnOnce(&mut Config, &mut Secrets) -> Result<T, Failure>,
    code: ExitCode,
    words: &str,
) {
    let (config, secrets) = with_disk();
    let (mut changed, mut changed_secrets) = (config.clone(), secrets.clone());
    let failure = edit(&mut changed, &mut changed_secrets).expect_err("to be refused");
    assert_eq!(failure.code, code, "{failure}");
    assert!(failure.to_string().contains(words), "{words:?} in {failure}");
    assert_eq!(changed, config);
    assert_eq!(changed_secrets, secrets);
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret(text.into()))
}

fn chap(chap: ChapChanges) -> TargetChanges {
    TargetChanges { chap, ..TargetChanges::default() }
}

fn key(key: &str, value: &str) -> TargetChanges {
    TargetChanges { keys: vec![(key.into(), value.into())], ..TargetChanges::default() }
}

fn portal(endpoint: &str) -> Portal {
    let mut config = Config::default();
    config.add_discovery_portal(endpoint, None).expect("a portal")
}

fn found(name: &str, addresses: &[&str]) -> Found {
    Found {
        name: TargetName::parse(name).expect("a name"),
        portals: addresses.iter().map(|address| parse_target_address(address).expect("an address")).collect(),
        whole: true,
    }
}

// Targets and portals.

// check: name-normalised
#[test]
fn a_target_is_known_by_its_normalised_name_and_called_as_it_was_written() {
    let mut config = Config::default();
    config.add_target("IQN.2026-11.org.example:Disk1", "nas.example", None).expect("added");
    let (name, target) = config.find_target(DISK).expect("there");
    assert_eq!(name, DISK);
    assert_eq!(target.written_name, "IQN.2026-11.org.example:Disk1");
}

#[test]
fn a_target_may_have_several_portals_in_the_order_they_were_added() {
    let (mut config, _) = with_disk();
    config.add_target(DISK, "[2001:DB8::1]:3261", Some("en0")).expect("a second portal");
    config.add_target(DISK, "nas.example", Some("default")).expect("a third portal");
    let endpoints: Vec<String> = config.targets[DISK].portals.iter().map(Portal::endpoint).collect();
    assert_eq!(endpoints, ["192.0.2.1:3260", "[2001:db8::1]:3261", "nas.example:3260"]);
    assert_eq!(config.find_portal(DISK, "[2001:db8::1]:3261").expect("there").interface.as_deref(), Some("en0"));
    assert_eq!(config.find_portal(DISK, "nas.example").expect("there").interface, None);
}

#[test]
fn adding_twice_is_refused() {
    assert_refused(
        |config, _| config.add_target(DISK, "192.0.2.1:3260", None),
        ExitCode::Data,
        "already has the portal",
    );
}

#[test]
fn malformed_names_portals_and_interfaces_are_refused() {
    for name in ["", "..", "-x", "../disk1", "iqn.2026-11.org..example", "naa.1\u{1b}", "iqn.2026-11.org.example:a b"] {
        assert_refused(|config, _| config.add_target(name, "nas", None), ExitCode::Usage, "is not an iSCSI name");
    }
    for at in ["", "192.0.2.256", "nas:0", "nas:65536", "2001:db8::1", "[2001:db8::1", "a b", "nas:3260:1"] {
        assert_refused(|config, _| config.add_target(DISK, at, None), ExitCode::Usage, "is not a portal");
    }
    for interface in ["a/b", "a b", "sixteen-bytes-is", "e\u{7}"] {
        let add = |config: &mut Config, _: &mut Secrets| config.add_target(DISK, "nas", Some(interface));
        assert_refused(add, ExitCode::Usage, "is not the name of an interface");
    }
}

#[test]
fn what_is_not_there_cannot_be_removed_or_changed() {
    let other = "iqn.2026-11.org.example:other";
    assert_refused(|config, s| config.remove_target(s, other, None), ExitCode::Data, "there is no target");
    assert_refused(|config, s| config.remove_target(s, DISK, Some("nas")), ExitCode::Data, "it has 192.0.2.1:3260");
    assert_refused(
        |config, s| config.modify_target(s, other, &key("HeaderDigest", "None")),
        ExitCode::Data,
        "no target",
    );
    assert_refused(|config, _| config.remove_discovery_portal("nas"), ExitCode::Data, "there is no discovery portal");
    assert_refused(|config, _| config.find_portal(DISK, "nas").cloned(), ExitCode::Data, "has no portal nas:3260");
}

#[test]
fn a_secret_that_the_keychain_does_not_give_is_wanted_no_more_once_it_is_entered_or_taken_away() {
    let (mut config, mut secrets) = with_disk();
    secrets.keep_back(Some(DISK), false);
    let login = |config: &Config, secrets: &Secrets| config.credentials(secrets, Some(DISK));
    let failure = login(&config, &secrets).expect_err("it is not given");
    assert_eq!(failure.code, ExitCode::Configuration);
    assert!(failure.to_string().contains("the keychain does not give"), "{failure}");
    assert_eq!(config.credentials(&secrets, None), Ok(None), "discovery needs it not");
    let renamed = chap(ChapChanges { name: Some("me".into()), ..ChapChanges::default() });
    let notes = config.modify_target(&mut secrets, DISK, &renamed).expect("settings can be edited");
    assert!(notes.iter().any(|note| note.contains("the keychain does not give")), "{notes:?}");
    for (changes, with_chap) in [
        (ChapChanges { secret: secret("a long enough secret"), ..ChapChanges::default() }, true),
        (ChapChanges { off: true, ..ChapChanges::default() }, false),
    ] {
        let (mut config, mut secrets) = (config.clone(), secrets.clone());
        config.modify_target(&mut secrets, DISK, &chap(changes)).expect("changed");
        assert_eq!(login(&config, &secrets).expect("a login").is_some(), with_chap);
    }
    assert_eq!(config.remove_target(&mut secrets, DISK, None), Ok(true));
    assert_eq!(secrets, Secrets::default());
}

#[test]
fn the_last_portal_takes_the_target_and_its_secrets_with_it() {
    let (mut config, mut secrets) = with_disk();
    config.add_target(DISK, "nas.example", None).expect("a second portal");
    let changes = chap(ChapChanges { secret: secret("a long enough secret"), ..ChapChanges::default() });
    config.modify_target(&mut secrets, DISK, &changes).expect("changed");
    assert_eq!(config.remove_target(&mut secrets, DISK, Some("192.0.2.1")), Ok(false));
    assert_eq!(config.remove_target(&mut secrets, DISK, Some("nas.example:3260")), Ok(true));
    assert_eq!(config.targets.len(), 0);
    assert_eq!(secrets, Secrets::default());
}

#[test]
fn a_target_that_is_not_persistent_is_forgotten_after_its_logout() {
    let (mut config, mut secrets) = with_disk();
    assert!(!config.logged_out(&mut secrets, DISK));
    let changes = TargetChanges { persistent: Some(false), ..TargetChanges::default() };
    config.modify_target(&mut secrets, DISK, &changes).expect("changed");
    assert!(config.logged_out(&mut secrets, DISK));
    assert!(config.targets.is_empty());
}

// Settings.

#[test]
fn what_a_target_says_wins_over_the_defaults_and_those_over_ours() {
    let (mut config, mut secrets) = with_disk();
    config.defaults.timers.insert(Timer::NopInterval, 30);
    config.defaults.timers.insert(Timer::NopTimeout, 31);
    config.defaults.keys.set(Key::HeaderDigest, "CRC32C").expect("a digest");
    config.defaults.auto_login = Some(true);
    let changes = TargetChanges {
        timers: vec![("nopinterval".into(), 7)],
        auto_login: Some(false),
        ..key("ImmediateData", "no")
    };
    config.modify_target(&mut secrets, DISK, &changes).expect("changed");
    let effective = config.effective(DISK, false);
    let timers: Vec<u32> = effective.timers.entries().into_iter().map(|(_, seconds)| seconds).collect();
    assert_eq!(timers, [15, 5, 7, 31, 120, 30]);
    assert!(!effective.auto_login);
    let keys: Vec<(&str, String)> = effective.keys.iter().map(|(key, value)| (key.name(), value.to_string())).collect();
    assert_eq!(keys, [("HeaderDigest", "CRC32C".to_owned()), ("ImmediateData", "No".to_owned())]);
}

// check: nop-own, nop-off, recovery-replacement-timeout
#[test]
fn timers_have_the_defaults_that_are_promised_and_those_of_pings_can_be_0() {
    let (mut config, mut secrets) = with_disk();
    let timers = config.effective(DISK, false).timers;
    assert_eq!((timers.nop_interval.as_secs(), timers.nop_timeout.as_secs()), (5, 5));
    assert_eq!(timers.replacement.as_secs(), 120);
    let off = vec![("NopInterval".into(), 0), ("NopTimeout".into(), 0)];
    let changes = TargetChanges { timers: off, ..TargetChanges::default() };
    config.modify_target(&mut secrets, DISK, &changes).expect("changed");
    let timers = config.effective(DISK, false).timers;
    assert!(timers.nop_interval.is_zero() && timers.nop_timeout.is_zero());
}

#[test]
fn units_are_attached_unasked_for_root_only() {
    let (mut config, mut secrets) = with_disk();
    assert!(config.effective(DISK, true).attach);
    assert!(!config.effective(DISK, false).attach);
    let changes = TargetChanges { attach: Some(false), ..TargetChanges::default() };
    config.modify_target(&mut secrets, DISK, &changes).expect("changed");
    assert!(!config.effective(DISK, true).attach);
}

#[test]
fn writes_go_through_unless_the_user_wants_otherwise() {
    let (mut config, mut secrets) = with_disk();
    assert_eq!(config.effective(DISK, true).flush_policy, FlushPolicy::WriteThrough);
    let changes = TargetChanges { flush_policy: Some(FlushPolicy::OnCommit), ..TargetChanges::default() };
    config.modify_target(&mut secrets, DISK, &changes).expect("changed");
    assert_eq!(config.effective(DISK, true).flush_policy, FlushPolicy::OnCommit);
}

#[test]
fn an_empty_value_goes_back_to_the_default() {
    let (mut config, mut secrets) = with_disk();
    let before = config.clone();
    config.modify_target(&mut secrets, DISK, &key("MaxBurstLength", "0x10000")).expect("set");
    assert_eq!(config.targets[DISK].settings.keys.offer().value(Key::MaxBurstLength), Some(Value::Number(65536)));
    config.modify_target(&mut secrets, DISK, &key("MaxBurstLength", "")).expect("taken away");
    assert_eq!(config, before);
}

#[test]
fn a_value_without_effect_is_refused_and_the_neutral_one_is_taken() {
    for (name, value, words) in [
        (
            "MaxConnections",
            "4",
            "MaxConnections 4 would have no effect: this iscsid has one connection per session; leave it at 1",
        ),
        ("ErrorRecoveryLevel", "2", "leave it at 0"),
        ("DataPDUInOrder", "No", "leave it at Yes"),
        ("datasequenceinorder", "no", "DataSequenceInOrder No would have no effect"),
    ] {
        assert_refused(|config, s| config.modify_target(s, DISK, &key(name, value)), ExitCode::Usage, words);
    }
    let (mut config, mut secrets) = with_disk();
    for (name, value) in [
        ("MaxConnections", "1"),
        ("ErrorRecoveryLevel", "0"),
        ("DataPDUInOrder", "Yes"),
        ("DataSequenceInOrder", "Yes"),
    ] {
        config.modify_target(&mut secrets, DISK, &key(name, value)).expect(name);
    }
    assert_eq!(config.targets[DISK].settings.keys.iter().count(), 4);
    assert!(config.without_effect().is_empty());
}

#[test]
fn wrong_keys_values_and_timers_are_refused() {
    for (name, value, words) in [
        ("MaxBurstLenght", "1", "there is no key 'MaxBurstLenght'"),
        ("MaxBurstLenght", "", "there is no key 'MaxBurstLenght'"),
        ("InitiatorName", DISK, "is not for configuration"),
        ("MaxBurstLength", "511", "from 512 to 16777215"),
        ("HeaderDigest", "CRC16", "use None, CRC32C"),
        ("ImmediateData", "maybe", "use Yes or No"),
        ("ErrorRecoveryLevel", "3", "use 0, the only one that has an effect"),
    ] {
        assert_refused(|config, s| config.modify_target(s, DISK, &key(name, value)), ExitCode::Usage, words);
    }
    for (name, seconds, words) in
        [("NopIntervall", 5, "there is no timer `NopIntervall`"), ("LoginTimeout", 0, "it may be 1 to 3600 seconds")]
    {
        let changes = TargetChanges { timers: vec![(name.into(), seconds)], ..TargetChanges::default() };
        assert_refused(|config, s| config.modify_target(s, DISK, &changes), ExitCode::Usage, words);
    }
}

#[test]
fn the_initiator_and_discovery_are_checked_too() {
    let rename = |name: &str| InitiatorChanges { name: Some(name.into()), ..InitiatorChanges::default() };
    assert_refused(|c, s| c.modify_initiator(s, &rename("me")), ExitCode::Usage, "is not an iSCSI name");
    let alias = InitiatorChanges { alias: Some("a\nb".into()), ..InitiatorChanges::default() };
    assert_refused(|c, s| c.modify_initiator(s, &alias), ExitCode::Usage, "control character");
    for seconds in [29, 32768] {
        let changes = DiscoveryChanges { interval: Some(seconds), ..DiscoveryChanges::default() };
        assert_refused(|c, _| c.modify_discovery(&changes), ExitCode::Usage, "30 to 32767 seconds");
    }
    let (mut config, mut secrets) = with_disk();
    config.modify_initiator(&mut secrets, &rename("iqn.2026-11.ORG.example:x")).expect("renamed");
    assert_eq!(config.initiator.name, "iqn.2026-11.org.example:x");
    let changes = DiscoveryChanges { send_targets: Some(true), interval: Some(30) };
    config.modify_discovery(&changes).expect("changed");
    assert!(config.discovery.send_targets());
    assert_eq!(config.discovery.interval().as_secs(), 30);
}

// CHAP.

#[test]
fn without_chap_there_are_no_credentials() {
    let (config, secrets) = with_disk();
    assert_eq!(config.credentials(&secrets, Some(DISK)), Ok(None));
    assert_eq!(config.credentials(&secrets, None), Ok(None));
}

#[test]
fn the_initiators_chap_is_for_discovery_and_for_every_target_without_its_own() {
    let (mut config, mut secrets) = with_disk();
    let changes = InitiatorChanges {
        chap: ChapChanges { secret: secret("common secret"), ..ChapChanges::default() },
        ..InitiatorChanges::default()
    };
    config.modify_initiator(&mut secrets, &changes).expect("changed");
    for whom in [None, Some(DISK)] {
        let credentials = config.credentials(&secrets, whom).expect("whole").expect("CHAP");
        assert_eq!(credentials.name, "iqn.2026-11.org.example:me");
        assert_eq!(credentials.secret.as_bytes(), b"common secret");
        assert_eq!(credentials.algorithms, ALGORITHMS);
        assert_eq!(credentials.mutual, None);
    }
    let own = chap(ChapChanges {
        name: Some("disk user".into()),
        secret: secret("secret of the disk"),
        mutual_name: Some("disk".into()),
        mutual_secret: secret("the disk's own word"),
        algorithms: Some(vec!["sha-256".into(), "MD5".into()]),
        off: false,
    });
    config.modify_target(&mut secrets, DISK, &own).expect("changed");
    let credentials = config.credentials(&secrets, Some(DISK)).expect("whole").expect("CHAP");
    assert_eq!(credentials.name, "disk user");
    assert_eq!(credentials.secret.as_bytes(), b"secret of the disk");
    assert_eq!(credentials.algorithms, ["SHA-256", "MD5"]);
    let mutual = credentials.mutual.expect("mutual");
    assert_eq!((mutual.name.as_deref(), mutual.secret.as_bytes()), (Some("disk"), &b"the disk's own word"[..]));
    let shown = config.chap_shown(&secrets, Some(DISK));
    assert!(shown.secret_set && shown.mutual_secret_set);
}

#[test]
fn a_target_may_do_without_the_initiators_chap() {
    let (mut config, mut secrets) = with_disk();
    let common = InitiatorChanges {
        chap: ChapChanges { secret: secret("common secret"), ..ChapChanges::default() },
        ..InitiatorChanges::default()
    };
    config.modify_initiator(&mut secrets, &common).expect("changed");
    let off = chap(ChapChanges { off: true, ..ChapChanges::default() });
    config.modify_target(&mut secrets, DISK, &off).expect("changed");
    assert_eq!(config.credentials(&secrets, Some(DISK)), Ok(None));
    assert!(config.credentials(&secrets, None).expect("whole").is_some());

    let on = chap(ChapChanges { name: Some("me again".into()), ..ChapChanges::default() });
    config.modify_target(&mut secrets, DISK, &on).expect("changed");
    let credentials = config.credentials(&secrets, Some(DISK)).expect("whole").expect("CHAP again");
    assert_eq!(credentials.name, "me again");
}

#[test]
fn chap_by_halves_says_which_half_is_missing_and_how_to_give_it() {
    let (mut config, mut secrets) = with_disk();
    let name_only = chap(ChapChanges { name: Some("me".into()), ..ChapChanges::default() });
    config.modify_target(&mut secrets, DISK, &name_only).expect("changed");
    let failure = config.credentials(&secrets, Some(DISK)).expect_err("no secret");
    assert_eq!(failure.code, ExitCode::Configuration);
    assert!(failure.to_string().contains(&format!("iscsictl modify target {DISK} --chap-secret")), "{failure}");

    let mutual_name_only = chap(ChapChanges {
        secret: secret("a long enough secret"),
        mutual_name: Some("you".into()),
        ..ChapChanges::default()
    });
    config.modify_target(&mut secrets, DISK, &mutual_name_only).expect("changed");
    let failure = config.credentials(&secrets, Some(DISK)).expect_err("no mutual secret");
    assert!(failure.to_string().contains("--chap-mutual-secret"), "{failure}");
}

// check: chap-by-halves
#[test]
fn chap_by_halves_is_stored_and_what_is_missing_is_said() {
    let (mut config, mut secrets) = with_disk();
    let name = chap(ChapChanges { name: Some("me".into()), ..ChapChanges::default() });
    let notes = config.modify_target(&mut secrets, DISK, &name).expect("stored");
    let said = format!("no secret is stored; store it with `iscsictl modify target {DISK} --chap-secret`");
    assert!(notes.len() == 1 && notes[0].contains(&said), "{notes:?}");
    let whole = chap(ChapChanges { secret: secret("twelve bytes and more"), ..ChapChanges::default() });
    assert_eq!(config.modify_target(&mut secrets, DISK, &whole).expect("stored"), Vec::<String>::new());
    // Of both at once, and of another change, there is nothing to say.
    let (mut config, mut secrets) = with_disk();
    let ours =
        ChapChanges { name: Some("me".into()), secret: secret("twelve bytes and more"), ..ChapChanges::default() };
    let changes = InitiatorChanges { chap: ours, ..InitiatorChanges::default() };
    assert_eq!(config.modify_initiator(&mut secrets, &changes).expect("stored"), Vec::<String>::new());
    let theirs = ChapChanges { mutual_name: Some("nas".into()), ..ChapChanges::default() };
    let changes = InitiatorChanges { chap: theirs, ..InitiatorChanges::default() };
    let notes = config.modify_initiator(&mut secrets, &changes).expect("stored");
    assert!(notes.len() == 1 && notes[0].contains("--chap-mutual-secret"), "{notes:?}");
    let alias = InitiatorChanges { alias: Some("host".into()), ..InitiatorChanges::default() };
    assert_eq!(config.modify_initiator(&mut secrets, &alias).expect("stored"), Vec::<String>::new());
}

// check: chap-equal-secrets
#[test]
fn the_same_secret_both_ways_is_refused_however_it_comes_about() {
    let word = "the very same words";
    let both = chap(ChapChanges { secret: secret(word), mutual_secret: secret(word), ..ChapChanges::default() });
    let (mut config, mut secrets) = with_disk();
    let failure = config.modify_target(&mut secrets, DISK, &both).expect_err("the same");
    assert_eq!(failure.code, ExitCode::Usage);
    assert!(!failure.to_string().contains(word), "{failure}");

    let (mut config, mut secrets) = with_disk();
    let theirs = chap(ChapChanges { mutual_secret: secret(word), ..ChapChanges::default() });
    config.modify_target(&mut secrets, DISK, &theirs).expect("theirs alone");
    let ours = InitiatorChanges {
        chap: ChapChanges { secret: secret(word), ..ChapChanges::default() },
        ..InitiatorChanges::default()
    };
    let failure = config.modify_initiator(&mut secrets, &ours).expect_err("the same, by inheritance");
    assert!(failure.to_string().contains(DISK), "{failure}");
}

// check: chap-secret-length
#[test]
fn secrets_are_12_to_128_bytes_long_and_a_shorter_one_is_taken_with_a_warning() {
    let set = |text: &str| {
        let (mut config, mut secrets) = with_disk();
        config.modify_target(&mut secrets, DISK, &chap(ChapChanges { secret: secret(text), ..ChapChanges::default() }))
    };
    assert_eq!(set("12 bytes lon"), Ok(vec![]));
    assert_eq!(set(&"x".repeat(128)), Ok(vec![]));
    assert!(set("11 bytes lo").expect("taken")[0].contains("is stored, but it is shorter than the 12 bytes"));
    assert_eq!(set(&"x".repeat(129)).expect_err("too long").code, ExitCode::Usage);
}

#[test]
fn wrong_algorithms_are_refused() {
    for (names, words) in [(vec!["ROT13"], "is not a CHAP algorithm"), (vec!["MD5", "md5"], "there twice")] {
        let algorithms = Some(names.into_iter().map(str::to_owned).collect());
        let changes = chap(ChapChanges { algorithms, ..ChapChanges::default() });
        assert_refused(|config, s| config.modify_target(s, DISK, &changes), ExitCode::Usage, words);
    }
}

// Discovery.

#[test]
fn discovery_portals_are_added_once_and_removed() {
    let mut config = Config::default();
    config.add_discovery_portal("NAS.example", Some("en0")).expect("added");
    let failure = config.add_discovery_portal("nas.example:3260", None).expect_err("there already");
    assert_eq!(failure.code, ExitCode::Data);
    assert_eq!(config.remove_discovery_portal("nas.example").expect("removed").interface.as_deref(), Some("en0"));
    assert!(config.discovery.portals.is_empty());
}

#[test]
fn discovered_targets_come_change_and_go_with_what_their_portal_names() {
    let mut config = Config::default();
    let asked = portal("nas.example");
    let recorded =
        config.record_discovered(&asked, &[found(DISK, &["192.0.2.1:3260,1", "[2001:db8::1],1"])], |_| false);
    assert_eq!(recorded.added, [DISK]);
    assert_eq!(config.targets[DISK].origin, Origin::Dynamic);
    assert_eq!(config.targets[DISK].discovered_from.as_deref(), Some("nas.example:3260"));
    assert_eq!(config.targets[DISK].portals[0].group_tag, Some(1));

    let same = config.record_discovered(&asked, &[found(DISK, &["192.0.2.1:3260,1", "[2001:db8::1],1"])], |_| false);
    assert_eq!(same, Recorded::default());

    let moved = config.record_discovered(&asked, &[found(DISK, &["192.0.2.9,2"])], |_| false);
    assert_eq!(moved.changed, [DISK]);
    assert_eq!(config.targets[DISK].portals.len(), 1);

    let kept = config.record_discovered(&asked, &[], |_| true);
    assert_eq!(kept, Recorded::default());
    let gone = config.record_discovered(&asked, &[], |_| false);
    assert_eq!(gone.removed, [DISK]);
    assert!(config.targets.is_empty());
}

#[test]
fn discovery_leaves_alone_what_the_user_added_or_changed_and_what_others_named() {
    let (mut config, mut secrets) = with_disk();
    let before = config.clone();
    let asked = portal("nas.example");
    config.record_discovered(&asked, &[found(DISK, &["198.51.100.1,1"])], |_| false);
    config.record_discovered(&asked, &[], |_| false);
    assert_eq!(config, before, "a static target");

    let other = "iqn.2026-11.org.example:other";
    config.record_discovered(&asked, &[found(other, &["198.51.100.1,1"])], |_| false);
    config.record_discovered(&portal("nas2.example"), &[], |_| false);
    assert!(config.targets.contains_key(other), "named by another portal");
    let changes = TargetChanges { auto_login: Some(true), ..TargetChanges::default() };
    config.modify_target(&mut secrets, other, &changes).expect("changed");
    config.record_discovered(&asked, &[], |_| false);
    assert!(config.targets.contains_key(other), "settings of the user");
}

#[test]
fn adding_a_discovered_target_makes_it_the_users_own() {
    let mut config = Config::default();
    config.record_discovered(&portal("nas.example"), &[found(DISK, &["192.0.2.1,1"])], |_| false);
    config.add_target(DISK, "192.0.2.1", Some("en0")).expect("not there twice: it was not the user's");
    let target = &config.targets[DISK];
    assert_eq!((target.origin, &target.discovered_from), (Origin::Static, &None));
    assert_eq!(target.portals[0].interface.as_deref(), Some("en0"));
}

#[test]
fn a_portal_that_is_added_is_asked_unless_it_was_said_that_none_is() {
    let mut config = Config::default();
    let said = config.ask_discovery_portal("nas", None).expect("added");
    assert!(config.discovery.send_targets());
    assert!(said.starts_with("nas:3260 is asked for its targets from now on, every 300 s; "), "{said}");
    assert!(
        config.ask_discovery_portal("b", None).expect("added").starts_with("b:3260 is asked for its targets, every")
    );
    config.discovery.send_targets = Some(false);
    let said = config.ask_discovery_portal("c", None).expect("added");
    assert!(!config.discovery.send_targets());
    assert!(said.contains("not asked") && said.contains("--send-targets yes"), "{said}");
    assert_eq!(config.discovery.portals.len(), 3);
}

#[test]
fn a_first_burst_that_is_longer_than_the_longest_burst_is_told() {
    let mut config = Config::default();
    let mut secrets = Secrets::default();
    let name = config.add_target("iqn.2026-11.org.example:a", "nas", None).expect("added");
    let mut modify = |keys: &[(&str, &str)]| {
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let changes = TargetChanges { keys, ..TargetChanges::default() };
        config.modify_target(&mut secrets, &name, &changes).expect("taken")
    };
    let notes = modify(&[("FirstBurstLength", "2000000")]);
    assert!(
        notes.iter().any(|note| note.starts_with("FirstBurstLength 2000000 is more than MaxBurstLength 1048576")),
        "{notes:?}"
    );
    assert!(modify(&[("MaxBurstLength", "4000000")]).is_empty(), "both fit");
    assert!(modify(&[("FirstBurstLength", ""), ("MaxBurstLength", "512")]).is_empty(), "nobody chose the first one");
}
