//! The canonical grammar, as typed. [`super::action`] says what it means, [`super::legacy`] writes the
//! two older grammars in it.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::keys::Keys;
use crate::config::{DISCOVERY_INTERVAL, Timer};
use crate::ipc::{FlushPolicy, MAX_BENCH_DEPTH, MAX_BENCH_SECONDS};
use crate::usage::{whole_number, within};

/// The numbers of units that have one (SAM-5 §4.7).
const LUNS: RangeInclusive<u32> = 0..=0xff_ffff;

/// Everything `iscsictl` takes.
#[derive(Debug, Parser)]
#[command(
    name = "iscsictl",
    version,
    about = "Tells iscsid what to do: targets, logins, disks",
    long_about = "Tells iscsid, the iSCSI initiator, what to do: which targets there are, which to log in to, \
                  and which disks they give.",
    after_help = "iscsictl COMMAND --help explains a command.",
    after_long_help = LONG_HELP,
    subcommand_required = true,
    disable_help_subcommand = true
)]
pub(super) struct Typed {
    /// The daemon's runtime directory (default: that of one's own daemon, or else of root's)
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ISCSID_RUNTIME_DIR",
        hide_env = true,
        global = true,
        display_order = 900
    )]
    pub(super) runtime_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) command: Command,
}

const LONG_HELP: &str = "\
The first disk, from a NAS at nas.example:
  iscsictl discover nas.example --add
  iscsictl login iqn.2001-04.com.example:disk1
  iscsictl list luns

A portal is HOST[:PORT], where HOST is a name, an IPv4 address or an IPv6 address in brackets, and PORT is 3260 where \
none is given. Anybody may list and show; to change something takes root, or the user iscsid runs as.

The commands of iSCSIInitiator for macOS work as well: `iscsictl -login -target IQN -portal HOST`, \
`iscsictl modify target-config IQN -HeaderDigest CRC32C` and so on.

`iscsictl completions bash` (or zsh, fish) prints what a shell completes these lines with, `iscsictl man DIRECTORY` writes \
the manual pages; a package has installed both.

Exit codes (sysexits.h):
   0  done
  64  the command line is wrong
  65  it names something that is not there, or is there already
  68  the host is unknown or does not answer
  69  iscsid is not running, or the target is not there
  70  a bug in iscsid
  75  busy; try again
  76  the other side does not speak iSCSI, or wrongly
  77  not permitted: not root, or refused by the target
  78  the configuration is wrong
 130  Ctrl-C ended it

Files:
  /run/iscsid/control.sock              how iscsid is reached that root runs on Linux
  /var/run/iscsid/control.sock          on macOS
  $XDG_RUNTIME_DIR/iscsid/control.sock  that anybody else runs; $TMPDIR/iscsid/control.sock on macOS
  /tmp/iscsid-UID/control.sock          the same where that variable is not set";

/// A command.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a target, one of its portals, or a discovery portal
    #[command(subcommand)]
    Add(Add),
    /// Remove a target, one of its portals, or a discovery portal
    #[command(subcommand)]
    Remove(Remove),
    /// Change the settings of a target, of the initiator, or of discovery
    #[command(subcommand)]
    Modify(Modify),
    /// Ask a portal which targets it has
    Discover(Discover),
    /// Log in to a target, or to all that are configured
    Login(Login),
    /// Log out of a target, or of all
    Logout(Logout),
    /// List targets, logical units, sessions or discovery portals
    List(List),
    /// Show everything about a target, the initiator, discovery or a session
    Show(Show),
    /// Attach a target's units to this machine as disks
    Attach(Attach),
    /// Detach a target's disks from this machine
    Detach(Detach),
    /// Look for new, removed and resized units
    Rescan(Scope),
    /// Show the counters of sessions
    Stats(Stats),
    /// Measure how fast a unit is; writing destroys what is on it
    Bench(Bench),
    /// Try everything against a target of our own, in this process: needs no daemon, leaves nothing
    Selftest(Output),
    /// Look at everything that a login and a disk need, and say what to do; needs no daemon
    Doctor(Doctor),
    /// Take over the settings of iSCSIInitiator for macOS
    Import(Import),
}

