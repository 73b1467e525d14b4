//! What a target is before it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use iscsi_proto::ids::Lun;

use crate::chap::Chap;
use crate::disk::SimDisk;
use crate::script::{
    Action, Command, CommandHook, LoginAction, LoginAttempt, LoginHook, LoginText, Tmf, TmfAction, TmfHook,
};

/// What the target accepts of HeaderDigest or DataDigest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestPolicy {
    /// The first of the initiator's list.
    #[default]
    Either,
    /// CRC32C only.
    Crc32c,
    /// None only.
    None,
    /// CRC32C if the initiator offers it at all, as tgt does.
    PreferCrc32c,
}

/// The target's side of the operational negotiation (RFC 7143 §13) and of flow control. Lengths are
/// in bytes.
#[derive(Debug, Clone)]
pub struct Negotiation {
    /// HeaderDigest.
    pub header_digest: DigestPolicy,
    /// DataDigest.
    pub data_digest: DigestPolicy,
    /// InitialR2T.
    pub initial_r2t: bool,
    /// ImmediateData.
    pub immediate_data: bool,
    /// MaxRecvDataSegmentLength that the target declares; `None` declares none, so 8192 holds.
    pub max_recv_data_segment_length: Option<u32>,
    /// MaxBurstLength.
    pub max_burst_length: u32,
    /// FirstBurstLength.
    pub first_burst_length: u32,
    /// MaxOutstandingR2T.
    pub max_outstanding_r2t: u16,
    /// DefaultTime2Wait.
    pub default_time2wait: u16,
    /// DefaultTime2Retain.
    pub default_time2retain: u16,
    /// DataPDUInOrder.
    pub data_pdu_in_order: bool,
    /// DataSequenceInOrder.
    pub data_sequence_in_order: bool,
    /// How many commands may be outstanding: MaxCmdSN - ExpCmdSN + 1 of an idle session.
    pub window: u32,
}

impl Default for Negotiation {
    fn default() -> Self {
        Negotiation {
            header_digest: DigestPolicy::Either,
            data_digest: DigestPolicy::Either,
            initial_r2t: false,
            immediate_data: true,
            max_recv_data_segment_length: Some(262_144),
            max_burst_length: 1_048_576,
            first_burst_length: 262_144,
            max_outstanding_r2t: 1,
            default_time2wait: 0,
            default_time2retain: 0,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            window: 128,
        }
    }
}

/// A target that is being put together; see [`SimTarget::builder`](crate::SimTarget::builder).
#[derive(Clone)]
pub struct Builder {
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) units: BTreeMap<Lun, SimDisk>,
    pub(crate) portals: Vec<String>,
    pub(crate) advertised: Option<Vec<String>>,
    pub(crate) also_listed: Vec<(String, Vec<String>)>,
    pub(crate) send_targets: Option<Vec<u8>>,
    pub(crate) ignore_text: bool,
    pub(crate) portal_group_tag: u16,
    pub(crate) negotiation: Negotiation,
    pub(crate) chap: Option<Chap>,
    pub(crate) first_stat_sn: u32,
    pub(crate) text_chunk: Option<usize>,
    pub(crate) rewritten_keys: Vec<(String, Option<String>)>,
    pub(crate) extra_keys: Vec<(String, String)>,
    pub(crate) login_text: Option<LoginText>,
    pub(crate) write_limit: Option<usize>,
    pub(crate) ignore_logout: bool,
    pub(crate) ignore_nop: bool,
    pub(crate) most_unacknowledged: Option<u32>,
    pub(crate) record_commands: bool,
    pub(crate) own_thread: bool,
    pub(crate) hasty: bool,
    pub(crate) command_hook: Option<CommandHook>,
    pub(crate) login_hook: Option<LoginHook>,
    pub(crate) tmf_hook: Option<TmfHook>,
}

impl Builder {
    pub(crate) fn new(name: &str) -> Builder {
        Builder {
            name: name.into(),
            alias: None,
            units: BTreeMap::new(),
            portals: Vec::new(),
            advertised: None,
            also_listed: Vec::new(),
            send_targets: None,
            ignore_text: false,
            portal_group_tag: 1,
            negotiation: Negotiation::default(),
            chap: None,
            first_stat_sn: 1,
            text_chunk: None,
            rewritten_keys: Vec::new(),
            extra_keys: Vec::new(),
            login_text: None,
            write_limit: None,
            ignore_logout: false,
            ignore_nop: false,
            most_unacknowledged: None,
            record_commands: true,
            own_thread: false,
            hasty: false,
            command_hook: None,
            login_hook: None,
            tmf_hook: None,
        }
    }

    /// Adds the unit that a person calls `number` (below 2^24).
    #[must_use]
    pub fn lun(self, number: u32, disk: SimDisk) -> Builder {
        let lun = Lun::from_number(number).unwrap_or_else(|| panic!("no unit number: {number}"));
        self.raw_lun(lun, disk)
    }

    /// Adds a unit at any address.
    #[must_use]
    pub fn raw_lun(mut self, lun: Lun, disk: SimDisk) -> Builder {
        self.units.insert(lun, disk);
        self
    }

    /// Listens on this address too; without any, on a free port of 127.0.0.1.
    #[must_use]
    pub fn portal(mut self, address: &str) -> Builder {
        self.portals.push(address.into());
        self
    }

