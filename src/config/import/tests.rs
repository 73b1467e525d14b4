//! What another initiator had configured meets what is configured here.

use iscsi_proto::keys::Key;

use crate::config::{Config, Secrets};
use crate::ipc::{
    ChapChanges, DiscoveryChanges, Import, Imported, ImportedPortal, ImportedTarget, InitiatorChanges, Origin, Secret,
    TargetChanges,
};

const DISK: &str = "iqn.2001-04.com.example:disk1";
const MADE: &str = "iqn.2026-11.org.iscsid:mac.00000001";

#[derive(Default)]
struct Here {
    config: Config,
    secrets: Secrets,
}

impl Here {
    fn new() -> Here {
        let mut here = Here::default();
        here.config.initiator.name = MADE.to_owned();
        here
    }

    fn import(&mut self, import: &Import) -> Imported {
        self.config.import(&mut self.secrets, import, |_| false)
    }
}

fn portal(at: &str) -> ImportedPortal {
    ImportedPortal { at: at.to_owned(), interface: None }
}

fn target(name: &str, portals: &[&str], changes: TargetChanges) -> Import {
    let portals = portals.iter().map(|at| portal(at)).collect();
    let target = ImportedTarget { name: name.to_owned(), portals, discovered_from: None, changes };
    Import { targets: vec![target], ..Import::default() }
}

fn chap(secret: &str) -> ChapChanges {
    ChapChanges { name: Some("me".into()), secret: Some(Secret(secret.into())), ..ChapChanges::default() }
}

#[test]
fn a_target_comes_with_its_settings_and_its_secret_which_is_not_said() {
    let mut here = Here::new();
    let keys = vec![("HeaderDigest".to_owned(), "CRC32C".to_owned())];
    let chap = chap("correct horse battery");
    let changes = TargetChanges { auto_login: Some(true), keys, chap, ..TargetChanges::default() };
    let imported = here.import(&target(DISK, &["192.0.2.1:3260"], changes));
    assert_eq!(
        imported.taken,
        [format!("target {DISK} at 192.0.2.1:3260, automatic login, HeaderDigest CRC32C, CHAP name me, CHAP secret")]
    );
    assert!(imported.left.is_empty(), "{:?}", imported.left);
    let stored = here.secrets.targets[DISK].secret.clone().expect("stored");
    assert_eq!(stored.as_bytes(), b"correct horse battery");
    assert!(here.config.effective(DISK, false).auto_login);
}

#[test]
fn a_target_that_is_here_stays_as_it_is_until_the_user_says_replace() {
    let mut here = Here::new();
    here.config.add_target(DISK, "192.0.2.7", None).expect("added");
    let before = here.config.clone();
    let mut import = target(DISK, &["192.0.2.1"], TargetChanges::default());
    let imported = here.import(&import);
    assert_eq!(here.config, before);
    assert!(imported.left[0].contains("stays as it is; --replace"), "{:?}", imported.left);
    import.replace = true;
    let imported = here.import(&import);
    assert_eq!(imported.taken, [format!("target {DISK} at 192.0.2.1:3260, instead of the one that was here")]);
    assert_eq!(here.config.targets[DISK].portals.len(), 1);
}

#[test]
fn a_target_that_is_logged_in_is_not_replaced() {
    let mut here = Here::new();
    here.config.add_target(DISK, "192.0.2.7", None).expect("added");
    let import = Import { replace: true, ..target(DISK, &["192.0.2.1"], TargetChanges::default()) };
    let imported = here.config.import(&mut here.secrets, &import, |name| name == DISK);
    assert!(imported.left[0].contains("it is logged in"), "{:?}", imported.left);
    assert_eq!(here.config.targets[DISK].portals[0].address, "192.0.2.7");
}

#[test]
fn one_that_cannot_replace_leaves_the_old_one_with_its_secret() {
    let mut here = Here::new();
    here.import(&target(DISK, &["192.0.2.7"], TargetChanges { chap: chap("one good secret"), ..Default::default() }));
    let (config, secrets) = (here.config.clone(), here.secrets.clone());
    let import = Import { replace: true, ..target(DISK, &["no host at all!"], TargetChanges::default()) };
    let imported = here.import(&import);
    assert!(imported.taken.is_empty());
    assert!(imported.left.iter().any(|left| left.contains("none of its portals")), "{:?}", imported.left);
    assert_eq!((here.config, here.secrets), (config, secrets));
}

