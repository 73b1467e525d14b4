//! Operational negotiation (RFC 7143 §6.2): our offers and the target's answers, its proposals and
//! our answers, until every key has a value.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::codec::{TextWriter, number};
use super::table::{Key, KeyRow, Negotiated, Offer, Rule, TABLE, When, lookup};
use super::value::{DigestOffer, Value};
use crate::error::{Error, PeerMisbehaved};

/// What a session is for (§13.21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionType {
    /// SCSI commands.
    Normal,
    /// SendTargets only; keys about data are not offered, and digests never.
    Discovery,
}

impl SessionType {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            SessionType::Normal => "Normal",
            SessionType::Discovery => "Discovery",
        }
    }
}

impl Negotiated {
    /// All of it by the standard's names and in its order. What the target declared of
    /// MaxRecvDataSegmentLength stands as `MaxXmitDataSegmentLength` after ours.
    pub fn entries(&self) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        for row in TABLE {
            let Some(value) = self.value(row.key) else { continue };
            entries.push((row.name.to_string(), value.to_string()));
            if row.key == Key::MaxRecvDataSegmentLength {
                let theirs = self.max_send_data_segment_length.to_string();
                entries.push(("MaxXmitDataSegmentLength".to_string(), theirs));
            }
        }
        entries
    }
}

/// A negotiation under way.
#[derive(Debug, Clone)]
pub struct Negotiation {
    offer: Offer,
    session: SessionType,
    /// Offered and not answered yet.
    open: BTreeSet<Key>,
    /// Has a value by now.
    agreed: BTreeMap<Key, Value>,
    /// The target's MaxRecvDataSegmentLength.
    target_takes: Option<u32>,
}

impl Negotiation {
    /// Nothing has been said yet.
    pub fn new(mut offer: Offer, session: SessionType) -> Negotiation {
        // §13.14: FirstBurstLength must not exceed MaxBurstLength.
        offer.first_burst_length = offer.first_burst_length.min(offer.max_burst_length);
        if session == SessionType::Discovery {
            offer.header_digest = DigestOffer::None;
            offer.data_digest = DigestOffer::None;
        }
        Negotiation { offer, session, open: BTreeSet::new(), agreed: BTreeMap::new(), target_takes: None }
    }

    /// Writes all that we offer and declare. To be called once.
    pub fn propose(&mut self, out: &mut TextWriter) {
        for row in TABLE {
            let Some(value) = self.offer.value(row.key) else { continue };
            if self.session == SessionType::Discovery && row.irrelevant_in_discovery {
                continue;
            }
            out.push(row.name, value);
            if !matches!(row.rule, Rule::DeclareNumber { .. }) {
                self.open.insert(row.key);
            }
        }
    }

    /// Takes a key from the target: an answer to an offer of ours, a proposal, or a declaration. What
    /// has to be answered is answered into `out`. That a key comes once only is the caller's to see.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`] for a value that is malformed, out of range or not among those
    /// offered; [`Error::Incompatible`] where the target refuses what we insist on.
    pub fn receive(&mut self, name: &str, value: &str, out: &mut TextWriter) -> Result<(), Error> {
        let Some(row) = lookup(name) else {
            out.push(name, "NotUnderstood");
            return Ok(());
        };
        match row.rule {
            Rule::Private => out.push(name, "NotUnderstood"),
            Rule::Obsolete(answer) => out.push(name, answer),
            _ if row.when == When::FullFeature => out.push(name, "Reject"),
            // The caller knows what the target may say of itself; here it has no consequences.
            Rule::DeclareText => {}
            Rule::DeclareNumber { min, max } => {
                let declared = in_range(row, value, min, max)?;
                if row.key == Key::MaxRecvDataSegmentLength {
                    self.target_takes = Some(declared);
                }
            }
            Rule::Security => {
                return Err(PeerMisbehaved::key(name, "it belongs to the security stage (RFC 7143 §12)").into());
            }
            Rule::List(_) | Rule::And | Rule::Or | Rule::Minimum { .. } | Rule::Maximum { .. } => {
                if self.open.remove(&row.key) {
                    self.answered(row, value)?;
                } else {
                    self.proposed(row, value, out);
                }
            }
        }
        Ok(())
    }

