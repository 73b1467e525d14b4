//! What happens in a discovery session after its login: SendTargets, and good-bye.
//!
//! ```text
//!   ── Text Request SendTargets=All ──►
//!   ◄── Text Response, C or no F, TTT ──        (answered by an empty request, as often as it takes)
//!   ◄── Text Response, F ──
//!   ── Logout Request ──►   ◄── Logout Response ──
//! ```
//! (RFC 7143 §11.10, §11.11, appendix C.) The core knows the rules, this carries its bytes.

use iscsi_proto::error::Error;
use iscsi_proto::handoff::Handoff;
use iscsi_proto::pdu::{LogoutReason, RejectReason};
use iscsi_proto::session::{Event, Head, Payload, PingTimers, RxPlan, Session, SessionConfig, Unanswered};
use iscsi_proto::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::failure::Cause;

/// The longest answer that is taken, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// How many PDUs an answer may come in.
const MAX_PDUS: u64 = 8192;

/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// The core is told of no time: it does not ping here, and the caller bounds each step.
const NO_TIME: Instant = Instant::ZERO;

/// A discovery session in its full-feature phase.
pub(crate) struct Exchange<S> {
    stream: S,
    session: Session,
    /// Bytes of the stream that the core has not used yet.
    arrived: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// Goes on where the login ended.
    ///
    /// # Errors
    /// The handoff makes no sense.
    pub(crate) fn new(stream: S, handoff: &Handoff) -> Result<Exchange<S>, Cause> {
        let config = SessionConfig { depth: 1, pings: PingTimers { interval: None, timeout: None } };
        let session = Session::from_handoff(handoff, config, NO_TIME).map_err(broken)?;
        Ok(Exchange { stream, session, arrived: Vec::new() })
    }

    /// Asks for all targets; the answer is the text as it came, keys separated by NULs. A target that wants us to leave, or will
    /// leave, may still answer what it has been asked. The caller bounds the time.
    ///
    /// # Errors
    /// The target broke a rule, refused, or went away.
    pub(crate) async fn send_targets(&mut self) -> Result<Vec<u8>, Cause> {
        self.session.text(b"SendTargets=All\0".to_vec(), MAX_ANSWER).map_err(broken)?;
        let mut why = None;
        loop {
            let event = self.event().await.map_err(|cause| match (&cause, why) {
                (Cause::Dropped { .. }, Some(why)) => Cause::Dropped { why: String::from(why) },
                _ => cause,
            });
            match event? {
                Event::TextDone { answer: Ok(answer), .. } => return Ok(answer),
                Event::TextDone { answer: Err(Unanswered::TooLong), .. } => {
                    return Err(wrong("its list of targets does not end within 1 MiB"));
                }
                Event::TextDone { answer: Err(Unanswered::Rejected(RejectReason::WaitingForLogout)), .. } => {
                    return Err(Cause::Dropped { why: "it waits for a logout".to_owned() });
                }
                Event::TextDone { answer: Err(Unanswered::Rejected(reason)), .. } | Event::Rejected { reason } => {
                    return Err(wrong(&format!("it rejected SendTargets with reason {:#04x}", u8::from(reason))));
                }
                Event::LogoutRequested { .. } => why = Some("it has asked for a logout, and not answered"),
                Event::DropAnnounced { .. } => {
                    why = Some("it has announced that it drops the connection, and not answered")
                }
                // The others are about units, and a discovery session has none.
                _ => {}
            }
        }
    }

    /// Logs out and waits for the answer. The caller bounds the time and may ignore the result: the
    /// session ends with the connection.
    ///
    /// # Errors
    /// The target went away before it answered.
    pub(crate) async fn log_out(mut self) -> Result<(), Cause> {
        self.session.logout(LogoutReason::CloseSession).map_err(broken)?;
        loop {
            if let Event::LoggedOut { .. } = self.event().await? {
                return Ok(());
            }
        }
    }

    /// Sends what is due and takes what comes, until the core has something to tell.
    async fn event(&mut self) -> Result<Event, Cause> {
        loop {
            if let Some(event) = self.session.poll_event() {
                return Ok(event);
            }
            self.send().await?;
            if let Err(cause) = self.receive().await {
                // An event that came before the error counts.
                return self.session.poll_event().ok_or(cause);
            }
        }
    }

