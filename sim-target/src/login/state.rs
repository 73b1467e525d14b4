//! Where a login stands.

use iscsi_proto::pdu::{LoginFlags, LoginRequest, LoginStage};

use crate::agreed::Agreed;
use crate::text::Pair;

/// Where the authentication stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Auth {
    /// Nothing said yet.
    Open,
    /// CHAP agreed on, CHAP_A awaited.
    AlgorithmAwaited,
    /// Challenge sent, CHAP_N and CHAP_R awaited.
    ResponseAwaited { algorithm: u32, identifier: u8, challenge: Vec<u8> },
    /// Done.
    Done,
}

/// A login that is under way.
#[derive(Debug)]
pub(crate) struct Login {
    pub(super) first: Option<LoginRequest>,
    pub(super) last_stage: LoginStage,
    pub(super) partial: Vec<u8>,
    /// Text that did not fit the last response.
    pub(super) rest: Vec<u8>,
    /// How the stage goes on once `rest` has gone out.
    pub(super) after_rest: Option<LoginFlags>,
    pub(super) auth: Auth,
    pub(super) all_keys: Vec<Pair>,
    pub(super) said_tag: bool,
    pub(super) said_operational: bool,
    pub(super) declared: bool,
    pub(crate) agreed: Agreed,
    pub(crate) initiator: String,
    pub(crate) discovery: bool,
}

impl Default for Login {
    fn default() -> Self {
        Login {
            first: None,
            last_stage: LoginStage::SecurityNegotiation,
            partial: Vec::new(),
            rest: Vec::new(),
            after_rest: None,
            auth: Auth::Open,
            all_keys: Vec::new(),
            said_tag: false,
            said_operational: false,
            declared: false,
            agreed: Agreed::default(),
            initiator: String::new(),
            discovery: false,
        }
    }
}
