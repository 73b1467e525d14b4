//! The tools of macOS for disk images: how they are called, and what they answer.
//!
//! ```text
//!   hdiutil attach -plist        system-entities: dev-entry …            until macOS deprecates it away
//!   diskutil image attach --plist       the same, names without /dev/    its successor
//!   hdiutil info -plist          images: image-path, system-entities     what is attached
//!   diskutil info -plist         DeviceBlockSize, Size                   what became of it
//!   diskutil eject               "dissented by PID 123 (/usr/bin/tail)"  who holds it
//!   mount                        127.0.0.1:/… on /… (nfs, …)
//!   lsof -F pcn                  p123, ctail, n/Volumes/X/file           what is open
//! ```
//! hdiutil comes first where there is one: it can be told that the file is a raw disk. diskutil looks into the file
//! for that, and what is in it is somebody else's.

use std::path::{Path, PathBuf};

use plist::{Dictionary, Value};

use super::program::Program;
use crate::block::Geometry;

/// Where the tools are: where macOS has them, or all in one directory, where a test has stand-ins of the same names.
#[derive(Debug, Clone, Default)]
pub struct MacTools {
    directory: Option<PathBuf>,
}

impl MacTools {
    /// Stand-ins in that directory.
    pub fn in_directory(directory: &Path) -> MacTools {
        MacTools { directory: Some(directory.to_owned()) }
    }

    /// Whether they are stand-ins.
    pub fn are_stand_ins(&self) -> bool {
        self.directory.is_some()
    }

    /// Whether there is a tool that makes disk images.
    pub fn make_images(&self) -> bool {
        [Program::Hdiutil, Program::Diskutil].iter().any(|program| self.path(*program).exists())
    }

    pub(super) fn path(&self, program: Program) -> PathBuf {
        let path = Path::new(program.path());
        match (&self.directory, path.file_name()) {
            // It is the same on every system: a test has one of its own only where mounts are somewhere else.
            (Some(directory), Some(name)) if program == Program::Cat => {
                Some(directory.join(name)).filter(|own| own.exists()).unwrap_or_else(|| path.to_owned())
            }
            (Some(directory), Some(name)) => directory.join(name),
            _ => path.to_owned(),
        }
    }
}

/// Helpers of the system that look into every volume, and let go of it when they are asked to.
const HELPERS: [&str; 5] = ["mds", "mds_stores", "mdworker", "mdworker_shared", "fseventsd"];

/// Which tool attaches images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// `hdiutil attach`
    Hdiutil,
    /// `diskutil image attach`
    Diskutil,
}

impl Tool {
    /// Its program.
    pub(super) const fn program(self) -> Program {
        match self {
            Tool::Hdiutil => Program::Hdiutil,
            Tool::Diskutil => Program::Diskutil,
        }
    }

    /// The arguments to attach a file; `volumes`: what is on it shall be mounted as the system does with every disk.
    pub(super) fn attach(self, file: &Path, geometry: &Geometry, volumes: bool) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut put = |word: &str| words.push(word.to_owned());
        match self {
            Tool::Hdiutil => {
                // Without owners the system gives all that is on the disk to whoever asks for it.
                for word in
                    ["attach", "-plist", "-imagekey", "diskimage-class=CRawDiskImage", "-noverify", "-owners", "on"]
                {
                    put(word);
                }
                if geometry.block_size != 512 {
                    put("-blocksize");
                    put(&geometry.block_size.to_string());
                }
                if geometry.read_only {
                    put("-readonly");
                }
                if !volumes {
                    put("-nomount");
                }
            }
            Tool::Diskutil => {
                for word in ["image", "attach", "--plist"] {
                    put(word);
                }
                if geometry.read_only {
                    put("--readOnly");
                }
                if !volumes {
                    put("--noMount");
                }
            }
        }
        put(&file.to_string_lossy());
        words
    }
}

