//! Every line of the three grammars, and what it means.

use iscsi_proto::keys::{Key, Value};

use super::{Action, Ask, Local, Source, Understood};
use crate::cli::args::{Format, Typed};
use crate::ipc::{
    ChapChanges, DiscoveryChanges, ExitCode, Failure, FlushPolicy, InitiatorChanges, Request, Rw, Secret,
    TargetChanges, Which, Workload,
};

const IQN: &str = "iqn.2026-11.org.example:disk1";

/// Understands a line, words apart by spaces; `IQN` stands for the name. Secrets that are asked for
/// are `prompted` and `from stdin`.
fn understand(line: &str) -> Result<Understood, Failure> {
    let mut answers = |source: Source, _: &str| {
        Ok(Secret(match source {
            Source::Prompt => "prompted".to_owned(),
            Source::StandardInput => "from stdin".to_owned(),
        }))
    };
    understand_with(line, &mut answers)
}

fn understand_with(line: &str, ask: Ask<'_>) -> Result<Understood, Failure> {
    let words: Vec<String> = line.split(' ').map(|word| word.replace("IQN", IQN)).collect();
    super::understand(&words, ask)
}

#[track_caller]
fn requests(line: &str) -> Vec<Request> {
    match understand(line).unwrap_or_else(|failure| panic!("{line}: {failure}")).action {
        Action::Ask(requests) => requests,
        Action::Here(local) => panic!("{line}: {local:?}"),
    }
}

#[track_caller]
fn assert_means(line: &str, request: Request) {
    assert_eq!(requests(line), [request], "{line}");
}

#[track_caller]
fn assert_same(old: &str, canonical: &str) {
    assert_eq!(requests(old), requests(canonical), "{old}");
}

#[track_caller]
fn assert_wrong(line: &str, saying: &str) {
    assert_refused(line, ExitCode::Usage, saying);
}

#[track_caller]
fn assert_refused(line: &str, code: ExitCode, saying: &str) {
    match understand(line) {
        Err(failure) => {
            assert_eq!(failure.code, code, "{line}");
            assert!(failure.to_string().contains(saying), "{line}: {failure}");
            assert!(!failure.to_string().contains('\n'), "{line}: one sentence, not {failure}");
        }
        other => panic!("{line}: {other:?}"),
    }
}

fn add_target(portal: &str, interface: Option<&str>) -> Request {
    Request::AddTarget { target: IQN.into(), portal: portal.into(), interface: interface.map(str::to_owned) }
}

fn one(portal: Option<&str>) -> Which {
    Which::One { target: IQN.into(), portal: portal.map(str::to_owned) }
}

fn modify_target(changes: TargetChanges) -> Request {
    Request::ModifyTarget { target: IQN.into(), changes }
}

fn keys(pairs: &[(&str, &str)]) -> TargetChanges {
    // As the standard writes them: 0x1000 is 4096.
    let written = |key: &str, value: &str| {
        let value = Key::configurable(key).and_then(|key| Value::parse(key, value)).expect("a value of the key");
        (key.to_owned(), value.to_string())
    };
    let keys = pairs.iter().map(|(key, value)| written(key, value)).collect();
    TargetChanges { keys, ..TargetChanges::default() }
}

#[test]
fn the_definition_is_sound() {
    <Typed as clap::CommandFactory>::command().debug_assert();
}

// The five lines that have to work to the letter.

#[test]
fn the_oldest_add() {
    assert_means("-add -target IQN -portal 192.0.2.1:3260 -interface en0", add_target("192.0.2.1:3260", Some("en0")));
}

#[test]
fn the_oldest_login() {
    assert_means("-login -target IQN -portal 192.0.2.1:3260", Request::Login(one(Some("192.0.2.1:3260"))));
}

#[test]
fn the_oldest_logout() {
    assert_means("-logout -target IQN", Request::Logout { which: one(None), force: false });
}

#[test]
fn the_oldest_lists() {
    assert_means("-targets", Request::ListTargets);
    assert_means("-luns", Request::ListLuns);
}

// The rest of the grammar of 2015.

