//! Files as iscsi-osx has written them, and as nobody should.

use std::collections::BTreeMap;

use super::*;

const DISK: &str = "iqn.2001-04.com.example:disk1";

/// A keychain: by the name of the node.
#[derive(Default)]
struct Keychain(BTreeMap<&'static str, Result<&'static str, &'static str>>);

impl IscsiOsxSecrets for Keychain {
    fn secret(&self, node: &str) -> Result<Option<Secret>, String> {
        match self.0.get(node) {
            None => Ok(None),
            Some(Ok(secret)) => Ok(Some(Secret((*secret).to_owned()))),
            Some(Err(why)) => Err((*why).to_owned()),
        }
    }
}

fn read(body: &str, keychain: &Keychain) -> IscsiOsxFile {
    let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>{body}</dict></plist>");
    read_iscsi_osx(xml.as_bytes(), keychain).expect("a property list of iscsi-osx")
}

fn refusal(bytes: &[u8]) -> String {
    let failure = read_iscsi_osx(bytes, &Keychain::default()).expect_err("refused");
    assert_eq!(failure.code, ExitCode::Data);
    failure.to_string()
}

/// What iscsi-osx writes for a target of which nothing was set.
fn target(keys: &str, portals: &str) -> String {
    format!(
        "<key>Target Nodes</key><dict><key>{DISK}</key><dict>\
         <key>Alias</key><string></string><key>CHAP Name</key><string></string>\
         <key>Configuration Type</key><string>Static</string>\
         <key>Error Recovery Level</key><integer>0</integer><key>Maximum Connections</key><integer>1</integer>\
         <key>Persistent</key><true/>{keys}<key>Portals</key><dict>{portals}</dict></dict></dict>"
    )
}

fn portal(key: &str, port: &str, interface: &str) -> String {
    format!(
        "<key>{key}</key><dict><key>Address</key><string>{key}</string><key>Port</key>{port}\
         <key>Host Interface</key><string>{interface}</string></dict>"
    )
}

const PORT: &str = "<string>3260</string>";

#[test]
fn a_target_of_which_nothing_was_set_is_its_portals_and_nothing_else() {
    let portals = portal("192.0.2.1", PORT, "default") + &portal("2001:db8::1", "<string>3261</string>", "en0");
    let found = read(&target("", &portals), &Keychain::default());
    let at = |at: &str, interface: Option<&str>| ImportedPortal { at: at.into(), interface: interface.map(Into::into) };
    assert_eq!(
        found.import.targets,
        [ImportedTarget {
            name: DISK.into(),
            portals: vec![at("192.0.2.1:3260", None), at("[2001:db8::1]:3261", Some("en0"))],
            ..ImportedTarget::default()
        }]
    );
    assert_eq!((found.notes, found.secrets_in_clear), (Vec::new(), false));
}

#[test]
fn every_setting_of_a_target_has_its_counterpart() {
    let keys = "<key>Automatic Login</key><true/><key>Persistent</key><false/>\
                <key>Header Digest</key><string>CRC32C</string><key>Data Digest</key><string>None</string>\
                <key>Maximum Connections</key><integer>4</integer><key>Error Recovery Level</key><integer>2</integer>";
    let found = read(&target(keys, &portal("nas", PORT, "default")), &Keychain::default());
    let changes = &found.import.targets[0].changes;
    assert_eq!((changes.auto_login, changes.persistent), (Some(true), Some(false)));
    let keys: Vec<(&str, &str)> = changes.keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(keys, [("MaxConnections", "4"), ("ErrorRecoveryLevel", "2"), ("HeaderDigest", "CRC32C")]);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
}

#[test]
fn the_initiators_secret_is_ours_and_a_targets_secret_is_the_mutual_one() {
    let chap = |name: &str| {
        format!("<key>Authentication</key><string>CHAP</string><key>CHAP Name</key><string>{name}</string>")
    };
    let mac = "iqn.2015-01.com.example:mac";
    let initiator = format!(
        "<key>Initiator Node</key><dict><key>Name</key><string>{mac}</string>\
         <key>Alias</key><string>studio</string>{}</dict>",
        chap("me")
    );
    let keychain = Keychain([(mac, Ok("our secret here")), (DISK, Ok("their secret here"))].into());
    let body = initiator + &target(&chap("disk"), &portal("nas", PORT, "default"));
    let found = read(&body, &keychain);
    let ours = &found.import.initiator;
    assert_eq!((ours.name.as_deref(), ours.alias.as_deref()), (Some(mac), Some("studio")));
    assert_eq!((ours.chap.name.as_deref(), &ours.chap.secret), (Some("me"), &Some(Secret("our secret here".into()))));
    let theirs = &found.import.targets[0].changes.chap;
    assert_eq!(theirs.mutual_name.as_deref(), Some("disk"));
    assert_eq!((&theirs.secret, &theirs.mutual_secret), (&None, &Some(Secret("their secret here".into()))));
    assert_eq!((found.notes, found.secrets_in_clear), (Vec::new(), false));
}

#[test]
fn a_secret_that_is_not_to_be_had_is_said_with_what_to_do() {
    let chap = "<key>Authentication</key><string>CHAP</string>";
    let body = format!("<key>Initiator Node</key><dict>{chap}</dict>") + &target(chap, &portal("nas", PORT, ""));
    let keychain = Keychain([(DISK, Err("the user refused"))].into());
    let notes = read(&body, &keychain).notes;
    assert_eq!(
        notes,
        [
            format!(
                "the CHAP secret of {DEFAULT_NAME} is not there; store it with `iscsictl modify initiator --chap-secret`"
            ),
            format!(
                "the CHAP secret of {DISK} cannot be had (the user refused); \
             store it with `iscsictl modify target {DISK} --chap-mutual-secret`"
            ),
        ]
    );
}

#[test]
fn the_name_that_every_mac_had_is_not_taken() {
    let body = format!(
        "<key>Initiator Node</key><dict><key>Name</key><string>{DEFAULT_NAME}</string>\
         <key>Alias</key><string>localhost</string><key>Authentication</key><string>None</string></dict>"
    );
    let found = read(&body, &Keychain::default());
    assert!(found.import.is_empty(), "{:?}", found.import);
    assert!(found.notes[0].contains("that of every Mac"), "{:?}", found.notes);
}

#[test]
fn discovery_and_the_targets_it_found_are_taken() {
    let keys = "<key>Configuration Type</key><string>SendTargets</string>\
                <key>Managing Portal</key><string>192.0.2.9</string>";
    let discovery = format!(
        "<key>Discovery</key><dict><key>SendTargets</key><true/><key>Interval</key><integer>60</integer>\
         <key>Portals</key><dict><key>192.0.2.9</key><dict><key>Port</key><string>3299</string>\
         <key>Host Interface</key><string>default</string>\
         <key>Targets</key><array><string>{DISK}</string></array></dict></dict></dict>"
    );
    let body = discovery + &target(keys, &portal("192.0.2.1", PORT, "default"));
    let found = read(&body, &Keychain::default());
    assert_eq!(found.import.discovery, DiscoveryChanges { send_targets: Some(true), interval: Some(60) });
    assert_eq!(found.import.discovery_portals[0].at, "192.0.2.9:3299");
    assert_eq!(found.import.targets[0].discovered_from.as_deref(), Some("192.0.2.9:3299"));
    assert!(found.notes.is_empty(), "{:?}", found.notes);
}

/// A portal of spring 2015.
fn portal_2015(address: &str, secret: &str) -> String {
    format!(
        "<key>{address}</key><dict>\
         <key>Portal</key><dict><key>Address</key><string>{address}</string><key>Port</key><string>3260</string>\
         <key>Host Interface</key><string>en1</string></dict>\
         <key>Connection Configuration</key><dict><key>Header Digest</key><true/><key>Data Digest</key><false/></dict>\
         <key>Authentication</key><dict><key>Authentication Method</key><string>CHAP</string>\
         <key>Target User</key><string>me</string><key>Target Secret</key><string>{secret}</string>\
         <key>Initiator User</key><string>disk</string><key>Initiator Secret</key><string>their secret here</string>\
         </dict></dict>"
    )
}

fn target_2015(portals: &str) -> String {
    format!(
        "<key>Initiator</key><dict><key>Alias</key><string></string><key>Name</key><string></string></dict>\
         <key>Targets</key><dict><key>{DISK}</key><dict><key>Session Configuration</key><dict>\
         <key>Error Recovery Level</key><integer>0</integer><key>Maximum Connections</key><integer>2</integer>\
         <key>Target Portal Group Tag</key><integer>1</integer></dict>\
         <key>Portals</key><dict>{portals}</dict></dict></dict>"
    )
}

#[test]
fn a_file_of_spring_2015_gives_its_secrets_away() {
    let found = read(&target_2015(&portal_2015("192.0.2.1", "our secret here")), &Keychain::default());
    let ImportedTarget { portals, changes, .. } = &found.import.targets[0];
    assert_eq!((portals[0].at.as_str(), portals[0].interface.as_deref()), ("192.0.2.1:3260", Some("en1")));
    assert_eq!(changes.keys, [("MaxConnections", "2"), ("HeaderDigest", "CRC32C")].map(|(k, v)| (k.into(), v.into())));
    // The names are the wrong way round there: "Target User" answers the target.
    assert_eq!(
        changes.chap,
        ChapChanges {
            name: Some("me".into()),
            secret: Some(Secret("our secret here".into())),
            mutual_name: Some("disk".into()),
            mutual_secret: Some(Secret("their secret here".into())),
            ..ChapChanges::default()
        }
    );
    assert!(found.secrets_in_clear);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
}

#[test]
fn two_portals_with_other_secrets_are_one_target_with_the_first_ones() {
    let portals = portal_2015("192.0.2.1", "our secret here") + &portal_2015("192.0.2.2", "another secret");
    let found = read(&target_2015(&portals), &Keychain::default());
    let target = &found.import.targets[0];
    assert_eq!((target.portals.len(), &target.changes.chap.secret), (2, &Some(Secret("our secret here".into()))));
    assert_eq!(found.notes.len(), 1);
    assert!(found.notes[0].contains("192.0.2.2 → Authentication: it differs"), "{:?}", found.notes);
    assert!(!found.notes[0].contains("another secret"));
}

#[test]
fn what_has_the_wrong_type_is_named_by_its_path_and_the_rest_is_taken() {
    let keys = "<key>Automatic Login</key><string>yes</string><key>Maximum Connections</key><real>1.5</real>\
                <key>Error Recovery Level</key><integer>-1</integer><key>Header Digest</key><integer>1</integer>\
                <key>Authentication</key><string>Kerberos</string><key>Managing Portal</key><data>AAAA</data>\
                <key>Colour</key><string>blue</string>";
    let portals = portal("a", "<string>70000</string>", "") + &portal("b", "<array/>", "") + &portal("c", PORT, "");
    let found = read(&target(keys, &portals), &Keychain::default());
    assert_eq!(found.import.targets[0].portals.len(), 1);
    assert_eq!(found.import.targets[0].changes, TargetChanges::default());
    let expected = [
        "Automatic Login: it is not a boolean",
        "Maximum Connections: it is not an integer",
        "Error Recovery Level: it is not an integer",
        "Header Digest: it is not None or CRC32C",
        "Managing Portal: it is not a string",
        "Authentication: `Kerberos` is neither None nor CHAP",
        "Portals → a → Port: it is not a port",
        "Portals → b → Port: it is not a port",
        "Colour: nothing here corresponds to it",
    ];
    for (note, expected) in found.notes.iter().zip(expected) {
        assert!(note.starts_with(&format!("Target Nodes → {DISK} → {expected}")), "{note}, not {expected}");
    }
    assert_eq!(found.notes.len(), expected.len(), "{:?}", found.notes);
}

#[test]
fn sections_of_the_wrong_type_leave_nothing_and_are_said() {
    let body = "<key>Target Nodes</key><array/><key>Initiator Node</key><true/><key>Discovery</key><string>x</string>";
    let found = read(body, &Keychain::default());
    assert!(found.import.is_empty());
    assert_eq!(found.notes.len(), 3);
}

#[test]
fn a_file_of_nothing_but_mistakes_is_not_told_in_full() {
    let unknown: String = (0..5000).map(|n| format!("<key>k{n}</key><true/>")).collect();
    let found = read(&target(&unknown, ""), &Keychain::default());
    assert_eq!(found.notes.len(), MOST_NOTES + 1);
    assert_eq!(found.notes.last().map(String::as_str), Some("and 4800 more like these"));
}

#[test]
fn what_is_none_of_its_files_is_refused_in_one_sentence() {
    assert!(refusal(b"").contains("it is empty"));
    assert!(refusal(b"\x7fELF\x02\x01\x01\0\0").contains("its root is not a dictionary"));
    assert!(refusal(b"bplist00\xd1\x01\x02\x51a").contains("not a whole property list"));
    assert!(refusal(b"<plist version=\"1.0\"><array/></plist>").contains("its root is not a dictionary"));
    let other = b"<plist version=\"1.0\"><dict><key>Version</key><integer>1</integer></dict></plist>";
    assert!(refusal(other).contains("none of the sections"), "{}", refusal(other));
}

/// The same property list in Apple's binary encoding.
fn binary(xml: &str) -> Vec<u8> {
    let value = plist::Value::from_reader(std::io::Cursor::new(xml)).expect("a property list");
    let mut bytes = Vec::new();
    value.to_writer_binary(&mut bytes).expect("a binary property list");
    bytes
}

// check: plist-binary
#[test]
fn a_binary_property_list_is_taken_as_one_of_xml() {
    let xml = format!(
        "<plist version=\"1.0\"><dict><key>Target Nodes</key><dict><key>{DISK}</key><dict><key>Portals</key><dict>\
         <key>192.0.2.1</key><dict><key>Port</key>{PORT}</dict></dict></dict></dict></dict></plist>"
    );
    let of = |bytes: &[u8]| read_iscsi_osx(bytes, &Keychain::default()).expect("settings of iSCSIInitiator");
    assert_eq!(of(&binary(&xml)), of(xml.as_bytes()));
    assert_eq!(of(&binary(&xml)).import.targets.len(), 1);
}

// check: import-own-settings
#[test]
fn our_own_settings_are_told_apart_in_either_encoding() {
    let xml = format!(
        "<plist version=\"1.0\"><dict><key>Version</key><integer>1</integer><key>Targets</key><dict><key>{DISK}</key><dict>\
         <key>Portals</key><array/></dict></dict></dict></plist>"
    );
    for bytes in [xml.as_bytes().to_vec(), binary(&xml)] {
        let refusal = read_iscsi_osx(&bytes, &Keychain::default()).expect_err("nothing to import");
        assert_eq!(refusal.code, ExitCode::Data);
        let said = refusal.to_string();
        assert!(said.contains("settings of iscsid itself") && said.contains("--config"), "{said}");
    }
}
