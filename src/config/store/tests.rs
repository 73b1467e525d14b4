//! The files on disk: what is read, what is written, and what stays when something goes wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use iscsi_proto::keys::Key;
use tempfile::TempDir;

use crate::config::*;
use crate::ipc::{ChapChanges, ExitCode, FlushPolicy, Secret, TargetChanges};

const TARGET: &str = "iqn.2026-11.org.example:disk1";

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn open(path: &Path) -> Store {
    Store::open(path).expect("opens")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[test]
fn without_a_file_the_defaults_hold_and_a_name_is_made_once_and_kept() {
    let directory = directory();
    let path = directory.path().join("new/iscsid.plist");
    let name = open(&path).config().initiator.name.clone();
    assert!(name.starts_with("iqn.2026-11.org.iscsid:"), "{name}");
    assert_eq!(open(&path).config().initiator.name, name);
    assert_eq!(mode(&path), 0o600);
}

// check: nop-off
#[test]
fn what_is_edited_is_there_after_a_restart() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let mut store = open(&path);
    let changes = TargetChanges {
        auto_login: Some(true),
        flush_policy: Some(FlushPolicy::OnCommit),
        keys: vec![("HeaderDigest".into(), "CRC32C,None".into()), ("ImmediateData".into(), "No".into())],
        timers: vec![("NopInterval".into(), 0)],
        chap: ChapChanges {
            name: Some("me".into()),
            secret: Some(Secret("correct horse battery".into())),
            ..ChapChanges::default()
        },
        ..TargetChanges::default()
    };
    store
        .edit(|config, secrets| {
            config.add_target(TARGET, "[2001:db8::1]:3261", Some("lo"))?;
            config.add_discovery_portal("nas.example", None)?;
            config.modify_target(secrets, TARGET, &changes)
        })
        .expect("saved");
    let (config, secrets) = (store.config().clone(), store.secrets().clone());
    drop(store);

    let store = open(&path);
    assert_eq!(*store.config(), config);
    assert_eq!(*store.secrets(), secrets);
    let effective = store.config().effective(TARGET, false);
    assert!(effective.auto_login);
    assert!(effective.timers.nop_interval.is_zero());
    assert_eq!(
        effective.keys.offer().value(Key::HeaderDigest).map(|value| value.to_string()).as_deref(),
        Some("CRC32C,None")
    );
    let credentials = store.config().credentials(store.secrets(), Some(TARGET)).expect("whole").expect("CHAP");
    assert_eq!(credentials.secret.as_bytes(), b"correct horse battery");
}

// check: chap-secret-stored, chap-secret-log
#[test]
fn secrets_are_in_a_file_of_their_own_that_nobody_else_reads_and_never_print() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let mut store = open(&path);
    let chap = ChapChanges { secret: Some(Secret("correct horse battery".into())), ..ChapChanges::default() };
    store
        .edit(|config, secrets| {
            config.add_target(TARGET, "192.0.2.1", None)?;
            config.modify_target(secrets, TARGET, &TargetChanges { chap, ..TargetChanges::default() })
        })
        .expect("saved");
    assert!(!fs::read_to_string(&path).expect("readable").contains("correct horse"));
    assert_eq!(mode(&secrets_path(&path)), 0o600);
    assert!(!format!("{store:?}").contains("correct horse"));

    drop(store);
    fs::set_permissions(secrets_path(&path), fs::Permissions::from_mode(0o640)).expect("chmod");
    let failure = Store::open(&path).expect_err("others may read it");
    assert_eq!(failure.code, ExitCode::Configuration);
    assert!(failure.to_string().contains("secrets.plist has mode 0640"), "{failure}");
}

// check: settings-read-back
#[test]
fn settings_that_could_not_be_read_again_are_not_written() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let mut store = open(&path);
    store.edit(|config, _| config.add_target(TARGET, "192.0.2.1", None)).expect("saved");
    let before = fs::read(&path).expect("readable");
    // As many as a hostile portal may have named.
    let failure = store
        .edit(|config, _| {
            let one = config.targets[TARGET].clone();
            config.targets.extend((0..60_000).map(|number| {
                let name = format!("{TARGET}-{number:0>150}");
                (name.clone(), Target { written_name: name, ..one.clone() })
            }));
            Ok(())
        })
        .expect_err("too large to be read");
    assert_eq!(failure.code, ExitCode::Configuration);
    assert!(failure.to_string().contains("could not be read again"), "{failure}");
    assert_eq!(fs::read(&path).expect("readable"), before);
    assert_eq!(store.config().targets.len(), 1, "it does not hold either");
    store.edit(|config, _| config.add_target(TARGET, "192.0.2.2", None)).expect("what fits is saved");
    drop(store);
    assert_eq!(open(&path).config().targets.len(), 1, "the next start comes up");
}