/// The options of mount_nfs; `transfers`: how much is moved at a time.
///
/// - `hard`, since a disk waits for its unit as long as it takes; never `soft`, never `async`. Not `intr` either: at a
///   shutdown every program gets a signal, and what makes the disk would give up what it writes.
/// - `locallocks`: locks of a file that no other machine has are the Mac's own business. The disk image's program
///   takes one, is refused a second disk of the same file by it, and would be refused itself by `nolocks`.
/// - `mutejukebox`, `nobrowse`: it is nobody's server. That a target is away is told by the daemon.
/// - Attributes are cached as long as is usual: they never change, and once a minute they are asked for.
pub(super) fn nfs_options(port: u16, geometry: &Geometry, transfers: &str) -> String {
    let mut options = format!(
        "vers=3,tcp,port={port},mountport={port},hard,locallocks,mutejukebox,nobrowse,nosuid,nodev,{transfers}"
    );
    if geometry.read_only {
        options.push_str(",ro");
    }
    options
}

/// The whole disk among the devices that an attach answers with, such as `/dev/disk4`, and where its volumes are mounted.
pub(super) fn attached(answer: &[u8]) -> Option<(String, Vec<String>)> {
    let document = document(answer)?;
    let image = document.as_dictionary()?;
    Some((device(image)?, mount_points(image)?))
}

/// The property list in an answer, which may have a line of something else before it.
fn document(answer: &[u8]) -> Option<Value> {
    let start = answer.windows(5).position(|window| window == b"<?xml")?;
    plist::from_bytes(answer.get(start..)?).ok()
}

/// What the Mac makes of a partition with APFS (the type of that partition is another): a disk of its own, with
/// volumes in place of partitions.
const CONTAINER: &str = "EF57347C-0000-11AA-AA11-00306543ECAC";

/// The first whole disk. After it there may be disks that the system makes of its partitions, with numbers that are
/// smaller where one has become free.
fn device(image: &Dictionary) -> Option<String> {
    let entities = image.get("system-entities")?.as_array()?;
    let whole = |entity: &Value| {
        let entity = entity.as_dictionary()?;
        let hint = entity.get("content-hint").and_then(Value::as_string);
        let name = entity.get("dev-entry")?.as_string()?;
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        (is_whole_disk(name) && hint != Some(CONTAINER)).then(|| format!("/dev/{name}"))
    };
    entities.iter().find_map(whole)
}

/// Where the volumes of an image are mounted.
fn mount_points(image: &Dictionary) -> Option<Vec<String>> {
    let entities = image.get("system-entities")?.as_array()?;
    let points = entities.iter().filter_map(|entity| entity.as_dictionary()?.get("mount-point")?.as_string());
    Some(points.map(str::to_owned).collect())
}

/// Whether a name is that of a disk, not of a part of one: it becomes an argument of commands that root runs.
fn is_whole_disk(name: &str) -> bool {
    name.strip_prefix("disk")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The files by which a disk can be read without its file system.
pub(super) fn nodes(device: &str) -> Vec<String> {
    vec![device.to_owned(), device.replace("/dev/disk", "/dev/rdisk")]
}

/// An image that is attached, from `hdiutil info -plist`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its file.
    pub(super) file: PathBuf,
    /// Its whole disk.
    pub(super) device: String,
    /// Where its volumes are mounted.
    pub(super) mount_points: Vec<String>,
}

/// All images that are attached; `None` for an answer that is none.
pub(super) fn images(answer: &[u8]) -> Option<Vec<Image>> {
    let document = document(answer)?;
    // Where none is attached, the answer says nothing of images.
    let Some(images) = document.as_dictionary()?.get("images") else { return Some(Vec::new()) };
    let images = images.as_array()?;
    let image = |image: &Value| {
        let image = image.as_dictionary()?;
        Some(Image {
            file: PathBuf::from(image.get("image-path")?.as_string()?),
            device: device(image)?,
            mount_points: mount_points(image)?,
        })
    };
    Some(images.iter().filter_map(image).collect())
}

/// Block size and size, in bytes, from `diskutil info -plist`.
pub(super) fn shape(answer: &[u8]) -> Option<(u64, u64)> {
    let document = document(answer)?;
    let info = document.as_dictionary()?;
    let number = |key: &str| info.get(key).and_then(Value::as_unsigned_integer);
    Some((number("DeviceBlockSize")?, number("Size").or_else(|| number("TotalSize"))?))
}

/// Whether a disk is an image, from `diskutil info -plist`; `None` where that is not said.
pub(super) fn is_image(answer: &[u8]) -> Option<bool> {
    Some(document(answer)?.as_dictionary()?.get("BusProtocol")?.as_string()? == "Disk Image")
}

