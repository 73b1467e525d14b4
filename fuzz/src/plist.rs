//! The configuration and the secrets as somebody has written them: the store opens, or says in one sentence why not,
//! and leaves the files as they are.
//!
//! The first byte says which file gets what is made up: the rest of the input as it is, or, so that more of it makes
//! sense, a property list of the keys that exist, put together as the input says.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arbitrary::Unstructured;
use iscsid::config::{Store, secrets_path};
use tempfile::TempDir;

use crate::sentence::sentence;

/// A directory in memory, where there is one: nothing here is worth waiting for a disk.
static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let at = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    TempDir::with_prefix_in("iscsid-fuzz.", at).expect("a directory")
});

/// Where the property list is, with nothing there.
pub(crate) fn path() -> PathBuf {
    let path = DIRECTORY.path().join("iscsid.plist");
    for file in [path.clone(), secrets_path(&path)] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", file.display()),
            _ => {}
        }
    }
    path
}

/// One file.
pub fn run(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let bytes = match which & 2 {
        0 => rest.to_vec(),
        _ => match written(&mut Unstructured::new(rest), which & 1 != 0) {
            Ok(text) => text.into_bytes(),
            Err(_) => return,
        },
    };
    let path = path();
    let file = if which & 1 == 0 { path.clone() } else { secrets_path(&path) };
    fs::write(&file, &bytes).expect("written");
    match Store::open(&path) {
        Ok(store) => {
            let (config, secrets) = (store.config().clone(), store.secrets().clone());
            assert!(!config.initiator.name.is_empty());
            drop(store);
            let again = Store::open(&path).expect("what was opened once");
            assert_eq!((again.config(), again.secrets()), (&config, &secrets));
        }
        Err(failure) => {
            let told = failure.to_string();
            sentence(&told);
            assert!(told.len() < 4096, "more than a sentence");
            assert!(told.contains(&*file.to_string_lossy()), "which file? {told}");
            assert_eq!(fs::read(&file).expect("still there"), bytes, "a file with an error is not touched");
        }
    }
}

const KEYS: [&str; 40] = [
    "Version",
    "Initiator",
    "Defaults",
    "Targets",
    "DiscoveredTargets",
    "Discovery",
    "Name",
    "Alias",
    "CHAP",
    "Enabled",
    "MutualName",
    "Algorithms",
    "AutoLogin",
    "Persistent",
    "Attach",
    "Session",
    "Connection",
    "Timers",
    "Portals",
    "DiscoveredFrom",
    "Address",
    "Port",
    "Interface",
    "GroupTag",
    "SendTargets",
    "Interval",
    "Secret",
    "MutualSecret",
    "MaxBurstLength",
    "HeaderDigest",
    "DataDigest",
    "InitialR2T",
    "ReplacementTimeout",
    "LoginTimeout",
    "NoopInterval",
    "iqn.2001-04.com.example:disk",
    "IQN.2001-04.com.example:Disk",
    "eui.02004567a425678d",
    "",
    "X",
];

const VALUES: [&str; 20] = [
    "<integer>1</integer>",
    "<true/>",
    "<false/>",
    "<string>Yes</string>",
    "<string>iqn.2001-04.com.example:a</string>",
    "<integer>3260</integer>",
    "<string>192.0.2.1</string>",
    "<string>[2001:db8::1]:3261</string>",
    "<string>nas.example</string>",
    "<string></string>",
    "<string>MD5</string>",
    "<integer>0</integer>",
    "<integer>-1</integer>",
    "<integer>99999999999</integer>",
    "<real>1.5</real>",
    "<data>AAEC</data>",
    "<date>2026-01-01T00:00:00Z</date>",
    "<string>CRC32C,None</string>",
    "<string>a secret of 15</string>",
    "<string>&#x1b;[2J</string>",
];

fn written(u: &mut Unstructured<'_>, secrets: bool) -> arbitrary::Result<String> {
    let mut out = String::from("<plist version=\"1.0\"><dict><key>Version</key><integer>1</integer>");
    let first = if secrets { "Initiator" } else { u.choose(&KEYS)? };
    write!(out, "<key>{first}</key>").expect("text");
    value(u, &mut out, 0)?;
    while !u.is_empty() {
        write!(out, "<key>{}</key>", u.choose(&KEYS)?).expect("text");
        value(u, &mut out, 0)?;
    }
    out.push_str("</dict></plist>");
    Ok(out)
}

fn value(u: &mut Unstructured<'_>, out: &mut String, depth: u8) -> arbitrary::Result<()> {
    match u.int_in_range(0..=7)? {
        0..=3 if depth < 6 => {
            out.push_str("<dict>");
            for _ in 0..u.int_in_range(0..=4)? {
                write!(out, "<key>{}</key>", u.choose(&KEYS)?).expect("text");
                value(u, out, depth + 1)?;
            }
            out.push_str("</dict>");
        }
        4 if depth < 6 => {
            out.push_str("<array>");
            for _ in 0..u.int_in_range(0..=3)? {
                value(u, out, depth + 1)?;
            }
            out.push_str("</array>");
        }
        _ => out.push_str(u.choose(&VALUES)?),
    }
    Ok(())
}