#[test]
fn one_value_that_is_wrong_does_not_keep_the_others_out() {
    let mut here = Here::new();
    let keys = [("MaxConnections", "70000"), ("DataDigest", "CRC32C"), ("Nonsense", "1")];
    let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let imported = here.import(&target(DISK, &["192.0.2.1", "::bad::"], TargetChanges { keys, ..Default::default() }));
    assert_eq!(
        here.config.targets[DISK]
            .settings
            .keys
            .offer()
            .value(Key::DataDigest)
            .map(|value| value.to_string())
            .as_deref(),
        Some("CRC32C")
    );
    assert_eq!((imported.taken.len(), imported.left.len()), (1, 3), "{imported:?}");
    assert!(imported.left.iter().all(|left| left.starts_with(&format!("target {DISK}: "))), "{:?}", imported.left);
}

#[test]
fn a_value_without_effect_is_left_out_with_a_sentence_and_the_rest_is_taken() {
    let mut here = Here::new();
    let keys = [("MaxConnections", "4"), ("ErrorRecoveryLevel", "2"), ("HeaderDigest", "CRC32C")];
    let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let changes = TargetChanges { auto_login: Some(true), keys, ..Default::default() };
    let imported = here.import(&target(DISK, &["192.0.2.1"], changes));
    assert_eq!(imported.taken, [format!("target {DISK} at 192.0.2.1:3260, automatic login, HeaderDigest CRC32C")]);
    assert_eq!(
        imported.left,
        [
            format!(
                "target {DISK}: MaxConnections 4 would have no effect: this iscsid has one connection per session; \
                 leave it at 1"
            ),
            format!(
                "target {DISK}: ErrorRecoveryLevel 2 would have no effect: this iscsid replaces a lost connection by \
                 a new session; leave it at 0"
            ),
        ]
    );
}

#[test]
fn a_name_that_is_none_is_left_out_and_the_next_target_is_taken() {
    let mut here = Here::new();
    let mut import = target("\u{1b}[2J", &["192.0.2.1"], TargetChanges::default());
    import.targets.extend(target(DISK, &["192.0.2.1"], TargetChanges::default()).targets);
    let imported = here.import(&import);
    assert_eq!((imported.taken.len(), imported.left.len(), here.config.targets.len()), (1, 1, 1));
}

#[test]
fn the_name_that_was_made_gives_way_and_one_that_was_chosen_stays() {
    let name = "iqn.2015-01.com.example:mac";
    let initiator = InitiatorChanges { name: Some(name.into()), ..InitiatorChanges::default() };
    let import = Import { initiator, ..Import::default() };
    let mut here = Here::new();
    assert_eq!(here.import(&import).taken, [format!("the initiator's name is {name} instead of {MADE}")]);
    assert_eq!(here.config.initiator.name, name);
    let chosen = "iqn.2020-01.com.example:chosen";
    here.config.initiator.name = chosen.to_owned();
    let imported = here.import(&import);
    assert!(imported.left[0].contains(&format!("stays {chosen}; --replace")), "{:?}", imported.left);
    assert_eq!(here.config.initiator.name, chosen);
}

#[test]
fn equal_secrets_both_ways_are_not_taken() {
    let mut here = Here::new();
    let secret = || Some(Secret("the same secret".into()));
    let initiator = InitiatorChanges {
        chap: ChapChanges { secret: secret(), ..ChapChanges::default() },
        ..InitiatorChanges::default()
    };
    let mutual = ChapChanges { mutual_secret: secret(), ..ChapChanges::default() };
    let import = Import {
        initiator,
        ..target(DISK, &["192.0.2.1"], TargetChanges { chap: mutual, ..TargetChanges::default() })
    };
    let imported = here.import(&import);
    assert!(imported.left.iter().any(|left| left.contains("would be the same")), "{:?}", imported.left);
    assert!(!here.secrets.targets.contains_key(DISK));
    assert!(here.config.targets.contains_key(DISK));
}

#[test]
fn discovered_targets_stay_discovered_and_portals_are_there_once() {
    let mut here = Here::new();
    let mut import = target(DISK, &["192.0.2.1"], TargetChanges::default());
    import.targets[0].discovered_from = Some("192.0.2.9".into());
    import.discovery = DiscoveryChanges { send_targets: Some(true), interval: Some(60) };
    import.discovery_portals = vec![portal("192.0.2.9:3260"), portal("192.0.2.9")];
    let imported = here.import(&import);
    let target = &here.config.targets[DISK];
    assert_eq!((target.origin, target.discovered_from.as_deref()), (Origin::Dynamic, Some("192.0.2.9:3260")));
    assert_eq!(here.config.discovery.portals.len(), 1);
    assert!(imported.taken.contains(&"discovery: portals are asked, every 60 s".to_owned()), "{:?}", imported.taken);
    let again = here.import(&import);
    assert!(again.left.is_empty(), "what is the same is no matter: {:?}", again.left);
}
