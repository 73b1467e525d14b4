//! The script that a Mac owner runs, dry: the daemon, the practice target and all of iSCSI are real, what belongs to
//! macOS are stubs. So its steps, verdicts and report are proven here, and nothing of a Mac is.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::mac::executable;
use crate::process::{eventually, need};
use crate::program;

const SCRIPT: &str = "packaging/macos-acceptance.sh";

/// As root says it is: no step of the dry run needs it.
const ID: &str = "#!/bin/bash\necho 0\n";

/// The real program, but units are not attached, and are listed as if they were.
const ISCSICTL: &str = r#"#!/bin/bash
real=("$STUBS/real/iscsictl")
[ "$1" != --runtime-dir ] || echo "$2" > "$STUBS/run"
case "$*" in
*"list luns --format json")
    [ ! -e "$STUBS/no-device" ] || exec "${real[@]}" "$@"
    "${real[@]}" "$@" | sed 's,"device": [^,]*,"device": "/dev/disk9",' ;;
*" add target "*) "${real[@]}" "$@" && "${real[@]}" "$1" "$2" modify target "$5" --attach no ;;
*" logout "*)
    # A file that is open on the volume.
    for fd in /proc/"$PPID"/fd/*; do
        if [ "$(readlink "$fd")" = "$ACCEPTANCE_VOLUMES/iscsid-acceptance/data" ] && [ ! -e "$STUBS/careless" ]; then
            echo "iscsictl: bash has $ACCEPTANCE_VOLUMES/iscsid-acceptance/data open; close it" >&2
            exit 75
        fi
    done
    exec "${real[@]}" "$@" ;;
*) exec "${real[@]}" "$@" ;;
esac
"#;

const DISKUTIL: &str = r#"#!/bin/bash
echo "diskutil $*" >> "$STUBS/calls"
case $1 in
info) [ "$2" = /dev/disk9 ] && echo "   Device Block Size:         4096 Bytes"; echo "   Device Node:               /dev/disk9s1" ;;
eraseDisk) mkdir -p "$ACCEPTANCE_VOLUMES/$3" ;;
mount | unmount) ;;
*) exit 1 ;;
esac
"#;

/// `fcntl(F_FULLFSYNC)`: a flush of the unit, as the disk image would make one.
const PERL: &str = r#"#!/bin/bash
[ ! -e "$STUBS/no-flush" ] || exit 0
uri=$("$STUBS/bin/iscsictl" --runtime-dir "$(cat "$STUBS/run")" list luns --format json | sed -n 's/.*"nbd": "\(.*\)".*/\1/p')
qemu-io -f raw -c flush "$uri"
"#;

struct Dry {
    directory: tempfile::TempDir,
}

impl Dry {
    fn new() -> Dry {
        let dry = Dry { directory: tempfile::tempdir().expect("a directory") };
        for name in ["bin", "real", "volumes"] {
            fs::create_dir(dry.path(name)).expect("a directory");
        }
        let program = program::under_test();
        for link in ["bin/iscsid", "real/iscsictl"] {
            std::os::unix::fs::symlink(program, dry.path(link)).expect("a link");
        }
        let nothing = "#!/bin/bash\necho \"$(basename \"$0\") $*\" >> \"$STUBS/calls\"\n";
        for (name, text) in [
            ("id", ID),
            ("iscsictl", ISCSICTL),
            ("diskutil", DISKUTIL),
            ("perl", PERL),
            ("sw_vers", "#!/bin/bash\necho 15.0\n"),
            ("csrutil", "#!/bin/bash\necho 'System Integrity Protection status: enabled.'\n"),
            ("shasum", "#!/bin/bash\nshift 2\nexec sha256sum \"$@\"\n"),
            ("kmutil", "#!/bin/bash\nexit 1\n"),
            ("purge", nothing),
            // The real one waits for every file system of this machine.
            ("sync", nothing),
            ("fsck_apfs", nothing),
            ("pmset", nothing),
        ] {
            executable(&dry.path("bin").join(name), text);
        }
        dry
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn switch(&self, name: &str) {
        fs::write(self.path(name), "").expect("written");
    }

    /// Runs it; its exit code and its report.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let report = self.path("report.txt");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").expect("a path"));
        let mut script = Command::new("bash");
        script
            .arg(SCRIPT)
            .args(["--mebibytes", "4", "--report"])
            .arg(&report)
            .arg("--bin")
            .arg(self.path("bin"))
            .args(words);
        script
            .env("PATH", path)
            .env("STUBS", self.directory.path())
            .env("ACCEPTANCE_VOLUMES", self.path("volumes"))
            .env("ACCEPTANCE_PATIENCE", "5");
        let mut child = script.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("bash");
        let ended = eventually("the end of the acceptance script", Duration::from_secs(240), || {
            child.try_wait().expect("its state")
        });
        (ended.code().expect("a code"), fs::read_to_string(report).unwrap_or_default())
    }
}

