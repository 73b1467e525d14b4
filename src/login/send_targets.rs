//! What happens in a discovery session after its login: SendTargets, and good-bye.
//!
//! ```text
//!   ── Text Request SendTargets=All ──►
//!   ◄── Text Response, C or no F, TTT ──        (answered by an empty request, as often as it takes)
//!   ◄── Text Response, F ──
//!   ── Logout Request ──►   ◄── Logout Response ──
//! ```
//! (RFC 7143 §11.10, §11.11, appendix C.) One task, no commands: too little to need the session's core.

use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::{Cid, Itt, Lun, Ttt};
use iscsi_proto::pdu::{
    self, AsyncEvent, AsyncMessage, BHS_LEN, Bhs, CONTINUE, FINAL, IMMEDIATE, LogoutReason, LogoutRequest, NopIn,
    NopOut, Opcode, Reject, TextRequest, TextResponse, Wire,
};
use iscsi_proto::sn::{CmdSn, StatSn};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::failure::Cause;

/// The longest answer that is taken, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// How many PDUs an answer may come in.
const MAX_PDUS: usize = 8192;

/// A discovery session in its full-feature phase.
pub(crate) struct Exchange<S> {
    stream: S,
    cid: Cid,
    cmd_sn: CmdSn,
    max_cmd_sn: CmdSn,
    exp_stat_sn: StatSn,
    max_receive: u32,
    max_send: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// Goes on where the login ended.
    ///
    /// # Errors
    /// If digests were negotiated, which a discovery session does not offer.
    pub(crate) fn new(stream: S, handoff: &Handoff) -> Result<Exchange<S>, Cause> {
        if handoff.header_digest != 0 || handoff.data_digest != 0 {
            return Err(broken("it wants digests that were not offered"));
        }
        Ok(Exchange {
            stream,
            cid: Cid(handoff.cid),
            cmd_sn: CmdSn(handoff.cmd_sn),
            max_cmd_sn: CmdSn(handoff.max_cmd_sn),
            exp_stat_sn: StatSn(handoff.exp_stat_sn),
            max_receive: handoff.max_recv_data_segment_length,
            max_send: handoff.max_send_data_segment_length,
        })
    }

    /// Asks for all targets; the answer is the text as it came, keys separated by NULs.
    /// The caller bounds the time.
    ///
    /// # Errors
    /// The target broke a rule, refused, or went away.
    pub(crate) async fn send_targets(&mut self) -> Result<Vec<u8>, Cause> {
        const ITT: Itt = Itt(1);
        let mut answer = Vec::new();
        self.send_text(ITT, Lun(0), Ttt::RESERVED, b"SendTargets=All\0").await?;
        for _ in 0..MAX_PDUS {
            let (bhs, data) = self.receive().await?;
            match Opcode::from(pdu::opcode(&bhs)) {
                Opcode::TextResponse => {
                    let response = TextResponse::decode(&bhs);
                    if response.itt != ITT {
                        return Err(broken("a Text Response belongs to no request"));
                    }
                    self.exp_stat_sn = response.stat_sn.next();
                    self.max_cmd_sn = response.max_cmd_sn;
                    if answer.len().saturating_add(data.len()) > MAX_ANSWER {
                        return Err(broken("its list of targets does not end within 1 MiB"));
                    }
                    answer.extend(data);
                    match (response.flags & FINAL != 0, response.flags & CONTINUE != 0) {
                        (true, false) => return Ok(answer),
                        (true, true) => return Err(broken("a Text Response has both F and C set (RFC 7143 §11.11.1)")),
                        (false, _) if response.ttt == Ttt::RESERVED => {
                            return Err(broken("a Text Response goes on without a tag (RFC 7143 §11.11.4)"));
                        }
                        (false, _) => self.send_text(ITT, response.lun, response.ttt, b"").await?,
                    }
                }
                Opcode::NopIn => self.pong(&NopIn::decode(&bhs), &data).await?,
                Opcode::AsyncMessage => {
                    let message = AsyncMessage::decode(&bhs);
                    self.exp_stat_sn = message.stat_sn.next();
                    match AsyncEvent::from(message.event) {
                        AsyncEvent::LogoutRequest | AsyncEvent::ConnectionDrop | AsyncEvent::SessionDrop => {
                            return Err(Cause::Dropped { why: "it asks for a logout".to_owned() });
                        }
                        _ => {}
                    }
                }
                Opcode::Reject => {
                    let reason = Reject::decode(&bhs).reason;
                    return Err(broken(&format!("it rejected SendTargets with reason {reason:#04x}")));
                }
                other => return Err(broken(&format!("a PDU that does not belong here: {other:?}"))),
            }
        }
        Err(broken("its list of targets does not end"))
    }

