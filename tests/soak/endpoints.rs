//! What the daemon logs in to: a target, a proxy in front of it that breaks things, a load on its unit.
//!
//! ```text
//!   load ══ nbd.sock ══ iscsid ══ FaultyProxy ══ tgt | sim-target
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use sim_target::proxy::{Digests, FaultyProxy};
use sim_target::{DigestPolicy, Negotiation, SimDisk, SimTarget};

use crate::common::Daemon;
use crate::common::daemon::Home;
use crate::load::Load;
use crate::memory::{Lengths, Memory};
use crate::pattern::BLOCK;
use crate::tally::Tally;
use crate::targets::{Spec, Tgt};

/// Timers short enough that silence is noticed within seconds; no I/O may fail all the same.
const TIMERS: [&str; 8] =
    ["--nop-interval", "1", "--nop-timeout", "2", "--login-timeout", "4", "--default-time2wait", "0"];

/// Who is behind the proxy.
pub(crate) enum Behind {
    Tgt(Tgt),
    Sim(SimTarget),
}

/// One session's.
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    pub(crate) behind: Behind,
    pub(crate) digests: Digests,
    pub(crate) proxy: FaultyProxy,
    pub(crate) load: Arc<Load>,
    iqn: String,
    keys: &'static [&'static str],
}

/// How sessions differ: digests, and who asks for data when.
struct Kind {
    name: &'static str,
    digests: bool,
    sim: bool,
    /// How long the target wants a lost connection not to be replaced, in seconds.
    time2wait: &'static str,
    keys: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind { name: "soak-digests", digests: true, sim: false, time2wait: "0", keys: &[] },
    Kind {
        name: "soak-plain",
        digests: false,
        sim: false,
        time2wait: "2",
        keys: &["--initial-r2t", "No", "--immediate-data", "Yes"],
    },
    Kind {
        name: "soak-solicited",
        digests: true,
        sim: false,
        time2wait: "0",
        keys: &["--initial-r2t", "Yes", "--immediate-data", "No", "--max-burst-length", "65536"],
    },
    Kind { name: "soak-events", digests: true, sim: true, time2wait: "0", keys: &[] },
];

impl Endpoint {
    /// All four, each with a unit of so many blocks.
    pub(crate) async fn all(home: &Home, blocks: usize, tally: &Arc<Tally>) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for (number, kind) in (1..).zip(KINDS) {
            let (behind, iqn, lun) = behind(&kind, blocks).await;
            let upstream = match &behind {
                Behind::Tgt(tgt) => ([127, 0, 0, 1], tgt.port()).into(),
                Behind::Sim(sim) => sim.address(),
            };
            let digests = Digests { header: kind.digests, data: kind.digests };
            let proxy = FaultyProxy::start(upstream, digests).await.expect("a proxy");
            let socket = home.runtime_dir().join("nbd.sock");
            let load =
                Load::new(socket, &format!("{iqn}/{lun}"), Memory::new(number, blocks, Lengths::Mixed), tally.clone());
            endpoints.push(Endpoint { name: kind.name, behind, digests, proxy, load, iqn, keys: kind.keys });
        }
        endpoints
    }

    /// Tells the daemon of it; it logs in whenever it starts.
    pub(crate) fn configure(&self, daemon: &Daemon) {
        daemon.add(&self.iqn, &self.proxy.address().to_string());
        let digest = if self.digests.header { "CRC32C" } else { "None" };
        let digests = ["--header-digest", digest, "--data-digest", digest];
        let line = ["modify", "target", &self.iqn, "--auto-login", "yes"];
        daemon.ctl_ok(line.iter().chain(&digests).chain(&TIMERS).chain(self.keys));
        daemon.ctl_ok(["login", &self.iqn]);
        let negotiated = daemon.negotiated(&self.iqn);
        for key in ["HeaderDigest", "DataDigest"] {
            assert_eq!(crate::common::daemon::key(&negotiated, key), digest, "the proxy has to know: {key}");
        }
    }

    /// Where the target keeps its data, or the data.
    pub(crate) fn medium(&self) -> Medium<'_> {
        match &self.behind {
            Behind::Tgt(tgt) => Medium::File(tgt.disks[0].file.clone()),
            Behind::Sim(sim) => Medium::Sim(sim),
        }
    }
}

/// A unit's data as the target has them.
pub(crate) enum Medium<'a> {
    File(PathBuf),
    Sim(&'a SimTarget),
}

impl Medium<'_> {
    pub(crate) fn bytes(&self, length: u64) -> Vec<u8> {
        match self {
            Medium::File(path) => std::fs::read(path).expect("the target's file"),
            Medium::Sim(sim) => sim.content(0, 0, length),
        }
    }
}

async fn behind(kind: &Kind, blocks: usize) -> (Behind, String, u64) {
    let bytes = (blocks * BLOCK) as u64;
    if kind.sim {
        let iqn = format!("iqn.2026-11.org.example:{}", kind.name);
        let only = DigestPolicy::Crc32c;
        let negotiation = Negotiation { header_digest: only, data_digest: only, ..Negotiation::default() };
        let sim = SimTarget::builder(&iqn)
            .negotiation(negotiation)
            .lun(0, SimDisk::new(bytes / 512, 512))
            .record_commands(false)
            .own_thread();
        return (Behind::Sim(sim.start().await.expect("a target")), iqn, 0);
    }
    let digest = if kind.digests { "CRC32C" } else { "None" };
    let spec = Spec::new()
        .name(kind.name)
        .bytes(bytes)
        .key("HeaderDigest", digest)
        .key("DataDigest", digest)
        .key("DefaultTime2Wait", kind.time2wait);
    let tgt = tokio::task::block_in_place(|| Tgt::start(&spec));
    let (iqn, lun) = (tgt.iqn.clone(), tgt.disks[0].lun);
    (Behind::Tgt(tgt), iqn, lun)
}
