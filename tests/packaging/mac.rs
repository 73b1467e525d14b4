//! A directory in place of a Mac's disk, and stubs of what a Mac has: they write down each call.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::program;

/// How a run of a script ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) ok: bool,
    pub(crate) said: String,
}

/// The Mac.
pub(crate) struct Mac {
    directory: tempfile::TempDir,
}

/// The packages, made of a stub in place of the program.
pub(crate) struct Packages {
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) const LABEL: &str = "org.iscsid.iscsid";
pub(crate) const OLD_LABEL: &str = "com.github.iscsi-osx.iscsid";
pub(crate) const OLD_KEXT: &str = "com.github.iscsi-osx.iSCSIInitiator";

/// In place of iscsid and iscsictl: it says what the test has put into the file `sessions`.
const PROGRAM: &str = r#"#!/bin/bash
echo "$(basename "$0") $*" >> "$STUBS/calls"
case "$*" in
"list sessions --format json")
    [ -e "$STUBS/loaded/org.iscsid.iscsid" ] || { echo "iscsictl: iscsid is not running" >&2; exit 69; }
    [ ! -e "$STUBS/broken" ] || { echo "iscsictl: a bug" >&2; exit 70; }
    cat "$STUBS/sessions" 2>/dev/null || echo "[]" ;;
"ctl "*) shift; exec "$0" "$@" ;;
"list targets") [ -e "$STUBS/loaded/org.iscsid.iscsid" ] ;;
*) exit 64 ;;
esac
"#;

/// In place of iscsi-osx's iscsictl.
const OLD_PROGRAM: &str =
    "#!/bin/bash\necho \"old iscsictl $*\" >> \"$STUBS/calls\"\ncat \"$STUBS/old-targets\" 2>/dev/null || true\n";

const LAUNCHCTL: &str = r#"#!/bin/bash
[ "$1" = print ] || echo "launchctl $*" | sed "s,$ROOT/,/,g" >> "$STUBS/calls"
case $1 in
print) [ -e "$STUBS/loaded/${2#system/}" ] ;;
bootout) [ ! -e "$STUBS/stuck-daemon" ] && rm "$STUBS/loaded/${2#system/}" ;;
bootstrap)
    [ ! -e "$STUBS/refuse-bootstrap" ] || { echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }
    [ -f "$3" ] || exit 2
    touch "$STUBS/loaded/$(basename "$3" .plist)" ;;
enable) ;;
*) exit 64 ;;
esac
"#;

const KMUTIL: &str = r#"#!/bin/bash
case $1 in
showloaded) name=${@: -1}; [ ! -e "$STUBS/kexts/$name" ] || echo "  1  0 0x1 0x1 $name (1.0)" ;;
unload)
    echo "kmutil $*" >> "$STUBS/calls"
    [ ! -e "$STUBS/stuck-kext" ] || { echo "(libkern/kext) in use" >&2; exit 71; }
    rm "$STUBS/kexts/$3" ;;
load) echo "kmutil $*" | sed "s,$ROOT/,/,g" >> "$STUBS/calls"; [ ! -e "$STUBS/refuse-kext" ] ;;
*) exit 64 ;;
esac
"#;

impl Packages {
    /// Both, with a kernel extension in them or not.
    pub(crate) fn build(with_kext: bool) -> Packages {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("program");
        executable(&program, PROGRAM);
        let kext = directory.path().join("iscsi.kext");
        if with_kext {
            fs::create_dir_all(kext.join("Contents/MacOS")).expect("a directory");
            fs::write(kext.join("Contents/Info.plist"), "<plist/>").expect("written");
            executable(&kext.join("Contents/MacOS/iscsi"), "no program");
        }
        let built = Command::new("packaging/installer/build")
            .env("OUT", directory.path().join("out"))
            .env("BINARY", &program)
            .env("WRITER", program::under_test())
            .env("KEXT", &kext)
            .output()
            .expect("it runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Packages { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("out").join(name)
    }

    /// What is in a package of the two, taken apart with tools nobody here wrote.
    pub(crate) fn taken_apart(&self, package: &str) -> tempfile::TempDir {
        let apart = tempfile::tempdir().expect("a directory");
        let run = |command: &mut Command| {
            let out = command.current_dir(apart.path()).output().expect("it runs");
            assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        run(Command::new("bsdtar").arg("-xf").arg(self.path(package)));
        for archive in ["Payload", "Scripts"] {
            let unpack = format!(
                "for a in */{archive}; do if [ -e \"$a\" ]; then mkdir {archive}; gunzip -c \"$a\" | (cd {archive} && cpio -i --quiet -d); fi; done"
            );
            run(Command::new("bash").args(["-ec", &unpack]));
        }
        apart
    }
}

pub(crate) fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

impl Mac {
    /// A Mac on which nothing of ours has ever been.
    pub(crate) fn new() -> Mac {
        let mac = Mac { directory: tempfile::tempdir().expect("a directory") };
        for directory in [
            "stubs/bin",
            "stubs/loaded",
            "stubs/kexts",
            "disk/usr/local/bin",
            "disk/Library/LaunchDaemons",
            "disk/Library/Extensions",
            "disk/Library/Application Support",
            "disk/Library/Preferences",
            "disk/private/var/run",
        ] {
            fs::create_dir_all(mac.directory.path().join(directory)).expect("a directory");
        }
        symlink("private/var", mac.disk("var")).expect("a link");
        for (name, text) in [("launchctl", LAUNCHCTL), ("kmutil", KMUTIL)] {
            executable(&mac.stub("bin").join(name), text);
        }
        executable(
            &mac.stub("bin").join("pkgutil"),
            "#!/bin/bash\necho \"pkgutil ${*/#$ROOT/ROOT}\" >> \"$STUBS/calls\"\n",
        );
        mac
    }

    /// A path of its disk.
    pub(crate) fn disk(&self, path: &str) -> PathBuf {
        self.directory.path().join("disk").join(path)
    }

    /// A file of the stubs.
    pub(crate) fn stub(&self, name: &str) -> PathBuf {
        self.directory.path().join("stubs").join(name)
    }

    /// Writes a file of the stubs, or of the disk when it starts with `disk/`.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = match name.strip_prefix("disk/") {
            Some(path) => self.disk(path),
            None => self.stub(name),
        };
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("written");
    }