#[test]
fn a_file_with_an_error_is_named_with_its_key_and_left_alone() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>Version</key><integer>1</integer>\
         <key>Targets</key><dict><key>{TARGET}</key><dict><key>Timers</key><dict><key>NopIntervall</key><integer>5</integer>\
         </dict></dict></dict></dict></plist>"
    );
    fs::write(&path, &text).expect("written");
    let failure = Store::open(&path).expect_err("no such timer");
    assert_eq!(failure.code, ExitCode::Configuration);
    let expected = format!(
        "{}: Targets → {TARGET} → Timers → NopIntervall: there is no timer `NopIntervall`; the timers are LoginTimeout, \
         LogoutTimeout, NopInterval, NopTimeout, ReplacementTimeout, TaskTimeout; correct it, or move the file away",
        path.display()
    );
    assert_eq!(failure.to_string(), expected);
    assert_eq!(fs::read_to_string(&path).expect("readable"), text);
}

#[test]
fn only_one_daemon_has_a_file() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let first = open(&path);
    let failure = Store::open(&path).expect_err("in use");
    assert_eq!(failure.code, ExitCode::TryAgain);
    drop(first);
    open(&path);
}

// Files that users have.

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read(path).expect("a fixture")
}

#[test]
fn a_file_of_version_1_keeps_meaning_what_it_meant() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    fs::write(&path, fixture("version-1-full.plist")).expect("written");
    let store = open(&path);
    let config = store.config();
    assert_eq!(config.initiator.name, "iqn.2026-11.org.iscsid:jos-mac.0badcafe");
    assert_eq!(config.initiator.alias, "Jo's Mac");
    assert_eq!(config.initiator.chap.name.as_deref(), Some("jo"));

    let name = "iqn.2001-04.com.example:disk1";
    let disk = &config.targets[name];
    assert_eq!(disk.written_name, "iqn.2001-04.com.example:Disk1");
    let portals: Vec<String> = disk.portals.iter().map(Portal::endpoint).collect();
    assert_eq!(portals, ["192.0.2.1:3261", "[2001:db8::1]:3260", "nas.example:3260"]);
    assert_eq!((disk.portals[0].interface.as_deref(), disk.portals[0].group_tag), (Some("en0"), Some(1)));
    assert_eq!((disk.portals[2].interface.as_deref(), disk.portals[2].group_tag), (None, None));
    let effective = config.effective(name, true);
    assert_eq!((effective.auto_login, effective.persistent, effective.attach), (true, false, false));
    let keys: Vec<(&str, String)> = effective.keys.iter().map(|(key, value)| (key.name(), value.to_string())).collect();
    assert_eq!(
        keys,
        [
            ("HeaderDigest", "CRC32C,None"),
            ("DataDigest", "CRC32C"),
            ("InitialR2T", "No"),
            ("ImmediateData", "Yes"),
            ("MaxRecvDataSegmentLength", "65536"),
            ("MaxBurstLength", "262144"),
            ("FirstBurstLength", "65536"),
        ]
        .map(|(key, value)| (key, value.to_owned()))
    );
    let timers: Vec<u32> = effective.timers.entries().into_iter().map(|(_, seconds)| seconds).collect();
    assert_eq!(timers, [20, 3, 10, 0, 600, 30]);
    assert_eq!(disk.chap.mutual_name.as_deref(), Some("disk1"));
    assert_eq!(disk.chap.algorithms.as_deref(), Some(&["SHA-256".to_owned(), "MD5".to_owned()][..]));
    assert_eq!(config.targets["eui.02004567a425678d"].chap.enabled, Some(false));

    let discovered = &config.targets["iqn.2001-04.com.example:disk2"];
    assert_eq!(discovered.origin, crate::ipc::Origin::Dynamic);
    assert_eq!(discovered.discovered_from.as_deref(), Some("nas.example:3260"));
    assert!(config.discovery.send_targets());
    assert_eq!(config.discovery.interval().as_secs(), 60);
    assert_eq!(config.discovery.portals[0].endpoint(), "nas.example:3260");
}

