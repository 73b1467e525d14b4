//! What a login is given: settings, and where random bytes come from.

use alloc::string::String;

use super::chap::ChapConfig;
use crate::ids::{Cid, Isid, Tsih};
use crate::keys::Offer;
use crate::names::{IscsiName, TargetName};
use crate::sn::CmdSn;

/// Where random bytes come from: the system's generator, handed in by the caller.
pub trait Entropy {
    /// Fills all of `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// What a login is to bring about.
#[derive(Debug, Clone)]
pub struct LoginConfig {
    /// Who we are.
    pub initiator_name: IscsiName,
    /// What people call us; sent up to its 255th byte.
    pub initiator_alias: Option<String>,
    /// Whom we want; `None` for a discovery session. It is sent in the spelling it came in.
    pub target_name: Option<TargetName>,
    /// Initiator's part of the session id.
    pub isid: Isid,
    /// 0 for a new session, or to reinstate one (RFC 7143 §6.3.5).
    pub tsih: Tsih,
    /// The connection.
    pub cid: Cid,
    /// The session's first CmdSN.
    pub cmd_sn: CmdSn,
    /// What to offer.
    pub offer: Offer,
    /// `Some`: CHAP or nothing. `None`: AuthMethod=None.
    pub chap: Option<ChapConfig>,
    /// The TargetPortalGroupTag this portal is known by; what the target declares counts more.
    pub group_tag: Option<u16>,
    /// The portal group of a session that this login takes up again over another portal: a target that declares another one would
    /// begin a session beside the old one (RFC 7143 §6.3.5), so that ends the login.
    pub session_group: Option<u16>,
}
