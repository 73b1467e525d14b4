//! Text: pairs, the negotiation of keys, names and addresses, lists of targets, texts in pieces.
//!
//! The first byte says which, the rest is the text.

use arbitrary::{Arbitrary, Unstructured};
use iscsi_proto::digest::SoftCrc32c;
use iscsi_proto::keys::{
    Key, MAX_KEY, MAX_KEYS, Negotiation, Offer, SeenKeys, SessionType, TABLE, TextReader, TextWriter, Value, lookup,
    number,
};
use iscsi_proto::login::{MAX_ADDRESSES, MAX_ADDRESSES_IN_ALL, MAX_TARGETS, TargetList, parse_send_targets};
use iscsi_proto::names::{IscsiName, MAX_NAME, PortalAddress, TargetName, parse_target_address};
use iscsi_proto::pdu::{CONTINUE, FINAL, TextResponse, Wire, padding, set_lengths};
use iscsi_proto::session::{Event, Head, PingTimers, RxPlan, Session, SessionConfig, Unanswered};
use iscsi_proto::time::Instant;

use crate::handoff::handoff;
use crate::memory;
use crate::sentence::sentence;

/// One text.
pub fn run(data: &[u8]) {
    let Some((which, text)) = data.split_first() else { return };
    let before = memory::mark();
    match which % 5 {
        0 => pairs(text),
        1 => {
            // Input that does not make sense of it is of no interest.
            let _ = negotiation(text);
        }
        2 => words(text),
        3 => targets(text),
        _ => {
            let _ = pieces(text);
        }
    }
    before.at_most(0, "a text that has been read");
}

fn pairs(text: &[u8]) {
    let mut again = TextWriter::new();
    let mut seen = SeenKeys::default();
    let (mut count, mut ended) = (0, false);
    for pair in TextReader::new(text) {
        assert!(!ended, "pairs after an error");
        let pair = match pair {
            Ok(pair) => pair,
            Err(error) => {
                sentence(error);
                ended = true;
                continue;
            }
        };
        assert!((1..=MAX_KEY).contains(&pair.key.len()) && pair.key.is_ascii());
        assert!(!pair.value.contains(char::is_control));
        assert!(pair.value.len() <= lookup(pair.key).map_or(255, |row| row.max_value));
        again.push(pair.key, pair.value);
        if seen.note(pair.key).is_ok() {
            count += 1;
        }
        number(pair.value);
    }
    assert!(count <= MAX_KEYS);
    let again = again.into_bytes();
    let first = TextReader::new(text).map_while(Result::ok);
    let second = TextReader::new(&again).map(|pair| pair.expect("a text of ours"));
    assert!(first.eq(second), "what was read is not what is written");
}

/// What we offer, some of it changed as anybody could configure it.
pub fn offer(u: &mut Unstructured<'_>) -> arbitrary::Result<Offer> {
    let mut offer = Offer::default();
    for _ in 0..u.int_in_range(0..=4)? {
        let row = u.choose(TABLE)?;
        let value: &str = u.choose(&[
            "Yes",
            "No",
            "CRC32C",
            "None",
            "CRC32C,None",
            "None,CRC32C",
            "0",
            "1",
            "2",
            "512",
            "4096",
            "0xffffff",
            "60",
        ])?;
        match Value::parse(row.key, value) {
            Ok(value) => offer.set(row.key, value).expect("a value of the key's kind"),
            Err(error) => sentence(error),
        }
    }
    Ok(offer)
}

