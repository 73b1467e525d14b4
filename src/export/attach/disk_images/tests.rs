//! Attaching on macOS, by transcripts of its tools: what is called, in which order, with what, and what follows from
//! the answers. The answers are as the tools give them, shortened; `%` stands for the runtime directory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{DiskImages, NfsDoor, Transfers};
use crate::block::IoError;
use crate::block::testing::{Plan, RamDisk};
use crate::export::attach::program::Program;
use crate::export::attach::runner::{Outcome, Runner, Running};
use crate::export::attach::{AttachError, Diskutil, Way};
use crate::export::nfs::{Attachments, Proofs};

const UNIT: &str = "iqn.2026-11.org.example:a/0";
const NAME: &str = "iqn.2026-11.org.example:a,0";
const MIB: u64 = 1 << 20;

/// The exit code of a command that was ended because it took too long.
const TIMED_OUT: i32 = -2;

/// A command, as words with one space between, and how it ends.
type Line = (String, Outcome);

/// What is to be called, in order.
#[derive(Clone)]
struct Transcript {
    lines: Arc<Mutex<VecDeque<Line>>>,
    proofs: Arc<Proofs>,
    root: bool,
    hdiutil: bool,
}

impl Transcript {
    fn new() -> Transcript {
        let proofs = Arc::new(Proofs::new().expect("random numbers"));
        Transcript { lines: Arc::default(), proofs, root: true, hdiutil: true }
    }

    fn door(&self, moved: bool) -> NfsDoor {
        let (attachments, proofs) = (Arc::default(), self.proofs.clone());
        NfsDoor { port: 2049, moved, held: true, attachments, proofs, transfers: Transfers::default() }
    }
}

/// What is printed by whoever knows what this life of the daemon knows.
const ITS_ANSWER: &str = "the answer to what was asked";

impl Runner for Transcript {
    fn run(&self, program: Program, arguments: Vec<OsString>, _: Duration) -> Running<'_> {
        let words = arguments.iter().map(|word| word.to_str().expect("text").to_owned());
        let called = [program.path().to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
        let next = self.lines.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((expected, mut outcome)) = next else { panic!("nobody expects {called}") };
        // The name of a proof is 32 digits, at random, and so is what is in it.
        let called = match called.split_once("/.iscsid-proof-") {
            Some((before, digits)) => {
                if outcome.stdout == ITS_ANSWER.as_bytes() {
                    outcome.stdout = self.proofs.content_of(UNIT, &format!(".iscsid-proof-{digits}")).into_bytes();
                }
                format!("{before}/PROOF")
            }
            None => called,
        };
        // A ticket is 32 digits, at random; what is said may name it.
        let called = match called.split_once("127.0.0.1:/") {
            Some((before, after)) => {
                outcome.stderr = outcome.stderr.replace("TICKET", &after[..32]);
                format!("{before}127.0.0.1:/TICKET{}", &after[32..])
            }
            None => called,
        };
        assert_eq!(called, expected);
        Box::pin(async move {
            if outcome.code == TIMED_OUT { Err(AttachError::TimedOut(outcome.stderr)) } else { Ok(outcome) }
        })
    }

    fn has(&self, program: Program) -> bool {
        self.hdiutil || program != Program::Hdiutil
    }

    fn is_root(&self) -> bool {
        self.root
    }
}

/// A runtime directory, and a Mac whose tools a test speaks for.
struct Mac {
    dir: tempfile::TempDir,
    script: Transcript,
    attachments: DiskImages,
    exports: Arc<Attachments>,
}

fn ended(code: i32, stdout: &str, stderr: &str) -> Outcome {
    Outcome { code, stdout: stdout.as_bytes().to_vec(), stderr: stderr.to_owned() }
}

fn document(content: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>{content}</dict></plist>\n")
}

/// `hdiutil info -plist` with our image as that disk, and a volume on it.
fn info(device: &str, mounted: bool) -> String {
    let volume = if mounted { "<key>mount-point</key><string>/Volumes/Backup</string>" } else { "" };
    document(&format!(
        "<key>framework</key><string>671</string><key>images</key><array>\
         <dict><key>image-path</key><string>/Users/jo/other.dmg</string><key>system-entities</key><array>\
         <dict><key>dev-entry</key><string>/dev/disk2</string></dict></array></dict>\
         <dict><key>image-path</key><string>%/luns/{NAME}/{NAME}</string><key>system-entities</key><array>\
         <dict><key>content-hint</key><string>GUID_partition_scheme</string><key>dev-entry</key><string>{device}</string></dict>\
         <dict><key>dev-entry</key><string>{device}s1</string>{volume}</dict></array></dict></array>"
    ))
}

/// The same where no image is attached: there is no word of images in it.
fn no_images() -> String {
    document("<key>framework</key><string>671</string><key>vendor</key><string>Apple</string>")
}

/// What an attach answers.
fn attached(device: &str) -> String {
    document(&format!(
        "<key>system-entities</key><array><dict><key>dev-entry</key><string>{device}s1</string></dict>\
         <dict><key>dev-entry</key><string>{device}</string></dict></array>"
    ))
}

/// What `diskutil info -plist` answers.
fn shape(block_size: u32, bytes: u64) -> String {
    document(&format!(
        "<key>BusProtocol</key><string>Disk Image</string><key>DeviceBlockSize</key><integer>{block_size}</integer>\
         <key>Size</key><integer>{bytes}</integer>"
    ))
}

fn mounts() -> String {
    format!(
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n\
         127.0.0.1:/00 on %/luns/{NAME} (nfs, nodev, nosuid, mounted by root, nobrowse)\n"
    )
}

const NO_MOUNTS: &str = "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n";
const OPTIONS: &str = "vers=3,tcp,port=2049,mountport=2049,hard,locallocks,mutejukebox,nobrowse,nosuid,nodev,\
    rsize=131072,wsize=131072,readahead=32";
const INFO: &str = "/usr/bin/hdiutil info -plist";
const DELAY: &str = "vfs.generic.nfs.client.initialdowndelay";
const GONE: &str = "Could not find disk: /dev/disk4\n";

impl Mac {
    fn with(moved: bool, hdiutil: bool) -> Mac {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (script, exports) = (Transcript { hdiutil, ..Transcript::new() }, Arc::new(Attachments::default()));
        let door = NfsDoor { attachments: exports.clone(), ..script.door(moved) };
        let attachments = DiskImages::with(dir.path(), Some(door), Box::new(script.clone()));
        Mac { dir, script, attachments, exports }
    }

    fn new() -> Mac {
        Mac::with(false, true)
    }

    /// What will be called next, and how it ends.
    fn expect(&self, command: &str, code: i32, stdout: &str, stderr: &str) -> &Mac {
        let root = self.dir.path().canonicalize().expect("a directory").display().to_string();
        let command = command.replace('%', &root).replace("-f SIZE", "-f %z");
        let outcome = ended(code, &stdout.replace('%', &root), stderr);
        self.script.lines.lock().expect("no panic").push_back((command, outcome));
        self
    }