    /// Logs out and waits for the answer. The caller bounds the time and may ignore the result: the
    /// session ends with the connection.
    ///
    /// # Errors
    /// The target went away before it answered.
    pub(crate) async fn log_out(mut self) -> Result<(), Cause> {
        let mut bhs = LogoutRequest {
            reason: FINAL | u8::from(LogoutReason::CloseSession),
            itt: Itt(2),
            cid: self.cid,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
        }
        .encode();
        set_immediate(&mut bhs);
        self.send(bhs, b"").await?;
        for _ in 0..MAX_PDUS {
            let (bhs, _) = self.receive().await?;
            if Opcode::from(pdu::opcode(&bhs)) == Opcode::LogoutResponse {
                return Ok(());
            }
        }
        Err(broken("it does not answer a logout"))
    }

    async fn send_text(&mut self, itt: Itt, lun: Lun, ttt: Ttt, text: &[u8]) -> Result<(), Cause> {
        let request = TextRequest { flags: FINAL, lun, itt, ttt, cmd_sn: self.cmd_sn, exp_stat_sn: self.exp_stat_sn };
        let mut bhs = request.encode();
        if self.max_cmd_sn.is_before(self.cmd_sn) {
            // The window is closed, and nothing here would open it.
            set_immediate(&mut bhs);
        } else {
            self.cmd_sn = self.cmd_sn.next();
        }
        self.send(bhs, text).await
    }

    async fn pong(&mut self, ping: &NopIn, data: &[u8]) -> Result<(), Cause> {
        if ping.ttt == Ttt::RESERVED {
            return Ok(());
        }
        let mut bhs = NopOut {
            flags: FINAL,
            lun: ping.lun,
            itt: Itt::RESERVED,
            ttt: ping.ttt,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
        }
        .encode();
        // RFC 7143 §11.18.1: without an ITT it is immediate.
        set_immediate(&mut bhs);
        // As much as the target takes.
        self.send(bhs, data.get(..self.max_send as usize).unwrap_or(data)).await
    }

    async fn send(&mut self, mut bhs: Bhs, data: &[u8]) -> Result<(), Cause> {
        let length = u32::try_from(data.len()).map_err(|_| broken("an answer that is too long to be sent"))?;
        pdu::set_lengths(&mut bhs, 0, length);
        let mut whole = bhs.to_vec();
        whole.extend_from_slice(data);
        whole.resize(whole.len() + pdu::padding(data.len()), 0);
        self.stream.write_all(&whole).await.map_err(|error| lost(&error))
    }

    /// The next PDU's header and data segment.
    async fn receive(&mut self) -> Result<(Bhs, Vec<u8>), Cause> {
        let mut bhs = [0; BHS_LEN];
        self.stream.read_exact(&mut bhs).await.map_err(|error| lost(&error))?;
        let length = pdu::data_segment_len(&bhs);
        if length > self.max_receive {
            return Err(broken(&format!("a data segment of {length} bytes, at most {} allowed", self.max_receive)));
        }
        let (ahs, length) = (pdu::ahs_len(&bhs), length as usize);
        let mut rest = vec![0; ahs + length + pdu::padding(length)];
        self.stream.read_exact(&mut rest).await.map_err(|error| lost(&error))?;
        Ok((bhs, rest.into_iter().skip(ahs).take(length).collect()))
    }
}

fn set_immediate(bhs: &mut Bhs) {
    bhs[0] |= IMMEDIATE;
}

fn broken(why: &str) -> Cause {
    Cause::NotIscsi { why: why.to_owned() }
}