fn tools() -> bool {
    need(&["qemu-io", "sha256sum"])
}

#[test]
fn every_step_has_a_verdict_and_nothing_is_left_behind() {
    if !tools() {
        return;
    }
    let dry = Dry::new();
    let (code, report) = dry.run(&[]);
    // A Mac's program has a doctor who looks for the tools of macOS where macOS has them, and here they are not.
    let failed = i32::from(program::is_a_macs());
    assert_eq!(code, failed, "{report}");
    for passed in [
        "selftest",
        "daemon",
        "target",
        "login",
        "attach",
        "format",
        "copy 4 MiB and verify",
        "F_FULLFSYNC",
        "logout refuses while a file is open",
        "kill -9 under load",
        "upgrade",
        "a unit with blocks of 4096 bytes",
        "logout: the disk goes",
    ] {
        assert!(report.contains(&format!("PASS  {passed}")), "{passed}: {report}");
    }
    for skipped in [
        "install: Installer.pkg: no --packages",
        "sleep and wake: no --sleep",
        "the kernel extension: the kernel extension is not loaded",
        "uninstall: Uninstall.pkg: nothing was installed",
    ] {
        assert!(report.contains(&format!("SKIP  {skipped}")), "{skipped}: {report}");
    }
    assert!(
        report.contains("PASS  F_FULLFSYNC reaches the target") && report.contains("SYNCHRONIZE CACHE"),
        "{report}"
    );
    assert!(report.contains("macOS 15.0") && report.contains("Integrity Protection status: enabled"), "{report}");
    assert!(report.contains(&format!(" {failed} failed")) && report.contains("The daemon's log:"), "{report}");
    let calls = fs::read_to_string(dry.path("calls")).expect("the calls");
    assert!(
        calls.contains("diskutil eraseDisk APFS iscsid-acceptance /dev/disk9")
            && calls.contains("fsck_apfs -n /dev/disk9s1"),
        "{calls}"
    );
}

#[test]
fn a_mac_without_disks_fails_with_reasons_and_skips_what_hangs_on_them() {
    if !tools() {
        return;
    }
    let dry = Dry::new();
    dry.switch("no-device");
    dry.switch("no-flush");
    let (code, report) = dry.run(&[]);
    assert_eq!(code, 1, "{report}");
    assert!(report.contains("FAIL  attach: a disk in Finder") && report.contains("no device within 5 s"), "{report}");
    for skipped in [
        "format: APFS: no disk was attached",
        "copy 4 MiB and verify: there is no volume",
        "F_FULLFSYNC reaches the target: there is no volume",
    ] {
        assert!(report.contains(&format!("SKIP  {skipped}")), "{skipped}: {report}");
    }
    assert!(report.contains("PASS  login"), "{report}");
}

#[test]
fn a_careless_logout_fails_its_step() {
    if !tools() {
        return;
    }
    let dry = Dry::new();
    dry.switch("careless");
    let (code, report) = dry.run(&[]);
    assert_eq!(code, 1, "{report}");
    assert!(report.contains("a logout went through while a file was open"), "{report}");
}

#[test]
fn a_nas_is_not_erased_unless_that_is_said() {
    let dry = Dry::new();
    let (code, report) = dry.run(&["--target", "iqn.2001-04.com.example:a", "--portal", "127.0.0.1:1"]);
    assert_eq!((code, report.as_str()), (64, ""));
    let (code, report) = dry.run(&["--frobnicate"]);
    assert_eq!((code, report.as_str()), (64, ""));
}
