//! The settings as they are meant: names normalised, ranges checked, defaults applied.
//!
//! ```text
//!   schema::File ── from_file ──► Config ── effective(target) ──► Effective   what a login needs
//!   schema::File ◄── to_file ──── Config ◄── edit::* ──────────── ipc::Request
//! ```
//! [`Config`] keeps what the user said and what he did not say apart, so that saving it writes back
//! what was read and a changed default reaches everyone who never chose.

use std::collections::BTreeMap;
use std::time::Duration;

use iscsi_proto::keys::Choices;

use crate::ipc::{FlushPolicy, Origin};

pub use iscsi_proto::names::DEFAULT_PORT;

/// How often discovery portals are asked where the file does not say, in seconds.
pub const DEFAULT_DISCOVERY_INTERVAL: u32 = 300;

/// The range of the discovery interval, in seconds.
pub const DISCOVERY_INTERVAL: std::ops::RangeInclusive<u32> = 30..=32767;

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The initiator's own.
    pub initiator: Initiator,
    /// For every target that does not say otherwise.
    pub defaults: TargetSettings,
    /// By their normalised name, static and discovered ones: a name is there once.
    pub targets: BTreeMap<String, Target>,
    /// Discovery.
    pub discovery: Discovery,
}

/// Who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initiator {
    /// Our iSCSI name, normalised; empty until [`super::Store::open`] has given one.
    pub name: String,
    /// Our alias; empty sends none.
    pub alias: String,
    /// CHAP for every target that has none of its own, and for discovery.
    pub chap: ChapSettings,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in the spelling it came in: what to call it by in a login, since there are targets
    /// that compare names byte by byte.
    pub written_name: String,
    /// How it came here.
    pub origin: Origin,
    /// The discovery portal that named it, `address:port`; `None` for static ones.
    pub discovered_from: Option<String>,
    /// Where it is, in the order they are tried; no two with the same address and port.
    pub portals: Vec<Portal>,
    /// Its settings, as far as they differ from the defaults.
    pub settings: TargetSettings,
    /// CHAP, as far as it differs from the initiator's.
    pub chap: ChapSettings,
}

/// A portal, of a target or to ask for targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portal {
    /// An address (IPv6 without brackets) or a name, normalised.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// The interface to connect from.
    pub interface: Option<String>,
    /// TargetPortalGroupTag, where known.
    pub group_tag: Option<u16>,
}

/// Settings that a target and the defaults both may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetSettings {
    /// Log in when the daemon starts.
    pub auto_login: Option<bool>,
    /// Keep it in the configuration after a logout.
    pub persistent: Option<bool>,
    /// Attach its units after a login.
    pub attach: Option<bool>,
    /// When writes through the NFS export are on stable storage.
    pub flush_policy: Option<FlushPolicy>,
    /// Keys of RFC 7143 §13 and the value to offer.
    pub keys: Choices,
    /// Timers, in seconds.
    pub timers: BTreeMap<Timer, u32>,
}

/// CHAP without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChapSettings {
    /// `Some(false)`: none for this target, although the initiator has one.
    pub enabled: Option<bool>,
    /// Our name.
    pub name: Option<String>,
    /// The target's name, for mutual authentication.
    pub mutual_name: Option<String>,
    /// Algorithms, strongest first, of [`ALGORITHMS`].
    pub algorithms: Option<Vec<String>>,
}

/// CHAP algorithms (RFC 7143 §12.1.3 and IANA's registry), strongest first.
pub const ALGORITHMS: [&str; 4] = ["SHA3-256", "SHA-256", "SHA1", "MD5"];

/// How targets are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Ask the discovery portals.
    pub send_targets: Option<bool>,
    /// Every so many seconds, [`DISCOVERY_INTERVAL`].
    pub interval: Option<u32>,
    /// Which; no two with the same address and port.
    pub portals: Vec<Portal>,
}

impl Discovery {
    /// Whether to ask the portals; no where nothing is said.
    pub fn send_targets(&self) -> bool {
        self.send_targets.unwrap_or(false)
    }

    /// How often.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval.unwrap_or(DEFAULT_DISCOVERY_INTERVAL).into())
    }
}

/// A timer of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A login, from connect to full feature phase.
    LoginTimeout,
    /// The answer to a Logout.
    LogoutTimeout,
    /// An idle connection is pinged this often; 0 never.
    NopInterval,
    /// A ping unanswered for this long loses the connection; 0 waits for ever.
    NopTimeout,
    /// I/O waits this long for a lost connection to come back; 0 fails it at once.
    ReplacementTimeout,
    /// A command unanswered for this long is aborted and issued again; 0 waits for ever.
    TaskTimeout,
}

impl Timer {
    /// All of them, in the order they are shown.
    pub const ALL: [Timer; 6] = [
        Timer::LoginTimeout,
        Timer::LogoutTimeout,
        Timer::NopInterval,
        Timer::NopTimeout,
        Timer::ReplacementTimeout,
        Timer::TaskTimeout,
    ];

