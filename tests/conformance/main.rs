//! Every check has a test, and the table that says so is current.
//!
//! ```text
//!   checks.rs ─┐
//!              ├─► docs/conformance.md      (make conformance writes it)
//!   // check: ─┘
//! ```

mod checks;
mod marks;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use checks::{GROUPS, OPEN};
use marks::Marks;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn marks() -> Marks {
    marks::read(root()).unwrap_or_else(|why| panic!("{why}"))
}

fn ids() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.checks).map(|(id, ..)| *id)
}

/// The table.
fn table(marks: &Marks) -> String {
    let mut out = String::from(
        "# Conformance\n\n\
         What a target may do to us, what we must do then, and the tests that stand for it. Sections are those of\n\
         RFC 7143 unless another standard is named. `make conformance` writes this file from `tests/conformance/checks.rs`\n\
         and the comments `// check: <id>` in the tests; a test of its own fails where it is not current.\n",
    );
    let tests: BTreeSet<&String> = marks.values().flatten().collect();
    writeln!(out, "\n{} checks, {} tests.", ids().count(), tests.len()).expect("memory");
    if !OPEN.is_empty() {
        out.push_str("\n## Not yet tested\n\n| check | why |\n|---|---|\n");
        for (id, why) in OPEN {
            writeln!(out, "| {id} | {why} |").expect("memory");
        }
    }
    for group in GROUPS {
        writeln!(out, "\n## {}\n\n| check | | section | tests |\n|---|---|---|---|", group.title).expect("memory");
        for (id, sentence, sections) in group.checks {
            let tests: Vec<String> = marks.get(*id).into_iter().flatten().map(|test| format!("`{test}`")).collect();
            writeln!(out, "| {id} | {sentence} | {sections} | {} |", tests.join("<br>")).expect("memory");
        }
    }
    out
}

#[test]
fn every_mark_names_a_check() {
    let known: BTreeSet<&str> = ids().collect();
    for (check, tests) in marks() {
        assert!(
            known.contains(check.as_str()),
            "there is no check `{check}`, which {} names; the checks are in tests/conformance/checks.rs",
            tests.join(" and ")
        );
    }
}

#[test]
fn every_check_has_a_test_or_is_known_to_lack_one() {
    let marks = marks();
    let open: BTreeSet<&str> = OPEN.iter().map(|(id, _)| *id).collect();
    let without: Vec<&str> = ids().filter(|id| !marks.contains_key(*id) && !open.contains(id)).collect();
    assert!(
        without.is_empty(),
        "no test has a comment `// check: …` for {}; write one, or list it as open in tests/conformance/checks.rs",
        without.join(", ")
    );
    let closed: Vec<&&str> = open.iter().filter(|id| marks.contains_key(**id)).collect();
    assert!(closed.is_empty(), "{closed:?} are listed as open and have a test; take them off the list");
}

#[test]
fn checks_have_names_of_their_own() {
    let all: BTreeSet<&str> = ids().collect();
    assert_eq!(all.len(), ids().count(), "two checks have the same name");
    for id in all {
        let plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(plain, "{id}");
    }
    for (id, why) in OPEN {
        assert!(ids().any(|known| known == *id) && !why.is_empty(), "{id} is open and no check, or has no reason");
    }
}

#[test]
fn the_table_is_current() {
    let (path, table) = (root().join("docs/conformance.md"), table(&marks()));
    if std::env::var_os("ISCSID_WRITE_CONFORMANCE").is_some() {
        std::fs::write(&path, &table).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == table, "docs/conformance.md is not what the checks and the tests say; run `make conformance`");
}

#[test]
fn a_mark_belongs_to_the_test_it_stands_above_or_in() {
    let source = "
        // check: one, two
        /// A scenario.
        #[tokio::test(start_paused = true)]
        async fn scenario() {
            fn helper() {
            }
            // check: three
        }
        fn other() {}
        #[test]
        // check: four
        fn next() {
        }
    ";
    let marks = marks::marks_of(source).expect("marks");
    let marks: Vec<_> = marks.iter().map(|(check, test)| (check.as_str(), test.as_str())).collect();
    assert_eq!(marks, [("one", "scenario"), ("two", "scenario"), ("three", "scenario"), ("four", "next")]);
    assert!(marks::marks_of("// check: one\nfn helper() {}\n").is_err());
    assert!(marks::marks_of("// check: one\n").is_err());
}