    fn ok(&self, command: &str, stdout: &str) -> &Mac {
        self.expect(command, 0, stdout, "")
    }

    /// mount_nfs, with what is done before and after it.
    fn mounting(&self, code: i32, stderr: &str) -> &Mac {
        self.ok(&format!("/usr/sbin/sysctl -n {DELAY}"), "5\n")
            .ok(&format!("/usr/sbin/sysctl -w {DELAY}=31536000"), "")
            .expect(&format!("/sbin/mount_nfs -o {OPTIONS} 127.0.0.1:/TICKET %/luns/{NAME}"), code, "", stderr)
            .ok(&format!("/usr/sbin/sysctl -w {DELAY}=5"), "")
    }

    /// A mount that works.
    fn mounted(&self) -> &Mac {
        self.ok("/sbin/mount", NO_MOUNTS).mounting(0, "")
    }

    /// What is done to unmount, and works.
    fn unmounted(&self) -> &Mac {
        self.ok(&format!("/sbin/umount %/luns/{NAME}"), "")
    }

    /// An attempt to unmount what something has open.
    fn held(&self) -> &Mac {
        self.expect(
            &format!("/sbin/umount %/luns/{NAME}"),
            16,
            "",
            "umount(%): Resource busy -- try 'diskutil unmount'\n",
        )
        .ok("/sbin/mount", &mounts())
    }

    /// The file's length is asked for.
    fn stat(&self, code: i32, stdout: &str, stderr: &str) -> &Mac {
        self.expect(&format!("/usr/bin/stat -f SIZE %/luns/{NAME}/{NAME}"), code, stdout, stderr)
    }

    /// What a mount of an earlier life needs.
    fn earlier(&self) -> &Mac {
        std::fs::create_dir_all(self.dir.path().join("luns").join(NAME)).expect("a directory");
        self.ok("/sbin/mount", &mounts())
    }

    /// What the mount of an earlier life shows when it is asked whose it is.
    fn shows(&self, answer: &str) -> &Mac {
        self.ok(&format!("/bin/cat %/luns/{NAME}/PROOF"), answer)
    }

    /// An attach that works.
    async fn attach(&self) {
        self.mounted();
        self.ok(&hdiutil_attach(""), &attached("/dev/disk4"));
        self.ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape(512, MIB));
        let device = self.attachments.attach(UNIT, disk(512)).await.expect("it works");
        assert_eq!(device, PathBuf::from("/dev/disk4"));
        self.done();
    }

    /// Everything that was expected has been called.
    fn done(&self) {
        let left = self.script.lines.lock().expect("no panic");
        assert!(left.is_empty(), "not called: {left:?}");
    }
}

fn hdiutil_attach(more: &str) -> String {
    format!(
        "/usr/bin/hdiutil attach -plist -imagekey diskimage-class=CRawDiskImage -noverify -owners on {more}%/luns/{NAME}/{NAME}"
    )
}

fn disk(block_size: u32) -> Arc<RamDisk> {
    let mut plan = Plan::of_bytes(MIB);
    plan.geometry.block_size = block_size;
    plan.geometry.blocks = MIB / u64::from(block_size);
    RamDisk::start(plan)
}

#[tokio::test]
async fn a_unit_becomes_a_disk_and_goes_again() {
    let mac = Mac::new();
    mac.attach().await;
    assert_eq!(mac.attachments.device(UNIT), Some(PathBuf::from("/dev/disk4")));
    mac.ok(INFO, &info("/dev/disk4", true))
        .ok("/usr/sbin/diskutil eject /dev/disk4", "Disk /dev/disk4 ejected\n")
        .ok(&format!("/sbin/umount %/luns/{NAME}"), "");
    mac.attachments.detach(UNIT, false).await.expect("nobody uses it");
    mac.done();
    assert_eq!(mac.attachments.device(UNIT), None);
    assert!(!mac.dir.path().join("luns").join(NAME).exists());
    assert_eq!(mac.attachments.detach(UNIT, false).await, Err(AttachError::NotAttached));
}

#[tokio::test]
async fn a_disk_with_nothing_on_it_is_attached_without_a_volume_whatever_the_tool_s_language() {
    let mac = Mac::new();
    mac.mounted();
    mac.expect(&hdiutil_attach(""), 1, "", "hdiutil: Aktivieren fehlgeschlagen - nessun file system attivabile\n");
    mac.ok(INFO, &no_images());
    mac.ok(&hdiutil_attach("-nomount "), &attached("/dev/disk4"));
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape(512, MIB));
    mac.attachments.attach(UNIT, disk(512)).await.expect("it works");
    mac.done();
}

#[tokio::test]
async fn of_two_reasons_the_first_is_told_and_nothing_is_left_behind() {
    let mac = Mac::new();
    mac.mounted();
    mac.expect(&hdiutil_attach(""), 1, "", "hdiutil: attach failed - the first reason\n").ok(INFO, &no_images());
    mac.expect(&hdiutil_attach("-nomount "), 1, "", "hdiutil: attach failed - the second\n").ok(INFO, &no_images());
    mac.unmounted();
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("no disk can be made");
    assert!(matches!(&refused, AttachError::Failed(why) if why.contains("the first reason")), "{refused}");
    mac.done();
    assert!(!mac.dir.path().join("luns").join(NAME).exists());
}