    /// Its key in the property list.
    pub const fn name(self) -> &'static str {
        match self {
            Timer::LoginTimeout => "LoginTimeout",
            Timer::LogoutTimeout => "LogoutTimeout",
            Timer::NopInterval => "NopInterval",
            Timer::NopTimeout => "NopTimeout",
            Timer::ReplacementTimeout => "ReplacementTimeout",
            Timer::TaskTimeout => "TaskTimeout",
        }
    }

    /// Where nothing is said, in seconds.
    pub const fn default_seconds(self) -> u32 {
        match self {
            Timer::LoginTimeout => 15,
            Timer::LogoutTimeout | Timer::NopInterval | Timer::NopTimeout => 5,
            Timer::ReplacementTimeout => 120,
            Timer::TaskTimeout => 30,
        }
    }

    /// What it may be, in seconds.
    pub const fn range(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Timer::LoginTimeout | Timer::LogoutTimeout => 1..=3600,
            Timer::NopInterval | Timer::NopTimeout | Timer::TaskTimeout => 0..=3600,
            Timer::ReplacementTimeout => 0..=86400,
        }
    }

    /// The timer of that name; upper and lower case are the same.
    pub fn named(name: &str) -> Option<Timer> {
        Timer::ALL.into_iter().find(|timer| timer.name().eq_ignore_ascii_case(name))
    }
}

/// What holds for a target, when all that was said and all defaults are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Log in when the daemon starts.
    pub auto_login: bool,
    /// Keep it in the configuration after a logout.
    pub persistent: bool,
    /// Attach its units after a login.
    pub attach: bool,
    /// When writes through the NFS export are on stable storage.
    pub flush_policy: FlushPolicy,
    /// What to offer instead of our own defaults.
    pub keys: Choices,
    /// Timers.
    pub timers: Timers,
}

/// Every timer of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// [`Timer::LoginTimeout`].
    pub login: Duration,
    /// [`Timer::LogoutTimeout`].
    pub logout: Duration,
    /// [`Timer::NopInterval`]; zero never.
    pub nop_interval: Duration,
    /// [`Timer::NopTimeout`]; zero waits for ever.
    pub nop_timeout: Duration,
    /// [`Timer::ReplacementTimeout`]; zero fails at once.
    pub replacement: Duration,
    /// [`Timer::TaskTimeout`]; zero waits for ever.
    pub task: Duration,
}

impl Timers {
    /// Name and seconds of each, in the order they are shown.
    pub fn entries(&self) -> Vec<(String, u32)> {
        Timer::ALL
            .into_iter()
            .map(|timer| {
                let duration = match timer {
                    Timer::LoginTimeout => self.login,
                    Timer::LogoutTimeout => self.logout,
                    Timer::NopInterval => self.nop_interval,
                    Timer::NopTimeout => self.nop_timeout,
                    Timer::ReplacementTimeout => self.replacement,
                    Timer::TaskTimeout => self.task,
                };
                (timer.name().to_owned(), u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
            })
            .collect()
    }
}

impl Config {
    /// What holds for a target; for one that is not there, the defaults. Units are attached without
    /// being told only `as_root`: nobody else may attach.
    pub fn effective(&self, target: &str, as_root: bool) -> Effective {
        let none = TargetSettings::default();
        let own = self.targets.get(target).map_or(&none, |target| &target.settings);
        let defaults = &self.defaults;
        let seconds = |timer: Timer| {
            let seconds = own.timers.get(&timer).or_else(|| defaults.timers.get(&timer));
            Duration::from_secs(seconds.copied().unwrap_or(timer.default_seconds()).into())
        };
        let mut keys = defaults.keys.clone();
        keys.extend(&own.keys);
        Effective {
            auto_login: own.auto_login.or(defaults.auto_login).unwrap_or(false),
            persistent: own.persistent.or(defaults.persistent).unwrap_or(true),
            attach: own.attach.or(defaults.attach).unwrap_or(as_root),
            flush_policy: own.flush_policy.or(defaults.flush_policy).unwrap_or_default(),
            keys,
            timers: Timers {
                login: seconds(Timer::LoginTimeout),
                logout: seconds(Timer::LogoutTimeout),
                nop_interval: seconds(Timer::NopInterval),
                nop_timeout: seconds(Timer::NopTimeout),
                replacement: seconds(Timer::ReplacementTimeout),
                task: seconds(Timer::TaskTimeout),
            },
        }
    }
}

impl Portal {
    /// `address:port`, IPv6 in brackets.
    pub fn endpoint(&self) -> String {
        endpoint(&self.address, self.port)
    }

    /// Whether it is the same place, through any interface.
    pub fn is_at(&self, address: &str, port: u16) -> bool {
        self.address == address && self.port == port
    }
}

/// `address:port`, IPv6 in brackets.
pub fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