#[test]
fn reading_does_not_write_and_writing_loses_nothing() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    fs::write(&path, fixture("version-1-full.plist")).expect("written");
    let mut store = open(&path);
    assert_eq!(fs::read(&path).expect("readable"), fixture("version-1-full.plist"));
    store.edit(|config, _| config.add_discovery_portal("nas2.example", None)).expect("saved");
    let config = store.config().clone();
    drop(store);
    assert_eq!(*open(&path).config(), config);
}

#[test]
fn values_without_effect_in_an_older_file_are_told_by_their_path_and_kept() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>\
        <key>Version</key><integer>1</integer>\
        <key>Defaults</key><dict><key>Session</key><dict><key>DataPDUInOrder</key><false/></dict></dict>\
        <key>Targets</key><dict><key>iqn.2026-11.org.example:Disk1</key><dict><key>Session</key><dict>\
        <key>MaxConnections</key><integer>4</integer><key>ErrorRecoveryLevel</key><integer>0</integer></dict></dict></dict>\
        <key>DiscoveredTargets</key><dict><key>iqn.2026-11.org.example:disk2</key><dict><key>Session</key><dict>\
        <key>ErrorRecoveryLevel</key><string>0x2</string></dict></dict></dict></dict></plist>";
    fs::write(&path, text).expect("written");
    let mut store = open(&path);
    let told = [
        "Defaults → Session → DataPDUInOrder: No has no effect: this iscsid takes the data of a burst in order only; Yes is used",
        "Targets → iqn.2026-11.org.example:Disk1 → Session → MaxConnections: 4 has no effect: this iscsid has one connection per session; 1 is used",
        "DiscoveredTargets → iqn.2026-11.org.example:disk2 → Session → ErrorRecoveryLevel: 2 has no effect: this iscsid replaces a lost connection by a new session; 0 is used",
    ];
    let whats = |store: &Store| store.config().without_effect().into_iter().map(|value| value.what).collect::<Vec<_>>();
    assert_eq!(whats(&store), told);
    let auto_login = TargetChanges { auto_login: Some(true), ..TargetChanges::default() };
    store.edit(|config, secrets| config.modify_target(secrets, TARGET, &auto_login)).expect("saved");
    drop(store);
    assert_eq!(whats(&open(&path)), told, "{}", fs::read_to_string(&path).expect("readable"));
}

#[test]
fn the_least_file_is_the_defaults_with_a_name() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    fs::write(&path, fixture("version-1-least.plist")).expect("written");
    let mut expected = Config::default();
    let store = open(&path);
    expected.initiator.name = store.config().initiator.name.clone();
    assert_eq!(*store.config(), expected);
}

// Files with something wrong in them.

/// The file with that body is refused with these words and left alone.
#[track_caller]
fn assert_file_refused(body: &str, words: &str) {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>{}</dict></plist>",
        body.replace("IQN", TARGET)
    );
    fs::write(&path, &text).expect("written");
    let failure = Store::open(&path).expect_err("to be refused");
    assert_eq!(failure.code, ExitCode::Configuration, "{failure}");
    assert!(failure.to_string().starts_with(&format!("{}: ", path.display())), "{failure}");
    assert!(failure.to_string().contains(&words.replace("IQN", TARGET)), "{words:?} in {failure}");
    assert_eq!(fs::read_to_string(&path).expect("readable"), text);
}