    /// What SendTargets lists as this target's addresses (`host[:port][,tag]`) in place of where it
    /// listens; none lists no address at all.
    #[must_use]
    pub fn advertise(mut self, addresses: &[&str]) -> Builder {
        self.advertised = Some(addresses.iter().map(|&address| address.into()).collect());
        self
    }

    /// Another target that SendTargets lists.
    #[must_use]
    pub fn also_list(mut self, name: &str, addresses: &[&str]) -> Builder {
        self.also_listed.push((name.into(), addresses.iter().map(|&address| address.into()).collect()));
        self
    }

    /// Answers SendTargets with this text, whatever it is.
    #[must_use]
    pub fn answer_send_targets(mut self, text: impl Into<Vec<u8>>) -> Builder {
        self.send_targets = Some(text.into());
        self
    }

    /// Does not answer text requests.
    #[must_use]
    pub fn ignore_text(mut self) -> Builder {
        self.ignore_text = true;
        self
    }

    /// TargetAlias.
    #[must_use]
    pub fn alias(mut self, alias: &str) -> Builder {
        self.alias = Some(alias.into());
        self
    }

    /// TargetPortalGroupTag of every portal; 1 without.
    #[must_use]
    pub fn portal_group_tag(mut self, tag: u16) -> Builder {
        self.portal_group_tag = tag;
        self
    }

    /// Its side of the negotiation.
    #[must_use]
    pub fn negotiation(mut self, negotiation: Negotiation) -> Builder {
        self.negotiation = negotiation;
        self
    }

    /// Demands CHAP, of discovery sessions as well.
    #[must_use]
    pub fn chap(mut self, chap: Chap) -> Builder {
        self.chap = Some(chap);
        self
    }

    /// StatSN of the first response of a connection; 1 without.
    #[must_use]
    pub fn first_stat_sn(mut self, stat_sn: u32) -> Builder {
        self.first_stat_sn = stat_sn;
        self
    }

    /// At most so many bytes of text in a login or text response; the rest follows with the C bit.
    #[must_use]
    pub fn text_chunk(mut self, bytes: usize) -> Builder {
        self.text_chunk = Some(bytes.max(1));
        self
    }

    /// Answers this in place of the login key's value, or leaves the key out.
    #[must_use]
    pub fn rewrite_login_key(mut self, key: &str, value: Option<&str>) -> Builder {
        self.rewritten_keys.push((key.into(), value.map(Into::into)));
        self
    }

    /// Says this too, in the first response of the operational stage.
    #[must_use]
    pub fn extra_login_key(mut self, key: &str, value: &str) -> Builder {
        self.extra_keys.push((key.into(), value.into()));
        self
    }

    /// Changes each text of a login before it is sent, whatever comes of it.
    #[must_use]
    pub fn rewrite_login_text(mut self, rewrite: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Builder {
        self.login_text = Some(Arc::new(rewrite));
        self
    }

    /// At most so many bytes in one system call: responses arrive in pieces.
    #[must_use]
    pub fn write_limit(mut self, bytes: usize) -> Builder {
        self.write_limit = Some(bytes.max(1));
        self
    }

    /// Does not answer logouts.
    #[must_use]
    pub fn ignore_logout(mut self) -> Builder {
        self.ignore_logout = true;
        self
    }

    /// Does not answer pings.
    #[must_use]
    pub fn ignore_nop(mut self) -> Builder {
        self.ignore_nop = true;
        self
    }

    /// Drops a connection on which so many of its statuses are not acknowledged by ExpStatSN, and complains: it would
    /// have to keep all of them.
    #[must_use]
    pub fn most_unacknowledged(mut self, statuses: u32) -> Builder {
        self.most_unacknowledged = Some(statuses);
        self
    }

    /// Whether commands are kept for [`SimTarget::commands`](crate::SimTarget::commands); yes without. Benches say no.
    #[must_use]
    pub fn record_commands(mut self, record: bool) -> Builder {
        self.record_commands = record;
        self
    }

    /// Runs on a thread of its own, not among the caller's tasks.
    #[must_use]
    pub fn own_thread(mut self) -> Builder {
        self.own_thread = true;
        self
    }

    /// For benchmarks: each session has a thread of its own, which answers reads and writes of null units
    /// at once, past hooks and records, and takes no event but the end. Everything else is as ever.
    #[must_use]
    pub fn hasty(mut self) -> Builder {
        self.hasty = true;
        self
    }

    /// Decides over each command; see also [`SimTarget::on_command`](crate::SimTarget::on_command).
    #[must_use]
    pub fn on_command(mut self, hook: impl Fn(&Command) -> Action + Send + Sync + 'static) -> Builder {
        self.command_hook = Some(Arc::new(hook));
        self
    }

    /// Decides over each login; see also [`SimTarget::on_login`](crate::SimTarget::on_login).
    #[must_use]
    pub fn on_login(mut self, hook: impl Fn(&LoginAttempt) -> LoginAction + Send + Sync + 'static) -> Builder {
        self.login_hook = Some(Arc::new(hook));
        self
    }

    /// Decides over each task management function.
    #[must_use]
    pub fn on_task_management(mut self, hook: impl Fn(&Tmf) -> TmfAction + Send + Sync + 'static) -> Builder {
        self.tmf_hook = Some(Arc::new(hook));
        self
    }
}