#[test]
fn the_oldest_switches_may_stand_in_any_order() {
    assert_means("-portal [2001:db8::1]:3261 -target IQN -add", add_target("[2001:db8::1]:3261", None));
    assert_means("-login -target IQN", Request::Login(one(None)));
    assert_means("-logout -target IQN -portal nas", Request::Logout { which: one(Some("nas")), force: false });
    let target = IQN.to_owned();
    assert_means("-remove -target IQN", Request::RemoveTarget { target, portal: None, force: false });
}

#[test]
fn the_oldest_settings_are_a_change_of_their_own() {
    let settings = "-digest on -user me -secret hush-hush-hush -mutualUser you -mutualSecret quiet-quiet-quiet \
                    -MaxConnections 1 -ErrorRecoveryLevel 0";
    let changes = TargetChanges {
        chap: ChapChanges {
            name: Some("me".into()),
            secret: Some(Secret("hush-hush-hush".into())),
            mutual_name: Some("you".into()),
            mutual_secret: Some(Secret("quiet-quiet-quiet".into())),
            ..ChapChanges::default()
        },
        ..keys(&[
            ("HeaderDigest", "CRC32C"),
            ("DataDigest", "CRC32C"),
            ("MaxConnections", "1"),
            ("ErrorRecoveryLevel", "0"),
        ])
    };
    assert_means(&format!("-modify -target IQN {settings}"), modify_target(changes.clone()));
    assert_eq!(
        requests(&format!("-add -target IQN -portal nas {settings}")),
        [add_target("nas", None), modify_target(changes)]
    );
    assert_means(
        "-modify -target IQN -digest off",
        modify_target(keys(&[("HeaderDigest", "None"), ("DataDigest", "None")])),
    );
    assert_same("-modify -user me -secret", "modify initiator --chap-name me --chap-secret");
}

#[test]
fn the_oldest_discovery() {
    assert_means(
        "-discovery -portal nas -interface en0",
        Request::Discover { portal: "nas".into(), interface: Some("en0".into()), add: false },
    );
    assert_same("-add -discovery -portal nas", "add discovery-portal nas");
    assert_same("-remove -discovery -portal nas", "remove discovery-portal nas");
    assert_same(
        "-modify -discovery -interval 60 -SendTargets enable",
        "modify discovery --interval 60 --send-targets yes",
    );
}

#[test]
fn the_oldest_switches_take_our_options_too() {
    let understood = understand("-luns --format json --runtime-dir /r").expect("good");
    assert_eq!(understood.action, Action::Ask(vec![Request::ListLuns]));
    assert_eq!(understood.format, Format::Json);
    assert_eq!(understood.runtime_dir.as_deref(), Some(std::path::Path::new("/r")));
}

#[test]
fn the_runtime_directory_may_come_first_in_every_grammar() {
    for line in ["--runtime-dir /r -login -target IQN", "--runtime-dir=/r login IQN,nas", "--runtime-dir /r login IQN"]
    {
        let understood = understand(line).expect("good");
        assert_eq!(understood.runtime_dir.as_deref(), Some(std::path::Path::new("/r")), "{line}");
        assert!(matches!(requests(line).as_slice(), [Request::Login(_)]), "{line}: {:?}", understood.action);
    }
    assert_wrong("--runtime-dir", "--runtime-dir lacks its value");
}

#[test]
fn wrong_lines_of_the_oldest_grammar_say_what_is_missing() {
    assert_wrong("-add -target IQN", "-add lacks -portal HOST");
    assert_wrong("-login", "-login lacks -target IQN");
    assert_wrong("-add -login -target IQN", "two commands");
    assert_wrong("-add -target", "-target lacks its value");
    assert_wrong("-luns -frobnicate", "`-frobnicate` is not a switch");
    assert_wrong("-modify -target IQN -digest perhaps", "-digest is on or off");
    assert_wrong("-login -target IQN -digest on", "-login does not take settings");
    assert_wrong("-target IQN", "`iscsictl` has no option `-target`");
}

// The grammar of 2016 to 2023.