#[tokio::test]
async fn what_is_attached_although_the_tool_fails_is_the_disk() {
    let mac = Mac::new();
    mac.mounted();
    mac.expect(&hdiutil_attach(""), 1, "", "hdiutil: attach failed - timed out\n").ok(INFO, &info("/dev/disk7", false));
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk7", &shape(512, MIB));
    let device = mac.attachments.attach(UNIT, disk(512)).await.expect("it is there");
    assert_eq!(device, PathBuf::from("/dev/disk7"));
    mac.done();
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_shows_only_when_a_failed_attach_is_undone_is_detached_before_its_mount() {
    let mac = Mac::new();
    mac.mounted();
    for more in ["", "-nomount "] {
        mac.expect(&hdiutil_attach(more), 1, "", "hdiutil: attach failed\n").ok(INFO, &no_images());
    }
    mac.held().ok(INFO, &info("/dev/disk7", false));
    mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk7", "").ok("/usr/sbin/diskutil eject /dev/disk7", "");
    mac.unmounted();
    mac.attachments.attach(UNIT, disk(512)).await.expect_err("it failed");
    mac.done();
}

#[tokio::test]
async fn an_attach_that_takes_too_long_is_not_tried_again_beside_what_it_has_begun() {
    let mac = Mac::new();
    mac.mounted();
    mac.expect(&hdiutil_attach(""), TIMED_OUT, "", "hdiutil did not end").ok(INFO, &no_images());
    mac.unmounted();
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("it took too long");
    assert_eq!(refused, AttachError::TimedOut("hdiutil did not end".to_owned()));
    mac.done();
}

#[tokio::test]
async fn a_disk_that_is_no_image_is_not_touched() {
    let mac = Mac::new();
    mac.mounted();
    mac.ok(&hdiutil_attach(""), &attached("/dev/disk0"));
    let internal = shape(512, MIB).replace("Disk Image", "Apple Fabric");
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk0", &internal);
    mac.unmounted();
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("it is the Mac's own");
    assert!(refused.to_string().contains("no disk image"), "{refused}");
    mac.done();
}

#[tokio::test]
async fn where_there_is_no_hdiutil_any_more_diskutil_does_it_all() {
    let mac = Mac::with(false, false);
    mac.ok("/sbin/mount", NO_MOUNTS);
    mac.mounting(0, "");
    mac.ok(&format!("/usr/sbin/diskutil image attach --plist %/luns/{NAME}/{NAME}"), &attached("disk9"));
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk9", &shape(512, MIB));
    let device = mac.attachments.attach(UNIT, disk(512)).await.expect("it works");
    assert_eq!(device, PathBuf::from("/dev/disk9"));
    assert!(mac.attachments.in_use(UNIT).await.is_empty(), "the eject will tell");
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk9", &shape(512, MIB));
    mac.ok("/usr/sbin/diskutil eject /dev/disk9", "").unmounted();
    mac.attachments.detach(UNIT, false).await.expect("nobody uses it");
    mac.done();
}

#[tokio::test]
async fn the_block_size_is_passed_on_and_looked_at_afterwards() {
    let mac = Mac::new();
    mac.mounted();
    mac.ok(&hdiutil_attach("-blocksize 4096 "), &attached("/dev/disk4"));
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape(512, MIB));
    mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk4", "").ok("/usr/sbin/diskutil eject /dev/disk4", "");
    mac.unmounted();
    let refused = mac.attachments.attach(UNIT, disk(4096)).await.expect_err("it would be another disk");
    assert!(matches!(&refused, AttachError::Unsupported(why) if why.contains("blocks of 512")), "{refused}");
    mac.done();
    assert_eq!(mac.attachments.device(UNIT), None);
}

#[tokio::test]
async fn what_cannot_be_mounted_leaves_nothing_behind() {
    let mac = Mac::new();
    mac.ok("/sbin/mount", NO_MOUNTS);
    mac.mounting(61, "mount_nfs: can't mount /TICKET from 127.0.0.1: Connection refused\n");
    mac.expect(&format!("/sbin/umount %/luns/{NAME}"), 1, "", "not currently mounted\n").ok("/sbin/mount", NO_MOUNTS);
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("nobody serves");
    let said = "the unit's file cannot be mounted: mount_nfs: can't mount /… from 127.0.0.1: Connection refused";
    assert_eq!(refused, AttachError::Failed(said.to_owned()), "and not by which ticket");
    mac.done();
    assert!(!mac.dir.path().join("luns").join(NAME).exists());
}

#[tokio::test]
async fn whoever_has_something_open_is_named_and_the_disk_stays() {
    let mac = Mac::new();
    mac.attach().await;
    mac.ok(INFO, &info("/dev/disk4", true));
    mac.ok(
        "/usr/sbin/lsof -F pcn -- /Volumes/Backup",
        "p7\ncmds\nf1\nn/Volumes/Backup\np12\ncvi\nf4\nn/Volumes/Backup/a\n",
    );
    assert_eq!(mac.attachments.in_use(UNIT).await, ["vi (process 12) has /Volumes/Backup/a open"]);

    let said = "Unmount of disk4 failed: at least one volume could not be unmounted\n\
                Unmount was dissented by PID 12 (/usr/bin/vi)\nDissenter parent PPID 3 (/bin/zsh)\n";
    mac.ok(INFO, &info("/dev/disk4", true));
    mac.expect("/usr/sbin/diskutil eject /dev/disk4", 1, "", said);
    mac.ok(INFO, &info("/dev/disk4", true));
    mac.expect("/usr/sbin/lsof -F pcn -- /Volumes/Backup", 1, "", "");
    let refused = mac.attachments.detach(UNIT, false).await;
    assert_eq!(refused, Err(AttachError::InUse(vec!["/usr/bin/vi (process 12)".to_owned()])));
    assert_eq!(mac.attachments.device(UNIT), Some(PathBuf::from("/dev/disk4")));
    mac.done();
}

#[tokio::test]
async fn whoever_has_something_open_is_named_in_whatever_language_the_tools_speak() {
    let mac = Mac::new();
    mac.attach().await;
    let said = "Deaktivieren von disk4 fehlgeschlagen: Abgelehnt durch PID 12\n";
    mac.ok(INFO, &info("/dev/disk4", true)).expect("/usr/sbin/diskutil eject /dev/disk4", 1, "", said);
    mac.ok(INFO, &info("/dev/disk4", true));
    mac.ok("/usr/sbin/lsof -F pcn -- /Volumes/Backup", "p12\ncvi\nf4\nn/Volumes/Backup/a\n");
    let refused = mac.attachments.detach(UNIT, false).await;
    assert_eq!(refused, Err(AttachError::InUse(vec!["vi (process 12) has /Volumes/Backup/a open".to_owned()])));
    // Now by somebody who reads it without its file system.
    mac.ok(INFO, &info("/dev/disk4", true)).expect("/usr/sbin/diskutil eject /dev/disk4", 1, "", said);
    mac.ok(INFO, &info("/dev/disk4", true)).expect("/usr/sbin/lsof -F pcn -- /Volumes/Backup", 1, "", "");
    mac.ok("/usr/sbin/lsof -F pcn -- /dev/disk4 /dev/rdisk4", "p13\ncdd\nf3\nn/dev/rdisk4\n");
    let refused = mac.attachments.detach(UNIT, false).await;
    assert_eq!(refused, Err(AttachError::InUse(vec!["dd (process 13) has /dev/rdisk4 open".to_owned()])));
    mac.done();
}

// check: detach-refused-changes-nothing
#[tokio::test]
async fn volumes_that_were_unmounted_before_the_disk_was_refused_are_mounted_again() {
    let mac = Mac::new();
    mac.attach().await;
    // The volume goes; the disk does not, for somebody reads it without its file system.
    let said = "Disk /dev/disk4 failed to eject: dissented by PID 12 (/bin/dd)\n";
    mac.ok(INFO, &info("/dev/disk4", true));
    mac.expect("/usr/sbin/diskutil eject /dev/disk4", 1, "", said);
    mac.ok(INFO, &info("/dev/disk4", false));
    mac.ok("/usr/sbin/diskutil mountDisk /dev/disk4", "Volume(s) mounted successfully\n");
    mac.expect("/usr/sbin/lsof -F pcn -- /Volumes/Backup", 1, "", "");
    let refused = mac.attachments.detach(UNIT, false).await;
    assert_eq!(refused, Err(AttachError::InUse(vec!["/bin/dd (process 12)".to_owned()])));
    mac.done();
}