    /// The target answers an offer of ours.
    fn answered(&mut self, row: &KeyRow, value: &str) -> Result<(), Error> {
        let Some(ours) = self.offer.value(row.key) else { return Ok(()) };
        let agreed = match value {
            "Reject" | "Irrelevant" | "NotUnderstood" => return self.left_at_default(row, ours),
            _ => parse(row, value)?,
        };
        let agreed = match (ours, agreed) {
            (Value::Digests(offered), Value::Digests(chosen)) => {
                // A target that has only one way says so here, against the rule that it is to reject the key (§6.2.1).
                if !offered.includes(chosen == DigestOffer::Crc32c) {
                    return Err(self.one_sided(row, ours));
                }
                agreed
            }
            (Value::Number(offered), Value::Number(chosen)) if row.key == Key::MaxConnections && chosen > offered => {
                return Err(PeerMisbehaved::key(row.name, "the target raised it above our offer").into());
            }
            _ => combine(row, ours, agreed),
        };
        self.agreed.insert(row.key, agreed);
        Ok(())
    }

    /// The target proposes a key of its own accord: it gets the outcome as an answer.
    fn proposed(&mut self, row: &KeyRow, value: &str, out: &mut TextWriter) {
        if self.session == SessionType::Discovery && row.irrelevant_in_discovery {
            out.push(row.name, "Irrelevant");
            return;
        }
        if let Rule::List(values) = row.rule {
            // Lists we offer ourselves are open from the start; here are the others, of which we have
            // only what is the default anyway.
            let known = value.split(',').find(|theirs| values.contains(theirs) && row.default == Some(theirs));
            out.push(row.name, known.unwrap_or("Reject"));
            return;
        }
        let ours = self.offer.value(row.key).or_else(|| default(row));
        match (ours, parse(row, value)) {
            (Some(ours), Ok(theirs)) => {
                let outcome = combine(row, ours, theirs);
                out.push(row.name, outcome);
                self.agreed.insert(row.key, outcome);
            }
            _ => out.push(row.name, "Reject"),
        }
    }

    /// A key that the target does not negotiate keeps its default (§6.2), as far as we can live with it.
    fn left_at_default(&mut self, row: &KeyRow, ours: Value) -> Result<(), Error> {
        let Some(default) = default(row) else { return Ok(()) };
        if ours == Value::Digests(DigestOffer::Crc32c) {
            return Err(self.one_sided(row, ours));
        }
        let value = match default {
            Value::Digests(_) => default,
            _ => combine(row, ours, default),
        };
        self.agreed.insert(row.key, value);
        Ok(())
    }

    /// The target does not do what is offered of a digest, which is one value.
    fn one_sided(&self, row: &KeyRow, ours: Value) -> Error {
        let name = row.name;
        let sentence = match (ours, self.session) {
            (Value::Digests(DigestOffer::None), SessionType::Normal) => {
                format!("the target insists on {name} CRC32C; take CRC32C,None or switch it off there")
            }
            (Value::Digests(DigestOffer::None), SessionType::Discovery) => {
                format!("the target insists on {name} CRC32C, which discovery does without; switch it off there")
            }
            _ => format!("the target does not do {name} CRC32C; take CRC32C,None or switch it on there"),
        };
        Error::Incompatible(sentence.into())
    }

    /// Login is over: what holds now.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where the target left open what we insist on.
    pub fn finish(mut self) -> Result<Negotiated, Error> {
        for row in TABLE {
            // The target has no say in what we declare.
            if let Some(ours) = self.offer.value(row.key)
                && !matches!(row.rule, Rule::DeclareNumber { .. })
                && !self.agreed.contains_key(&row.key)
            {
                self.left_at_default(row, ours)?;
            }
        }
        let mut negotiated = Negotiated::new(&self.offer, &self.agreed, self.target_takes.unwrap_or(8192));
        // §13.14: a target that says otherwise is not followed.
        negotiated.first_burst_length = negotiated.first_burst_length.min(negotiated.max_burst_length);
        Ok(negotiated)
    }
}