#[test]
fn targets_and_portals_with_a_comma() {
    assert_means("add target IQN,192.0.2.1:3260 -interface en0", add_target("192.0.2.1:3260", Some("en0")));
    assert_same("remove target IQN,nas", "remove target IQN --portal nas");
    assert_same("remove target IQN", "remove target IQN");
    assert_means("login IQN", Request::Login(one(None)));
    assert_means("login IQN,[2001:db8::1]", Request::Login(one(Some("[2001:db8::1]"))));
    assert_means("logout IQN,nas", Request::Logout { which: one(Some("nas")), force: false });
}

#[test]
fn discovery_portals_and_lists() {
    assert_means(
        "add discovery-portal nas -interface en0",
        Request::AddDiscoveryPortal { portal: "nas".into(), interface: Some("en0".into()) },
    );
    assert_means("remove discovery-portal nas", Request::RemoveDiscoveryPortal { portal: "nas".into() });
    assert_means("list targets", Request::ListTargets);
    assert_means("list luns", Request::ListLuns);
    assert_means("list initiator-config", Request::ShowInitiator);
    assert_means("list target-config IQN", Request::ShowTarget { target: IQN.into() });
    assert_means("list discovery-config", Request::ShowDiscovery);
}

#[test]
fn modify_initiator_config() {
    assert_means(
        "modify initiator-config -node-name iqn.2026-11.org.example:me -node-alias mac -authentication CHAP -CHAP-name me \
         -CHAP-secret",
        Request::ModifyInitiator(InitiatorChanges {
            name: Some("iqn.2026-11.org.example:me".into()),
            alias: Some("mac".into()),
            chap: ChapChanges {
                name: Some("me".into()),
                secret: Some(Secret("prompted".into())),
                ..ChapChanges::default()
            },
        }),
    );
    assert_same("modify initiator-config -authentication None", "modify initiator --no-chap");
}

#[test]
fn modify_target_config() {
    assert_means(
        "modify target-config IQN,nas -auto-login enable -persistent disable -MaxConnections 1 -ErrorRecoveryLevel 0 \
         -HeaderDigest CRC32C -DataDigest None",
        modify_target(TargetChanges {
            auto_login: Some(true),
            persistent: Some(false),
            ..keys(&[
                ("HeaderDigest", "CRC32C"),
                ("DataDigest", "None"),
                ("MaxConnections", "1"),
                ("ErrorRecoveryLevel", "0"),
            ])
        }),
    );
}

#[test]
fn the_flush_policy_has_two_names() {
    let meant = |policy| modify_target(TargetChanges { flush_policy: Some(policy), ..TargetChanges::default() });
    assert_means("modify target IQN --flush-policy on-commit", meant(FlushPolicy::OnCommit));
    assert_means("modify target IQN --flush-policy write-through", meant(FlushPolicy::WriteThrough));
    assert!(understand("modify target IQN --flush-policy never").is_err());
}

#[test]
fn a_target_configs_chap_is_the_targets_own_and_the_user_is_told() {
    let understood =
        understand("modify target-config IQN -HeaderDigest CRC32C -CHAP-name you -CHAP-secret").expect("good");
    let chap = ChapChanges {
        mutual_name: Some("you".into()),
        mutual_secret: Some(Secret("prompted".into())),
        ..ChapChanges::default()
    };
    let expected = modify_target(TargetChanges { chap, ..keys(&[("HeaderDigest", "CRC32C")]) });
    assert_eq!(understood.action, Action::Ask(vec![expected]));
    assert_eq!(understood.notes.len(), 1);
    assert!(understood.notes[0].contains("initiator-config"), "{}", understood.notes[0]);
    assert_same(
        "modify target-config IQN -authentication None",
        "modify target IQN --chap-mutual-name= --chap-mutual-secret=",
    );
}

#[test]
fn modify_discovery_config() {
    assert_means(
        "modify discovery-config -SendTargets enable -interval 300",
        Request::ModifyDiscovery(DiscoveryChanges { send_targets: Some(true), interval: Some(300) }),
    );
    assert_same("modify discovery-config -SendTargets disable", "modify discovery --send-targets no");
}

// The canonical grammar.

