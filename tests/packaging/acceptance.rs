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

/// The real program, but units are not attached, and are listed as if they were. Where it is installed it knows its
/// directory by itself.
const ISCSICTL: &str = r#"#!/bin/bash
directory=$ACCEPTANCE_ROOT/var/run/iscsid
[ "$1" != --runtime-dir ] || { directory=$2; shift 2; }
# Not all of it needs a daemon.
case $1 in practice-target | selftest | --*) exec "$STUBS/real/iscsictl" "$@" ;; esac
echo "$directory" > "$STUBS/run"
real=("$STUBS/real/iscsictl" --runtime-dir "$directory")
device=/dev/disk9
[ ! -e "$STUBS/gone-with-the-job" ] || [ ! -e "$STUBS/killed" ] || device=/dev/disk10
case "$*" in
"list luns --format json")
    [ ! -e "$STUBS/no-device" ] || exec "${real[@]}" "$@"
    "${real[@]}" "$@" | sed "s,\"device\": [^,]*,\"device\": \"$device\"," ;;
"add target "*) "${real[@]}" "$@" && "${real[@]}" modify target "$3" --attach no ;;
"login "*:secret)
    [ ! -e "$STUBS/keychain" ] || { echo "iscsictl: the keychain does not give the secret away" >&2; exit 77; }
    exec "${real[@]}" "$@" ;;
"logout "*)
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

/// It runs the daemon and starts it again, as long as the job is loaded.
const LAUNCHCTL: &str = r#"#!/bin/bash
echo "launchctl $*" >> "$STUBS/calls"
ended() {
    for _ in {1..300}; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$1"
}
keep_alive() {
    while [ -e "$STUBS/loaded" ]; do
        "$STUBS/real/iscsid" --config "$ACCEPTANCE_ROOT/Library/Application Support/iscsid/iscsid.plist" \
            --runtime-dir "$ACCEPTANCE_ROOT/var/run/iscsid" >> "$ACCEPTANCE_ROOT/Library/Logs/iscsid.log" 2>&1 &
        echo $! > "$STUBS/pid.new"
        mv "$STUBS/pid.new" "$STUBS/pid"
        wait $!
    done
}
case $1 in
print) [ -e "$STUBS/loaded" ] && printf 'org.iscsid.iscsid = {\n\tpid = %s\n}\n' "$(cat "$STUBS/pid")" ;;
bootstrap)
    [ -f "$3" ] || exit 2
    touch "$STUBS/loaded"
    keep_alive < /dev/null > /dev/null 2>&1 5>&- 6>&- 7<&- & ;;
bootout) rm "$STUBS/loaded" && kill -TERM "$(cat "$STUBS/pid")" && ended "$(cat "$STUBS/pid")" ;;
kill) touch "$STUBS/killed" && kill "-$2" "$(cat "$STUBS/pid")" ;;
kickstart) before=$(cat "$STUBS/pid") && kill -TERM "$before" && ended "$before" ;;
*) exit 64 ;;
esac
"#;

const INSTALLER: &str = r#"#!/bin/bash
echo "installer $*" >> "$STUBS/calls"
cd "$ACCEPTANCE_ROOT" || exit 1
job="$ACCEPTANCE_ROOT/Library/LaunchDaemons/org.iscsid.iscsid.plist"
case $2 in
*/Installer.pkg)
    mkdir -p usr/local/bin usr/local/libexec Library/LaunchDaemons Library/Logs "Library/Application Support/iscsid" var/run
    ln -s "$STUBS/bin/iscsictl" usr/local/bin/iscsictl
    ln -s "$STUBS/real/iscsid" usr/local/libexec/iscsid
    [ ! -e "$STUBS/rude" ] || chmod 700 usr/local/share
    cp "$JOB" "$job"
    launchctl bootstrap system "$job" ;;
*/Uninstall.pkg)
    launchctl bootout system/org.iscsid.iscsid
    rm usr/local/bin/iscsictl usr/local/libexec/iscsid "$job" ;;
esac
"#;

const DISKUTIL: &str = r#"#!/bin/bash
echo "diskutil $*" >> "$STUBS/calls"
case $1 in
info)
    [ "$2" = -plist ] || exit 0
    size=4096
    [ ! -e "$STUBS/small-blocks" ] || size=512
    printf '<dict>\n<key>DeviceBlockSize</key>\n<integer>%s</integer>\n<key>DeviceNode</key>\n<string>/dev/disk9s1</string>\n</dict>\n' $size ;;
eraseDisk)
    case $3 in
    *-silent)
        [ ! -e "$STUBS/patient" ] || exec sleep 300
        echo "Error: -69877: Couldn't open device" >&2
        exit 1 ;;
    esac
    mkdir -p "$ACCEPTANCE_VOLUMES/$3" ;;
