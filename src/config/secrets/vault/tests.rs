//! Secrets between a keychain that works, one that does not, and the file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;

const DISK: &str = "iqn.2026-11.org.example:disk";

/// A keychain in memory.
#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<Item, SecretBytes>,
    /// It gives nothing, it takes nothing, it removes nothing.
    locked: [bool; 3],
    sets: usize,
}

impl Fake {
    fn lock(&self, get: bool, set: bool, remove: bool) {
        self.0.lock().expect("sound").locked = [get, set, remove];
    }

    fn accounts(&self) -> Vec<String> {
        self.0.lock().expect("sound").items.keys().map(Item::account).collect()
    }
}

impl Keychain for Fake {
    fn get(&self, item: &Item) -> Result<Option<SecretBytes>, String> {
        let state = self.0.lock().expect("sound");
        if state.locked[0] { Err("it is locked".into()) } else { Ok(state.items.get(item).cloned()) }
    }

    fn set(&self, item: &Item, secret: &SecretBytes) -> Result<(), String> {
        let mut state = self.0.lock().expect("sound");
        if state.locked[1] {
            return Err("it is locked".into());
        }
        state.sets += 1;
        state.items.insert(item.clone(), secret.clone());
        Ok(())
    }

    fn remove(&self, item: &Item) -> Result<(), String> {
        let mut state = self.0.lock().expect("sound");
        if state.locked[2] {
            return Err("it is locked".into());
        }
        state.items.remove(item);
        Ok(())
    }
}

struct Scene {
    directory: TempDir,
    keychain: Fake,
    vault: Vault,
}

impl Scene {
    fn new() -> Scene {
        let keychain = Fake::default();
        let vault = Vault::with(keychain.clone());
        Scene { directory: tempfile::tempdir().expect("a directory"), keychain, vault }
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("secrets.plist")
    }

    fn load(&self) -> Secrets {
        self.vault.load(&self.file(), [DISK]).expect("the secrets")
    }

    fn save(&self, after: &Secrets) {
        self.vault.save(&self.file(), &self.load(), after).expect("saved");
    }
}

fn secrets(ours: Option<&str>, mutual: Option<&str>) -> Secrets {
    let secret = |text: Option<&str>| text.map(|text| SecretBytes::from(text.to_owned()));
    let node = NodeSecrets { secret: secret(ours), mutual_secret: secret(mutual) };
    let initiator = NodeSecrets { secret: secret(Some("for all of them")), mutual_secret: None };
    let mut secrets = Secrets { initiator, targets: BTreeMap::new() };
    if node != NodeSecrets::default() {
        secrets.targets.insert(DISK.into(), node);
    }
    secrets
}

#[test]
fn secrets_go_into_the_keychain_and_into_no_file() {
    let scene = Scene::new();
    let both = secrets(Some("ours, twelve"), Some("theirs, twelve"));
    scene.save(&both);
    assert_eq!(scene.load(), both);
    let disk = |what| format!("{DISK} {what}");
    assert_eq!(scene.keychain.accounts(), ["initiator ours".into(), disk("ours"), disk("mutual")]);
    assert!(!scene.file().exists());
}

#[test]
fn a_secret_that_is_taken_away_is_removed_and_what_stays_is_not_written_again() {
    let scene = Scene::new();
    scene.save(&secrets(Some("ours, twelve"), Some("theirs, twelve")));
    let sets = scene.keychain.0.lock().expect("sound").sets;
    scene.save(&secrets(None, Some("theirs, twelve")));
    assert_eq!(scene.keychain.accounts(), ["initiator ours".to_owned(), format!("{DISK} mutual")]);
    assert_eq!(scene.keychain.0.lock().expect("sound").sets, sets);
    scene.save(&Secrets::default());
    assert!(scene.keychain.accounts().is_empty());
}

#[test]
fn a_file_from_before_is_read_and_moves_at_the_first_change() {
    let scene = Scene::new();
    let before = secrets(Some("ours, twelve"), None);
    before.save(&scene.file()).expect("a file");
    assert_eq!(scene.load(), before, "it is read where it is");
    assert!(scene.file().exists(), "and reading changes nothing");
    let after = secrets(Some("ours, twelve"), Some("theirs, twelve"));
    scene.save(&after);
    assert_eq!(scene.keychain.accounts().len(), 3, "what had not changed has moved as well");
    assert!(!scene.file().exists());
    assert_eq!(scene.load(), after);
}

#[test]
fn a_keychain_that_takes_nothing_leaves_the_secrets_to_the_file() {
    let scene = Scene::new();
    scene.keychain.lock(false, true, false);
    let both = secrets(Some("ours, twelve"), Some("theirs, twelve"));
    scene.save(&both);
    assert!(scene.keychain.accounts().is_empty());
    assert_eq!(scene.load(), both);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(scene.file()).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn an_old_secret_in_the_keychain_never_wins_over_a_new_one_in_the_file() {
    let scene = Scene::new();
    scene.save(&secrets(Some("the old secret"), None));
    scene.keychain.lock(false, true, false);
    let after = secrets(Some("the new secret"), None);
    scene.save(&after);
    assert_eq!(scene.load(), after);
    scene.keychain.lock(false, true, true);
    let failure = scene.vault.save(&scene.file(), &after, &secrets(Some("one more, new"), None));
    assert!(failure.expect_err("it cannot be kept").to_string().contains("neither takes nor gives up"));
}

#[test]
fn a_keychain_that_is_locked_is_an_error_and_not_an_absence() {
    let scene = Scene::new();
    scene.save(&secrets(Some("ours, twelve"), None));
    scene.keychain.lock(true, false, false);
    let failure = scene.vault.load(&scene.file(), [DISK]).expect_err("locked");
    assert!(failure.to_string().contains("it is locked"), "{failure}");
    assert!(!failure.to_string().contains("ours, twelve"), "{failure}");
}

#[test]
fn without_a_keychain_all_is_in_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, vault) = (directory.path().join("secrets.plist"), Vault { keychain: None });
    let both = secrets(Some("ours, twelve"), Some("theirs, twelve"));
    vault.save(&file, &Secrets::default(), &both).expect("saved");
    assert_eq!(vault.load(&file, []).expect("the secrets"), both);
}