// check: plist-obvious-meaning
#[test]
fn what_defaults_write_leaves_is_taken_for_what_it_means_and_written_back_in_its_type() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("iscsid.plist");
    let text = format!(
        "<plist version=\"1.0\"><dict><key>Version</key><string>1</string><key>Initiator</key><dict><key>Name</key>\
         <string>iqn.2026-11.org.example:i</string></dict><key>Targets</key><dict><key>{TARGET}</key><dict>\
         <key>AutoLogin</key><string>YES</string><key>Persistent</key><integer>0</integer><key>Portals</key><array><dict>\
         <key>Address</key><string>192.0.2.1</string><key>Port</key><string>3261</string></dict></array>\
         <key>Session</key><dict><key>ImmediateData</key><integer>0</integer><key>MaxBurstLength</key><string>65536</string>\
         </dict><key>Connection</key><dict><key>HeaderDigest</key><string>crc32c, none</string></dict>\
         </dict></dict></dict></plist>"
    );
    fs::write(&path, text).expect("written");
    let mut store = Store::open(&path).expect("taken");
    let effective = store.config().effective(TARGET, false);
    assert!(effective.auto_login && !effective.persistent);
    assert_eq!(store.config().targets[TARGET].portals[0].port, 3261);
    store
        .edit(|config, _| {
            config.initiator.alias = "jo".into();
            Ok(())
        })
        .expect("saved");
    let saved: String = fs::read_to_string(&path).expect("readable").split_whitespace().collect();
    for written in [
        "<key>Version</key><integer>1</integer>",
        "<key>AutoLogin</key><true/>",
        "<key>Persistent</key><false/>",
        "<key>Port</key><integer>3261</integer>",
        "<key>ImmediateData</key><false/>",
        "<key>MaxBurstLength</key><integer>65536</integer>",
        "<key>HeaderDigest</key><string>CRC32C,None</string>",
    ] {
        assert!(saved.contains(written), "{written} in {saved}");
    }
}

// check: plist-other-version
#[test]
fn a_file_of_another_version_has_one_advice_whatever_its_keys_are() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("iscsid.plist");
    for more in ["", "<key>Pools</key><array/>"] {
        let text = format!("<plist version=\"1.0\"><dict><key>Version</key><integer>2</integer>{more}</dict></plist>");
        fs::write(&path, text).expect("written");
        let failure = Store::open(&path).expect_err("of another version");
        assert_eq!(
            failure.to_string(),
            format!(
                "{}: Version: is 2, and this iscsid reads version 1; use the iscsid that wrote it, or move the file \
                 away to begin anew",
                path.display()
            )
        );
    }
}

#[test]
fn every_wrong_value_is_named_by_its_path() {
    let v = "<key>Version</key><integer>1</integer>";
    let target = |inner: &str| format!("{v}<key>Targets</key><dict><key>IQN</key><dict>{inner}</dict></dict>");
    for (body, words) in [
        ("<key>Version</key><integer>2</integer>".to_owned(), "Version: is 2, and this iscsid reads version 1"),
        (
            format!("{v}<key>Initiator</key><dict><key>Name</key><string>me</string></dict>"),
            "Initiator → Name: 'me' is not an iSCSI name",
        ),
        (
            format!("{v}<key>Targets</key><dict><key>a disk</key><dict/></dict>"),
            "Targets → a disk: 'a disk' is not an iSCSI name",
        ),
        (
            target("<key>Session</key><dict><key>MaxBurstLenght</key><integer>1</integer></dict>"),
            "Targets → IQN → Session → MaxBurstLenght: there is no key 'MaxBurstLenght'",
        ),
        (
            target("<key>Session</key><dict><key>MaxBurstLength</key><integer>1</integer></dict>"),
            "Targets → IQN → Session → MaxBurstLength: '1' is not a value of MaxBurstLength",
        ),
        (
            target("<key>Session</key><dict><key>HeaderDigest</key><string>None</string></dict>"),
            "Targets → IQN → Session → HeaderDigest: the key belongs to Connection",
        ),
        (
            target("<key>Connection</key><dict><key>ImmediateData</key><true/></dict>"),
            "Targets → IQN → Connection → ImmediateData: the key belongs to Session",
        ),
        (
            target("<key>Portals</key><array><dict><key>Address</key><string>a b</string></dict></array>"),
            "Targets → IQN → Portals → 1 → Address: 'a b' is not a portal",
        ),
        (
            target(
                "<key>Portals</key><array><dict><key>Address</key><string>a</string></dict>\
                 <dict><key>Address</key><string>A</string></dict></array>",
            ),
            "Targets → IQN → Portals → 2 → Address: the portal is there twice",
        ),
        (
            target(
                "<key>Portals</key><array><dict><key>Address</key><string>a</string><key>Port</key><integer>0</integer>\
                 </dict></array>",
            ),
            "Targets → IQN → Portals → 1 → Port: is 0; a port is 1 to 65535",
        ),
        (
            target("<key>CHAP</key><dict><key>Algorithms</key><array><string>ROT13</string></array></dict>"),
            "Targets → IQN → CHAP → Algorithms: `ROT13` is not a CHAP algorithm",
        ),
        (
            target("<key>CHAP</key><dict><key>Secret</key><string>x</string></dict>"),
            "Targets → IQN → CHAP → Secret: unknown key `Secret`",
        ),
        (
            target("<key>Timers</key><dict><key>LoginTimeout</key><integer>0</integer></dict>"),
            "Targets → IQN → Timers → LoginTimeout: LoginTimeout is 0; it may be 1 to 3600 seconds",
        ),
        (
            format!("{v}<key>Discovery</key><dict><key>Interval</key><integer>5</integer></dict>"),
            "Discovery → Interval: is 5; it may be 30 to 32767 seconds",
        ),
        (
            format!(
                "{v}<key>Targets</key><dict><key>IQN</key><dict/></dict>\
                 <key>DiscoveredTargets</key><dict><key>IQN</key><dict/></dict>"
            ),
            "DiscoveredTargets → IQN: the target is there twice",
        ),
    ] {
        assert_file_refused(&body, words);
    }
}