list | mount | unmount | eject) ;;
image) exit 1 ;;
*) exit 1 ;;
esac
"#;

const HDIUTIL: &str = r#"#!/bin/bash
echo "hdiutil $*" >> "$STUBS/calls"
mkdir -p "$STUBS/images"
case "$*" in
"info -plist")
    echo "<plist>"
    for image in "$STUBS/images"/*; do [ ! -e "$image" ] || echo "<key>image-path</key>"; done
    echo "</plist>" ;;
"attach -nomount ram://"*)
    [ ! -e "$STUBS/no-memory" ] || { echo "hdiutil: attach failed - out of memory" >&2; exit 1; }
    touch "$STUBS/images/$$"
    echo "/dev/disk$$" ;;
"attach -plist "*)
    printf '<plist>\n<key>dev-entry</key>\n<string>/dev/disk8</string>\n</plist>\n'
    [ ! -e "$STUBS/open-pipe" ] || sleep 300 & ;;
"detach /dev/disk8") ;;
detach*) rm "$STUBS/images/${2#/dev/disk}" ;;
*) exit 1 ;;
esac
"#;

/// `fcntl(F_FULLFSYNC)`: a write and a flush of the unit, as the disk image would make them.
const PERL: &str = r#"#!/bin/bash
case "$*" in
*F_FULLFSYNC*) ;;
*) exec /usr/bin/perl "$@" ;;
esac
[ ! -e "$STUBS/no-write" ] || exit 0
flush=--flush
[ ! -e "$STUBS/no-flush" ] || flush=
/usr/bin/perl -e 'print pack("H*", $ARGV[0]) x 256' "$4" > "$STUBS/marker"
uri=$("$STUBS/bin/iscsictl" --runtime-dir "$(cat "$STUBS/run")" list luns --format json | sed -n 's/.*"nbd": "\(.*\)".*/\1/p')
nbdcopy $flush "$STUBS/marker" "$uri"
"#;

/// A disk image's process, in the group of the job, or dead with it.
const PS: &str = r#"#!/bin/bash
case "$*" in
"-axwwo pid,pgid,command")
    if [ -e "$STUBS/same-group" ]; then
        /bin/ps -o pgid= -p "$(cat "$STUBS/pid")" | awk '{ print 4242, $1, "/S/L/P/diskimages-helper -uuid X" }'
    elif [ ! -e "$STUBS/dies" ] || [ ! -e "$STUBS/killed" ]; then
        echo "4242 4242 /S/L/P/diskimages-helper -uuid X"
    fi ;;
*) exec /bin/ps "$@" ;;
esac
"#;

const CODESIGN: &str = r#"#!/bin/bash
echo "codesign $*" >> "$STUBS/calls"
[ "$1" != -d ] || echo "TeamIdentifier=$(cat "$STUBS/team" 2>/dev/null || echo not set)" >&2
"#;

const LOG: &str = r#"#!/bin/bash
[ ! -e "$STUBS/dialog" ] || echo "kernel: nfs server iscsid:/0: not responding"
"#;

const SYSCTL: &str = r#"#!/bin/bash
case $2 in
kern.willshutdown) [ ! -e "$STUBS/no-shutdown" ] && echo 0 ;;
kern.memorystatus_vm_pressure_level) echo 4 ;;
esac
"#;

const MOUNT: &str = r#"#!/bin/bash
[ ! -e "$STUBS/left" ] || echo "iscsid:/x on $ACCEPTANCE_ROOT/var/run/iscsid/luns/x (nfs)"
"#;

struct Dry {
    directory: tempfile::TempDir,
}

