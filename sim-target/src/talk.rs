//! Text and logout in the full-feature phase.

use iscsi_proto::ids::{Lun, Ttt};
use iscsi_proto::pdu::{CONTINUE, FINAL, LogoutRequest, LogoutResponse, TextRequest, TextResponse, Wire};

use crate::inbox::Pdu;
use crate::outbox::Outbox;
use crate::session::{Flow, Session};
use crate::text::{self, Pair};

impl Session {
    pub(crate) fn on_text(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let request = TextRequest::decode(pdu.bhs);
        if request.flags & CONTINUE != 0 {
            self.complain("a text request with C, which nothing that is asked here needs".into());
            self.reject(pdu.bhs, 0x09, out);
            return Flow::Continue;
        }
        let text = if request.ttt == Ttt::RESERVED {
            // A new exchange ends the one before (RFC 7143 §11.10.4).
            self.text_rest = None;
            let pairs = text::split(pdu.data, |complaint| self.complain(format!("text request: {complaint}")));
            if self.shared.config.ignore_text {
                return Flow::Continue;
            }
            match &self.shared.config.send_targets {
                Some(scripted) if pairs.iter().any(|(key, _)| key == "SendTargets") => scripted.clone(),
                _ => self.answer_text(&pairs),
            }
        } else {
            match self.text_rest.take() {
                Some((ttt, rest)) if ttt == request.ttt => {
                    if !pdu.data.is_empty() {
                        self.complain("text while the response goes on with C (RFC 7143 §6.2)".into());
                    }
                    rest
                }
                _ => {
                    self.complain(format!("text request with TTT {:#x}, which was not given", request.ttt.0));
                    self.reject(pdu.bhs, 0x04, out);
                    return Flow::Continue;
                }
            }
        };
        let limit = self.agreed.initiator_segment as usize;
        let limit = self.shared.config.text_chunk.map_or(limit, |chunk| chunk.min(limit));
        let (now, rest) = text.split_at(text.len().min(limit));
        let (flags, ttt) = if rest.is_empty() { (FINAL, Ttt::RESERVED) } else { (CONTINUE, self.new_ttt()) };
        if !rest.is_empty() {
            self.text_rest = Some((ttt, rest.to_vec()));
        }
        let response = TextResponse {
            flags,
            lun: Lun(0),
            itt: request.itt,
            ttt,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
        };
        out.pdu(response.encode(), now);
        Flow::Continue
    }

    fn answer_text(&self, pairs: &[Pair]) -> Vec<u8> {
        let mut answers = Vec::new();
        for (key, value) in pairs {
            if key == "SendTargets" {
                answers.extend(self.send_targets(value));
            } else {
                answers.push((key.clone(), "NotUnderstood".into()));
            }
        }
        text::join(&answers)
    }

    /// The records of SendTargets (RFC 7143 appendix C).
    fn send_targets(&self, which: &str) -> Vec<Pair> {
        let config = &self.shared.config;
        let tag = config.portal_group_tag;
        let own = config
            .advertised
            .clone()
            .unwrap_or_else(|| self.shared.addresses.iter().map(|address| format!("{address},{tag}")).collect());
        let mut targets = vec![(config.name.clone(), own)];
        targets.extend(config.also_listed.iter().cloned());
        let mut records = Vec::new();
        for (name, addresses) in targets {
            let is_wanted = match which {
                "All" => self.discovery,
                // In a normal session: the target it belongs to.
                "" => name == config.name,
                named => name == named,
            };
            if is_wanted {
                records.push(("TargetName".into(), name));
                records.extend(addresses.into_iter().map(|address| ("TargetAddress".into(), address)));
            }
        }
        records
    }

    pub(crate) fn on_logout(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let request = LogoutRequest::decode(pdu.bhs);
        let reason = request.reason & 0x7f;
        self.shared.record_logout(self.id, reason);
        if self.shared.config.ignore_logout {
            return Flow::Continue;
        }
        let response = LogoutResponse {
            flags: FINAL,
            response: if reason <= 1 { 0 } else { 2 },
            itt: request.itt,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            time2wait: self.shared.config.negotiation.default_time2wait,
            time2retain: self.shared.config.negotiation.default_time2retain,
        };
        out.pdu(response.encode(), &[]);
        self.logged_out = true;
        Flow::Close
    }
}