fn lost(error: &std::io::Error) -> Cause {
    Cause::Dropped { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iscsi_proto::handoff::HANDOFF_VERSION;
    use tokio::io::DuplexStream;

    fn handoff() -> Handoff {
        Handoff {
            version: HANDOFF_VERSION,
            cmd_sn: 7,
            exp_stat_sn: u32::MAX,
            max_cmd_sn: 8,
            first_burst_length: 512,
            max_burst_length: 512,
            max_recv_data_segment_length: 8192,
            max_send_data_segment_length: 4096,
            tsih: 1,
            cid: 0,
            max_outstanding_r2t: 1,
            default_time2wait: 2,
            default_time2retain: 0,
            target_portal_group_tag: 1,
            isid: [0x80, 0, 0, 0, 0, 0],
            header_digest: 0,
            data_digest: 0,
            initial_r2t: 1,
            immediate_data: 0,
            error_recovery_level: 0,
            reserved: [0; 3],
        }
    }

    /// The target's end: PDUs as they stand on the wire.
    struct Peer(DuplexStream);

    impl Peer {
        async fn send(&mut self, mut bhs: Bhs, data: &[u8]) {
            pdu::set_lengths(&mut bhs, 0, data.len() as u32);
            let mut whole = bhs.to_vec();
            whole.extend_from_slice(data);
            whole.resize(whole.len() + pdu::padding(data.len()), 0);
            self.0.write_all(&whole).await.expect("sent");
        }

        async fn receive(&mut self) -> (Bhs, Vec<u8>) {
            let mut bhs = [0; BHS_LEN];
            self.0.read_exact(&mut bhs).await.expect("a header");
            let length = pdu::data_segment_len(&bhs) as usize;
            let mut data = vec![0; length + pdu::padding(length)];
            self.0.read_exact(&mut data).await.expect("its data");
            data.truncate(length);
            (bhs, data)
        }

        async fn text(&mut self, flags: u8, ttt: Ttt, stat_sn: u32, data: &[u8]) {
            let response = TextResponse {
                flags,
                lun: Lun(0),
                itt: Itt(1),
                ttt,
                stat_sn: StatSn(stat_sn),
                exp_cmd_sn: CmdSn(8),
                max_cmd_sn: CmdSn(9),
            };
            self.send(response.encode(), data).await;
        }
    }

    fn pair() -> (Exchange<DuplexStream>, Peer) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        (Exchange::new(ours, &handoff()).expect("an exchange"), Peer(theirs))
    }

    // check: discovery-several-pdus
    #[tokio::test]
    async fn an_answer_over_several_pdus_is_put_together() {
        let (mut exchange, mut peer) = pair();
        let target = async {
            let (bhs, data) = peer.receive().await;
            let first = TextRequest::decode(&bhs);
            assert_eq!(
                (data.as_slice(), first.cmd_sn, first.ttt),
                (&b"SendTargets=All\0"[..], CmdSn(7), Ttt::RESERVED)
            );
            peer.text(CONTINUE, Ttt(5), u32::MAX, b"TargetName=iqn.2026-11.org.ex").await;
            let (bhs, data) = peer.receive().await;
            let second = TextRequest::decode(&bhs);
            assert_eq!((data.len(), second.cmd_sn, second.ttt, second.exp_stat_sn), (0, CmdSn(8), Ttt(5), StatSn(0)));
            peer.text(FINAL, Ttt::RESERVED, 0, b"ample:a\0").await;
        };
        let (answer, ()) = tokio::join!(exchange.send_targets(), target);
        assert_eq!(answer.expect("an answer"), b"TargetName=iqn.2026-11.org.example:a\0");
    }

    // check: nop-answered
    #[tokio::test]
    async fn a_ping_in_between_is_answered_with_its_data() {
        let (mut exchange, mut peer) = pair();
        let target = async {
            peer.receive().await;
            let ping = NopIn {
                flags: FINAL,
                lun: Lun(3),
                itt: Itt::RESERVED,
                ttt: Ttt(9),
                stat_sn: StatSn(u32::MAX),
                exp_cmd_sn: CmdSn(8),
                max_cmd_sn: CmdSn(9),
            };
            // More than it takes itself.
            peer.send(ping.encode(), &[b'x'; 8000]).await;
            let (bhs, data) = peer.receive().await;
            let pong = NopOut::decode(&bhs);
            assert!(pdu::is_immediate(&bhs));
            assert_eq!((pong.ttt, pong.itt, pong.lun), (Ttt(9), Itt::RESERVED, Lun(3)));
            assert_eq!(data, [b'x'; 4096]);
            peer.text(FINAL, Ttt::RESERVED, u32::MAX, b"").await;
        };
        let (answer, ()) = tokio::join!(exchange.send_targets(), target);
        assert_eq!(answer, Ok(Vec::new()));
    }

    // check: discovery-several-pdus, text-total
    #[tokio::test]
    async fn an_endless_list_ends() {
        let (mut exchange, mut peer) = pair();
        let target = async {
            loop {
                peer.receive().await;
                peer.text(CONTINUE, Ttt(5), 0, &[b'a'; 8192]).await;
            }
        };
        let answer = tokio::select! {
            answer = exchange.send_targets() => answer,
            () = target => unreachable!("the target never stops"),
        };
        assert!(matches!(answer, Err(Cause::NotIscsi { .. })), "{answer:?}");
    }

    // check: order-length
    #[tokio::test]
    async fn a_segment_longer_than_declared_is_refused_before_it_is_read() {
        let (mut exchange, mut peer) = pair();
        let target = async {
            peer.receive().await;
            let mut bhs = [0; BHS_LEN];
            bhs[0] = TextResponse::OPCODE;
            pdu::set_lengths(&mut bhs, 0, 0xff_ffff);
            peer.0.write_all(&bhs).await.expect("sent");
        };
        let (answer, ()) = tokio::join!(exchange.send_targets(), target);
        assert!(matches!(answer, Err(Cause::NotIscsi { .. })), "{answer:?}");
    }

    // check: discovery-session
    #[tokio::test]
    async fn a_logout_closes_the_session() {
        let (exchange, mut peer) = pair();
        let target = async {
            let (bhs, _) = peer.receive().await;
            assert_eq!(LogoutRequest::decode(&bhs).reason, FINAL);
            let mut bhs = [0; BHS_LEN];
            bhs[0] = 0x26;
            peer.send(bhs, b"").await;
        };
        let (answer, ()) = tokio::join!(exchange.log_out(), target);
        assert_eq!(answer, Ok(()));
    }
}
