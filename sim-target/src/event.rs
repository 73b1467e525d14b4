//! What the target, a test or a hold tells a connection.

use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::{AsyncEvent, AsyncMessage, FINAL};
use iscsi_proto::sn::{CmdSn, StatSn};

/// An asynchronous message (RFC 7143 §11.9); its numbers are the connection's to fill in.
pub(crate) fn asynchronous(event: AsyncEvent, lun: Lun, parameters: [u16; 3]) -> AsyncMessage {
    let [parameter1, parameter2, parameter3] = parameters;
    AsyncMessage {
        flags: FINAL,
        lun,
        itt: Itt::RESERVED,
        stat_sn: StatSn(0),
        exp_cmd_sn: CmdSn(0),
        max_cmd_sn: CmdSn(0),
        event: event.into(),
        vendor_code: 0,
        parameter1,
        parameter2,
        parameter3,
    }
}

/// What reaches a connection from elsewhere than the socket.
#[derive(Debug)]
pub(crate) enum Event {
    /// A held command may go.
    Release(u32),
    /// Send this, which has no answer.
    Async(AsyncMessage, Vec<u8>),
    /// Ping the initiator.
    Ping(Vec<u8>),
    /// Send a Reject of that reason with this as the header rejected.
    Reject(u8, Vec<u8>),
    /// These bytes, as they are.
    Raw(Vec<u8>),
    /// MaxCmdSN may move again: tell it.
    OpenWindow,
    /// Close: in order, or with a reset.
    Close {
        /// RST, not FIN.
        reset: bool,
    },
}