#[tokio::test]
async fn a_volume_that_is_merely_mounted_is_not_in_use() {
    let mac = Mac::new();
    mac.attach().await;
    mac.ok(INFO, &info("/dev/disk4", true));
    mac.expect("/usr/sbin/lsof -F pcn -- /Volumes/Backup", 1, "", "");
    assert!(mac.attachments.in_use(UNIT).await.is_empty());
    mac.done();
}

#[tokio::test]
async fn a_disk_that_the_system_made_by_itself_is_unmounted_and_whoever_holds_it_named() {
    let mac = Mac::new();
    let diskutil = Diskutil::with(Arc::new(mac.script.clone()));
    let said = "Unmount of disk5 failed: at least one volume could not be unmounted\n\
                Unmount was dissented by PID 12 (/usr/bin/vi)\n";
    mac.expect("/usr/sbin/diskutil unmountDisk /dev/disk5", 1, "", said);
    mac.ok("/usr/sbin/diskutil mountDisk /dev/disk5", "");
    let refused = diskutil.unmount_disk("/dev/disk5", false).await;
    assert_eq!(refused, Err(AttachError::InUse(vec!["/usr/bin/vi (process 12)".to_owned()])));
    mac.expect("/usr/sbin/diskutil unmountDisk /dev/disk5", 1, "", "Abgelehnt\n");
    mac.ok("/usr/sbin/diskutil mountDisk /dev/disk5", "");
    mac.ok("/sbin/mount", "/dev/disk5s2 on /Volumes/A (hfs, local)\n");
    mac.ok("/usr/sbin/lsof -F pcn -- /Volumes/A /dev/disk5 /dev/rdisk5", "p12\ncvi\nf4\nn/Volumes/A/b\n");
    let refused = diskutil.unmount_disk("/dev/disk5", false).await;
    assert_eq!(refused, Err(AttachError::InUse(vec!["vi (process 12) has /Volumes/A/b open".to_owned()])));
    mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk5", "");
    diskutil.unmount_disk("/dev/disk5", true).await.expect("force");
    mac.done();
}

#[tokio::test]
async fn by_force_it_goes_whoever_uses_it() {
    let mac = Mac::new();
    mac.attach().await;
    mac.ok(INFO, &info("/dev/disk4", true));
    for _ in 0..2 {
        mac.expect("/usr/sbin/diskutil unmountDisk force /dev/disk4", 1, "", "Unmount failed\n");
    }
    mac.expect("/usr/sbin/diskutil eject /dev/disk4", 1, "", "Eject failed\n");
    mac.ok("/usr/bin/hdiutil detach /dev/disk4 -force", "");
    mac.expect(&format!("/sbin/umount %/luns/{NAME}"), 16, "", "Resource busy\n").ok("/sbin/mount", &mounts());
    mac.ok(&format!("/sbin/umount -f %/luns/{NAME}"), "");
    let said = mac.attachments.detach(UNIT, true).await.expect("force");
    assert_eq!(said, ["/Volumes/Backup is unmounted by force: programs that use it get errors"]);
    mac.done();
}

#[tokio::test]
async fn what_was_ejected_in_the_finder_is_attached_anew_and_can_be_detached() {
    let mac = Mac::new();
    mac.attach().await;
    mac.ok(INFO, &no_images()).expect("/usr/sbin/diskutil info -plist /dev/disk4", 1, "", GONE).unmounted();
    mac.attachments.detach(UNIT, false).await.expect("only the mount is left");
    mac.done();

    mac.attach().await;
    mac.ok(INFO, &no_images()).expect("/usr/sbin/diskutil info -plist /dev/disk4", 1, "", GONE);
    assert!(mac.attachments.in_use(UNIT).await.is_empty(), "nobody uses what is not there");
    // Now it is attached once more; another image has its number.
    mac.ok("/sbin/mount", &mounts()).ok(INFO, &info("/dev/disk4", false).replace(NAME, "another"));
    mac.unmounted().mounting(0, "");
    mac.ok(&hdiutil_attach(""), &attached("/dev/disk6"));
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk6", &shape(512, MIB));
    let device = mac.attachments.attach(UNIT, disk(512)).await.expect("it works");
    assert_eq!(device, PathBuf::from("/dev/disk6"));
    mac.done();
}

#[tokio::test]
async fn the_disk_of_an_earlier_life_is_taken_over() {
    let mac = Mac::new();
    std::fs::create_dir_all(mac.dir.path().join("luns")).expect("a directory");
    mac.ok("/sbin/mount", &mounts()).ok(INFO, &info("/dev/disk5", true));
    assert_eq!(mac.attachments.clean_stale().await, Ok(vec![]), "it waits");
    mac.ok("/sbin/mount", &mounts())
        .shows(ITS_ANSWER)
        .ok(INFO, &info("/dev/disk5", true))
        .ok(&format!("/usr/bin/stat -f SIZE %/luns/{NAME}/{NAME}"), &format!("{MIB}\n"))
        .ok("/usr/sbin/diskutil info -plist /dev/disk5", &shape(512, MIB));
    let device = mac.attachments.attach(UNIT, disk(512)).await.expect("it is as good as a new one");
    assert_eq!(device, PathBuf::from("/dev/disk5"));
    mac.done();
}

#[tokio::test(start_paused = true)]
async fn a_disk_of_an_earlier_life_that_is_slow_to_answer_is_waited_for() {
    let mac = Mac::new();
    mac.earlier().shows(ITS_ANSWER).ok(INFO, &info("/dev/disk5", true));
    for _ in 0..10 {
        mac.stat(1, "", "stat: Operation timed out\n");
    }
    mac.stat(0, &MIB.to_string(), "").expect("/usr/sbin/diskutil info -plist /dev/disk5", 1, "", "timed out\n");
    mac.stat(0, &MIB.to_string(), "").ok("/usr/sbin/diskutil info -plist /dev/disk5", &shape(512, MIB));
    let device = mac.attachments.attach(UNIT, disk(512)).await.expect("it answers in the end");
    assert_eq!(device, PathBuf::from("/dev/disk5"));
    mac.done();
}