fn negotiation(text: &[u8]) -> arbitrary::Result<()> {
    let mut u = Unstructured::new(text);
    let offer = offer(&mut u)?;
    let session = if bool::arbitrary(&mut u)? { SessionType::Normal } else { SessionType::Discovery };
    let mut negotiation = Negotiation::new(offer.clone(), session);
    let mut said = TextWriter::new();
    negotiation.propose(&mut said);
    let mut answers = TextWriter::new();
    let mut count = 0;
    // Texts that name the table's keys by number reach the rules; the rest of the bytes is taken as it is.
    let mut theirs = TextWriter::new();
    for _ in 0..u.int_in_range(0..=6)? {
        let row = u.choose(TABLE)?;
        let value: &str = u.choose(&[
            "Yes",
            "No",
            "CRC32C",
            "None",
            "0",
            "1",
            "511",
            "512",
            "8192",
            "0x1000",
            "16777215",
            "16777216",
            "Reject",
            "Irrelevant",
            "NotUnderstood",
            "RFC3720",
            "None,CRC32C",
            "",
        ])?;
        theirs.push(row.name, value);
    }
    let mut theirs = theirs.into_bytes();
    theirs.extend(u.take_rest());
    let mut seen = SeenKeys::default();
    for pair in TextReader::new(&theirs) {
        let Ok(pair) = pair else { break };
        if seen.note(pair.key).is_err() {
            break;
        }
        count += 1;
        if let Err(error) = negotiation.receive(pair.key, pair.value, &mut answers) {
            sentence(error);
            return Ok(());
        }
    }
    let answers = answers.into_bytes();
    let answered = TextReader::new(&answers).inspect(|pair| assert!(pair.is_ok(), "a text of ours")).count();
    assert!(answered <= count, "more answers than questions");
    let agreed = match negotiation.finish() {
        Ok(agreed) => agreed,
        Err(error) => {
            sentence(error);
            return Ok(());
        }
    };
    let length = 512..=0xff_ffff;
    assert!(length.contains(&agreed.max_burst_length) && length.contains(&agreed.first_burst_length));
    assert!(length.contains(&agreed.max_send_data_segment_length));
    assert_eq!(agreed.max_recv_data_segment_length, offer.max_recv_data_segment_length);
    assert!(agreed.first_burst_length <= agreed.max_burst_length);
    assert!(agreed.max_burst_length <= offer.max_burst_length.max(262_144));
    assert!((1..=offer.max_outstanding_r2t).contains(&agreed.max_outstanding_r2t));
    assert!((1..=offer.max_connections).contains(&agreed.max_connections));
    assert!(agreed.default_time2wait <= 3600 && agreed.default_time2retain <= 3600);
    assert!(agreed.error_recovery_level <= offer.error_recovery_level);
    assert!(agreed.initial_r2t || !offer.initial_r2t, "InitialR2T is Yes if either says so");
    assert!(!agreed.immediate_data || offer.immediate_data, "ImmediateData is Yes only if both say so");
    if session == SessionType::Discovery {
        assert!(!agreed.header_digest && !agreed.data_digest);
    } else {
        assert!(offer.header_digest.includes(agreed.header_digest) && offer.data_digest.includes(agreed.data_digest));
    }
    // The target's MaxRecvDataSegmentLength as well.
    assert_eq!(agreed.entries().len(), offer.entries().len() + 1);
    Ok(())
}

fn words(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match IscsiName::parse(text) {
        Ok(name) => {
            assert!(name.as_str().len() <= MAX_NAME && !name.as_str().contains(char::is_control));
            assert!(!name.as_str().contains('/'));
            assert_eq!(IscsiName::parse(name.as_str()).expect("a normal name is a name").as_str(), name.as_str());
        }
        Err(error) => sentence(error),
    }
    match TargetName::parse(text) {
        Ok(name) => {
            assert!(name.as_str().len() <= MAX_NAME && !name.as_str().contains(char::is_control));
            assert!(!name.as_str().contains('/') && !name.as_str().starts_with(['.', '-']));
            assert_eq!(name.as_written(), text, "it is sent back byte for byte");
            assert_eq!(TargetName::parse(name.as_str()).expect("a normal name is a name"), name);
        }
        Err(error) => sentence(error),
    }
    match PortalAddress::parse(text) {
        Ok(address) => {
            let shown = address.to_string();
            sentence(&shown);
            assert_eq!(PortalAddress::parse(&shown).expect("an address that was shown"), address);
        }
        Err(error) => sentence(error),
    }
    match parse_target_address(text) {
        Ok(address) => {
            let shown = address.to_string();
            sentence(&shown);
            assert_eq!(parse_target_address(&shown).expect("an address that was shown"), address);
        }
        Err(error) => sentence(error),
    }
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if let Err(error) = Key::configurable(key).and_then(|key| Value::parse(key, value)) {
        sentence(error);
    }
    number(text);
}