impl Dry {
    fn new() -> Dry {
        let dry = Dry { directory: tempfile::tempdir().expect("a directory") };
        for name in ["bin", "real", "volumes", "packages", "root/usr/local/share"] {
            fs::create_dir_all(dry.path(name)).expect("a directory");
        }
        for package in ["Installer.pkg", "Uninstall.pkg"] {
            fs::write(dry.path("packages").join(package), "").expect("written");
        }
        let program = program::under_test();
        for link in ["bin/iscsid", "real/iscsid", "real/iscsictl"] {
            std::os::unix::fs::symlink(program, dry.path(link)).expect("a link");
        }
        let nothing = "#!/bin/bash\necho \"$(basename \"$0\") $*\" >> \"$STUBS/calls\"\n";
        for (name, text) in [
            ("id", ID),
            ("iscsictl", ISCSICTL),
            ("diskutil", DISKUTIL),
            ("hdiutil", HDIUTIL),
            ("installer", INSTALLER),
            ("launchctl", LAUNCHCTL),
            ("ps", PS),
            ("codesign", CODESIGN),
            ("log", LOG),
            ("sysctl", SYSCTL),
            ("mount", MOUNT),
            ("memory_pressure", "#!/bin/bash\nexec sleep 300\n"),
            ("defaults", nothing),
            ("nfsstat", nothing),
            ("fio", nothing),
            ("man", nothing),
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

    /// Runs it against the job of launchd; its exit code and its report.
    fn run_installed(&self, words: &[&str]) -> (i32, String) {
        let packages = self.path("packages").display().to_string();
        self.run(&[&["--packages", &packages], words].concat())
    }

    /// A Mac's program has a doctor who looks for the tools of macOS where macOS has them, and here they are not.
    fn passes((code, report): (i32, String)) -> String {
        let failed = i32::from(program::is_a_macs());
        assert!(code == failed && report.contains(&format!(" {failed} failed")), "{report}");
        report
    }

    /// Runs it on a Mac with these faults, each a switch, the step that fails with it, and what that says. No other step fails.
    fn fails(&self, faults: &[(&str, &str, &str)]) {
        for (switch, ..) in faults {
            self.switch(switch);
        }
        let (code, report) = self.run_installed(&["--spare-mac"]);
        let mut failed: Vec<&str> = report.lines().filter(|line| line.starts_with("FAIL  ")).collect();
        failed.retain(|line| !(program::is_a_macs() && line.contains("  doctor: ")));
        for (switch, step, sentence) in faults {
            let at = failed.iter().position(|line| line["FAIL  ".len()..].starts_with(step) && line.contains(sentence));
            failed.remove(at.unwrap_or_else(|| panic!("{switch}: {report}")));
        }
        assert!(code == 1 && failed.is_empty(), "{report}");
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
            .env("JOB", fs::canonicalize("packaging/launchd/org.iscsid.iscsid.plist").expect("the job"))
            .env("ACCEPTANCE_ROOT", self.path("root"))
            .env("ACCEPTANCE_SILENCE", "2")
            .env("ACCEPTANCE_PATIENCE", "5");
        let mut child = script.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("bash");
        let ended = eventually("the end of the acceptance script", Duration::from_secs(240), || {
            child.try_wait().expect("its state")
        });
        (ended.code().expect("a code"), fs::read_to_string(report).unwrap_or_default())
    }
}

impl Drop for Dry {
    /// A job that the script has left loaded, because it was ended itself.
    fn drop(&mut self) {
        if fs::remove_file(self.path("loaded")).is_ok()
            && let Ok(pid) = fs::read_to_string(self.path("pid"))
        {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }
}

fn tools() -> bool {
    need(&["nbdcopy", "sha256sum"])
}

/// Steps of the daemon that the script starts itself.
const ALWAYS: [&str; 17] = [
    "selftest",
    "daemon",
    "what this Mac answers",
    "the list of disk images while others come and go",
    "an image of a file, and its pipe",
    "target",
    "login",
    "attach",
    "format",
    "copy 4 MiB and verify",
    "kill -9 under load",
    "upgrade",
    "F_FULLFSYNC: the target has the bytes",
    "logout refuses while a file is open",
    "a target that is silent for 2 s",
    "what the block of NFS costs",
    "a blank unit with blocks of 4096 bytes, in German",
];

#[test]
fn every_step_has_a_verdict_and_nothing_is_left_behind() {
    if !tools() {
        return;
    }
    let dry = Dry::new();
    let report = Dry::passes(dry.run(&[]));
    for passed in ALWAYS.iter().chain(&["format: APFS on blocks of 4096 bytes", "logout: the disk goes"]) {
        assert!(report.contains(&format!("PASS  {passed}")), "{passed}: {report}");
    }
    for skipped in [
        "install: Installer.pkg: no --packages",
        "the process behind the disk outlives the job: only with --packages",
        "restart of the job under a busy volume: only with --packages",
        "another signature, and a secret: only with --packages",
        "memory that runs out: no --spare-mac",
        "a target that falls silent while its disk is formatted: no --spare-mac",
        "sleep and wake: no --sleep",
        "the kernel extension: the kernel extension is not loaded",
        "uninstall: Uninstall.pkg: nothing was installed",
    ] {
        assert!(report.contains(&format!("SKIP  {skipped}")), "{skipped}: {report}");
    }
    assert!(report.contains("10 of 10 on stable storage, by "), "{report}");
    assert!(report.contains("macOS 15.0") && report.contains("Integrity Protection status: enabled"), "{report}");
    assert!(report.contains("The daemon's log:"), "{report}");
    for answer in ["$ hdiutil info -plist\n<plist>", "$ diskutil info -plist /dev/disk8\n<dict>", "[exit code 1]"] {
        assert!(report.contains(answer), "{answer}: {report}");
    }
    let calls = fs::read_to_string(dry.path("calls")).expect("the calls");
    assert!(
        calls.contains("diskutil eraseDisk APFS iscsid-acceptance /dev/disk9")
            && calls.contains("fsck_apfs -n /dev/disk9s1"),
        "{calls}"
    );
    let words: Vec<&str> = calls.lines().filter(|call| call.starts_with("defaults ")).collect();
    assert!(words[1].ends_with("AppleLanguages -array de") && words[2].starts_with("defaults import"), "{words:?}");
}

#[test]
fn the_installed_job_is_what_is_driven_and_it_is_removed() {
    if !tools() {
        return;
    }
    let dry = Dry::new();
    let report = Dry::passes(dry.run_installed(&["--spare-mac"]));
    for passed in ALWAYS.iter().chain(&[
        "install: Installer.pkg",
        "the process behind the disk outlives the job",
        "restart of the job under a busy volume",
        "memory that runs out",
        "another signature, and a secret",
        "a target that falls silent while its disk is formatted",
        "format: APFS on blocks of 4096 bytes",
        "logout: the disk goes",
        "uninstall: Uninstall.pkg",
    ]) {
        assert!(report.contains(&format!("PASS  {passed}")), "{passed}: {report}");
    }
    let calls = fs::read_to_string(dry.path("calls")).expect("the calls");
    let of_the_job: Vec<&str> = calls.lines().filter(|call| call.starts_with("launchctl k")).collect();
    assert_eq!(
        of_the_job,
        [
            "launchctl kill KILL system/org.iscsid.iscsid",
            "launchctl kickstart -k system/org.iscsid.iscsid",
            "launchctl kickstart -k system/org.iscsid.iscsid",
        ]
    );
    for block in ["16 KiB: ", "64 KiB: ", "128 KiB: ", "1024 KiB: "] {
        assert!(report.contains(block), "{block}: {report}");
    }
    assert!(!dry.path("loaded").exists() && !dry.path("root/usr/local/bin/iscsictl").exists());
}

#[test]
fn a_mac_without_disks_fails_with_reasons_and_skips_what_hangs_on_them() {
    if !tools() {
        return;
    }
    let dry = Dry::new();
    dry.switch("no-device");
    let (code, report) = dry.run(&[]);
    assert_eq!(code, 1, "{report}");
    assert!(report.contains("FAIL  attach: a disk in Finder") && report.contains("no device within 5 s"), "{report}");
    for skipped in [
        "format: APFS: no disk was attached",
        "copy 4 MiB and verify: there is no volume",
        "F_FULLFSYNC: the target has the bytes: there is no volume",
    ] {
        assert!(report.contains(&format!("SKIP  {skipped}")), "{skipped}: {report}");
    }
    assert!(report.contains("PASS  login"), "{report}");
}

#[test]
fn a_write_that_stays_on_the_mac_and_answers_that_are_not_as_they_should_be_fail_their_steps() {
    if tools() {
        Dry::new().fails(&[
            ("rude", "install", "has another owner or mode now"),
            ("no-shutdown", "what this Mac answers", "a shutdown cannot be told from a restart"),
            ("no-memory", "the list of disk images", "does not attach a disk in memory"),
            ("open-pipe", "an image of a file", "or its output does not end"),
            ("same-group", "the process behind the disk", "of the job's process group"),
            ("no-write", "F_FULLFSYNC", "the data has not reached the target"),
            ("dialog", "a target that is silent", "offers to disconnect it"),
            ("keychain", "another signature", "a login ends with 77"),
            ("patient", "a target that falls silent while", "diskutil still waits for it"),
            ("left", "logout", "is still mounted"),
        ]);
    }
}

#[test]
fn a_write_without_its_flush_and_an_image_that_dies_with_the_job_fail_their_steps() {
    if tools() {
        Dry::new().fails(&[
            ("dies", "kill -9 under load", "process 4242, which held a disk image, has ended with the job"),
            ("no-flush", "F_FULLFSYNC", "in its volatile cache only"),
            ("small-blocks", "a blank unit", "the disk has blocks of 512 bytes, not of 4096"),
        ]);
    }
}

#[test]
fn a_disk_that_went_away_in_between_fails_the_steps_that_ended_the_daemon() {
    if tools() {
        let another = "the disk was /dev/disk9 and is /dev/disk10 now";
        Dry::new().fails(&[
            ("gone-with-the-job", "kill -9 under load", another),
            ("gone-with-the-job", "restart of the job", another),
        ]);
    }
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
    for words in [
        &["--target", "iqn.2001-04.com.example:a", "--portal", "127.0.0.1:1"] as &[&str],
        &["--frobnicate"],
        &["--packages", "/nowhere"],
    ] {
        let (code, report) = dry.run(words);
        assert_eq!((code, report.as_str()), (64, ""), "{words:?}");
    }
}