    /// iscsi-osx, installed, its daemon and its extension running.
    pub(crate) fn with_iscsi_osx(self) -> Mac {
        self.put(&format!("disk/Library/LaunchDaemons/{OLD_LABEL}.plist"), "old job");
        self.put("disk/Library/Extensions/iSCSIInitiator.kext/Contents/Info.plist", "old kext");
        self.put("disk/usr/local/libexec/iscsid", "old daemon");
        self.put("disk/Library/Preferences/com.github.iscsi-osx.iSCSIInitiator.plist", "old settings");
        executable(&self.disk("usr/local/bin/iscsictl"), OLD_PROGRAM);
        self.put(&format!("loaded/{OLD_LABEL}"), "");
        self.put(&format!("kexts/{OLD_KEXT}"), "");
        self
    }

    /// Runs a script of a package, as Installer does.
    pub(crate) fn script(&self, script: &Path) -> Ended {
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.stub("bin").display());
        let Output { status, stdout, stderr } = Command::new("/bin/bash")
            .arg(script)
            .args(["/tmp/Installer.pkg".as_ref(), self.disk("").as_os_str(), self.disk("").as_os_str(), "/".as_ref()])
            .env_clear()
            .env("PATH", path)
            .env("STUBS", self.stub(""))
            .env("ROOT", self.disk("").to_string_lossy().trim_end_matches('/'))
            .output()
            .expect("bash");
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        Ended { ok: status.success(), said }
    }

    /// Puts the payload in place, as Installer does between the scripts.
    pub(crate) fn unpack(&self, apart: &Path) {
        let copied = Command::new("cp").arg("-RPf").arg(apart.join("Payload/.")).arg(self.disk("")).status();
        assert!(copied.expect("cp").success());
    }

    /// All three steps of an installation.
    pub(crate) fn install(&self, packages: &Packages) -> Ended {
        let apart = packages.taken_apart("Installer.pkg");
        let first = self.script(&apart.path().join("Scripts/preinstall"));
        if !first.ok {
            return first;
        }
        self.unpack(apart.path());
        let last = self.script(&apart.path().join("Scripts/postinstall"));
        Ended { ok: last.ok, said: first.said + &last.said }
    }

    pub(crate) fn uninstall(&self, packages: &Packages) -> Ended {
        let apart = packages.taken_apart("Uninstall.pkg");
        self.script(&apart.path().join("Scripts/preinstall"))
    }

    /// What was called since the last time this was asked, but for questions.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.stub("calls")).unwrap_or_default();
        fs::write(self.stub("calls"), "").expect("written");
        calls
            .lines()
            .filter(|call| !call.starts_with("iscsid ") && !call.contains("iscsictl list"))
            .map(str::to_owned)
            .collect()
    }

    /// Everything on its disk: path → what it is and what is in it.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.disk("")];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let facts = fs::symlink_metadata(&path).expect("its facts");
                let what = if facts.is_dir() {
                    open.push(path.clone());
                    "directory".to_owned()
                } else if facts.is_symlink() {
                    format!("→ {}", fs::read_link(&path).expect("a link").display())
                } else {
                    format!("{:o} {}", facts.mode(), fs::read_to_string(&path).expect("text"))
                };
                let name = path.strip_prefix(self.disk("")).expect("below it").display().to_string();
                found.insert(name, what);
            }
        }
        found
    }
}
