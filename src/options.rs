//! The options of the daemon, on its command line and in the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::config;
use crate::ipc::{ExitCode, Failure};
use crate::printable::{clean, complain};
use crate::usage;

/// Gives this machine disks from iSCSI targets.
///
/// iscsid stays in the foreground and is started by launchd, systemd or by hand. What it does is told
/// by `iscsictl`, or `iscsid ctl`, which is the same; `iscsid ctl --help` lists the commands.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "iscsid", version)]
pub struct Options {
    /// The property list with all settings
    ///
    /// It is created at the first change and written by iscsid alone. CHAP secrets are in a file of
    /// their own beside it. Default: /etc/iscsid/iscsid.plist for root on Linux, /Library/Application
    /// Support/iscsid/iscsid.plist for root on macOS, and the user's own configuration directory for
    /// anybody else. It is read only where nobody but root and the user iscsid runs as may write to it,
    /// or to a directory above it (but for one like /tmp, where only its owner may take a file away).
    #[arg(long, value_name = "FILE", env = "ISCSID_CONFIG")]
    config: Option<PathBuf>,

    /// The directory of control.sock, nbd.sock and luns/
    ///
    /// Default: /run/iscsid for root on Linux, /var/run/iscsid for root on macOS, and a directory of
    /// one's own for anybody else: $XDG_RUNTIME_DIR/iscsid ($TMPDIR/iscsid on macOS), or
    /// /tmp/iscsid-UID where that variable is not set. Nobody but root and the user iscsid runs as may
    /// write to it, or to a directory above it (but for one like /tmp).
    #[arg(long, value_name = "DIRECTORY", env = "ISCSID_RUNTIME_DIR")]
    runtime_dir: Option<PathBuf>,

    /// Which kernel runs the sessions
    ///
    /// auto takes the kernel extension if it is loaded and of the same release, and else this process; the log
    /// says why.
    #[arg(long, value_name = "KERNEL", default_value = "auto", value_enum)]
    pub bridge: Bridge,

    /// The socket of the kernel extension's harness, which then takes the place of this machine's kernel
    #[arg(long, value_name = "SOCKET", env = "ISCSID_KERNEL_SIM", hide = true)]
    pub kernel_sim: Option<PathBuf>,

    /// Whether to export units as files by NFS, on this machine's loopback address: auto, yes, no, or a port
    ///
    /// The port is the one that launchd or systemd holds for iscsid, or else is chosen once and kept, beside the property
    /// list; a number that is given here wins over both. Only where it is held do disks that are made of these files wait
    /// for the next iscsid when this one ends. auto: where disks are made of these files, as on macOS, or the port is held.
    #[arg(long, value_name = "WHETHER", env = "ISCSID_NFS", default_value = "auto", value_parser = Nfs::understand)]
    pub nfs: Nfs,

    /// How units are made disks of this system
    ///
    /// auto is this system's way.
    #[arg(long, value_name = "WAY", env = "ISCSID_ATTACH", default_value = "auto", value_enum, hide = true)]
    pub attach: Attach,

    /// A directory with stand-ins for the tools of macOS that make disk images: hdiutil, diskutil, mount_nfs and so on
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    pub mac_tools: Option<PathBuf>,

    /// How much macOS moves at a time between its cache and the file that a disk is made of, in KiB: a power of two
    #[arg(long, value_name = "KIB", env = "ISCSID_NFS_BLOCK", default_value = "128", hide = true, value_parser = block)]
    pub nfs_block: u32,

    /// How many of those are read ahead, at most; what makes 4 MiB, if it is not said
    #[arg(long, value_name = "BLOCKS", env = "ISCSID_NFS_READ_AHEAD", hide = true, value_parser = usage::within(0..=128_u32))]
    pub nfs_read_ahead: Option<u32>,

    /// What was written to these files and to the file systems mounted at these directories is sent to stable storage; no
    /// daemon is started
    #[arg(long, value_name = "PATH", num_args = 1.., hide = true)]
    pub write_back: Vec<PathBuf>,

    /// A connection that lasts less counts as a login that failed, in seconds: for tests that lose many
    #[arg(long, value_name = "SECONDS", env = "ISCSID_SHORT_LIFE", hide = true, value_parser = usage::within(0..=86_400_u64))]
    pub short_life: Option<u64>,