    async fn send(&mut self) -> Result<(), Cause> {
        let (mut head, mut wire) = (Head::default(), Vec::new());
        while let Some(transmit) = self.session.poll_transmit(&mut head) {
            wire.extend_from_slice(head.bytes());
            if let Payload::Core(bytes) = transmit.payload {
                wire.extend_from_slice(bytes);
            }
        }
        self.stream.write_all(&wire).await.map_err(|error| lost(&error))
    }

    /// Reads once, and gives the core the bytes.
    async fn receive(&mut self) -> Result<(), Cause> {
        if self.session.rx_plan() == RxPlan::Stop {
            return Err(Cause::Dropped { why: "it has ended the session".to_owned() });
        }
        self.arrived.reserve(READ);
        if self.stream.read_buf(&mut self.arrived).await.map_err(|error| lost(&error))? == 0 {
            return Err(Cause::Dropped { why: "end of the stream".to_owned() });
        }
        let used = self.session.rx_scratch(NO_TIME, &self.arrived).map_err(broken)?;
        self.arrived.drain(..used);
        if self.session.pdus_received() > MAX_PDUS {
            return Err(wrong("its list of targets does not end"));
        }
        Ok(())
    }
}

fn broken(error: Error) -> Cause {
    wrong(&error.to_string())
}

fn wrong(why: &str) -> Cause {
    Cause::NotIscsi { why: why.to_owned() }
}