#[test]
fn every_canonical_command() {
    assert_means("add target IQN --portal nas --interface lo", add_target("nas", Some("lo")));
    let target = IQN.to_owned();
    assert_means(
        "remove target IQN --portal nas --force",
        Request::RemoveTarget { target: target.clone(), portal: Some("nas".into()), force: true },
    );
    assert_means("add discovery-portal nas", Request::AddDiscoveryPortal { portal: "nas".into(), interface: None });
    assert_means("discover nas --add", Request::Discover { portal: "nas".into(), interface: None, add: true });
    assert_means("login IQN --portal nas", Request::Login(one(Some("nas"))));
    assert_means("login --all", Request::Login(Which::All));
    assert_means("logout --all --force", Request::Logout { which: Which::All, force: true });
    assert_means("list sessions", Request::ListSessions);
    assert_means("list discovery-portals", Request::ListDiscoveryPortals);
    assert_means("show target IQN", Request::ShowTarget { target: target.clone() });
    assert_means("show initiator", Request::ShowInitiator);
    assert_means("show discovery", Request::ShowDiscovery);
    assert_means("show session 3", Request::ShowSession { session: 3 });
    assert_means("attach IQN --lun 2", Request::Attach { target: target.clone(), lun: Some(2) });
    assert_means("detach IQN --force", Request::Detach { target: target.clone(), lun: None, force: true });
    assert_means("rescan", Request::Rescan { target: None });
    assert_means("rescan IQN", Request::Rescan { target: Some(target.clone()) });
    assert_means("stats IQN", Request::Stats { target: Some(target) });
}

#[test]
fn every_setting_of_a_target() {
    assert_means(
        "modify target IQN --auto-login yes --persistent no --attach off --header-digest CRC32C,None --data-digest None \
         --max-connections 1 --initial-r2t No --immediate-data Yes --max-recv-data-segment-length 0x1000 \
         --max-burst-length 262144 --first-burst-length 65536 --default-time2wait 2 --default-time2retain 20 \
         --max-outstanding-r2t 4 --data-pdu-in-order Yes --data-sequence-in-order Yes --error-recovery-level 0 \
         --login-timeout 10 --logout-timeout 3 --nop-interval 0 --nop-timeout 7 --replacement-timeout 60 --task-timeout 20 \
         --chap-name me --chap-secret - --chap-mutual-name you --chap-mutual-secret=-dashed- --chap-algorithms SHA-256,MD5",
        modify_target(TargetChanges {
            auto_login: Some(true),
            persistent: Some(false),
            attach: Some(false),
            timers: [
                ("LoginTimeout", 10),
                ("LogoutTimeout", 3),
                ("NopInterval", 0),
                ("NopTimeout", 7),
                ("ReplacementTimeout", 60),
                ("TaskTimeout", 20),
            ]
            .map(|(name, seconds)| (name.to_owned(), seconds))
            .to_vec(),
            chap: ChapChanges {
                name: Some("me".into()),
                secret: Some(Secret("from stdin".into())),
                mutual_name: Some("you".into()),
                mutual_secret: Some(Secret("-dashed-".into())),
                algorithms: Some(vec!["SHA-256".into(), "MD5".into()]),
                off: false,
            },
            ..keys(&[
                ("HeaderDigest", "CRC32C,None"),
                ("DataDigest", "None"),
                ("MaxConnections", "1"),
                ("InitialR2T", "No"),
                ("ImmediateData", "Yes"),
                ("MaxRecvDataSegmentLength", "0x1000"),
                ("MaxBurstLength", "262144"),
                ("FirstBurstLength", "65536"),
                ("DefaultTime2Wait", "2"),
                ("DefaultTime2Retain", "20"),
                ("MaxOutstandingR2T", "4"),
                ("DataPDUInOrder", "Yes"),
                ("DataSequenceInOrder", "Yes"),
                ("ErrorRecoveryLevel", "0"),
            ])
        }),
    );
}