/// What those who make packages and try them type, and hardly anybody else: in no list of commands.
#[derive(Debug, Parser)]
#[command(name = "iscsictl", disable_help_subcommand = true)]
pub(super) enum Maker {
    /// Write the manual pages to a directory, as man5/… and man8/…
    Man {
        /// The directory; it is created where it is missing
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
    },
    /// Be a target in memory, on loopback, until standard input ends
    #[command(hide = true)]
    PracticeTarget {
        /// The port on 127.0.0.1, up to 65535; 0 takes a free one
        #[arg(long, value_name = "PORT", default_value = "0", value_parser = within(0..=u16::MAX))]
        port: u16,
        /// Size of its disk, in MiB: 1 to 65536
        #[arg(long, value_name = "MIB", default_value = "2048", value_parser = within(1..=65_536_u32))]
        mebibytes: u32,
        /// The disk's block, in bytes: 512 or 4096
        #[arg(long, value_name = "BYTES", default_value = "512", value_parser = block_size)]
        block_size: u32,
    },
    /// Print what may follow on a line, for the scripts of shells
    #[command(hide = true)]
    Complete {
        /// Whose line
        #[arg(value_name = "PROGRAM", value_enum)]
        program: Program,
        /// The words after the program's name; the last one has been begun
        #[arg(value_name = "WORDS", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Print what a shell needs to complete our lines
    Completions {
        /// Which shell
        #[arg(value_name = "SHELL", value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Program {
    /// The command line.
    Iscsictl,
    /// The daemon; after `ctl` comes the command line.
    Iscsid,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// A property list (XML)
    Plist,
    /// JSON
    Json,
}

impl Format {
    /// All of them, as they are typed.
    pub(super) const NAMES: [&'static str; 3] = ["table", "plist", "json"];
}

#[derive(Debug, Args)]
pub(super) struct Output {
    /// How to print it
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table", global = true)]
    pub(super) format: Format,
}

#[derive(Debug, Subcommand)]
pub(super) enum Add {
    /// Add a target, or a portal to one that is there
    Target {
        /// The target's name, such as iqn.2001-04.com.example:disk1
        #[arg(value_name = "IQN")]
        target: String,
        /// Where it is: HOST or HOST:PORT
        #[arg(long, value_name = "PORTAL", value_parser = portal)]
        portal: String,
        /// Connect from this network interface only
        #[arg(long, value_name = "INTERFACE")]
        interface: Option<String>,
    },
    /// Add a portal that is asked for targets
    DiscoveryPortal {
        /// HOST or HOST:PORT
        #[arg(value_name = "PORTAL", value_parser = portal)]
        portal: String,
        /// Connect from this network interface only
        #[arg(long, value_name = "INTERFACE")]
        interface: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Remove {
    /// Remove a target with its settings, or one of its portals
    Target {
        /// The target's name
        #[arg(value_name = "IQN")]
        target: String,
        /// Only this portal; the last one takes the target with it
        #[arg(long, value_name = "PORTAL", value_parser = portal)]
        portal: Option<String>,
        /// Even if it is logged in or does not answer
        #[arg(long)]
        force: bool,
    },
    /// Ask this portal no more; the targets it named stay
    DiscoveryPortal {
        /// HOST or HOST:PORT
        #[arg(value_name = "PORTAL", value_parser = portal)]
        portal: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Modify {
    /// Change a target's settings; they hold from its next login on
    Target(Box<ModifyTarget>),
    /// Change the initiator's settings
    Initiator {
        /// Its iSCSI name
        #[arg(long, value_name = "IQN")]
        name: Option<String>,
        /// Its alias: what targets show to people
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        alias: Option<String>,
        #[command(flatten)]
        chap: Chap,
    },
    /// Change how targets are looked for
    Discovery {
        /// Ask the discovery portals: yes or no
        #[arg(long, value_name = "YES|NO", value_parser = yes_or_no())]
        send_targets: Option<bool>,
        /// Ask them this often, in seconds: 30 to 32767
        #[arg(long, value_name = "SECONDS", value_parser = within(DISCOVERY_INTERVAL), allow_negative_numbers = true)]
        interval: Option<u32>,
    },
}

/// What `modify target` takes.
#[derive(Debug, Args)]
pub(super) struct ModifyTarget {
    /// The target's name
    #[arg(value_name = "IQN")]
    pub(super) target: String,
    /// Log in when iscsid starts: yes or no
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no())]
    pub(super) auto_login: Option<bool>,
    /// Keep it after a logout: yes or no
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no())]
    pub(super) persistent: Option<bool>,
    /// Attach its units as disks after a login: yes or no
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no())]
    pub(super) attach: Option<bool>,
    /// When what is written to a disk on macOS, or by NFS, is on the target's stable storage
    ///
    /// write-through: before the write is done. on-commit: when the system flushes; faster where the target has
    /// a write cache, and what is not flushed yet is lost if the target or its power fails.
    #[arg(long, value_name = "POLICY", value_parser = flush_policy())]
    pub(super) flush_policy: Option<FlushPolicy>,
    #[command(flatten)]
    pub(super) keys: Keys,
    #[command(flatten)]
    pub(super) timers: Timers,
    #[command(flatten)]
    pub(super) chap: Chap,
}

/// Timers of a target.
#[derive(Debug, Args)]
#[command(next_help_heading = "Timers, in seconds")]
pub(super) struct Timers {
    /// A login must be through after this long: 1 to 3600; default 15
    #[arg(long, value_name = "SECONDS", value_parser = within(Timer::LoginTimeout.range()), allow_negative_numbers = true)]
    pub(super) login_timeout: Option<u32>,
    /// A logout must be answered after this long: 1 to 3600; default 5
    #[arg(long, value_name = "SECONDS", value_parser = within(Timer::LogoutTimeout.range()), allow_negative_numbers = true)]
    pub(super) logout_timeout: Option<u32>,
    /// An idle connection is pinged this often; 0 never: 0 to 3600; default 5
    #[arg(long, value_name = "SECONDS", value_parser = within(Timer::NopInterval.range()), allow_negative_numbers = true)]
    pub(super) nop_interval: Option<u32>,
    /// A ping unanswered for this long loses the connection; 0 never: 0 to 3600; default 5
    #[arg(long, value_name = "SECONDS", value_parser = within(Timer::NopTimeout.range()), allow_negative_numbers = true)]
    pub(super) nop_timeout: Option<u32>,
    /// I/O waits this long for a lost connection to come back: 0 to 86400; default 120
    #[arg(long, value_name = "SECONDS", value_parser = within(Timer::ReplacementTimeout.range()), allow_negative_numbers = true)]
    pub(super) replacement_timeout: Option<u32>,
    /// A command unanswered for this long is aborted and issued again; 0 never: 0 to 3600; default 30
    #[arg(long, value_name = "SECONDS", value_parser = within(Timer::TaskTimeout.range()), allow_negative_numbers = true)]
    pub(super) task_timeout: Option<u32>,
}

impl Timers {
    /// What was given, by the names in the property list.
    pub(super) fn given(self) -> Vec<(String, u32)> {
        let Timers { login_timeout, logout_timeout, nop_interval, nop_timeout, replacement_timeout, task_timeout } =
            self;
        [
            ("LoginTimeout", login_timeout),
            ("LogoutTimeout", logout_timeout),
            ("NopInterval", nop_interval),
            ("NopTimeout", nop_timeout),
            ("ReplacementTimeout", replacement_timeout),
            ("TaskTimeout", task_timeout),
        ]
        .into_iter()
        .filter_map(|(timer, seconds)| Some((timer.to_owned(), seconds?)))
        .collect()
    }
}

/// CHAP. Secrets: `None` not given, `Some(None)` given without a value.
#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication (CHAP; an empty name or secret takes it away)")]
pub(super) struct Chap {
    /// Our name; the initiator's iSCSI name where none is set
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(super) chap_name: Option<String>,
    /// Our secret; without a value it is asked for, `-` reads a line from standard input
    #[arg(long, value_name = "SECRET", num_args = 0..=1)]
    pub(super) chap_secret: Option<Option<String>>,
    /// The target's name, for mutual authentication
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(super) chap_mutual_name: Option<String>,
    /// The target's secret, for mutual authentication; given as --chap-secret is
    #[arg(long, value_name = "SECRET", num_args = 0..=1)]
    pub(super) chap_mutual_secret: Option<Option<String>>,
    /// Algorithms, the preferred one first: SHA3-256, SHA-256, SHA1, MD5
    #[arg(long, value_name = "ALGORITHM,…", value_delimiter = ',')]
    pub(super) chap_algorithms: Option<Vec<String>>,
    /// Switch CHAP off: names and secrets are removed
    #[arg(long, conflicts_with_all = [
        "chap_name", "chap_secret", "chap_mutual_name", "chap_mutual_secret", "chap_algorithms",
    ])]
    pub(super) no_chap: bool,
}