#[test]
fn a_truncated_file_is_refused_and_left_alone() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let whole = fixture("version-1-full.plist");
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 20] {
        fs::write(&path, &whole[..length]).expect("written");
        let failure = Store::open(&path).expect_err("cut off");
        assert_eq!(failure.code, ExitCode::Configuration);
        let words = if length == 0 { "it is empty" } else { "it is not a whole property list" };
        assert!(failure.to_string().contains(words), "{failure}");
        assert_eq!(fs::read(&path).expect("readable"), &whole[..length]);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = directory();
    let failure = Store::open(directory.path()).expect_err("a directory");
    assert_eq!(failure.code, ExitCode::Configuration);
    let path = directory.path().display();
    let said = format!("{path} is a directory, and no property list; name a file, such as {path}/iscsid.plist");
    assert!(failure.to_string().starts_with(&said), "{failure}");
}

// check: file-of-another-kind
#[test]
fn nobody_waits_for_settings_secrets_or_a_lock_that_are_a_pipe() {
    for name in ["iscsid.plist", "secrets.plist", ".iscsid.plist.lock"] {
        let directory = directory();
        nix::unistd::mkfifo(&directory.path().join(name), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let failure = Store::open(&directory.path().join("iscsid.plist")).expect_err("a pipe");
        assert_eq!(failure.code, ExitCode::Configuration, "{failure}");
        assert!(failure.to_string().contains("is a named pipe, and no"), "{failure}");
    }
}

// check: chap-secret-log
#[test]
fn a_secrets_file_with_an_error_does_not_betray_what_is_in_it() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    drop(open(&path));
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>Version</key><integer>1</integer>\
                <key>Initiator</key><string>correct horse</string></dict></plist>";
    fs::write(secrets_path(&path), text).expect("written");
    fs::set_permissions(secrets_path(&path), fs::Permissions::from_mode(0o600)).expect("chmod");
    let failure = Store::open(&path).expect_err("no dictionary");
    assert!(
        failure
            .to_string()
            .contains("secrets.plist: Initiator: is something else than belongs there: it has to be a dictionary"),
        "{failure}"
    );
    assert!(!failure.to_string().contains("horse"), "{failure}");
}

// Saving, when it does not work.

#[test]
fn a_file_edited_by_hand_meanwhile_is_not_run_over() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let mut store = open(&path);
    fs::write(&path, fixture("version-1-full.plist")).expect("written");
    let before = store.config().clone();
    let failure = store.edit(|config, _| config.add_discovery_portal("nas", None)).expect_err("edited by hand");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert_eq!(fs::read(&path).expect("readable"), fixture("version-1-full.plist"));
    assert_eq!(*store.config(), before);
}