#[tokio::test(start_paused = true)]
async fn a_disk_of_an_earlier_life_that_does_not_answer_or_is_another_one_now_stays() {
    let mac = Mac::new();
    mac.earlier().shows(ITS_ANSWER).ok(INFO, &info("/dev/disk5", true));
    for _ in 0..=60 {
        mac.stat(1, "", "stat: Operation timed out\n");
    }
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("it never answers");
    assert!(matches!(&refused, AttachError::Failed(why) if why.contains("it stays as it is")), "{refused}");
    mac.done();
    mac.earlier().shows(ITS_ANSWER).ok(INFO, &info("/dev/disk5", true)).stat(0, "4096", "");
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("it is shorter");
    assert!(refused.to_string().contains("diskutil eject /dev/disk5"), "{refused}");
    mac.done();
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_does_not_show_whom_it_leads_to_is_not_taken_over_and_stays() {
    let mac = Mac::new();
    mac.earlier();
    for _ in 0..60 {
        mac.expect(&format!("/bin/cat %/luns/{NAME}/PROOF"), TIMED_OUT, "", "cat did not end");
    }
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("whose it is does not show");
    let why = refused.to_string();
    assert!(why.contains("does not show whom it leads to") && why.contains("sudo umount -f"), "{why}");
    mac.done();
}

#[tokio::test]
async fn one_that_will_never_be_served_again_is_undone_and_made_anew() {
    let mac = Mac::with(true, true);
    mac.earlier().ok(INFO, &info("/dev/disk5", true));
    mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk5", "").ok("/usr/sbin/diskutil eject /dev/disk5", "");
    mac.unmounted().mounting(0, "");
    mac.ok(&hdiutil_attach(""), &attached("/dev/disk4"));
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape(512, MIB));
    mac.attachments.attach(UNIT, disk(512)).await.expect("a new one");
    mac.done();
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_a_list_lacks_is_found_by_a_later_one_and_never_unmounted_under_its_volumes() {
    // Of an earlier life.
    let mac = Mac::new();
    mac.earlier().shows(ITS_ANSWER).ok(INFO, &no_images()).held().ok(INFO, &info("/dev/disk5", true));
    mac.stat(0, &MIB.to_string(), "").ok("/usr/sbin/diskutil info -plist /dev/disk5", &shape(512, MIB));
    mac.attachments.attach(UNIT, disk(512)).await.expect("it was there");
    mac.done();
    // Of our own, and in use as far as can be told.
    for _ in 0..3 {
        mac.ok(INFO, &no_images()).ok("/usr/sbin/diskutil info -plist /dev/disk5", &shape(512, MIB));
    }
    let uses = mac.attachments.in_use(UNIT).await;
    assert!(matches!(&uses[..], [why] if why.contains("does not list it")), "{uses:?}");
    for force in [false, true] {
        mac.ok(INFO, &no_images()).ok("/usr/sbin/diskutil info -plist /dev/disk5", &shape(512, MIB));
        mac.ok(INFO, &info("/dev/disk5", true));
        if force {
            mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk5", "").ok("/usr/sbin/diskutil eject /dev/disk5", "");
            mac.unmounted();
            assert_eq!(mac.attachments.detach(UNIT, force).await.expect("force").len(), 1);
        } else {
            mac.expect("/usr/sbin/diskutil eject /dev/disk5", 1, "", "dissented by PID 12 (/usr/bin/vi)\n");
            mac.ok(INFO, &info("/dev/disk5", true)).expect("/usr/sbin/lsof -F pcn -- /Volumes/Backup", 1, "", "");
            assert!(matches!(mac.attachments.detach(UNIT, force).await, Err(AttachError::InUse(_))));
        }
        mac.done();
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_no_list_shows_is_ejected_by_its_number() {
    let mac = Mac::new();
    mac.attach().await;
    for _ in 0..3 {
        mac.ok(INFO, &no_images()).ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape(512, MIB));
    }
    mac.ok("/usr/sbin/diskutil eject /dev/disk4", "").unmounted();
    mac.attachments.detach(UNIT, false).await.expect("nobody uses it");
    mac.done();
}

#[tokio::test]
async fn a_disk_that_could_not_be_detached_by_force_is_no_good_one_until_it_is() {
    let mac = Mac::new();
    mac.attach().await;
    mac.ok(INFO, &info("/dev/disk4", true));
    for _ in 0..2 {
        mac.expect("/usr/sbin/diskutil unmountDisk force /dev/disk4", 1, "", "Unmount failed\n");
    }
    mac.expect("/usr/sbin/diskutil eject /dev/disk4", 1, "", "Eject failed\n");
    mac.expect("/usr/bin/hdiutil detach /dev/disk4 -force", 1, "", "hdiutil: couldn't eject\n");
    mac.attachments.detach(UNIT, true).await.expect_err("nothing helps");
    mac.ok("/sbin/mount", &mounts()).ok(INFO, &info("/dev/disk4", true));
    let refused = mac.attachments.attach(UNIT, disk(512)).await.expect_err("all its I/O fails");
    assert!(refused.to_string().contains("detach it by force again"), "{refused}");
    mac.done();
    mac.ok(INFO, &info("/dev/disk4", true));
    mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk4", "").ok("/usr/sbin/diskutil eject /dev/disk4", "");
    mac.unmounted();
    mac.attachments.detach(UNIT, true).await.expect("it goes");
    mac.attach().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_something_has_open_stays_mounted_and_a_sentence_says_what_to_do() {
    let mac = Mac::new();
    let in_vain = |mac: &Mac| {
        mac.held();
        for _ in 0..3 {
            mac.ok(INFO, &no_images()).held();
        }
    };
    let told = |error: AttachError| {
        assert!(matches!(&error, AttachError::Failed(why) if why.contains("sudo lsof")), "{error}")
    };
    mac.earlier().ok(INFO, &no_images());
    in_vain(&mac);
    told(mac.attachments.clean_stale().await.expect_err("it is not what it was taken for"));
    mac.earlier().shows(ITS_ANSWER).ok(INFO, &no_images());
    in_vain(&mac);
    told(mac.attachments.attach(UNIT, disk(512)).await.expect_err("it cannot be mounted twice"));
    mac.done();

    mac.attach().await;
    mac.ok(INFO, &no_images()).expect("/usr/sbin/diskutil info -plist /dev/disk4", 1, "", GONE);
    in_vain(&mac);
    told(mac.attachments.detach(UNIT, false).await.expect_err("it is not forced"));
    assert_eq!(mac.attachments.device(UNIT), Some(PathBuf::from("/dev/disk4")));
    mac.ok(INFO, &no_images()).expect("/usr/sbin/diskutil info -plist /dev/disk4", 1, "", GONE);
    in_vain(&mac);
    mac.held().ok(&format!("/sbin/umount -f %/luns/{NAME}"), "");
    mac.attachments.detach(UNIT, true).await.expect("force");
    mac.done();
}

#[tokio::test]
async fn mounts_never_tell_that_a_server_is_down_and_those_of_others_do_as_before() {
    let mac = Mac::new();
    let mount = format!("/sbin/mount_nfs -o {OPTIONS} 127.0.0.1:/TICKET %/luns/{NAME}");
    let (get, set) = (format!("/usr/sbin/sysctl -n {DELAY}"), format!("/usr/sbin/sysctl -w {DELAY}"));
    let become_a_disk = async || {
        mac.ok(&hdiutil_attach(""), &attached("/dev/disk4"));
        mac.ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape(512, MIB));
        mac.attachments.attach(UNIT, disk(512)).await.expect("it works");
        mac.ok(INFO, &info("/dev/disk4", false)).ok("/usr/sbin/diskutil eject /dev/disk4", "").unmounted();
        mac.attachments.detach(UNIT, false).await.expect("nobody uses it");
        mac.done();
    };
    // The first mount since the start of the Mac.
    mac.ok("/sbin/mount", NO_MOUNTS).expect(&get, 1, "", "sysctl: unknown oid\n");
    mac.ok("/usr/bin/kmutil load -b com.apple.filesystems.nfs", "").ok(&get, "12\n");
    mac.ok(&format!("{set}=31536000"), "").ok(&mount, "").ok(&format!("{set}=12"), "");
    become_a_disk().await;
    // One after a daemon that was ended in the middle of it.
    mac.ok("/sbin/mount", NO_MOUNTS).ok(&get, "31536000\n");
    mac.ok(&format!("{set}=31536000"), "").ok(&mount, "").ok(&format!("{set}=5"), "");
    become_a_disk().await;
    // One that has to do without.
    mac.ok("/sbin/mount", NO_MOUNTS).ok(&get, "5\n").expect(&format!("{set}=31536000"), 1, "", "not permitted\n");
    mac.ok(&mount, "");
    become_a_disk().await;
}

// check: mount-of-another-is-lost
#[tokio::test]
async fn one_that_leads_to_whoever_had_the_port_in_between_is_undone_and_made_anew() {
    // He serves the file, as long as it is, and knows no answer: one of an earlier life, none at all.
    for answer in ["0123456789abcdef0123456789abcdef\n", ""] {
        let mac = Mac::new();
        mac.earlier().shows(answer).ok(INFO, &info("/dev/disk5", true));
        mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk5", "").ok("/usr/sbin/diskutil eject /dev/disk5", "");
        mac.unmounted().mounting(0, "");
        mac.ok(&hdiutil_attach(""), &attached("/dev/disk4"));
        mac.ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape(512, MIB));
        mac.attachments.attach(UNIT, disk(512)).await.expect("a new one");
        mac.done();
    }
}

// check: held-port-is-never-free
#[tokio::test]
async fn a_disk_waits_for_the_next_daemon_only_where_nobody_else_gets_the_port_meanwhile() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let script = Transcript::new();
    for held in [true, false] {
        let door = NfsDoor { held, ..script.door(false) };
        let attachments = DiskImages::with(dir.path(), Some(door), Box::new(script.clone()));
        assert_eq!(attachments.outlive_the_daemon(), held);
    }
}

