//! What the bits and code points mean. Codes that are not in the RFC survive as `Unknown`.

/// Declares a code point: named values and `Unknown` for all others, both ways.
macro_rules! code_points {
    ($(
        $(#[$doc:meta])*
        $name:ident { $( $(#[$value_doc:meta])* $value:literal => $variant:ident ),* $(,)? }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$value_doc])* $variant, )*
            /// A value this version of the RFC does not name.
            Unknown(u8),
        }

        impl From<u8> for $name {
            fn from(code: u8) -> Self {
                match code {
                    $( $value => $name::$variant, )*
                    other => $name::Unknown(other),
                }
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                match value {
                    $( $name::$variant => $value, )*
                    $name::Unknown(other) => other,
                }
            }
        }
    )*};
}

code_points! {
    /// What a PDU is (RFC 7143 §11.2.1.2).
    Opcode {
        /// NOP-Out.
        0x00 => NopOut,
        /// SCSI Command.
        0x01 => ScsiCommand,
        /// Task Management Function Request.
        0x02 => TaskManagementRequest,
        /// Login Request.
        0x03 => LoginRequest,
        /// Text Request.
        0x04 => TextRequest,
        /// SCSI Data-Out.
        0x05 => DataOut,
        /// Logout Request.
        0x06 => LogoutRequest,
        /// SNACK Request.
        0x10 => SnackRequest,
        /// NOP-In.
        0x20 => NopIn,
        /// SCSI Response.
        0x21 => ScsiResponse,
        /// Task Management Function Response.
        0x22 => TaskManagementResponse,
        /// Login Response.
        0x23 => LoginResponse,
        /// Text Response.
        0x24 => TextResponse,
        /// SCSI Data-In.
        0x25 => DataIn,
        /// Logout Response.
        0x26 => LogoutResponse,
        /// Ready To Transfer.
        0x31 => R2t,
        /// Asynchronous Message.
        0x32 => AsyncMessage,
        /// Reject.
        0x3f => Reject,
    }

    /// A task management function (§11.5.1).
    TaskFunction {
        /// One task.
        1 => AbortTask,
        /// All of this session's tasks on the unit.
        2 => AbortTaskSet,
        /// Auto contingent allegiance.
        3 => ClearAca,
        /// All tasks of the unit's task set.
        4 => ClearTaskSet,
        /// The unit.
        5 => LogicalUnitReset,
        /// All units.
        6 => TargetWarmReset,
        /// All units, and all sessions end.
        7 => TargetColdReset,
        /// Allegiance to another connection.
        8 => TaskReassign,
    }

    /// What became of a task management function (§11.6.1).
    TaskFunctionResponse {
        /// Done.
        0 => Complete,
        /// No such task.
        1 => TaskDoesNotExist,
        /// No such unit.
        2 => LunDoesNotExist,
        /// The task still belongs to a connection.
        3 => TaskStillAllegiant,
        /// This target cannot reassign.
        4 => ReassignNotSupported,
        /// This target cannot do that.
        5 => NotSupported,
        /// Not for this initiator.
        6 => AuthorizationFailed,
        /// Refused.
        255 => Rejected,
    }

    /// An asynchronous event (§11.9.1).
    AsyncEvent {
        /// Sense data of a unit.
        0 => ScsiEvent,
        /// Log out within Parameter3 seconds.
        1 => LogoutRequest,
        /// The connection named will go.
        2 => ConnectionDrop,
        /// All connections of the session will go.
        3 => SessionDrop,
        /// Renegotiate within Parameter3 seconds, or log out.
        4 => NegotiationRequest,
        /// Tasks of a unit were ended by another's action.
        5 => TaskTermination,
        /// The vendor's own.
        255 => VendorSpecific,
    }

    /// Why a PDU was rejected (§11.17.1).
    RejectReason {
        /// Data digest error.
        0x02 => DataDigestError,
        /// SNACK refused.
        0x03 => SnackReject,
        /// Protocol error.
        0x04 => ProtocolError,
        /// The command is not supported.
        0x05 => CommandNotSupported,
        /// Too many immediate commands.
        0x06 => TooManyImmediateCommands,
        /// A task with this tag is under way.
        0x07 => TaskInProgress,
        /// The acknowledged data is not known.
        0x08 => InvalidDataAck,
        /// A field of the PDU is invalid.
        0x09 => InvalidPduField,
        /// No resources for a long operation.
        0x0a => LongOperationReject,
        /// Deprecated: negotiation reset.
        0x0b => NegotiationReset,
        /// The target waits for a logout.
        0x0c => WaitingForLogout,
    }

    /// Why the initiator logs out (§11.14.1).
    LogoutReason {
        /// The session ends.
        0 => CloseSession,
        /// One connection ends.
        1 => CloseConnection,
        /// One connection ends so that it can be recovered.
        2 => RemoveConnectionForRecovery,
    }

    /// What became of a logout (§11.15.1).
    LogoutOutcome {
        /// Done.
        0 => Closed,
        /// No such connection.
        1 => CidNotFound,
        /// No recovery here.
        2 => RecoveryNotSupported,
        /// The clean-up failed.
        3 => CleanupFailed,
    }

    /// SAM status of a command (SAM-5 §5.3.1).
    ScsiStatus {
        /// Done.
        0x00 => Good,
        /// Sense data tells more.
        0x02 => CheckCondition,
        /// A condition of an obsolete command is met.
        0x04 => ConditionMet,
        /// The unit is busy.
        0x08 => Busy,
        /// Another initiator has reserved it.
        0x18 => ReservationConflict,
        /// Its queue is full.
        0x28 => TaskSetFull,
        /// An ACA is active.
        0x30 => AcaActive,
        /// The task was aborted by another initiator.
        0x40 => TaskAborted,
    }
}

/// Bits of byte 1 of a SCSI Command (§11.3.1).
pub mod command_flags {
    /// No unsolicited Data-Out follows.
    pub const FINAL: u8 = 0x80;
    /// Data comes.
    pub const READ: u8 = 0x40;
    /// Data goes.
    pub const WRITE: u8 = 0x20;
    /// Where the task attribute stands.
    pub const ATTR: u8 = 0x07;
}

/// SAM task attribute (RFC 7143 §11.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum TaskAttribute {
    /// The target's choice.
    Untagged = 0,
    /// Any order.
    #[default]
    Simple = 1,
    /// After all before it, before all after it.
    Ordered = 2,
    /// Next.
    HeadOfQueue = 3,
    /// Auto contingent allegiance.
    Aca = 4,
}

/// Bits of byte 1 of a SCSI Data-In (§11.7.1, §11.7.2).
pub mod data_in_flags {
    /// Last of a sequence.
    pub const FINAL: u8 = 0x80;
    /// The target wants the data acknowledged (ErrorRecoveryLevel ≥ 1).
    pub const ACKNOWLEDGE: u8 = 0x40;
    /// Residual overflow, valid with [`STATUS`].
    pub const OVERFLOW: u8 = 0x04;
    /// Residual underflow, valid with [`STATUS`].
    pub const UNDERFLOW: u8 = 0x02;
    /// The status is here, no SCSI Response follows.
    pub const STATUS: u8 = 0x01;
}

/// Bits of byte 1 of a SCSI Response (§11.4.1).
pub mod residual {
    /// Overflow of a bidirectional command's read.
    pub const BIDI_OVERFLOW: u8 = 0x10;
    /// Underflow of a bidirectional command's read.
    pub const BIDI_UNDERFLOW: u8 = 0x08;
    /// The command had more data than expected.
    pub const OVERFLOW: u8 = 0x04;
    /// The command had less data than expected.
    pub const UNDERFLOW: u8 = 0x02;
}

/// The continue bit of byte 1 of text and login PDUs (§11.10.2): the text goes on.
pub const CONTINUE: u8 = 0x40;

/// A stage of the login phase (§11.12.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LoginStage {
    /// Who are you.
    SecurityNegotiation = 0,
    /// What do we agree on.
    OperationalNegotiation = 1,
    /// Login is over.
    FullFeature = 3,
}

/// Byte 1 of a login PDU (§11.12.1–11.12.3), taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginFlags {
    /// T: ready to leave the stage.
    pub transit: bool,
    /// C: the text goes on in the next PDU.
    pub more: bool,
    /// CSG.
    pub current: LoginStage,
    /// NSG, meaningful with `transit`.
    pub next: LoginStage,
}

impl LoginFlags {
    /// Takes byte 1 apart; `None` for stage 2, which does not exist. NSG is looked at only with T.
    pub const fn decode(byte: u8) -> Option<LoginFlags> {
        const fn stage(code: u8) -> Option<LoginStage> {
            match code & 3 {
                0 => Some(LoginStage::SecurityNegotiation),
                1 => Some(LoginStage::OperationalNegotiation),
                3 => Some(LoginStage::FullFeature),
                _ => None,
            }
        }
        let transit = byte & 0x80 != 0;
        let Some(current) = stage(byte >> 2) else { return None };
        let next = match stage(byte) {
            Some(next) => next,
            None if transit => return None,
            None => LoginStage::SecurityNegotiation,
        };
        Some(LoginFlags { transit, more: byte & 0x40 != 0, current, next })
    }

    /// Byte 1. NSG is 0 without `transit`.
    pub const fn encode(self) -> u8 {
        let next = if self.transit { 0x80 | self.next as u8 } else { 0 };
        let more = if self.more { 0x40 } else { 0 };
        next | more | (self.current as u8) << 2
    }
}