#[test]
fn an_edit_that_fails_changes_nothing() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let mut store = open(&path);
    let (before, bytes) = (store.config().clone(), fs::read(&path).expect("readable"));
    let result: Result<(), _> = store.edit(|config, _| {
        config.add_discovery_portal("nas", None)?;
        Err(crate::ipc::Failure::new(ExitCode::Data, "no"))
    });
    assert_eq!(result.expect_err("the edit's own").to_string(), "no");
    assert_eq!(*store.config(), before);
    assert_eq!(fs::read(&path).expect("readable"), bytes);
}

/// A file system of 64 KiB, as root may mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount() -> Option<SmallDisk> {
        let directory = directory();
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), directory.path(), Some("tmpfs"), flags, Some("size=64k")).ok()?;
        Some(SmallDisk(directory))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = nix::mount::umount(self.0.path()) {
            eprintln!("{} stays mounted: {error}", self.0.path().display());
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn when_the_disk_is_full_the_old_files_survive_and_the_error_says_so() {
    let Some(disk) = SmallDisk::mount() else {
        crate::testing::skip("only root can mount a small file system to fill");
        return;
    };
    let path = disk.0.path().join("iscsid.plist");
    let mut store = open(&path);
    let chap = ChapChanges { secret: Some(Secret("the first secret".into())), ..ChapChanges::default() };
    store
        .edit(|config, secrets| {
            config.add_target(TARGET, "192.0.2.1", None)?;
            config.modify_target(secrets, TARGET, &TargetChanges { chap, ..TargetChanges::default() })
        })
        .expect("there is room");
    let files = || [&path, &secrets_path(&path)].map(|path| fs::read(path).expect("readable"));
    let (before, config, secrets) = (files(), store.config().clone(), store.secrets().clone());
    // All the room that is left.
    let filler = fs::write(disk.0.path().join("filler"), vec![0; 1 << 20]);
    assert_eq!(filler.expect_err("full").kind(), std::io::ErrorKind::StorageFull);

    let chap = ChapChanges { secret: Some(Secret("the second secret".into())), ..ChapChanges::default() };
    for changes in [
        TargetChanges { chap, ..TargetChanges::default() },
        TargetChanges { attach: Some(true), ..TargetChanges::default() },
    ] {
        let failure =
            store.edit(|config, secrets| config.modify_target(secrets, TARGET, &changes)).expect_err("no room");
        assert_eq!(failure.code, ExitCode::Configuration);
        assert!(failure.to_string().contains("the file is as it was; make room"), "{failure}");
        assert_eq!(files(), before);
        assert_eq!((store.config(), store.secrets()), (&config, &secrets));
    }
    let left: Vec<_> = fs::read_dir(disk.0.path())
        .expect("readable")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.starts_with(".iscsid.plist.") && !name.ends_with(".lock"))
        .collect();
    assert_eq!(left, [""; 0], "no temporary file stays");

    fs::remove_file(disk.0.path().join("filler")).expect("removed");
    store.edit(|config, secrets| config.remove_target(secrets, TARGET, None)).expect("there is room again");
}

#[cfg(target_os = "linux")]
#[test]
fn a_change_that_is_refused_for_want_of_room_leaves_no_secret_behind() {
    let Some(disk) = SmallDisk::mount() else {
        crate::testing::skip("only root can mount a small file system to fill");
        return;
    };
    let path = disk.0.path().join("iscsid.plist");
    let mut store = open(&path);
    store.edit(|config, _| config.add_target(TARGET, "192.0.2.1", None)).expect("there is room");
    let before = fs::read(&path).expect("readable");
    let filler = disk.0.path().join("filler");
    fs::write(&filler, vec![0; 1 << 20]).expect_err("full");
    // Room for one file, and two are to be written.
    let full = fs::metadata(&filler).expect("it is there").len();
    fs::File::options().write(true).open(&filler).and_then(|file| file.set_len(full - 4096)).expect("shorter");

    let chap = ChapChanges {
        name: Some("second".into()),
        secret: Some(Secret("the second secret".into())),
        ..ChapChanges::default()
    };
    let changes = TargetChanges { chap, ..TargetChanges::default() };
    store.edit(|config, secrets| config.modify_target(secrets, TARGET, &changes)).expect_err("no room");
    assert_eq!(fs::read(&path).expect("readable"), before);
    assert!(!secrets_path(&path).exists(), "the next daemon would find it");
    assert_eq!(*store.secrets(), crate::config::Secrets::default());
}