#[tokio::test]
async fn a_mount_without_a_disk_is_undone_at_the_start() {
    let mac = Mac::new();
    std::fs::create_dir_all(mac.dir.path().join("luns").join(NAME)).expect("a directory");
    mac.ok("/sbin/mount", &mounts()).ok(INFO, &no_images()).ok(&format!("/sbin/umount %/luns/{NAME}"), "");
    assert_eq!(mac.attachments.clean_stale().await.expect("it works").len(), 1);
    mac.done();
}

#[tokio::test]
async fn after_a_change_of_the_port_nothing_of_before_can_ever_be_served_again() {
    let mac = Mac::with(true, true);
    std::fs::create_dir_all(mac.dir.path().join("luns").join(NAME)).expect("a directory");
    mac.ok("/sbin/mount", &mounts())
        .ok(INFO, &info("/dev/disk5", true))
        .ok("/usr/sbin/diskutil unmountDisk force /dev/disk5", "")
        .ok("/usr/sbin/diskutil eject /dev/disk5", "")
        .held()
        .ok(&format!("/sbin/umount -f %/luns/{NAME}"), "");
    assert_eq!(mac.attachments.clean_stale().await.expect("it works").len(), 2);
    mac.done();
}

#[tokio::test]
async fn without_root_or_nfs_nothing_is_touched() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let script = Transcript { root: false, ..Transcript::new() };
    let user = DiskImages::with(dir.path(), Some(script.door(false)), Box::new(script.clone()));
    assert!(matches!(user.attach(UNIT, disk(512)).await, Err(AttachError::NotPermitted(_))));
    let closed = DiskImages::with(dir.path(), None, Box::new(script));
    assert!(matches!(closed.attach(UNIT, disk(512)).await, Err(AttachError::NotExported)));
    assert!(!dir.path().join("luns").exists());
}

/// A Mac on which one attach takes until it is told to go on.
struct Hasty {
    directory: PathBuf,
    /// It makes no list meanwhile.
    lists_alone: bool,
    /// How many lists were made.
    lists: Arc<std::sync::atomic::AtomicU32>,
    attaching: Arc<tokio::sync::Semaphore>,
    go_on: Arc<tokio::sync::Notify>,
}

impl Runner for Hasty {
    fn run(&self, program: Program, arguments: Vec<OsString>, _: Duration) -> Running<'_> {
        let words: Vec<String> = arguments.iter().map(|word| word.to_str().expect("text").to_owned()).collect();
        Box::pin(async move {
            let first = words.first().map_or("", String::as_str);
            let last = words.last().map_or("", String::as_str);
            let answer = match (program, first) {
                (Program::Hdiutil, "attach") if last.contains("slow") => {
                    self.attaching.add_permits(1);
                    self.go_on.notified().await;
                    self.attaching.forget_permits(1);
                    attached("/dev/disk9")
                }
                (Program::Hdiutil, "attach") => attached("/dev/disk4"),
                (Program::Hdiutil, "info") => {
                    self.lists.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    assert!(!self.lists_alone || self.attaching.available_permits() == 0, "it may lack disk4 now");
                    info("/dev/disk4", true).replace('%', &self.directory.display().to_string())
                }
                (Program::Diskutil, "info") => shape(512, MIB),
                (Program::Mount, _) => NO_MOUNTS.to_owned(),
                _ => String::new(),
            };
            Ok(ended(0, &answer, ""))
        })
    }

    fn has(&self, _: Program) -> bool {
        true
    }

    fn is_root(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn no_list_is_made_while_another_unit_becomes_a_disk() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let door = Transcript::new().door(false);
    let (attaching, go_on) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Notify::new()));
    let directory = dir.path().canonicalize().expect("a directory");
    let runner = Hasty {
        directory,
        lists_alone: true,
        lists: Arc::default(),
        attaching: attaching.clone(),
        go_on: go_on.clone(),
    };
    let attachments = DiskImages::with(dir.path(), Some(door), Box::new(runner));
    attachments.attach(UNIT, disk(512)).await.expect("it works");
    let other = attachments.attach("iqn.2026-11.org.example:slow/0", disk(512));
    let look = async {
        // The other's attach is under way.
        drop(attaching.acquire().await.expect("it is not closed"));
        let looks = async {
            assert_eq!(attachments.in_use(UNIT).await, Vec::<String>::new());
        };
        let goes_on = async {
            tokio::task::yield_now().await;
            go_on.notify_one();
        };
        tokio::join!(looks, goes_on);
    };
    let (other, ()) = tokio::join!(other, look);
    other.expect("it works");
}