/// The value that a row's default stands for.
fn default(row: &KeyRow) -> Option<Value> {
    parse(row, row.default?).ok()
}

/// A single value from the wire, checked against the row.
fn parse(row: &KeyRow, value: &str) -> Result<Value, PeerMisbehaved> {
    match row.rule {
        Rule::List(_) => match value {
            "None" => Ok(Value::Digests(DigestOffer::None)),
            "CRC32C" => Ok(Value::Digests(DigestOffer::Crc32c)),
            _ => Err(PeerMisbehaved::key(row.name, "the target chose a value we did not offer")),
        },
        Rule::And | Rule::Or => match value {
            "Yes" => Ok(Value::Flag(true)),
            "No" => Ok(Value::Flag(false)),
            _ => Err(PeerMisbehaved::key(row.name, "its value is neither Yes nor No")),
        },
        Rule::DeclareNumber { min, max } | Rule::Minimum { min, max } | Rule::Maximum { min, max } => {
            in_range(row, value, min, max).map(Value::Number)
        }
        Rule::DeclareText | Rule::Obsolete(_) | Rule::Private | Rule::Security => {
            Err(PeerMisbehaved::key(row.name, "it is not negotiated"))
        }
    }
}

fn in_range(row: &KeyRow, value: &str, min: u32, max: u32) -> Result<u32, PeerMisbehaved> {
    number(value)
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| PeerMisbehaved::key(row.name, "its value is not a number in the key's range"))
}