fn targets(text: &[u8]) {
    match parse_send_targets(text) {
        Ok(TargetList { targets, left_out, .. }) => {
            assert!(targets.len() <= MAX_TARGETS);
            left_out.iter().for_each(sentence);
            let in_all: usize = targets.iter().map(|target| target.addresses.len()).sum();
            assert!(in_all <= MAX_ADDRESSES_IN_ALL);
            for (at, target) in targets.iter().enumerate() {
                assert!(target.addresses.len() <= MAX_ADDRESSES);
                assert!(targets.iter().skip(at + 1).all(|other| other.name != target.name), "one target twice");
                for (at, address) in target.addresses.iter().enumerate() {
                    assert!(!target.addresses.iter().skip(at + 1).any(|other| other == address), "one portal twice");
                }
            }
        }
        Err(error) => sentence(error),
    }
}

/// Bytes of text that a target may answer.
const LIMIT: usize = 64 << 10;

/// A text of the full-feature phase arrives as it is sent, however it is cut; one that does not end is given up.
fn pieces(data: &[u8]) -> arbitrary::Result<()> {
    let mut u = Unstructured::new(data);
    let handoff = handoff(&mut u)?;
    let config = SessionConfig { depth: 1, pings: PingTimers { interval: None, timeout: None } };
    let Ok(mut session): Result<Session<SoftCrc32c>, _> = Session::from_handoff(&handoff, config, Instant::ZERO) else {
        return Ok(());
    };
    let itt = session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("the first exchange");
    let mut head = Head::default();
    session.poll_transmit(&mut head).expect("the text");
    let (mut whole, mut arrived) = (Vec::new(), Vec::new());
    let mut stat_sn = session.connection_params().exp_stat_sn;
    loop {
        let many = u.ratio(1, 16)?;
        let piece = if many {
            vec![b'x'; session.connection_params().max_recv_data_segment_length.min(8192) as usize]
        } else {
            let length = u.int_in_range(0..=40)?;
            u.bytes(length)?.to_vec()
        };
        let last = u.is_empty() || u.ratio(1, 8)?;
        let ttt = iscsi_proto::ids::Ttt(if last { u32::MAX } else { 7 });
        let flags = if last { FINAL } else { CONTINUE };
        let (cmd_sn, lun) = (session.params().cmd_sn, iscsi_proto::ids::Lun(0));
        let response = TextResponse { flags, lun, itt, ttt, stat_sn, exp_cmd_sn: cmd_sn, max_cmd_sn: cmd_sn }.encode();
        stat_sn = stat_sn.next();
        let wire = pdu(&session, response, &piece);
        let cut = u.int_in_range(0..=wire.len())?;
        whole.extend_from_slice(&piece);
        feed(&mut session, &mut arrived, &wire[..cut]);
        feed(&mut session, &mut arrived, &wire[cut..]);
        assert!(arrived.is_empty());
        match session.poll_event() {
            Some(Event::TextDone { itt: done, answer }) => {
                assert_eq!(done, itt);
                match answer {
                    Ok(text) => assert!(last && text == whole),
                    Err(Unanswered::TooLong) => assert!(whole.len() > LIMIT, "given up too early"),
                    Err(other) => panic!("{other:?}"),
                }
                assert!(session.poll_event().is_none());
                return Ok(());
            }
            None => {
                assert!(!last && whole.len() <= LIMIT, "it does not end");
                session.poll_transmit(&mut head).expect("leave to go on");
            }
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// A PDU as it stands on the wire.
pub fn pdu(session: &Session<SoftCrc32c>, mut bhs: [u8; 48], data: &[u8]) -> Vec<u8> {
    use iscsi_proto::digest::Crc32c;
    set_lengths(&mut bhs, 0, data.len() as u32);
    let mut wire = bhs.to_vec();
    if session.connection_params().header_digest {
        wire.extend(SoftCrc32c::append(0, &bhs).to_le_bytes());
    }
    if !data.is_empty() {
        let begin = wire.len();
        wire.extend(data);
        wire.resize(wire.len() + padding(data.len()), 0);
        if session.connection_params().data_digest {
            let crc = SoftCrc32c::append(0, &wire[begin..]);
            wire.extend(crc.to_le_bytes());
        }
    }
    wire
}

/// Delivers what has arrived of PDUs that are no Data-In; what was not used stays.
fn feed(session: &mut Session<SoftCrc32c>, arrived: &mut Vec<u8>, bytes: &[u8]) {
    arrived.extend_from_slice(bytes);
    assert!(matches!(session.rx_plan(), RxPlan::Scratch { .. }));
    let used = session.rx_scratch(Instant::ZERO, arrived).expect("legal");
    arrived.drain(..used);
}