#[tokio::test]
async fn who_asks_for_a_list_while_others_do_shares_theirs() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (attaching, go_on) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (directory, lists) = (dir.path().canonicalize().expect("a directory"), Arc::default());
    let runner = Hasty { directory, lists_alone: true, lists: Arc::clone(&lists), attaching, go_on };
    let attachments = DiskImages::with(dir.path(), Some(Transcript::new().door(false)), Box::new(runner));
    attachments.attach(UNIT, disk(512)).await.expect("it works");
    let made = || lists.load(std::sync::atomic::Ordering::Relaxed);
    let before = made();
    let nobody = futures_util::future::join_all((0..10).map(|_| attachments.in_use(UNIT))).await;
    assert!(nobody.iter().all(Vec::is_empty), "{nobody:?}");
    assert_eq!(made() - before, 2, "the one under way may have been begun too early for the others");
    attachments.in_use(UNIT).await;
    assert_eq!(made() - before, 3, "what was begun before is not taken");
}

#[tokio::test(start_paused = true)]
async fn volumes_are_watched_without_a_wait_for_an_attach_that_takes_long_whose_unit_is_not_waited_for_at_the_end() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let exports: Arc<Attachments> = Arc::default();
    let door = NfsDoor { attachments: exports.clone(), ..Transcript::new().door(false) };
    let (attaching, go_on) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Notify::new()));
    let directory = dir.path().canonicalize().expect("a directory");
    let runner = Hasty {
        directory,
        lists_alone: false,
        lists: Arc::default(),
        attaching: attaching.clone(),
        go_on: go_on.clone(),
    };
    let attachments = DiskImages::with(dir.path(), Some(door), Box::new(runner));
    attachments.attach(UNIT, disk(512)).await.expect("it works");
    let slow = "iqn.2026-11.org.example:slow/0";
    let other = attachments.attach(slow, disk(512));
    let meanwhile = async {
        drop(attaching.acquire().await.expect("it is not closed"));
        let attachment = exports.of(UNIT).expect("it is attached");
        attachment.stir();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(attachment.waits(), "its volume is seen");
        let begun = tokio::time::Instant::now();
        let late = attachments.put_away(slow).await.expect_err("its attach is under way");
        assert!(matches!(&late, AttachError::TimedOut(why) if why.contains("may be lost")), "{late}");
        assert!(begun.elapsed() < Duration::from_secs(45), "the daemon's end would have cut it short");
        go_on.notify_one();
    };
    let (other, ()) = tokio::join!(other, meanwhile);
    other.expect("it works");
}

#[tokio::test]
async fn what_was_written_goes_to_the_unit_by_the_volumes_and_then_by_the_file() {
    let mac = Mac::new();
    mac.attachments.write_back(UNIT).await.expect("there is no disk");
    mac.attach().await;
    mac.ok("/usr/bin/hdiutil info -plist", &info("/dev/disk4", true));
    mac.ok(&format!("iscsid --write-back /Volumes/Backup %/luns/{NAME}/{NAME}"), "");
    mac.attachments.write_back(UNIT).await.expect("it works");
    mac.ok("/usr/bin/hdiutil info -plist", &info("/dev/disk4", true));
    let write_back = format!("iscsid --write-back /Volumes/Backup %/luns/{NAME}/{NAME}");
    mac.expect(&write_back, 69, "", "iscsid: not everything is written back: /Volumes/Backup: I/O error\n");
    let failed = mac.attachments.write_back(UNIT).await.expect_err("it is not there");
    assert!(failed.to_string().contains("/Volumes/Backup: I/O error"), "{failed}");
    // Who serves images is gone: all that there is, as far as it goes, and the file.
    mac.expect("/usr/bin/hdiutil info -plist", 1, "", "hdiutil: info failed\n").ok("/bin/sync", "");
    mac.ok(&format!("iscsid --write-back %/luns/{NAME}/{NAME}"), "");
    mac.attachments.write_back(UNIT).await.expect("it works");
    mac.done();
}

#[tokio::test]
async fn when_the_machine_ends_a_disk_goes_whoever_uses_it() {
    let mac = Mac::new();
    mac.attach().await;
    mac.ok("/usr/bin/hdiutil info -plist", &info("/dev/disk4", true));
    mac.ok("/usr/sbin/diskutil unmountDisk force /dev/disk4", "").ok("/usr/sbin/diskutil eject /dev/disk4", "");
    mac.ok(&format!("/sbin/umount %/luns/{NAME}"), "");
    mac.attachments.put_away(UNIT).await.expect("it works");
    mac.done();
    assert_eq!(mac.attachments.device(UNIT), None);
    assert!(mac.exports.of(UNIT).is_none(), "its handles are good no more");
}

/// The table of mounts with our mount and the volume on our disk.
fn mounts_with_volume() -> String {
    format!("{}/dev/disk4s1 on /Volumes/Backup (apfs, local, nodev, nosuid, journaled)\n", mounts())
}

#[tokio::test(start_paused = true)]
async fn when_the_machine_ends_and_diskutil_does_not_answer_volumes_are_unmounted_without_it() {
    let mac = Mac::new();
    mac.attach().await;
    let umount = format!("/sbin/umount %/luns/{NAME}");
    mac.ok("/usr/bin/hdiutil info -plist", &info("/dev/disk4", true));
    mac.expect(
        "/usr/sbin/diskutil unmountDisk force /dev/disk4",
        1,
        "",
        "Unable to run because unable to use the DiskManagement framework\n",
    );
    mac.expect(
        "/sbin/umount /Volumes/Backup",
        1,
        "",
        "umount(/Volumes/Backup): Resource busy -- try 'diskutil unmount'\n",
    );
    mac.ok("/sbin/umount -f /Volumes/Backup", "");
    mac.ok(&format!("iscsid --write-back %/luns/{NAME}/{NAME}"), "");
    // Whoever serves the image has the file open until it ends.
    for _ in 0..3 {
        mac.ok("/sbin/mount", &mounts()).expect(&umount, 1, "", "Resource busy\n");
    }
    mac.ok("/sbin/mount", &mounts()).ok(&umount, "");
    mac.expect(&umount, 1, "", "not currently mounted\n").ok("/sbin/mount", NO_MOUNTS);
    mac.attachments.put_away(UNIT).await.expect("it works");
    mac.done();
    assert_eq!(mac.attachments.device(UNIT), None);
}

#[tokio::test(start_paused = true)]
async fn when_the_machine_ends_a_mount_under_which_nothing_is_mounted_any_more_goes_by_force() {
    let mac = Mac::new();
    mac.attach().await;
    let umount = format!("/sbin/umount %/luns/{NAME}");
    mac.ok("/usr/bin/hdiutil info -plist", &info("/dev/disk4", true));
    mac.expect("/usr/sbin/diskutil unmountDisk force /dev/disk4", 1, "", "gone\n");
    mac.ok("/sbin/umount /Volumes/Backup", "");
    mac.ok(&format!("iscsid --write-back %/luns/{NAME}/{NAME}"), "");
    for _ in 0..6 {
        mac.ok("/sbin/mount", &mounts()).expect(&umount, 1, "", "Resource busy\n");
    }
    mac.expect(&umount, 1, "", "Resource busy\n").ok("/sbin/mount", &mounts());
    mac.ok(&format!("/sbin/umount -f %/luns/{NAME}"), "");
    mac.attachments.put_away(UNIT).await.expect("it works");
    mac.done();
}