#[derive(Debug, Args)]
pub(super) struct Discover {
    /// HOST or HOST:PORT
    #[arg(value_name = "PORTAL", value_parser = portal)]
    pub(super) portal: String,
    /// Connect from this network interface only
    #[arg(long, value_name = "INTERFACE")]
    pub(super) interface: Option<String>,
    /// Add what it names to the configuration
    #[arg(long)]
    pub(super) add: bool,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Login {
    #[command(flatten)]
    pub(super) which: Which,
}

#[derive(Debug, Args)]
pub(super) struct Logout {
    #[command(flatten)]
    pub(super) which: Which,
    /// Even if a disk is in use or the target does not answer
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The target's name
    #[arg(value_name = "IQN", required_unless_present = "all", conflicts_with = "all")]
    pub(super) target: Option<String>,
    /// Over this portal only
    #[arg(long, value_name = "PORTAL", value_parser = portal, conflicts_with = "all")]
    pub(super) portal: Option<String>,
    /// All targets
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// What to list
    #[arg(value_enum, value_name = "targets|luns|sessions|discovery-portals")]
    pub(super) what: Listed,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Listed {
    /// Targets, configured and discovered
    Targets,
    /// Logical units of all sessions
    Luns,
    /// Sessions
    Sessions,
    /// Portals that are asked for targets
    DiscoveryPortals,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(subcommand)]
    pub(super) what: Shown,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Subcommand)]