fn lost(error: &std::io::Error) -> Cause {
    Cause::Dropped { why: error.to_string() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use iscsi_proto::handoff::HANDOFF_VERSION;
    use iscsi_proto::ids::{Itt, Lun, Ttt};
    use iscsi_proto::pdu::{
        self, AsyncMessage, BHS_LEN, Bhs, CONTINUE, FINAL, Field, LogoutRequest, LogoutResponse, NopIn, NopOut,
        TextRequest, TextResponse, Wire,
    };
    use iscsi_proto::sn::{CmdSn, StatSn};
    use tokio::io::DuplexStream;

    /// What a discovery login leaves.
    pub(crate) fn handoff() -> Handoff {
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

    /// The target's end: PDUs as they stand on the wire, and the tag of the last request.
    struct Peer(DuplexStream, Itt);

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
            self.1 = Itt::get(&bhs, 16);
            (bhs, data)
        }

        async fn text(&mut self, flags: u8, ttt: Ttt, stat_sn: u32, data: &[u8]) {
            let response = TextResponse {
                flags,
                lun: Lun(0),
                itt: self.1,
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
        (Exchange::new(ours, &handoff()).expect("an exchange"), Peer(theirs, Itt::RESERVED))
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
            let asked = peer.1;
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
            peer.1 = asked;
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
            for n in 0.. {
                peer.receive().await;
                peer.text(CONTINUE, Ttt(5), u32::MAX.wrapping_add(n), &[b'a'; 8192]).await;
            }
        };
        let answer = tokio::select! {
            answer = exchange.send_targets() => answer,
            () = target => unreachable!("the target never stops"),
        };
        assert!(matches!(&answer, Err(Cause::NotIscsi { why }) if why.contains("1 MiB")), "{answer:?}");
    }

    // check: discovery-several-pdus, text-total
    #[tokio::test]
    async fn a_list_of_nothing_that_goes_on_ends() {
        let (mut exchange, mut peer) = pair();
        let target = async {
            for n in 0.. {
                peer.receive().await;
                peer.text(CONTINUE, Ttt(5), u32::MAX.wrapping_add(n), b"").await;
            }
        };
        let answer = tokio::select! {
            answer = exchange.send_targets() => answer,
            () = target => unreachable!("the target never stops"),
        };
        assert!(matches!(&answer, Err(Cause::NotIscsi { why }) if why.contains("does not end")), "{answer:?}");
    }

    // check: statsn-gap
    #[tokio::test]
    async fn a_target_that_leaves_a_gap_in_its_numbers_is_not_believed() {
        let (mut exchange, mut peer) = pair();
        let target = async {
            peer.receive().await;
            peer.text(FINAL, Ttt::RESERVED, 0, b"TargetName=iqn.2026-11.org.example:a\0").await;
        };
        let (answer, ()) = tokio::join!(exchange.send_targets(), target);
        assert!(matches!(&answer, Err(Cause::NotIscsi { why }) if why.contains("StatSN")), "{answer:?}");
    }

    /// What SendTargets comes to at a target that rejects it.
    async fn rejected(reason: u8) -> Result<Vec<u8>, Cause> {
        let (mut exchange, mut peer) = pair();
        let target = async {
            let (bhs, _) = peer.receive().await;
            let reject = pdu::Reject {
                flags: FINAL,
                reason,
                itt: Itt::RESERVED,
                stat_sn: StatSn(u32::MAX),
                exp_cmd_sn: CmdSn(8),
                max_cmd_sn: CmdSn(9),
                data_sn: iscsi_proto::sn::DataSn(0),
            };
            peer.send(reject.encode(), &bhs).await;
        };
        tokio::join!(exchange.send_targets(), target).0
    }

    // check: reject-ends
    #[tokio::test]
    async fn a_target_that_rejects_send_targets_is_told_so_with_its_reason() {
        let answer = rejected(0x05).await;
        assert!(matches!(&answer, Err(Cause::NotIscsi { why }) if why.contains("reason 0x05")), "{answer:?}");
    }

    // check: discovery-logout-wanted
    #[tokio::test]
    async fn a_target_that_rejects_send_targets_until_the_logout_may_answer_later() {
        let answer = rejected(0x0c).await;
        assert_eq!(answer.expect_err("no answer").again(), crate::login::failure::Again::Later);
    }

    // check: discovery-several-pdus
    #[tokio::test]
    async fn an_answer_counts_though_the_target_goes_away_behind_it() {
        let (mut exchange, mut peer) = pair();
        let target = async {
            peer.receive().await;
            peer.text(FINAL, Ttt::RESERVED, u32::MAX, b"TargetName=iqn.2026-11.org.example:a\0").await;
            peer.0.write_all(&[0x3e; BHS_LEN]).await.expect("sent");
            drop(peer);
        };
        let (answer, ()) = tokio::join!(exchange.send_targets(), target);
        assert_eq!(answer.expect("an answer"), b"TargetName=iqn.2026-11.org.example:a\0");
        assert!(exchange.log_out().await.is_err());
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

    // check: discovery-logout-wanted
    #[tokio::test]
    async fn an_answer_counts_though_the_target_wants_a_logout_before_it() {
        // A logout is wanted, the connection or the session is dropped (RFC 7143 §11.9.1).
        for event in [1, 2, 3] {
            for answers in [true, false] {
                let (mut exchange, mut peer) = pair();
                let target = async {
                    peer.receive().await;
                    let message = AsyncMessage {
                        flags: FINAL,
                        lun: Lun(0),
                        itt: Itt::RESERVED,
                        stat_sn: StatSn(u32::MAX),
                        exp_cmd_sn: CmdSn(8),
                        max_cmd_sn: CmdSn(9),
                        event,
                        vendor_code: 0,
                        parameter1: 0,
                        parameter2: 1,
                        parameter3: 3,
                    };
                    peer.send(message.encode(), b"").await;
                    if answers {
                        peer.text(CONTINUE, Ttt(5), 0, b"TargetName=iqn.2026-11.org.ex").await;
                        peer.receive().await;
                        peer.text(FINAL, Ttt::RESERVED, 1, b"ample:a\0").await;
                    }
                    drop(peer);
                };
                let (answer, ()) = tokio::join!(exchange.send_targets(), target);
                match answer {
                    Ok(text) => assert!(answers && text == b"TargetName=iqn.2026-11.org.example:a\0", "event {event}"),
                    Err(Cause::Dropped { why }) => assert!(!answers && why.contains("not answered"), "{event}: {why}"),
                    Err(cause) => panic!("event {event}: {cause:?}"),
                }
            }
        }
    }

    // check: discovery-session
    #[tokio::test]
    async fn a_logout_closes_the_session() {
        let (exchange, mut peer) = pair();
        let target = async {
            let (bhs, _) = peer.receive().await;
            assert_eq!(LogoutRequest::decode(&bhs).reason, FINAL);
            let response = LogoutResponse {
                flags: FINAL,
                response: 0,
                itt: peer.1,
                stat_sn: StatSn(u32::MAX),
                exp_cmd_sn: CmdSn(7),
                max_cmd_sn: CmdSn(8),
                time2wait: 0,
                time2retain: 0,
            };
            peer.send(response.encode(), b"").await;
        };
        let (answer, ()) = tokio::join!(exchange.log_out(), target);
        assert_eq!(answer, Ok(()));
    }
}