#[tokio::test(start_paused = true)]
async fn when_the_machine_ends_a_volume_that_stays_is_served_as_long_as_there_is_time_and_named() {
    let mac = Mac::new();
    mac.attach().await;
    // Nobody tells the images any more; the table of mounts tells this volume.
    mac.expect("/usr/bin/hdiutil info -plist", 1, "", "gone\n").ok("/sbin/mount", &mounts_with_volume());
    mac.expect("/usr/sbin/diskutil unmountDisk force /dev/disk4", 1, "", "gone\n");
    for words in ["/Volumes/Backup", "-f /Volumes/Backup"] {
        mac.expect(&format!("/sbin/umount {words}"), 1, "", "Resource busy\n");
    }
    mac.ok(&format!("iscsid --write-back %/luns/{NAME}/{NAME}"), "");
    for _ in 0..=40 {
        mac.ok("/sbin/mount", &mounts_with_volume());
    }
    let attachment = mac.exports.of(UNIT).expect("it is attached");
    let io = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        attachment.stir();
    };
    let (stays, ()) = tokio::join!(mac.attachments.put_away(UNIT), io);
    let stays = stays.expect_err("it is still mounted");
    assert!(stays.to_string().starts_with("/Volumes/Backup is still mounted"), "{stays}");
    mac.done();
    assert!(mac.attachments.device(UNIT).is_some());
    assert!(attachment.waits(), "what is written last may take as long as it takes");
}

#[tokio::test(start_paused = true)]
async fn when_the_machine_ends_a_table_of_mounts_that_is_not_told_is_none_without_mounts() {
    let mac = Mac::new();
    mac.attach().await;
    let umount = format!("/sbin/umount %/luns/{NAME}");
    mac.expect(INFO, 1, "", "gone\n").expect("/sbin/mount", -1, "", "");
    mac.expect("/usr/sbin/diskutil unmountDisk force /dev/disk4", 1, "", "gone\n");
    mac.ok(&format!("iscsid --write-back %/luns/{NAME}/{NAME}"), "");
    mac.expect("/sbin/mount", -1, "", "").expect("/sbin/mount", 1, "", "mount: cannot allocate memory\n");
    mac.ok("/sbin/mount", &mounts()).ok(&umount, "");
    mac.expect(&umount, 1, "", "not currently mounted\n").ok("/sbin/mount", NO_MOUNTS);
    mac.attachments.put_away(UNIT).await.expect("it works");
    mac.done();
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_does_not_answer_is_not_shown_to_macos() {
    let mac = Mac::new();
    let unit = disk(512);
    mac.ok("/sbin/mount", NO_MOUNTS);
    unit.break_block(0, IoError::Offline);
    let refused = mac.attachments.attach(UNIT, unit.clone()).await.expect_err("it would be waited for");
    assert!(matches!(&refused, AttachError::Failed(why) if why.contains("first block")), "{refused}");
    mac.ok("/sbin/mount", NO_MOUNTS);
    unit.hold(true);
    let refused = mac.attachments.attach(UNIT, unit).await.expect_err("it would be waited for");
    assert!(matches!(&refused, AttachError::Failed(why) if why.contains("within 15 seconds")), "{refused}");
    mac.done();
    assert!(!mac.dir.path().join("luns").join(NAME).exists() && mac.exports.of(UNIT).is_none());
}

// check: diskimage-waits-under-a-volume-only
#[tokio::test(start_paused = true)]
async fn whether_io_may_wait_follows_the_volumes_as_they_come_and_go() {
    let mac = Mac::new();
    mac.attach().await;
    let attachment = mac.exports.of(UNIT).expect("it is attached");
    assert!(!attachment.waits(), "it came without a volume");
    let look = |mounted| {
        mac.ok(INFO, &info("/dev/disk4", mounted));
        attachment.stir();
    };
    let a_while = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    look(true);
    a_while(1).await;
    assert!(attachment.waits(), "macOS has mounted one");
    mac.done();

    // One list may lie.
    look(false);
    mac.ok(INFO, &info("/dev/disk4", true));
    a_while(60).await;
    assert!(attachment.waits());
    mac.done();

    look(false);
    mac.ok(INFO, &info("/dev/disk4", false));
    a_while(60).await;
    assert!(!attachment.waits(), "it was unmounted");
    a_while(3600).await;
    mac.done();

    mac.ok(INFO, &info("/dev/disk4", false))
        .ok("/usr/sbin/diskutil eject /dev/disk4", "")
        .ok(&format!("/sbin/umount %/luns/{NAME}"), "");
    mac.attachments.detach(UNIT, false).await.expect("nobody uses it");
    attachment.stir();
    a_while(60).await;
    mac.done();
    assert!(mac.exports.of(UNIT).is_none(), "its handles are good no more");
}

// check: diskimage-waits-under-a-volume-only
#[tokio::test]
async fn a_volume_that_comes_with_the_disk_is_waited_for_at_once() {
    let shape = shape(512, MIB);
    let mac = Mac::new();
    mac.mounted();
    let with_volume = attached("/dev/disk4").replace(
        "/dev/disk4s1</string>",
        "/dev/disk4s1</string><key>mount-point</key><string>/Volumes/Backup</string>",
    );
    mac.ok(&hdiutil_attach(""), &with_volume).ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape);
    mac.attachments.attach(UNIT, disk(512)).await.expect("it works");
    assert!(mac.exports.of(UNIT).expect("it is attached").waits());
    mac.done();

    let mac = Mac::new();
    mac.mounted();
    mac.expect(&hdiutil_attach(""), 1, "", "hdiutil: attach failed - timed out\n").ok(INFO, &info("/dev/disk4", true));
    mac.ok("/usr/sbin/diskutil info -plist /dev/disk4", &shape);
    mac.attachments.attach(UNIT, disk(512)).await.expect("it is there");
    assert!(mac.exports.of(UNIT).expect("it is attached").waits());
    mac.done();
}

// check: diskimage-waits-under-a-volume-only
#[tokio::test(start_paused = true)]
async fn io_waits_where_nothing_tells_whether_a_volume_is_mounted() {
    let mac = Mac::new();
    mac.attach().await;
    let attachment = mac.exports.of(UNIT).expect("it is attached");
    let a_while = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    for (code, told) in [(1, String::new()), (0, no_images())] {
        assert!(!attachment.waits());
        mac.expect(INFO, code, &told, "hdiutil: info failed\n");
        attachment.stir();
        a_while(1).await;
        assert!(attachment.waits());
        mac.done();
        mac.ok(INFO, &info("/dev/disk4", false)).ok(INFO, &info("/dev/disk4", false));
        attachment.stir();
        a_while(60).await;
        assert!(!attachment.waits(), "there is none");
        mac.done();
    }
}