pub(super) enum Shown {
    /// A target's settings and state
    Target {
        /// Its name
        #[arg(value_name = "IQN")]
        target: String,
    },
    /// The initiator's settings
    Initiator,
    /// How targets are looked for
    Discovery,
    /// A session: what was negotiated, and its counters
    Session {
        /// Its number in `iscsictl list sessions`
        #[arg(value_name = "NUMBER", value_parser = session, allow_negative_numbers = true)]
        session: u32,
    },
}

#[derive(Debug, Args)]
pub(super) struct Attach {
    /// The target's name
    #[arg(value_name = "IQN")]
    pub(super) target: String,
    /// Only this unit: 0 to 16777215
    #[arg(long, value_name = "NUMBER", value_parser = within(LUNS), allow_negative_numbers = true)]
    pub(super) lun: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Detach {
    /// The target's name
    #[arg(value_name = "IQN")]
    pub(super) target: String,
    /// Only this unit: 0 to 16777215
    #[arg(long, value_name = "NUMBER", value_parser = within(LUNS), allow_negative_numbers = true)]
    pub(super) lun: Option<u32>,
    /// Even if it is in use
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Scope {
    /// The target's name; all targets where none is given
    #[arg(value_name = "IQN")]
    pub(super) target: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Stats {
    #[command(flatten)]
    pub(super) scope: Scope,
    #[command(flatten)]
    pub(super) output: Output,
}

/// What `doctor` takes.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The property list, where no daemon answers that knows
    #[arg(long, value_name = "FILE", env = "ISCSID_CONFIG")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

/// What `import` takes.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_HELP)]
pub(super) struct Import {
    /// Its property list; on macOS, without one, that in /Library/Preferences
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Also what is configured here already
    #[arg(long)]
    pub(super) replace: bool,
}

const IMPORT_HELP: &str = "\
What was taken is printed, and what was not, and why, goes to standard error. Files of 2015 and of 2016 to 2023 are \
understood. CHAP secrets come from the System keychain of this Mac, or out of files of spring 2015; macOS may ask for \
leave to use them. The file stays as it is. Targets that are logged in are left alone.";

/// What `bench` takes.
#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub(super) struct Bench {
    /// The target's name
    #[arg(value_name = "IQN")]
    pub(super) target: String,
    /// This unit, 0 to 16777215; without, the only disk or number 0
    #[arg(long, value_name = "NUMBER", value_parser = within(LUNS), allow_negative_numbers = true)]
    pub(super) lun: Option<u32>,
    /// What to do: read, randread, write, randwrite, or randrw (half reads, half writes)
    #[arg(long, value_enum, value_name = "LOAD", default_value = "read", hide_possible_values = true)]
    pub(super) rw: Load,
    /// Length of an operation, such as 512, 4k or 1m: a multiple of the unit's block
    #[arg(long, value_name = "SIZE", default_value = "4k", value_parser = size, allow_negative_numbers = true)]
    pub(super) bs: u32,
    /// Operations under way at a time: 1 to 1024
    #[arg(long, value_name = "NUMBER", default_value = "32", value_parser = within(1..=MAX_BENCH_DEPTH), allow_negative_numbers = true)]
    pub(super) depth: u16,
    /// For so long: 1 to 86400
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = within(1..=MAX_BENCH_SECONDS), allow_negative_numbers = true)]
    pub(super) seconds: u32,
    /// Read back what was written and compare
    #[arg(long)]
    pub(super) verify: bool,
    /// Yes, what is on the unit may be overwritten
    #[arg(long)]
    pub(super) destroy_data: bool,
    #[command(flatten)]
    pub(super) output: Output,
}

