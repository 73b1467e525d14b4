//! Secrets between a keychain that works, one that does not, and the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tempfile::TempDir;

use super::*;

const DISK: &str = "iqn.2026-11.org.example:disk";

/// A keychain in memory.
#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<Item, SecretBytes>,
    /// Of another build, whose secrets are given to nobody else.
    foreign: BTreeSet<Item>,
    /// It gives nothing, it takes nothing, it removes nothing.
    locked: [bool; 3],
    /// There is none.
    broken: bool,
    sets: usize,
}

const LOCKED: &str = "it is locked";

impl State {
    fn may(&self, what: usize) -> Result<(), Refusal> {
        match () {
            () if self.broken => Err(Refusal::Unavailable("there is none".into())),
            () if self.locked[what] => Err(Refusal::Denied(LOCKED.into())),
            () => Ok(()),
        }
    }
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("sound")
    }

    fn lock(&self, get: bool, set: bool, remove: bool) {
        self.state().locked = [get, set, remove];
    }

    fn accounts(&self) -> Vec<String> {
        self.state().items.keys().map(Item::account).collect()
    }

    /// What is in it now, another build has stored.
    fn disown(&self) {
        let mut state = self.state();
        state.foreign = state.items.keys().cloned().collect();
    }
}

impl Keychain for Fake {
    fn get(&self, item: &Item) -> Result<Option<SecretBytes>, Refusal> {
        let state = self.state();
        state.may(0)?;
        if state.foreign.contains(item) {
            return Err(Refusal::Denied("it is another's".into()));
        }
        Ok(state.items.get(item).cloned())
    }

    fn add(&self, item: &Item, secret: &SecretBytes) -> Result<(), Refusal> {
        let mut state = self.state();
        state.may(1)?;
        state.sets += 1;
        assert_eq!(state.items.insert(item.clone(), secret.clone()), None, "it is there already");
        Ok(())
    }

    fn change(&self, item: &Item, secret: &SecretBytes) -> Result<(), Refusal> {
        let mut state = self.state();
        state.may(1)?;
        state.sets += 1;
        assert!(!state.foreign.contains(item), "changed by another than who stored it");
        assert!(state.items.insert(item.clone(), secret.clone()).is_some(), "it is not there");
        Ok(())
    }

    fn remove(&self, item: &Item) -> Result<(), Refusal> {
        let mut state = self.state();
        state.may(2)?;
        state.items.remove(item);
        state.foreign.remove(item);
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
        Scene::signed_by(Signer::Team)
    }