/// Who did not let go of a disk, as far as it can be understood in what `diskutil eject` says, in English and not in
/// every language of the Mac. The line after it names the parent, who is not to blame.
pub(super) fn dissenters(text: &str) -> Vec<String> {
    let holder = |line: &str| {
        let (_, rest) = line.split_once("dissented by PID ")?;
        let (pid, name) = rest.split_once(' ').unwrap_or((rest, ""));
        let pid: u32 = pid.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()?;
        let name = name.trim().trim_start_matches('(').trim_end_matches(')');
        Some(if name.is_empty() { format!("process {pid}") } else { format!("{name} (process {pid})") })
    };
    text.lines().filter_map(holder).collect()
}

/// A line of `mount`.
struct Mount<'a> {
    /// The device, or whose export it is.
    source: &'a str,
    point: &'a str,
    /// The file system's type, such as `nfs`.
    kind: &'a str,
}

/// The lines of `mount`.
fn table(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        // What is in the parentheses at the end cannot be part of a path of ours.
        let (mount, options) = line.rsplit_once(" (")?;
        let (source, point) = mount.split_once(" on ")?;
        Some(Mount { source, point, kind: options.split([',', ')']).next()? })
    })
}

/// Where anything is mounted.
pub(super) fn mount_table(answer: &[u8]) -> Vec<String> {
    table(&String::from_utf8_lossy(answer)).map(|mount| mount.point.to_owned()).collect()
}

/// Where something is mounted by NFS from this machine.
pub(super) fn nfs_mounts(answer: &[u8]) -> Vec<PathBuf> {
    let ours = |mount: &Mount<'_>| mount.kind == "nfs" && mount.source.starts_with("127.0.0.1:/");
    table(&String::from_utf8_lossy(answer)).filter(ours).map(|mount| PathBuf::from(mount.point)).collect()
}

/// Where a disk and its parts are mounted.
pub(super) fn mounted_of(answer: &[u8], device: &str) -> Vec<String> {
    let of_it = |mount: &Mount<'_>| {
        mount.source.strip_prefix(device).is_some_and(|part| part.is_empty() || part.starts_with('s'))
    };
    table(&String::from_utf8_lossy(answer)).filter(of_it).map(|mount| mount.point.to_owned()).collect()
}