#[test]
fn a_value_that_would_have_no_effect_is_refused_in_every_grammar() {
    let one = "MaxConnections 4 would have no effect: this iscsid has one connection per session; leave it at 1";
    let level = "ErrorRecoveryLevel 2 would have no effect";
    for (line, saying) in [
        ("modify target IQN --max-connections 4", one),
        ("modify target IQN --max-connections=0x4", one),
        ("modify target-config IQN,nas -MaxConnections 4", one),
        ("-modify -target IQN -MaxConnections 4", one),
        ("-add -target IQN -portal nas -digest on -MaxConnections 4", one),
        ("modify target IQN --error-recovery-level 2", level),
        ("modify target-config IQN -ErrorRecoveryLevel 2", level),
        ("-add -target IQN -portal nas -ErrorRecoveryLevel 2", level),
        ("modify target IQN --data-pdu-in-order No", "DataPDUInOrder No would have no effect"),
        ("modify target IQN --data-sequence-in-order no", "DataSequenceInOrder No would have no effect"),
    ] {
        assert_wrong(line, saying);
    }
    let neutral = [("MaxConnections", ""), ("ErrorRecoveryLevel", "")].map(|(key, value)| (key.into(), value.into()));
    let changes = TargetChanges { keys: neutral.to_vec(), ..TargetChanges::default() };
    assert_means("modify target IQN --max-connections= --error-recovery-level=", modify_target(changes));
}

#[test]
fn a_value_that_is_none_of_its_key_is_refused_before_anybody_is_asked() {
    assert_wrong("modify target IQN --header-digest MD5", "'MD5' is not a value of HeaderDigest, use None, CRC32C");
    assert_wrong("modify target IQN --max-burst-length 511", "from 512 to 16777215");
    assert_wrong("-add -target IQN -portal nas -HeaderDigest MD5", "'MD5' is not a value of HeaderDigest");
}

#[test]
fn help_tells_range_and_default_of_a_key_and_which_have_one_value_only() {
    let action = understand("modify target --help").expect("good").action;
    let Action::Here(Local::Text(help)) = action else { panic!("no help") };
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "--header-digest <CRC32C|None> Checksum of headers: CRC32C, None, or both in the order of preference; default None",
        "--immediate-data <Yes|No> Send data along with the command: Yes or No; default Yes",
        "--max-burst-length <BYTES> The longest burst, in bytes: 512 to 16777215; default 1048576",
        "--default-time2wait <SECONDS> Wait before a lost connection is replaced, in seconds: 0 to 3600; default 2",
        "--max-connections <NUMBER> Connections of a session: 1 and nothing else, since this iscsid has one connection",
        "--data-pdu-in-order <Yes|No> Data of a burst comes in order: Yes and nothing else, since this iscsid",
        "--error-recovery-level <LEVEL> How much is recovered without a new session: 0 and nothing else, since",
    ] {
        assert!(help.contains(words), "{words} in {help}");
    }
}

#[test]
fn formats_and_the_runtime_directory() {
    for line in ["list luns --format plist", "show --format plist session 1", "show session 1 --format plist"] {
        assert_eq!(understand(line).expect("good").format, Format::Plist, "{line}");
    }
    for line in ["stats --format json", "discover nas --format json"] {
        assert_eq!(understand(line).expect("good").format, Format::Json, "{line}");
    }
    assert_eq!(understand("list luns").expect("good").format, Format::Table);
    let before = understand("--runtime-dir /r list luns").expect("good").runtime_dir;
    let after = understand("list luns --runtime-dir /r").expect("good").runtime_dir;
    assert_eq!(before, after);
    assert!(before.is_some());
}

#[test]
fn wrong_lines_get_one_sentence() {
    assert_wrong("frobnicate", "`frobnicate` is no command of `iscsictl`; after `iscsictl` comes add, remove, modify");
    assert_wrong("add target IQN", "`iscsictl add target` lacks --portal PORTAL");
    assert_wrong("list", "after `iscsictl list` a word is missing: targets, luns, sessions or discovery-portals");
    let listed = "say targets, luns, sessions or discovery-portals";
    assert_wrong("list frobs", &format!("after `iscsictl list` comes no `frobs`; {listed}"));
    assert_wrong("completions", "after `iscsictl completions` a word is missing: bash,");
    assert_wrong("completions csh", "after `iscsictl completions` comes no `csh`; did you mean `zsh`?");
    assert_wrong("login", "`iscsictl login` lacks IQN; name a target, or give --all for all of them");
    assert_wrong("login IQN --all", "exclude each other; leave one of them out");
    assert_wrong("modify target IQN", "there is nothing to change");
    assert_wrong("modify initiator", "there is nothing to change");
    assert_wrong("modify discovery", "there is nothing to change");
    assert_wrong("modify target IQN --auto-login perhaps", "say yes or no");
    assert_wrong("modify target IQN --no-chap --chap-name me", "exclude each other; leave one of them out");
    assert_wrong("modify initiator-config -authentication Kerberos", "-authentication is None or CHAP");
    assert_wrong("add target IQN --portal nas --format json", "`iscsictl add target` has no option `--format`");
    assert_wrong("show session one", "`one` is no value of NUMBER; say a number that `iscsictl list sessions` shows");
}