    fn signed_by(signer: Signer) -> Scene {
        let keychain = Fake::default();
        let vault = Vault::with(keychain.clone(), signer);
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

    /// The next version of the program, with the same keychain and the same file.
    fn upgraded_to(self, signer: Signer) -> Scene {
        self.keychain.disown();
        Scene { vault: Vault::with(self.keychain.clone(), signer), ..self }
    }
}

fn secrets(ours: Option<&str>, mutual: Option<&str>) -> Secrets {
    let secret = |text: Option<&str>| text.map(|text| SecretBytes::from(text.to_owned()));
    let node = NodeSecrets { secret: secret(ours), mutual_secret: secret(mutual) };
    let initiator = NodeSecrets { secret: secret(Some("for all of them")), mutual_secret: None };
    let mut secrets = Secrets { initiator, ..Secrets::default() };
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
    let sets = scene.keychain.state().sets;
    scene.save(&secrets(None, Some("theirs, twelve")));
    assert_eq!(scene.keychain.accounts(), ["initiator ours".to_owned(), format!("{DISK} mutual")]);
    assert_eq!(scene.keychain.state().sets, sets);
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
    for (remove, new) in [(false, "the new secret"), (true, "one more, new")] {
        scene.keychain.lock(false, true, remove);
        let after = secrets(Some(new), None);
        scene.save(&after);
        assert_eq!(scene.load(), after);
    }
}

#[test]
fn a_secret_that_is_taken_away_does_not_come_back_from_a_keychain_that_keeps_it() {
    let scene = Scene::new();
    let before = secrets(Some("ours, twelve"), None);
    scene.save(&before);
    scene.keychain.lock(false, true, true);
    let failure = scene.vault.save(&scene.file(), &before, &secrets(None, None));
    assert!(failure.expect_err("it would come back").to_string().contains("does not give up"));
    assert_eq!(scene.load(), before);
}

/// What a login says for want of a secret.
fn kept_back(secrets: &Secrets, target: Option<&str>) -> String {
    secrets.kept_back(target).map_or_else(String::new, |failure| failure.to_string())
}

#[test]
fn a_secret_that_is_not_given_keeps_back_the_logins_that_need_it_and_no_others() {
    const OTHER: &str = "iqn.2026-11.org.example:other";
    let scene = Scene::new();
    let mut before = secrets(Some("ours, twelve"), None);
    before.initiator = NodeSecrets::default();
    scene.save(&before);
    scene.keychain.disown();
    let secrets = scene.vault.load(&scene.file(), [DISK, OTHER]).expect("the rest");
    assert!(secrets.has(DISK) && !secrets.has(OTHER));
    let told = kept_back(&secrets, Some(DISK));
    assert!(
        told.contains(&format!("the keychain does not give the CHAP secret `{DISK} ours` (it is another's)")),
        "{told}"
    );
    assert!(told.contains(&format!("`iscsictl modify target {DISK} --chap-secret`")), "{told}");
    assert!(!told.contains("ours, twelve"), "{told}");
    assert_eq!((kept_back(&secrets, Some(OTHER)), kept_back(&secrets, None)), (String::new(), String::new()));
}

#[test]
fn the_initiators_secret_that_is_not_given_keeps_back_who_has_none_of_his_own() {
    let scene = Scene::new();
    scene.save(&secrets(None, None));
    scene.keychain.disown();
    let mut loaded = scene.load();
    assert!(kept_back(&loaded, Some(DISK)).contains("`iscsictl modify initiator --chap-secret`"));
    assert!(!kept_back(&loaded, None).is_empty(), "discovery, too");
    let own = SecretBytes::from("its own secret".to_owned());
    loaded.targets.insert(DISK.into(), NodeSecrets { secret: Some(own), mutual_secret: None });
    assert_eq!(kept_back(&loaded, Some(DISK)), "");
}

/// An upgrade of a program that a team has signed only now: the item of the old build is replaced.
#[test]
fn a_secret_that_is_entered_anew_takes_the_place_of_the_one_that_is_not_given() {
    let scene = Scene::new();
    scene.save(&secrets(Some("ours, twelve"), None));
    let scene = scene.upgraded_to(Signer::Team);
    let before = scene.load();
    assert_eq!((before.targets.len(), before.kept_back.len()), (0, 2));
    let mut after = before.clone();
    after.targets = secrets(Some("entered anew"), None).targets;
    after.changed(Some(DISK), false);
    scene.vault.save(&scene.file(), &before, &after).expect("saved");
    assert_eq!(scene.load(), after, "and the initiator's is still kept back");
    assert!(!scene.file().exists());
}

#[test]
fn a_keychain_that_cannot_be_opened_keeps_back_everything_that_is_not_in_the_file() {
    let scene = Scene::new();
    scene.keychain.state().broken = true;
    assert!(kept_back(&scene.load(), Some(DISK)).contains("there is none"));
    let both = secrets(Some("ours, twelve"), Some("theirs, twelve"));
    scene.save(&both);
    assert_eq!(kept_back(&scene.load(), Some(DISK)), "", "the file's copy is used");
}

#[test]
fn a_program_that_no_team_has_signed_keeps_its_secrets_in_the_file() {
    let scene = Scene::signed_by(Signer::Nobody);
    let both = secrets(Some("ours, twelve"), Some("theirs, twelve"));
    scene.save(&both);
    assert_eq!(scene.keychain.state().sets, 0);
    let scene = scene.upgraded_to(Signer::Nobody);
    assert_eq!(scene.load(), both);
    let choice = scene.vault.choice(&scene.file()).expect("there is one");
    assert!(choice.contains("secrets.plist") && choice.contains("no team has signed"), "{choice}");
    assert_eq!(Scene::new().vault.choice(&scene.file()).expect("one"), "CHAP secrets are kept in the System keychain");
}

#[test]
fn what_the_keychain_gives_moves_into_the_file_and_leaves_it_only_then() {
    let scene = Scene::new();
    let both = secrets(Some("ours, twelve"), None);
    scene.save(&both);
    let scene = Scene { vault: Vault::with(scene.keychain.clone(), Signer::Nobody), ..scene };
    let nowhere = scene.directory.path().join("nowhere");
    std::fs::write(&nowhere, []).expect("a file, and no directory");
    let loaded = scene.load();
    scene.vault.settle(&nowhere.join("secrets.plist"), &loaded).expect_err("it cannot be written");
    assert_eq!(scene.keychain.accounts().len(), 2, "nothing has left");
    scene.vault.settle(&scene.file(), &loaded).expect("moved");
    assert_eq!((scene.keychain.accounts().len(), scene.load()), (0, both));
}

#[test]
fn what_another_build_left_in_the_keychain_is_entered_again_and_then_goes() {
    let scene = Scene::new();
    scene.save(&secrets(Some("ours, twelve"), None));
    let scene = scene.upgraded_to(Signer::Nobody);
    let before = scene.load();
    scene.vault.settle(&scene.file(), &before).expect("nothing to move");
    assert!(kept_back(&before, Some(DISK)).contains("it is another's"));
    // Another change is no reason to forget it.
    let mut after = before.clone();
    after.initiator = secrets(None, None).initiator;
    after.changed(None, false);
    scene.vault.save(&scene.file(), &before, &after).expect("saved");
    assert!(kept_back(&scene.load(), Some(DISK)).contains("it is another's"));
    assert_eq!(scene.keychain.accounts(), [format!("{DISK} ours")]);
    let before = scene.load();
    let mut after = before.clone();
    after.targets = secrets(Some("entered anew"), None).targets;
    after.changed(Some(DISK), false);
    // Not even a keychain that keeps it can be in the way: the file is newer.
    scene.keychain.lock(false, true, true);
    scene.vault.save(&scene.file(), &before, &after).expect("saved");
    assert_eq!(scene.load(), after);
    scene.keychain.lock(false, false, false);
    scene.vault.save(&scene.file(), &before, &after).expect("saved");
    assert!(scene.keychain.accounts().is_empty());
}

#[test]
fn a_target_that_is_removed_takes_what_is_kept_back_with_it() {
    for signer in [Signer::Team, Signer::Nobody] {
        let scene = Scene::new();
        scene.save(&secrets(Some("ours, twelve"), Some("theirs, twelve")));
        let scene = scene.upgraded_to(signer);
        let before = scene.load();
        let mut after = before.clone();
        after.forget(DISK);
        scene.vault.save(&scene.file(), &before, &after).expect("saved");
        assert_eq!(scene.keychain.accounts(), ["initiator ours"], "{signer:?}");
    }
}

#[test]
fn without_a_keychain_that_can_be_opened_a_program_of_nobodys_has_its_file() {
    let scene = Scene::signed_by(Signer::Nobody);
    scene.keychain.state().broken = true;
    assert_eq!(scene.load(), Secrets::default(), "nothing has to be there");
    let both = secrets(Some("ours, twelve"), None);
    scene.save(&both);
    assert_eq!(scene.load(), both);
}

#[test]
fn without_a_keychain_all_is_in_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, vault) = (directory.path().join("secrets.plist"), Vault { keychain: None, signer: Signer::Nobody });
    let both = secrets(Some("ours, twelve"), Some("theirs, twelve"));
    vault.save(&file, &Secrets::default(), &both).expect("saved");
    assert_eq!(vault.load(&file, []).expect("the secrets"), both);
}
