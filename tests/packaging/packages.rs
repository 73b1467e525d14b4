//! The packages, read back by programs and a library that nobody here wrote: bsdtar, cpio, apple-bom.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use apple_bom::{BomPathType, ParsedBom};

use crate::mac::Packages;
use crate::process::need;

fn tools() -> bool {
    need(&["bsdtar", "cpio", "python3"])
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Paths below a directory, itself as `.`.
fn paths(root: &Path) -> BTreeSet<String> {
    let out = Command::new("find").arg(".").current_dir(root).output().expect("find");
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_bill_of_materials_is_the_payload_with_roots_ownership_and_checksums() {
    if !tools() {
        return;
    }
    let packages = Packages::build(true);
    let apart = packages.taken_apart("Installer.pkg");
    let bytes = fs::read(apart.path().join("iscsid.pkg/Bom")).expect("the bill of materials");
    let listed = ParsedBom::parse(&bytes).and_then(|bom| bom.paths()).expect("it can be read");
    let payload = apart.path().join("Payload");
    assert_eq!(listed.iter().map(|path| path.path().to_owned()).collect::<BTreeSet<_>>(), paths(&payload));
    assert_eq!(paths(&payload), paths(&packages.path("root")), "and the payload is what was staged");
    for path in &listed {
        let name = path.path();
        assert_eq!((path.user_id(), path.group_id()), (0, 0), "{name}");
        let expected = match path.path_type() {
            BomPathType::Directory => "drwxr-xr-x",
            BomPathType::Link => "lrwxr-xr-x",
            _ if name.ends_with("/iscsid") || name.ends_with("MacOS/iscsi") => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(path.symbolic_mode(), expected, "{name}");
        match path.path_type() {
            BomPathType::File => {
                let file = payload.join(name);
                let sum = Command::new("cksum").arg(&file).output().expect("cksum");
                let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
                let ours = format!("{} {} ", path.crc32().expect("a checksum"), path.size());
                assert!(sum.starts_with(&ours), "{name}: {sum} is not {ours}");
            }
            BomPathType::Link => {
                assert_eq!(path.link_name().map(|to| to.trim_end_matches('\0')), Some("../libexec/iscsid"))
            }
            _ => {}
        }
    }
}

#[test]
fn the_installer_says_for_which_macs_it_is_and_runs_both_scripts() {
    if !tools() {
        return;
    }
    let packages = Packages::build(false);
    let apart = packages.taken_apart("Installer.pkg");
    let distribution = text(apart.path().join("Distribution"));
    for part in
        [r#"hostArchitectures="x86_64,arm64""#, r#"<os-version min="13.0"/>"#, "#iscsid.pkg</pkg-ref>", "license.txt"]
    {
        assert!(distribution.contains(part), "{part}: {distribution}");
    }
    assert!(text(apart.path().join("Resources/license.txt")).contains("MIT"));
    let info = text(apart.path().join("iscsid.pkg/PackageInfo"));
    for part in [
        r#"identifier="org.iscsid.pkg.iscsid""#,
        r#"install-location="/""#,
        r#"auth="root""#,
        concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""),
        r#"<preinstall file="./preinstall"/>"#,
        r#"<postinstall file="./postinstall"/>"#,
    ] {
        assert!(info.contains(part), "{part}: {info}");
    }
    for xml in ["Distribution", "iscsid.pkg/PackageInfo"] {
        let parse = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
        let parsed = Command::new("python3").args(["-c", parse]).arg(apart.path().join(xml)).output().expect("python3");
        assert!(parsed.status.success(), "{xml}: {}", String::from_utf8_lossy(&parsed.stderr));
    }
    for script in ["preinstall", "postinstall", "common.sh", "files", "directories"] {
        assert!(apart.path().join("Scripts").join(script).exists(), "{script}");
    }
}

#[test]
fn the_receipt_lists_each_file_of_the_payload_but_itself() {
    if !tools() {
        return;
    }
    let apart = Packages::build(true).taken_apart("Installer.pkg");
    let payload = apart.path().join("Payload");
    let receipt = text(payload.join("Library/Application Support/iscsid-installer/files"));
    assert_eq!(receipt, text(apart.path().join("Scripts/files")));
    let mut listed: BTreeSet<String> = receipt.lines().map(|line| format!("./{line}")).collect();
    listed.insert("./Library/Application Support/iscsid-installer/files".to_owned());
    let files = paths(&payload).into_iter().filter(|path| {
        let path = payload.join(path);
        path.is_symlink() || !path.is_dir()
    });
    assert_eq!(listed, files.collect());
    assert!(
        listed.iter().all(|path| !path.contains("Application Support/iscsid/")),
        "no file is where the settings are"
    );
}

#[test]
fn the_uninstaller_has_no_payload_and_so_leaves_no_receipt() {
    if !tools() {
        return;
    }
    let packages = Packages::build(false);
    let apart = packages.taken_apart("Uninstall.pkg");
    let inside = paths(&apart.path().join("uninstall.pkg"));
    assert_eq!(inside.iter().map(String::as_str).collect::<Vec<_>>(), [".", "./PackageInfo", "./Scripts"]);
    let info = text(apart.path().join("uninstall.pkg/PackageInfo"));
    assert!(!info.contains("<payload") && info.contains(r#"<preinstall file="./preinstall"/>"#), "{info}");
    let both = Command::new("python3")
        .args(["-m", "zipfile", "-l"])
        .arg(packages.path(concat!("iscsid-", env!("CARGO_PKG_VERSION"), ".zip")))
        .output();
    let both = String::from_utf8_lossy(&both.expect("python3").stdout).into_owned();
    assert!(both.contains("Installer.pkg") && both.contains("Uninstall.pkg"), "{both}");
}

#[test]
fn the_same_input_gives_the_same_packages() {
    if !tools() {
        return;
    }
    let (one, other) = (Packages::build(false), Packages::build(false));
    for package in ["Installer.pkg", "Uninstall.pkg"] {
        assert!(fs::read(one.path(package)).expect("it") == fs::read(other.path(package)).expect("it"), "{package}");
    }
}

/// What hosted runners start.
const CI: [&str; 5] = [".ci/run", ".ci/hosted", ".ci/mac", ".ci/release", "tests/scripts/lint-workflows"];

#[test]
fn shellcheck_has_nothing_to_say_about_the_scripts() {
    if !need(&["shellcheck"]) {
        return;
    }
    let scripts = [
        "homebrew/from-tree",
        "apple/link",
        "apple/install-llvm",
        "installer/build",
        "installer/scripts/common.sh",
        "macos-acceptance.sh",
        "installer/scripts/preinstall",
        "installer/scripts/postinstall",
        "installer/scripts/uninstall",
    ];
    let checked = Command::new("shellcheck")
        .arg("-x")
        .args(scripts.map(|script| format!("packaging/{script}")))
        .args(CI)
        .output();
    let checked = checked.expect("shellcheck");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