    /// What to log to standard error
    ///
    /// error, warn, info, debug or trace, or a list of module=level.
    #[arg(long, value_name = "FILTER", env = "ISCSID_LOG", default_value = "info")]
    pub log: String,
}

/// Which kernel runs the full-feature phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bridge {
    /// The kernel extension where it is loaded, else this process
    Auto,
    /// The kernel extension (macOS)
    Kext,
    /// This process
    User,
}

/// How units are made disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attach {
    /// By loop devices on Linux, else by disk images
    Auto,
    /// A file by FUSE, a loop device on it (Linux)
    Loop,
    /// A file by NFS, a disk image of it (macOS)
    #[value(name = "diskimage")]
    DiskImage,
    /// Not at all: units are reached by NBD and NFS
    None,
}

/// Whether units are exported by NFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nfs {
    /// Where disks are made of the files
    Auto,
    /// At the port that was chosen once
    Yes,
    /// Not at all
    No,
    /// At that port, also from now on
    Port(u16),
}

impl Nfs {
    fn understand(text: &str) -> Result<Nfs, String> {
        match text {
            "auto" => Ok(Nfs::Auto),
            "yes" => Ok(Nfs::Yes),
            "no" => Ok(Nfs::No),
            port => match port.parse() {
                Ok(port @ 1..) => Ok(Nfs::Port(port)),
                _ => Err("say auto, yes, no, or a port from 1 to 65535".to_owned()),
            },
        }
    }
}

impl Options {
    /// Understands a command line without the program's name. What is not a daemon to start (help, the
    /// version, or a wrong option, told on standard error) is answered here: the exit code is returned.
    ///
    /// # Errors
    /// [`ExitCode::Ok`] for help and version, [`ExitCode::Usage`] for a wrong line.
    pub fn understand(line: impl IntoIterator<Item = OsString>) -> Result<Options, ExitCode> {
        let mut line: Vec<OsString> = line.into_iter().collect();
        line.first_mut().into_iter().for_each(asked);
        let words = std::iter::once(OsString::from("iscsid")).chain(line.iter().cloned());
        Options::consistent(words).map_err(|error| {
            if !error.use_stderr() {
                // Nobody is left to tell when standard output is gone.
                let _ = error.print();
                return ExitCode::Ok;
            }
            let typed: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            let failure = usage::refusal(&Options::command(), &typed, &error);
            let advice = match line.first().and_then(|word| word.to_str()).filter(|word| !word.starts_with('-')) {
                Some(word) => {
                    Some(format!("`iscsid ctl {word} …`, or `iscsictl {word} …`, tells the daemon something"))
                }
                None => failure.advice.clone(),
            };
            complain(format_args!("iscsid: {}", clean(&Failure { advice, ..failure }.to_string())));
            ExitCode::Usage
        })
    }

    /// What the words say, unless one of them would be ignored. The environment may say more than is needed.
    fn consistent(words: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
        let matches = Options::command().try_get_matches_from(words)?;
        let options = Options::from_arg_matches(&matches)?;
        let named = matches.value_source("kernel_sim") == Some(ValueSource::CommandLine);
        if named && options.bridge == Bridge::User {
            let sentence =
                "--kernel-sim names a kernel extension, which --bridge user does without; leave one of them out";
            return Err(Options::command().error(ErrorKind::ArgumentConflict, sentence));
        }
        Ok(options)
    }

    /// The property list, where it was named.
    pub fn named_config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The property list.
    pub fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(config::default_config)
    }

    /// The runtime directory.
    pub fn runtime_dir(&self) -> PathBuf {
        self.runtime_dir.clone().unwrap_or_else(config::default_runtime_dir)
    }
}

/// A power of two from the Mac's page to what its NFS client gets on with.
fn block(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number: &u32| (16..=1024).contains(number) && number.is_power_of_two());
    number.ok_or_else(|| "say 16, 32, 64, 128, 256, 512 or 1024".to_owned())
}

