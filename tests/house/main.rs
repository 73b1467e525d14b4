//! The house as docs/architecture.md draws it: who may import whom, no circle among files, `unsafe` where it has to be.
//!
//! ```text
//!   sources ──► crates: modules, names, paths ──► imports: file → file ──► circles
//!                                                                    └──► rooms ◄── the page's table
//!   manifests ──► features of the core that the extension is built with: none
//! ```
//! Sources are read, not compiled, so what is for another system is looked at as well. A re-export is gone through: what
//! counts is the file that defines a name. What a method of a type does, and a name that a macro makes up, is not seen.

mod circles;
mod crates;
mod imports;
mod made;
mod manifests;
mod rooms;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

use crate::crates::{Crates, Sources};
use crate::imports::Imports;
use crate::rooms::Rooms;

/// The crates of the product, by the name that others call them by.
const PRODUCT: [(&str, &str); 6] = [
    ("iscsi_proto", "proto/src/lib.rs"),
    ("iscsi_kext_messages", "kext-shim/messages/src/lib.rs"),
    ("iscsi_kext", "kext-shim/src/lib.rs"),
    ("sim_target", "sim-target/src/lib.rs"),
    ("iscsid", "src/lib.rs"),
    ("the program", "src/main.rs"),
];

/// Where `unsafe` may be.
const UNSAFE: [&str; 3] = ["src/kernel_bridge/kext/sys.rs", "src/daemon/platform/macos_sys.rs", "kext-shim/src"];

/// The crates that the core may use, which runs in a kernel as well: no std, and for CHAP what needs none.
const IN_THE_CORE: [&str; 9] = ["core", "alloc", "md5", "sha1", "sha2", "sha3", "base64", "subtle", "zeroize"];

struct Workspace;

impl Sources for Workspace {
    fn text(&self, file: &Path) -> Option<String> {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
    }
}

fn text(file: &str) -> String {
    Workspace.text(Path::new(file)).unwrap_or_else(|| panic!("{file} cannot be read"))
}

fn product() -> Crates {
    let mut crates = Crates::default();
    for (name, root) in PRODUCT {
        crates.read(&Workspace, name, root);
    }
    crates
}

fn list<T: std::fmt::Display>(found: impl IntoIterator<Item = T>) -> String {
    found.into_iter().map(|one| format!("\n  {one}")).collect()
}

/// Whether the first name of a path may be that of a crate: types have capitals, but for those of the language.
fn may_be_crate(name: &str) -> bool {
    let of_the_language = ["bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i32", "i64"];
    name.starts_with(|first: char| !first.is_ascii_uppercase()) && !of_the_language.contains(&name)
}

/// Whether a source has the word `unsafe`, other than in comments and strings.
fn has_unsafe(source: &str) -> bool {
    fn within(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == "unsafe",
            TokenTree::Group(group) => within(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    within(source.parse().unwrap_or_else(|error| panic!("a source cannot be read: {error}")))
}

#[test]
fn every_path_leads_somewhere() {
    let lost = Imports::of(&product()).lost;
    let lost = lost.iter().map(|(file, path)| format!("{}: {path}", file.display()));
    assert_eq!(list(lost), "", "what this test does not find, it does not judge");
}

#[test]
fn no_circle_among_files() {
    let circles = circles::circles(&Imports::of(&product()).imports);
    assert!(circles.is_empty(), "files that import one another's names:{}", list(circles));
}

#[test]
fn rooms_import_what_the_page_says() {
    let rooms = Rooms::of_page(&text("docs/architecture.md"));
    let wrong = rooms.judge(&Imports::of(&product()).imports);
    assert!(wrong.is_empty(), "against the table of docs/architecture.md:{}", list(wrong));
}

#[test]
fn the_core_needs_no_system() {
    let foreign = Imports::of(&product()).foreign;
    let of_core = foreign.iter().filter(|(file, _)| file.starts_with("proto"));
    let wrong = of_core.filter(|(_, name)| may_be_crate(name) && !IN_THE_CORE.contains(&name.as_str()));
    assert_eq!(list(wrong.map(|(file, name)| format!("{}: {name}", file.display()))), "");
}

#[test]
fn the_extension_takes_the_core_without_text_parsing_and_chap() {
    let members = manifests::members();
    let none = BTreeSet::new();
    assert_eq!(manifests::default_features(&members, "iscsi-proto"), none);
    assert_eq!(manifests::features(&members, "iscsi-kext", "iscsi-proto"), none);
    assert_eq!(manifests::features(&members, "iscsid", "iscsi-proto"), BTreeSet::from(["login".to_owned()]));
}

#[test]
fn nothing_of_the_product_comes_from_tests() {
    let crates = product();
    let files = crates.modules.iter().map(|module| &module.file);
    let outside = files.filter(|file| !file.components().any(|part| part.as_os_str() == "src"));
    assert_eq!(list(outside.map(|file| file.display())), "");
}

#[test]
fn unsafe_is_where_it_has_to_be() {
    let crates = product();
    let mut files: Vec<&PathBuf> = crates.modules.iter().map(|module| &module.file).collect();
    files.sort_unstable();
    files.dedup();
    let elsewhere = files.into_iter().filter(|file| !UNSAFE.iter().any(|place| file.starts_with(place)));
    let wrong = elsewhere.filter(|file| Workspace.text(file).is_some_and(|source| has_unsafe(&source)));
    assert_eq!(list(wrong.map(|file| file.display())), "");
}