/// Who has something open, from the lines of `lsof -F pcn`: one sentence per process.
pub(super) fn holders(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let mut holders: Vec<String> = Vec::new();
    let (mut pid, mut name, mut told) = ("", "", true);
    for line in text.lines() {
        let mut letters = line.chars();
        match letters.next() {
            Some('p') => (pid, name, told) = (letters.as_str(), "", false),
            Some('c') => name = letters.as_str(),
            Some('n') if !told && !HELPERS.contains(&name) => {
                told = true;
                holders.push(format!("{name} (process {pid}) has {} open", letters.as_str()));
            }
            _ => {}
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_have_the_tools_names_in_one_directory() {
        assert_eq!(MacTools::default().path(Program::MountNfs), Path::new("/sbin/mount_nfs"));
        assert_eq!(MacTools::in_directory(Path::new("/t")).path(Program::MountNfs), Path::new("/t/mount_nfs"));
    }

    #[test]
    fn both_tools_name_the_whole_disk_each_in_its_way() {
        let entity = |name: &str| format!("<dict><key>dev-entry</key><string>{name}</string></dict>");
        let answer = |names: &[&str]| {
            let entities: String = names.iter().map(|name| entity(name)).collect();
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>system-entities</key>\
                 <array>{entities}</array></dict></plist>"
            )
        };
        let device = |answer: &str| attached(answer.as_bytes()).map(|(device, _)| device);
        let of = |names: &[&str]| device(&answer(names));
        assert_eq!(of(&["/dev/disk4s1", "/dev/disk4", "/dev/disk5s1"]).as_deref(), Some("/dev/disk4"));
        assert_eq!(
            of(&["/dev/disk10", "/dev/disk10s1", "/dev/disk5"]).as_deref(),
            Some("/dev/disk10"),
            "not the shortest"
        );
        assert_eq!(of(&["disk12"]).as_deref(), Some("/dev/disk12"));
        assert_eq!(of(&["/dev/disk4; rm -rf /", "-f", "/dev/rdisk"]), None);
        assert_eq!(of(&[]), None);
        let talkative = format!("Checking\n{}", answer(&["/dev/disk4"]));
        assert_eq!(device(&talkative).as_deref(), Some("/dev/disk4"));
        assert_eq!(attached(b"hdiutil: attach failed"), None);
    }

    #[test]
    fn a_container_is_not_the_disk_wherever_it_is_named() {
        let entity = |name: &str, hint: &str| {
            format!(
                "<dict><key>content-hint</key><string>{hint}</string><key>dev-entry</key><string>{name}</string></dict>"
            )
        };
        let entities = [
            entity("/dev/disk5", CONTAINER),
            entity("/dev/disk5s1", "41504653-0000-11AA-AA11-00306543ECAC"),
            entity("/dev/disk10", "GUID_partition_scheme"),
            entity("/dev/disk10s1", "Apple_APFS"),
        ]
        .concat();
        let answer = format!(
            "<?xml version=\"1.0\"?><plist><dict><key>system-entities</key><array>{entities}</array></dict></plist>"
        );
        assert_eq!(attached(answer.as_bytes()), Some(("/dev/disk10".to_owned(), Vec::new())));
    }

    #[test]
    fn where_no_image_is_attached_none_is_listed() {
        let answer = |content: &str| format!("<?xml version=\"1.0\"?><plist>{content}</plist>");
        let nothing = answer(
            "<dict><key>framework</key><string>671.140.2</string><key>vendor</key><string>Apple</string></dict>",
        );
        assert_eq!(images(nothing.as_bytes()), Some(Vec::new()));
        assert_eq!(images(answer("<array/>").as_bytes()), None);
        assert_eq!(images(answer("<dict><key>images</key><string/></dict>").as_bytes()), None);
        assert_eq!(images(b"hdiutil: info failed"), None);
    }

    #[test]
    fn a_disk_is_an_image_or_is_not_or_does_not_say() {
        let answer = |content: &str| {
            is_image(format!("<?xml version=\"1.0\"?><plist><dict>{content}</dict></plist>").as_bytes())
        };
        assert_eq!(answer("<key>BusProtocol</key><string>Disk Image</string>"), Some(true));
        assert_eq!(answer("<key>BusProtocol</key><string>Apple Fabric</string>"), Some(false));
        assert_eq!(answer(""), None);
    }

    #[test]
    fn volumes_of_a_disk_are_told_from_those_of_others() {
        let said = b"/dev/disk5s1 on /Volumes/A B (hfs, local)\n/dev/disk51s1 on /Volumes/C (hfs)\n/dev/disk5 on /Volumes/D (msdos)\n";
        assert_eq!(mounted_of(said, "/dev/disk5"), ["/Volumes/A B", "/Volumes/D"]);
    }

    #[test]
    fn whoever_does_not_let_go_is_named_and_not_its_parent() {
        let said = "Unmount of disk7 failed: at least one volume could not be unmounted\n\
                    Unmount was dissented by PID 47781 (/usr/bin/tail)\nDissenter parent PPID 47778 (/bin/zsh)\n";
        assert_eq!(dissenters(said), ["/usr/bin/tail (process 47781)"]);
        assert_eq!(dissenters("Unmount was dissented by PID 0"), ["process 0"]);
        assert_eq!(dissenters("Volume failed to eject"), [""; 0]);
    }

    #[test]
    fn open_files_are_told_per_process_and_the_systems_helpers_left_out() {
        let said = b"p123\nctail\nf3\nn/Volumes/X/log\nf4\nn/Volumes/X/other\np80\ncmds\nf5\nn/Volumes/X\np9\ncbash\nfcwd\nn/Volumes/X\n";
        assert_eq!(
            holders(said),
            ["tail (process 123) has /Volumes/X/log open", "bash (process 9) has /Volumes/X open"]
        );
        assert_eq!(holders(b""), [""; 0]);
    }

    #[test]
    fn only_our_own_mounts_are_seen() {
        let said = b"/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n\
                     nas:/export on /Volumes/nas (nfs, nodev, nosuid)\n\
                     127.0.0.1:/0a1b on /private/var/run/iscsid/luns/iqn.a:b,0 (nfs, nodev, nosuid, nobrowse)\n";
        assert_eq!(nfs_mounts(said), [PathBuf::from("/private/var/run/iscsid/luns/iqn.a:b,0")]);
    }
}