/// The outcome of two values (§6.2.2), whichever side had the last word: a target that answers with
/// its own value instead of the outcome is understood as well.
fn combine(row: &KeyRow, ours: Value, theirs: Value) -> Value {
    match (row.rule, ours, theirs) {
        (Rule::And, Value::Flag(a), Value::Flag(b)) => Value::Flag(a && b),
        (Rule::Or, Value::Flag(a), Value::Flag(b)) => Value::Flag(a || b),
        (Rule::Minimum { .. }, Value::Number(a), Value::Number(b)) => Value::Number(a.min(b)),
        (Rule::Maximum { .. }, Value::Number(a), Value::Number(b)) => Value::Number(a.max(b)),
        _ => theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::TextReader;

    fn offer(keys: &[(&str, &str)]) -> Offer {
        let mut offer = Offer::default();
        for (key, value) in keys {
            let key = Key::configurable(key).expect("a key to offer");
            offer.set(key, Value::parse(key, value).expect("a value of it")).expect("of its kind");
        }
        offer
    }

    /// A negotiation that has made its offers.
    fn proposed(keys: &[(&str, &str)], session: SessionType) -> (Negotiation, Vec<(String, String)>) {
        let mut negotiation = Negotiation::new(offer(keys), session);
        let mut out = TextWriter::new();
        negotiation.propose(&mut out);
        (negotiation, pairs(out))
    }

    fn pairs(text: TextWriter) -> Vec<(String, String)> {
        let text = text.into_bytes();
        TextReader::new(&text).map(|pair| pair.map(|p| (p.key.into(), p.value.into())).expect("our own text")).collect()
    }

    /// Offers `ours`, hears `theirs`: what holds then, and what was answered.
    fn outcome(ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> Result<(Negotiated, Vec<(String, String)>), Error> {
        let (mut negotiation, _) = proposed(ours, SessionType::Normal);
        let mut out = TextWriter::new();
        for (key, value) in theirs {
            negotiation.receive(key, value, &mut out)?;
        }
        Ok((negotiation.finish()?, pairs(out)))
    }

    fn negotiated(ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> Negotiated {
        outcome(ours, theirs).expect("an agreement").0
    }

    fn is_dropped(ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> bool {
        matches!(outcome(ours, theirs), Err(Error::PeerMisbehaved(_)))
    }

    // check: login-flags
    #[test]
    fn every_pair_of_flags_has_the_outcome_of_its_rule() {
        for (key, rule) in [
            ("ImmediateData", (|a, b| a && b) as fn(bool, bool) -> bool),
            ("InitialR2T", |a, b| a || b),
            ("DataPDUInOrder", |a, b| a || b),
            ("DataSequenceInOrder", |a, b| a || b),
        ] {
            for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
                let word = |on| if on { "Yes" } else { "No" };
                let got = negotiated(&[(key, word(a))], &[(key, word(b))]);
                let expected = (key.to_string(), word(rule(a, b)).to_string());
                assert!(got.entries().contains(&expected), "{key}: we {a}, target {b}");
            }
        }
    }

    // check: login-numbers
    #[test]
    fn numbers_take_the_smaller_but_time2wait_the_larger() {
        for (key, ours, theirs, expected) in [
            ("DefaultTime2Wait", "2", "10", "10"),
            ("DefaultTime2Wait", "10", "2", "10"),
            ("DefaultTime2Retain", "20", "5", "5"),
            ("DefaultTime2Retain", "5", "20", "5"),
            ("MaxOutstandingR2T", "16", "1", "1"),
            ("MaxOutstandingR2T", "4", "8", "4"),
            ("ErrorRecoveryLevel", "2", "1", "1"),
            ("ErrorRecoveryLevel", "0", "2", "0"),
            ("MaxBurstLength", "1048576", "65536", "65536"),
            ("MaxBurstLength", "65536", "0x100000", "65536"),
            ("FirstBurstLength", "262144", "512", "512"),
            ("MaxConnections", "4", "2", "2"),
        ] {
            let got = negotiated(&[(key, ours)], &[(key, theirs)]);
            assert!(got.entries().contains(&(key.into(), expected.into())), "{key}: we {ours}, target {theirs}");
        }
    }

    // check: login-first-burst-bounded
    #[test]
    fn first_burst_never_exceeds_max_burst_whatever_the_target_says() {
        let got = negotiated(&[], &[("MaxBurstLength", "4096"), ("FirstBurstLength", "262144")]);
        assert_eq!((got.max_burst_length, got.first_burst_length), (4096, 4096));
        let (_, offers) = proposed(&[("MaxBurstLength", "8192"), ("FirstBurstLength", "65536")], SessionType::Normal);
        assert!(offers.contains(&("FirstBurstLength".into(), "8192".into())));
    }

    // check: login-mrdsl-range, login-mrdsl-per-direction
    #[test]
    fn segment_lengths_are_declared_per_direction() {
        let got = negotiated(&[("MaxRecvDataSegmentLength", "65536")], &[("MaxRecvDataSegmentLength", "0x1000")]);
        assert_eq!((got.max_recv_data_segment_length, got.max_send_data_segment_length), (65_536, 4096));
        assert_eq!(negotiated(&[], &[]).max_send_data_segment_length, 8192, "not declared: the default");
        assert_eq!(negotiated(&[], &[("MaxRecvDataSegmentLength", "512")]).max_send_data_segment_length, 512);
        assert_eq!(
            negotiated(&[], &[("MaxRecvDataSegmentLength", "16777215")]).max_send_data_segment_length,
            0xff_ffff
        );
        for wrong in ["0", "511", "16777216", "4294967808", "-1", "Reject", ""] {
            assert!(is_dropped(&[], &[("MaxRecvDataSegmentLength", wrong)]), "{wrong}");
        }
    }

    // check: login-digests-negotiated
    #[test]
    fn the_target_picks_among_the_digests_we_offer() {
        for (ours, theirs, digest) in [
            ("None", "None", false),
            ("CRC32C", "CRC32C", true),
            ("CRC32C,None", "None", false),
            ("CRC32C,None", "CRC32C", true),
            ("None,CRC32C", "CRC32C", true),
        ] {
            let got = negotiated(
                &[("HeaderDigest", ours), ("DataDigest", ours)],
                &[("HeaderDigest", theirs), ("DataDigest", theirs)],
            );
            assert_eq!((got.header_digest, got.data_digest), (digest, digest), "{ours}, {theirs}");
        }
    }

    // check: login-value-not-offered
    #[test]
    fn a_value_we_did_not_offer_is_dropped() {
        for (ours, theirs) in [("CRC32C,None", "CRC32C,None"), ("None", "x"), ("CRC32C", "")] {
            assert!(is_dropped(&[("HeaderDigest", ours)], &[("HeaderDigest", theirs)]), "{ours}, {theirs}");
        }
        for (key, value) in [
            ("InitialR2T", "Maybe"),
            ("ImmediateData", ""),
            ("MaxBurstLength", "511"),
            ("MaxOutstandingR2T", "0"),
            ("ErrorRecoveryLevel", "3"),
            ("DefaultTime2Wait", "3601"),
            ("DefaultTime2Wait", "2,3"),
        ] {
            assert!(is_dropped(&[], &[(key, value)]), "{key}={value}");
        }
    }

    // check: login-max-connections
    #[test]
    fn more_connections_than_offered_are_refused() {
        assert!(is_dropped(&[], &[("MaxConnections", "2")]));
        assert_eq!(negotiated(&[("MaxConnections", "4")], &[("MaxConnections", "4")]).max_connections, 4);
    }

    // check: login-key-unknown
    #[test]
    fn unknown_and_private_keys_are_not_understood_and_the_login_goes_on() {
        let (_, answers) = outcome(&[], &[("Zork", "1"), ("X-com.example.Fast", "Yes"), ("ImmediateData", "Yes")])
            .expect("an agreement");
        assert_eq!(
            answers,
            [("Zork".into(), "NotUnderstood".into()), ("X-com.example.Fast".into(), "NotUnderstood".into())]
        );
    }

    // check: login-markers
    #[test]
    fn marker_keys_are_turned_down() {
        let theirs = [("IFMarker", "Yes"), ("OFMarker", "No"), ("IFMarkInt", "2048~8192"), ("OFMarkInt", "1")];
        let (_, answers) = outcome(&[], &theirs).expect("an agreement");
        let answers: Vec<_> = answers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(answers, [("IFMarker", "No"), ("OFMarker", "No"), ("IFMarkInt", "Reject"), ("OFMarkInt", "Reject")]);
    }

    // check: login-target-proposes
    #[test]
    fn proposals_of_the_target_are_answered_with_the_outcome() {
        let mut negotiation = Negotiation::new(offer(&[("DefaultTime2Wait", "3")]), SessionType::Normal);
        let mut out = TextWriter::new();
        for (key, value) in [
            ("InitialR2T", "Yes"),
            ("ImmediateData", "Yes"),
            ("MaxBurstLength", "65536"),
            ("DefaultTime2Wait", "1"),
            ("MaxOutstandingR2T", "0"),
            ("TaskReporting", "FastAbort,RFC3720"),
            ("iSCSIProtocolLevel", "2"),
            ("SendTargets", "All"),
            ("TargetAlias", "disks"),
        ] {
            negotiation.receive(key, value, &mut out).expect("a proposal");
        }
        let answers = pairs(out);
        let answers: Vec<_> = answers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            answers,
            [
                ("InitialR2T", "Yes"),
                ("ImmediateData", "Yes"),
                ("MaxBurstLength", "65536"),
                ("DefaultTime2Wait", "3"),
                ("MaxOutstandingR2T", "Reject"),
                ("TaskReporting", "RFC3720"),
                ("iSCSIProtocolLevel", "1"),
                ("SendTargets", "Reject"),
            ]
        );
        let got = negotiation.finish().expect("an agreement");
        assert_eq!((got.initial_r2t, got.max_burst_length, got.default_time2wait), (true, 65_536, 3));
    }

    // check: login-target-proposes
    #[test]
    fn a_list_we_share_nothing_of_is_rejected() {
        let (_, answers) = outcome(&[], &[("TaskReporting", "FastAbort")]).expect("an agreement");
        assert_eq!(answers, [("TaskReporting".into(), "Reject".into())]);
    }

    // check: login-key-left-open
    #[test]
    fn what_the_target_leaves_open_or_rejects_is_no_better_than_the_default() {
        for word in [None, Some("Reject"), Some("Irrelevant"), Some("NotUnderstood")] {
            let keys = [
                "InitialR2T",
                "MaxBurstLength",
                "FirstBurstLength",
                "MaxOutstandingR2T",
                "DefaultTime2Wait",
                "HeaderDigest",
            ];
            let theirs: Vec<_> = keys.iter().filter_map(|&key| Some((key, word?))).collect();
            let got = negotiated(&[("DefaultTime2Wait", "0"), ("HeaderDigest", "CRC32C,None")], &theirs);
            assert_eq!((got.initial_r2t, got.immediate_data), (true, true));
            assert_eq!((got.max_burst_length, got.first_burst_length), (262_144, 65_536));
            assert_eq!((got.max_outstanding_r2t, got.default_time2wait, got.header_digest), (1, 2, false));
        }
    }

    // check: login-digests-negotiated
    #[test]
    fn a_digest_we_insist_on_and_do_not_get_is_nobodys_fault() {
        for theirs in
            [&[][..], &[("DataDigest", "Reject")], &[("DataDigest", "NotUnderstood")], &[("DataDigest", "None")]]
        {
            let error = outcome(&[("DataDigest", "CRC32C")], theirs).expect_err("no agreement");
            let says = "the target does not do DataDigest CRC32C; take CRC32C,None or switch it on there";
            assert!(matches!(&error, Error::Incompatible(why) if why == says), "{error}");
        }
    }

    // check: login-digests-not-offered
    #[test]
    fn a_digest_that_was_not_offered_is_refused_in_words() {
        for key in ["HeaderDigest", "DataDigest"] {
            let error = outcome(&[(key, "None")], &[(key, "CRC32C")]).expect_err("no agreement");
            let says = format!("the target insists on {key} CRC32C; take CRC32C,None or switch it off there");
            assert!(matches!(&error, Error::Incompatible(why) if **why == says), "{error}");
            let (mut negotiation, _) = proposed(&[], SessionType::Discovery);
            let error = negotiation.receive(key, "CRC32C", &mut TextWriter::new()).expect_err("no agreement");
            assert!(matches!(&error, Error::Incompatible(why) if why.contains("discovery does without")), "{error}");
        }
    }

    // check: login-key-wrong-stage
    #[test]
    fn security_keys_do_not_belong_here() {
        assert!(is_dropped(&[], &[("AuthMethod", "None")]));
        assert!(is_dropped(&[], &[("CHAP_A", "5")]));
    }

    // check: discovery-session
    #[test]
    fn a_discovery_session_offers_nothing_about_data() {
        let (mut negotiation, offers) = proposed(&[("HeaderDigest", "CRC32C")], SessionType::Discovery);
        let offers: Vec<_> = offers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            offers,
            [
                ("HeaderDigest", "None"),
                ("DataDigest", "None"),
                ("MaxRecvDataSegmentLength", "262144"),
                ("DefaultTime2Wait", "2"),
                ("DefaultTime2Retain", "20"),
                ("ErrorRecoveryLevel", "0"),
            ]
        );
        let mut out = TextWriter::new();
        negotiation.receive("MaxConnections", "8", &mut out).expect("a proposal");
        assert_eq!(pairs(out), [("MaxConnections".into(), "Irrelevant".into())]);
        assert!(negotiation.finish().is_ok());
    }

    #[test]
    fn the_offers_are_what_was_configured() {
        let (_, offers) = proposed(&[("HeaderDigest", "CRC32C,None"), ("MaxOutstandingR2T", "3")], SessionType::Normal);
        let expected = offer(&[("HeaderDigest", "CRC32C,None"), ("MaxOutstandingR2T", "3")]).entries();
        let expected: Vec<_> = expected.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        assert_eq!(offers, expected);
    }
}
