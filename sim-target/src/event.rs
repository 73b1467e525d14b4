//! What the target, a test or a hold tells a connection.

use iscsi_proto::pdu::AsyncMessage;

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