// check: wrong-line-sentence
#[test]
fn what_people_type_wrongly_is_told_in_the_words_of_the_command() {
    for (line, sentence) in [
        ("add", "after `iscsictl add` a word is missing: target or discovery-portal; `iscsictl add --help` explains"),
        ("show", "after `iscsictl show` a word is missing: target, initiator, discovery or session"),
        ("lits luns", "`lits` is no command of `iscsictl`; did you mean `list`?"),
        ("detatch IQN", "`detatch` is no command of `iscsictl`; did you mean `detach`?"),
        ("loign IQN", "`loign` is no command of `iscsictl`; did you mean `login`?"),
        (
            "add IQN --portal nas",
            "`iqn.2026-11.org.example:disk1` is no command of `iscsictl add`; did you mean `iscsictl add target iqn.2026-11.org.example:disk1`?",
        ),
        ("show IQN", "did you mean `iscsictl show target iqn.2026-11.org.example:disk1`?"),
        ("list target", "after `iscsictl list` comes no `target`; did you mean `targets`?"),
        ("attach", "`iscsictl attach` lacks IQN; `iscsictl attach --help` explains"),
        ("logout", "`iscsictl logout` lacks IQN; name a target, or give --all for all of them"),
        ("list luns --json", "`iscsictl list` has no option `--json`; say `--format json`"),
        ("list luns -f json", "`iscsictl list` has no option `-f`; say `--format json`"),
        ("list luns -o plist", "say `--format plist`"),
        ("list luns --frmat json", "say `--format json`"),
        ("list luns --format xml", "`xml` is no value of --format; say table, plist or json"),
        ("list luns --format", "--format lacks its value: table, plist or json"),
        ("list luns all", "`all` is one word too many for `iscsictl list`"),
        ("login IQN --potral nas", "`iscsictl login` has no option `--potral`; did you mean `--portal`?"),
        ("attach IQN --lun -1", "`-1` is no value of --lun; say a whole number from 0 to 16777215"),
        (
            "attach IQN --lun 99999999999999999999",
            "`99999999999999999999` is no value of --lun; say a whole number from 0",
        ),
        ("show session x", "`x` is no value of NUMBER; say a number that `iscsictl list sessions` shows"),
        ("show session -1", "`-1` is no value of NUMBER; say a number that `iscsictl list sessions` shows"),
        (
            "modify target IQN --nop-interval -5",
            "`-5` is no value of --nop-interval; say a whole number from 0 to 3600",
        ),
        (
            "modify target IQN --login-timeout 0",
            "`0` is no value of --login-timeout; say a whole number from 1 to 3600",
        ),
        (
            "modify target IQN --replacement-timeout 86401",
            "`86401` is no value of --replacement-timeout; say a whole number from 0 to 86400",
        ),
        ("modify target IQN --max-burst-length -5", "'-5' is not a value of MaxBurstLength"),
        ("modify discovery --interval -1", "`-1` is no value of --interval; say a whole number from 30 to 32767"),
        ("modify discovery --interval 29", "`29` is no value of --interval; say a whole number from 30 to 32767"),
        ("modify discovery-config -interval -1", "`-1` is no value of --interval; say a whole number from 30"),
        ("modify target IQN -DataPDUInOrder No", "did you mean `--data-pdu-in-order`?"),
        ("bench IQN --depth -1", "`-1` is no value of --depth; say a whole number from 1 to 1024"),
        ("bench IQN --bs -1", "`-1` is no value of --bs; say a number of bytes"),
        ("add target IQN --portal a,b", "`a,b` is no value of --portal; name one portal, HOST or HOST:PORT"),
        ("login IQN --portal 127.0.0.1,13370", "`127.0.0.1,13370` is no value of --portal; name one portal"),
        (
            "discover ::1:13370",
            "`::1:13370` is no value of PORTAL; write an IPv6 address in brackets, as in [2001:db8::1]:3260",
        ),
        (
            "add target IQN --portal nas --chap-name me",
            "`iscsictl add target` has no option `--chap-name`; the target is added without it, and then: \
             `iscsictl modify target IQN --chap-name NAME`",
        ),
        ("add target IQN --portal nas --chap-secret", "and then: `iscsictl modify target IQN --chap-secret`"),
        ("add target IQN --portal nas --auto-login yes", "and then: `iscsictl modify target IQN --auto-login YES|NO`"),
        ("login IQN --chap-secret", "that is said by `iscsictl modify target IQN --chap-secret`"),
        ("discover nas --chap-name me", "that is said by `iscsictl modify initiator --chap-name NAME`"),
        ("login IQN --portal a --portal b", "--portal is there twice; give it once"),
        ("--nothing list luns", "`iscsictl` has no option `--nothing`"),
        ("help nothing", "`nothing` is no command of `iscsictl`"),
    ] {
        assert_wrong(line, sentence);
    }
    let nothing = super::understand(&[], &mut |_, _| panic!("nobody is asked")).expect_err("nothing was said");
    assert!(nothing.to_string().starts_with("after `iscsictl` a word is missing: add, remove"), "{nothing}");
}