const BENCH_HELP: &str = "\
It runs in iscsid, on the session that is there; Ctrl-C ends it, and shows the figures so far. Loads that write take --destroy-data and a unit \
that nobody else uses: detached, without NBD clients. With --verify they keep to the first 1048576 times SIZE bytes of \
the unit, and making and comparing the data costs time: take no numbers from it.

Latency is from submission to completion. CPU time is that of the whole iscsid process, so other work of it counts; \
system calls are those of the session's connection.";

/// A load, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(super) enum Load {
    Read,
    RandRead,
    Write,
    RandWrite,
    RandRw,
}

/// What can be said of a portal without knowing what one is: iscsid says the rest.
fn portal(text: &str) -> Result<String, String> {
    let address = text.split('%').next().unwrap_or(text);
    if text.contains(',') {
        return Err("name one portal, HOST or HOST:PORT".to_owned());
    }
    if !text.starts_with('[') && text.matches(':').count() > 1 && address.parse::<Ipv6Addr>().is_err() {
        return Err("write an IPv6 address in brackets, as in [2001:db8::1]:3260".to_owned());
    }
    Ok(text.to_owned())
}

/// Bytes, with k for 1024 and m for 1048576.
fn size(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let number = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number
        .and_then(|digits| digits.parse::<u32>().ok()?.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "say a number of bytes, such as 512, 4k, 64k or 1m".to_owned())
}

/// The number of a session.
fn session(text: &str) -> Result<u32, String> {
    let number = whole_number(text).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| "say a number that `iscsictl list sessions` shows".to_owned())
}

fn block_size(text: &str) -> Result<u32, String> {
    let bytes = text.parse().ok().filter(|bytes| [512, 4096].contains(bytes));
    bytes.ok_or_else(|| "say 512 or 4096".to_owned())
}

/// yes, no, and what the older grammars say instead.
fn flush_policy() -> impl TypedValueParser<Value = FlushPolicy> {
    let names = clap::builder::PossibleValuesParser::new(FlushPolicy::ALL.map(|(name, _)| name));
    names.try_map(|name| {
        let known = FlushPolicy::ALL.into_iter().find(|(known, _)| *known == name);
        known.map(|(_, policy)| policy).ok_or("say write-through or on-commit")
    })
}

fn yes_or_no() -> impl TypedValueParser<Value = bool> {
    clap::builder::StringValueParser::new().try_map(|text| match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" | "true" | "1" | "enable" | "enabled" => Ok(true),
        "no" | "n" | "off" | "false" | "0" | "disable" | "disabled" => Ok(false),
        _ => Err("say yes or no"),
    })
}