/// `help` and `version`, as other programs have them, are our options.
fn asked(word: &mut OsString) {
    for name in ["help", "version"] {
        if word.to_str() == Some(name) {
            *word = format!("--{name}").into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn paths_on_the_command_line_win() {
        let line = ["iscsid", "--config", "/a/b.plist", "--runtime-dir", "/c", "--bridge", "user", "--log", "debug"];
        let options = Options::try_parse_from(line).expect("good");
        assert_eq!(options.config(), Path::new("/a/b.plist"));
        assert_eq!(options.runtime_dir(), Path::new("/c"));
        assert_eq!(options.bridge, Bridge::User);
        assert_eq!(options.log, "debug");
    }

    #[test]
    fn the_nfs_export_is_a_word_or_a_port() {
        let nfs = |word: &str| Options::try_parse_from(["iscsid", "--nfs", word]).map(|options| options.nfs).ok();
        let expected = [Some(Nfs::Auto), Some(Nfs::Yes), Some(Nfs::No), Some(Nfs::Port(2049)), None, None];
        assert_eq!(["auto", "yes", "no", "2049", "0", "65536"].map(nfs), expected);
    }

    #[test]
    fn how_units_are_attached_is_a_word_and_no_business_of_users() {
        let attach =
            |word: &str| Options::try_parse_from(["iscsid", "--attach", word]).map(|options| options.attach).ok();
        let expected = [Some(Attach::Auto), Some(Attach::Loop), Some(Attach::DiskImage), Some(Attach::None), None];
        assert_eq!(["auto", "loop", "diskimage", "none", "disk-image"].map(attach), expected);
        let help = Options::command().render_long_help().to_string();
        assert!(
            !["--attach", "--mac-tools", "--kernel-sim", "--nfs-block", "--nfs-read-ahead", "--write-back"]
                .iter()
                .any(|word| help.contains(word)),
            "{help}"
        );
    }

    #[test]
    fn how_much_is_moved_at_a_time_is_a_power_of_two() {
        let block =
            |text: &str| Options::try_parse_from(["iscsid", "--nfs-block", text]).map(|options| options.nfs_block).ok();
        assert_eq!(["16", "1024", "8", "2048", "100", "x"].map(block), [Some(16), Some(1024), None, None, None, None]);
        let ahead = |text: &str| {
            Options::try_parse_from(["iscsid", "--nfs-read-ahead", text]).map(|options| options.nfs_read_ahead).ok()
        };
        assert_eq!(["0", "128", "129"].map(ahead), [Some(Some(0)), Some(Some(128)), None]);
    }

    #[test]
    fn a_wrong_option_is_a_usage_error_and_help_is_none() {
        let understand = |word: &str| Options::understand([OsString::from(word)]);
        assert_eq!(understand("--frobnicate"), Err(ExitCode::Usage));
        assert_eq!(understand("--version"), Err(ExitCode::Ok));
        for word in ["help", "version"] {
            assert_eq!(understand(word), Err(ExitCode::Ok), "{word}");
        }
    }

    // check: wrong-line-sentence
    #[test]
    fn what_is_wrong_is_one_sentence() {
        let refusal = |line: &[&str]| {
            let words = std::iter::once("iscsid").chain(line.iter().copied()).map(OsString::from);
            let error = Options::consistent(words).expect_err("wrong");
            let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            usage::refusal(&Options::command(), &line, &error).to_string()
        };
        for (line, sentence) in [
            (&["--frobnicate"][..], "`iscsid` has no option `--frobnicate`; `iscsid --help` explains"),
            (&["--brige", "user"], "`iscsid` has no option `--brige`; did you mean `--bridge`?"),
            (&["--bridge", "kernel"], "`kernel` is no value of --bridge; say auto, kext or user"),
            (&["--config"], "--config lacks its value; `iscsid --help` explains"),
            (&["--nfs", "perhaps"], "`perhaps` is no value of --nfs; say auto, yes, no, or a port from 1 to 65535"),
            (&["login"], "`login` is one word too many for `iscsid`; `iscsid --help` explains"),
            (
                &["--bridge", "user", "--kernel-sim", "/s"],
                "--kernel-sim names a kernel extension, which --bridge user does without; leave one of them out",
            ),
        ] {
            assert_eq!(refusal(line), sentence);
        }
    }

    #[test]
    fn an_extension_that_would_not_be_asked_is_refused() {
        let words = |bridge: &str| ["iscsid", "--bridge", bridge, "--kernel-sim", "/s"].map(OsString::from);
        let refusal = Options::consistent(words("user")).expect_err("one of them would be ignored");
        assert!(refusal.use_stderr() && refusal.to_string().contains("leave one of them out"), "{refusal}");
        assert_eq!(Options::understand(words("user").into_iter().skip(1)), Err(ExitCode::Usage));
        assert_eq!(Options::consistent(words("kext")).expect("good").kernel_sim.as_deref(), Some(Path::new("/s")));
    }
}