// check: number-ranges
#[test]
fn the_help_of_each_number_tells_the_range_that_is_taken() {
    let action = understand("modify target --help").expect("good").action;
    let Action::Here(Local::Text(help)) = action else { panic!("no help") };
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for timer in crate::config::Timer::ALL {
        let range = timer.range();
        let words = format!("{} to {}; default {}", range.start(), range.end(), timer.default_seconds());
        let option = option_of_timer(timer);
        let about = help.split(&format!("{option} <SECONDS>")).nth(1).expect("an option").split("--").next();
        assert!(about.is_some_and(|about| about.contains(&words)), "{option}: {words} in {help}");
        for (number, good) in [(*range.start(), true), (*range.end(), true), (range.end() + 1, false)] {
            let line = format!("modify target IQN {option} {number}");
            assert_eq!(understand(&line).is_ok(), good, "{line}");
        }
    }
}

/// `--login-timeout` of `LoginTimeout`.
fn option_of_timer(timer: crate::config::Timer) -> String {
    let dashed = timer.name().chars().flat_map(|c| match c.is_ascii_uppercase() {
        true => vec!['-', c.to_ascii_lowercase()],
        false => vec![c],
    });
    std::iter::once('-').chain(dashed).collect()
}

#[test]
fn help_and_version_may_be_words() {
    for (word, option) in [
        ("help", "--help"),
        ("help help", "--help"),
        ("help version", "--help"),
        ("version --help", "--help"),
        ("version help", "--help"),
        ("help modify target", "modify target --help"),
        ("help completions", "completions --help"),
        ("version", "--version"),
    ] {
        assert_eq!(understand(word), understand(option), "{word}");
        assert!(matches!(understand(word).expect("good").action, Action::Here(Local::Text(_))), "{word}");
    }
}

#[test]
fn numbers_may_be_hexadecimal_wherever_they_are_typed() {
    assert_same("modify target IQN --nop-interval 0x10", "modify target IQN --nop-interval 16");
    assert_same("modify discovery --interval 0x40", "modify discovery --interval 64");
    assert_same("attach IQN --lun 0x1", "attach IQN --lun 1");
}

#[test]
fn every_key_of_the_standard_may_be_written_as_the_older_grammars_do() {
    assert_same("modify target-config IQN -DataPDUInOrder Yes", "modify target IQN --data-pdu-in-order Yes");
    assert_same("-modify -target IQN -DefaultTime2Wait 3", "modify target IQN --default-time2wait 3");
}

