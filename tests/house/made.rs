//! Each check can fail: small houses with something wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::circles::circles;
use crate::crates::{Crates, Sources};
use crate::imports::{Import, Imports};
use crate::manifests::{default_features, features};
use crate::rooms::Rooms;
use crate::{has_unsafe, may_be_crate};

struct Made(BTreeMap<PathBuf, &'static str>);

impl Sources for Made {
    fn text(&self, file: &Path) -> Option<String> {
        self.0.get(file).map(|&text| text.to_owned())
    }
}

/// The imports of a crate `ours` with these files.
fn imports(files: &[(&str, &'static str)]) -> Imports {
    let sources = Made(files.iter().map(|&(file, text)| (file.into(), text)).collect());
    let mut crates = Crates::default();
    crates.read(&sources, "ours", "src/lib.rs");
    Imports::of(&crates)
}

fn told(files: &[(&str, &'static str)]) -> Vec<String> {
    circles(&imports(files).imports).into_iter().collect()
}

const TWO: &str = "mod a; mod b;";
const CIRCLE: &str = "src/a.rs -> src/b.rs (B) -> src/a.rs (A)";

#[test]
fn two_files_that_import_each_other_are_a_circle_with_names() {
    let found = told(&[
        ("src/lib.rs", TWO),
        ("src/a.rs", "use crate::b::B; pub struct A;"),
        ("src/b.rs", "use super::a::A; pub struct B;"),
    ]);
    assert_eq!(found, [CIRCLE]);
}

#[test]
fn nested_uses_paths_in_code_words_of_macros_and_modules_by_name_count() {
    for a in [
        "use crate::{b::{self, B}, b as other}; pub struct A;",
        "pub struct A(crate::b::B);",
        "pub struct A; fn f() { let _ = super::b::B::new(); }",
        "pub struct A; fn f() { println!(\"{}\", crate::b::B::new()) }",
        "use crate::b; pub struct A(b::B);",
        "use crate::b as other; pub struct A; impl other::B for A {}",
        "pub struct A; fn f() { use crate::b::B; }",
    ] {
        let found = told(&[("src/lib.rs", TWO), ("src/a.rs", a), ("src/b.rs", "use crate::a::A as _; pub struct B;")]);
        assert_eq!(found, [CIRCLE], "{a}");
    }
}

#[test]
fn a_re_export_is_gone_through() {
    let found = told(&[
        ("src/lib.rs", "mod a; mod face; pub use self::face::B;"),
        ("src/a.rs", "use crate::B; pub struct A;"),
        ("src/face/mod.rs", "mod b; pub use self::b::*;"),
        ("src/face/b.rs", "use crate::a::A; pub struct B;"),
    ]);
    assert_eq!(found, ["src/a.rs -> src/face/b.rs (B) -> src/a.rs (A)"]);
}

#[test]
fn a_face_is_in_no_circle_and_a_parent_that_uses_what_it_shows_is() {
    let child = "use super::Limit; pub struct Child(Limit);";
    let face = ("src/p/mod.rs", "mod child; mod limit; pub use self::child::Child; pub use self::limit::Limit;");
    let files = [("src/lib.rs", "mod p;"), ("src/p/child.rs", child), ("src/p/limit.rs", "pub struct Limit;")];
    assert_eq!(told(&[face, files[0], files[1], files[2]]), [""; 0]);
    let parent = ("src/p/mod.rs", "mod child; pub use self::child::Child; pub struct Limit; fn f(_: Child) {}");
    assert_eq!(
        told(&[parent, files[0], files[1]]),
        ["src/p/child.rs -> src/p/mod.rs (Limit) -> src/p/child.rs (Child)"]
    );
}

#[test]
fn a_longer_circle_is_told_file_by_file() {
    let found = told(&[
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "pub struct A(crate::b::B);"),
        ("src/b.rs", "pub struct B(crate::c::C);"),
        ("src/c.rs", "pub struct C(crate::a::A);"),
    ]);
    assert_eq!(found, ["src/a.rs -> src/b.rs (B) -> src/c.rs (C) -> src/a.rs (A)"]);
}

#[test]
fn what_is_for_tests_is_left_out() {
    let found = told(&[
        ("src/lib.rs", TWO),
        (
            "src/a.rs",
            "use crate::b::B; pub struct A; #[cfg(test)] mod tests; #[cfg(all(test, unix))] use super::b::no;",
        ),
        ("src/a/tests.rs", "this is not even read"),
        ("src/b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] fn f(_: crate::a::A) {}"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_path_that_leads_nowhere_is_told() {
    let found = imports(&[("src/lib.rs", "use crate::nowhere::Name;")]);
    assert_eq!(found.lost, BTreeSet::from([("src/lib.rs".into(), "crate::nowhere::Name".to_owned())]));
}

#[test]
fn other_crates_are_told() {
    let found = imports(&[("src/lib.rs", "use std::{fmt, io}; fn f() { let _ = libc::getpid(); }")]);
    let names: Vec<&str> = found.foreign.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["libc", "std"]);
}

#[test]
fn a_macro_that_is_shown_by_its_name_is_no_crate() {
    let found = imports(&[
        ("src/lib.rs", TWO),
        ("src/a.rs", "macro_rules! made { () => {} } pub(super) use made;"),
        ("src/b.rs", "use super::a::made; made!();"),
    ]);
    assert_eq!(found.foreign, BTreeSet::new());
    assert_eq!(found.imports, import_of("src/b.rs", "src/a.rs", "made"));
}

const PAGE: &str = "\
| `src/before/` | a table of something else | `nowhere` |

## Rooms

| room | what it does | may import |
|---|---|---|
| `src/cli/` | asks | `ipc` |
| `src/ipc/` | words | serde |
| `src/load.rs` | loads | nothing |

## Words

| `src/after/` | a table of something else | `nowhere` |
";

fn import(from: &str, to: &str) -> BTreeSet<Import> {
    import_of(from, to, "Name")
}

fn import_of(from: &str, to: &str, name: &str) -> BTreeSet<Import> {
    BTreeSet::from([Import { from: from.into(), to: to.into(), name: name.to_owned() }])
}

#[test]
fn an_import_that_the_table_does_not_allow_is_told() {
    let rooms = Rooms::of_page(PAGE);
    for (from, to, told) in [
        ("src/cli/mod.rs", "src/ipc/reply.rs", None),
        ("src/load.rs", "src/load/stamp.rs", None),
        (
            "src/ipc/reply.rs",
            "src/cli/mod.rs",
            Some("src/ipc/reply.rs imports Name of src/cli/mod.rs: ipc may not import cli"),
        ),
        ("src/cli/mod.rs", "src/more/mod.rs", Some("src/more/mod.rs is in no room")),
    ] {
        let wrong: Vec<String> = rooms.judge(&import(from, to)).into_iter().collect();
        assert_eq!(wrong, told.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_table_that_names_no_room_is_told() {
    let rooms = Rooms::of_page("## Rooms\n| `src/cli/` | asks | `icp` |");
    assert_eq!(
        rooms.judge(&BTreeSet::new()),
        BTreeSet::from(["src/cli/ may import `icp`, which is no room".to_owned()])
    );
}

#[test]
fn a_feature_is_found_on_every_way_to_a_crate() {
    let on = |name: &str, features: &[&str]| json!({"name": name, "kind": null, "features": features});
    let (core, login, words) = (on("core", &[]), on("core", &["login"]), on("words", &[]));
    let renamed = json!({"name": "core", "rename": "heart", "kind": null, "features": []});
    let in_tests = json!({"name": "core", "kind": "dev", "features": ["login"]});
    for (of_ours, of_words, asked_by_words, expected) in [
        (json!([core, words]), json!([core]), json!({}), ""),
        (json!([core, in_tests]), json!([core]), json!({}), ""),
        (json!([login]), json!([core]), json!({}), "login"),
        (json!([core, words]), json!([login]), json!({}), "login"),
        (json!([core, words]), json!([core]), json!({"more": ["core?/login"]}), "login"),
        (json!([core, words]), json!([renamed]), json!({"more": ["heart/login"]}), "login"),
    ] {
        let members = json!({"packages": [
            {"name": "ours", "dependencies": of_ours, "features": {}},
            {"name": "words", "dependencies": of_words, "features": asked_by_words},
        ]});
        let found = Vec::from_iter(features(&members, "ours", "core"));
        assert_eq!(found.join(", "), expected, "{members}");
    }
    let core = json!({"packages": [{"name": "core", "features": {"default": ["dep:chap"]}}]});
    assert_eq!(default_features(&core, "core").len(), 1);
}

#[test]
fn a_crate_is_told_from_types() {
    assert!(["std", "tokio", "libc", "my_crate"].into_iter().all(may_be_crate));
    assert!(!["Vec", "T", "u32", "str"].into_iter().any(may_be_crate));
}

#[test]
fn unsafe_is_found_in_code_and_only_there() {
    assert!(has_unsafe("fn f() { g(unsafe { h() }) }"));
    assert!(has_unsafe("m! { unsafe }"));
    assert!(has_unsafe("#[unsafe(no_mangle)] extern \"C\" fn f() {}"));
    assert!(!has_unsafe("#![forbid(unsafe_code)] // unsafe\nconst UNSAFE: &str = \"unsafe\";"));
}