// check: secret-on-command-line
#[test]
fn a_secret_on_the_command_line_is_taken_with_a_hint_and_one_that_is_asked_for_without() {
    for line in [
        "modify target IQN --chap-secret hush-hush-hush",
        "modify initiator --chap-mutual-secret=hush-hush-hush",
        "-modify -target IQN -user jo -secret hush-hush-hush",
    ] {
        let notes = understand(line).expect("taken").notes;
        assert!(notes.iter().any(|note| note.contains("`ps`") && note.contains("`-`")), "{line}: {notes:?}");
        assert!(!notes.iter().any(|note| note.contains("hush")), "{notes:?}");
    }
    for line in
        ["modify target IQN --chap-secret -", "modify target IQN --chap-secret", "modify target IQN --chap-secret="]
    {
        assert!(understand(line).expect("taken").notes.is_empty(), "{line}");
    }
}

#[test]
fn a_secret_that_cannot_be_had_stops_everything() {
    let refusal = Failure::new(ExitCode::Usage, "there is no terminal");
    let mut ask = |_: Source, _: &str| Err(refusal.clone());
    let wrong = understand_with("modify target IQN --chap-secret", &mut ask);
    assert_eq!(wrong, Err(refusal));
}

#[test]
fn help_is_a_text_and_not_an_error() {
    for line in ["--help", "-h", "modify target --help", "--version"] {
        assert!(matches!(understand(line).expect("good").action, Action::Here(Local::Text(_))), "{line}");
    }
    let Action::Here(Local::Text(help)) = understand("--help").expect("good").action else { panic!("no help") };
    for word in ["discover", "login", "Exit codes", "69", "control.sock"] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn bench_has_a_default_for_everything_but_the_target() {
    let defaults = Workload {
        target: IQN.into(),
        lun: None,
        rw: Rw::Read,
        block_size: 4096,
        depth: 32,
        seconds: 5,
        verify: false,
        destroy_data: false,
    };
    assert_means("bench IQN", Request::Bench(defaults.clone()));
    let all = "bench IQN --lun 3 --rw randrw --bs 64K --depth 8 --seconds 60 --verify --destroy-data --format json";
    let understood = understand(all).expect("good");
    let workload = Workload {
        lun: Some(3),
        rw: Rw::RandRw,
        block_size: 65_536,
        depth: 8,
        seconds: 60,
        verify: true,
        destroy_data: true,
        ..defaults.clone()
    };
    assert_eq!((understood.action, understood.format), (Action::Ask(vec![Request::Bench(workload)]), Format::Json));
    for (typed, rw) in [("read", Rw::Read), ("randread", Rw::RandRead)] {
        assert_means(&format!("bench IQN --rw {typed}"), Request::Bench(Workload { rw, ..defaults.clone() }));
    }
    for (typed, rw) in [("write", Rw::Write), ("randwrite", Rw::RandWrite)] {
        let workload = Workload { rw, destroy_data: true, ..defaults.clone() };
        assert_means(&format!("bench IQN --rw {typed} --destroy-data"), Request::Bench(workload));
    }
    for (typed, block_size) in [("512", 512), ("4k", 4096), ("64K", 65_536), ("1m", 1 << 20), ("1M", 1 << 20)] {
        assert_means(&format!("bench IQN --bs {typed}"), Request::Bench(Workload { block_size, ..defaults.clone() }));
    }
}

#[test]
fn a_load_that_makes_no_sense_is_refused_before_anybody_is_asked() {
    assert_wrong("bench", "`iscsictl bench` lacks IQN");
    assert_wrong("bench IQN --rw sideways", "sideways");
    for size in ["0", "4x", "k", "", "-1", "4kk", "1.5k", "99999999999", "4194304k"] {
        assert_wrong(&format!("bench IQN --bs={size}"), "--bs");
    }
    for depth in ["0", "1025", "70000", "many", "1.5"] {
        assert_wrong(&format!("bench IQN --depth {depth}"), "say a whole number from 1 to 1024");
    }
    for seconds in ["0", "86401", "99999999999", "5s"] {
        assert_wrong(&format!("bench IQN --seconds {seconds}"), "say a whole number from 1 to 86400");
    }
    assert_wrong("bench IQN --rw write", "--destroy-data");
    assert_wrong("bench IQN --rw randread --verify", "writes nothing");
}
