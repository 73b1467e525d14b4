//! Headers come back as they were, AHS are read within their area, and a stream of bytes means the same to a
//! session whether it comes whole or in pieces.

use arbitrary::{Arbitrary, Unstructured};
use iscsi_proto::digest::SoftCrc32c;
use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::ahs::{self, Ahs};
use iscsi_proto::pdu::*;
use iscsi_proto::scsi::cdb;
use iscsi_proto::session::{Command, Data, Event, Head, PingTimers, RxPlan, Session, SessionConfig, Transmit};
use iscsi_proto::time::Instant;

use crate::handoff::handoff;
use crate::memory;
use crate::sentence::sentence;

/// The first byte says what is looked at.
pub fn run(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let before = memory::mark();
    if which % 2 == 0 {
        headers(rest);
    } else {
        // Input that is too short for it is of no interest.
        let _ = stream(rest);
    }
    before.at_most(0, "what is over");
}

fn headers(data: &[u8]) {
    let Some((bhs, rest)) = data.split_first_chunk::<BHS_LEN>() else { return };
    fn comes_back<T: Wire + PartialEq + std::fmt::Debug>(bhs: &Bhs) {
        let first = T::decode(bhs);
        let encoded = first.encode();
        assert_eq!(T::decode(&encoded), first);
        assert_eq!(opcode(&encoded), T::OPCODE);
        assert_eq!((ahs_len(&encoded), data_segment_len(&encoded)), (0, 0));
        // Nothing is made up: what is written stands in what was read, or is reserved.
        for (written, read) in encoded.iter().zip(bhs).skip(1) {
            assert!(written == read || *written == 0);
        }
    }
    comes_back::<ScsiResponse>(bhs);
    comes_back::<TaskManagementResponse>(bhs);
    comes_back::<DataIn>(bhs);
    comes_back::<R2t>(bhs);
    comes_back::<AsyncMessage>(bhs);
    comes_back::<TextResponse>(bhs);
    comes_back::<LoginResponse>(bhs);
    comes_back::<LogoutResponse>(bhs);
    comes_back::<Reject>(bhs);
    comes_back::<NopIn>(bhs);
    comes_back::<ScsiCommand>(bhs);
    comes_back::<TaskManagementRequest>(bhs);
    comes_back::<DataOut>(bhs);
    comes_back::<TextRequest>(bhs);
    comes_back::<LoginRequest>(bhs);
    comes_back::<LogoutRequest>(bhs);
    comes_back::<SnackRequest>(bhs);
    comes_back::<NopOut>(bhs);
    let (ahs_bytes, length) = (ahs_len(bhs), data_segment_len(bhs));
    let mut again = *bhs;
    set_lengths(&mut again, ahs_bytes, length);
    assert_eq!(&again, bhs);
    assert_eq!((length as usize + padding(length as usize)) % 4, 0);
    if let Some(flags) = LoginFlags::decode(bhs[1]) {
        // NSG means nothing without T, and is not sent then.
        let next = if flags.transit { flags.next } else { LoginStage::SecurityNegotiation };
        assert_eq!(LoginFlags::decode(flags.encode()), Some(LoginFlags { next, ..flags }));
    }
    segments(rest.get(..ahs_bytes).unwrap_or(rest));
}

fn segments(area: &[u8]) {
    let mut held = 0;
    let mut written = Vec::new();
    let mut read = Vec::new();
    for segment in ahs::segments(area) {
        match segment {
            Ok(Ahs::ExtendedCdb(cdb)) => {
                held += 4 + cdb.len();
                if cdb.len() <= 244 {
                    ahs::push_extended_cdb(cdb, &mut written);
                    read.push(Ahs::ExtendedCdb(cdb));
                }
            }
            Ok(Ahs::BidirectionalReadLength(length)) => {
                held += 8;
                ahs::push_bidirectional_read_length(length, &mut written);
                read.push(Ahs::BidirectionalReadLength(length));
            }
            Ok(Ahs::Unknown { specific, .. }) => held += 3 + specific.len(),
            Err(error) => sentence(error),
        }
    }
    assert!(held <= area.len(), "segments hold more than their area");
    let again: Vec<_> = ahs::segments(&written).map(|segment| segment.expect("one of ours")).collect();
    assert_eq!(again, read);
}

/// All that a session says of a stream.
#[derive(Debug, PartialEq)]
struct Heard {
    events: Vec<Event>,
    buffers: Vec<Vec<u8>>,
    error: Option<String>,
    sent: Vec<Vec<u8>>,
}

fn stream(data: &[u8]) -> arbitrary::Result<()> {
    let mut u = Unstructured::new(data);
    let handoff = handoff(&mut u)?;
    let cuts: [u8; 8] = Arbitrary::arbitrary(&mut u)?;
    // Whole PDUs with the right digests, or what there is.
    let sound = bool::arbitrary(&mut u)?;
    let new = || {
        let config = SessionConfig { depth: 4, pings: PingTimers { interval: None, timeout: None } };
        Session::<SoftCrc32c>::from_handoff(&handoff, config, Instant::ZERO)
    };
    let Ok(session) = new() else { return Ok(()) };
    let mut bytes = Vec::new();
    if sound {
        let mut stat_sn = session.connection_params().exp_stat_sn;
        while u.len() >= BHS_LEN {
            let mut bhs = Bhs::arbitrary(&mut u)?;
            let length = usize::from(u.arbitrary::<u8>().unwrap_or(0));
            let length = length.min(u.len());
            let segment = u.bytes(length)?;
            // StatSN as it is due, or nothing would ever get beyond it.
            bhs[24..28].copy_from_slice(&stat_sn.0.to_be_bytes());
            if opcode(&bhs) != DataIn::OPCODE || bhs[1] & data_in_flags::STATUS != 0 {
                stat_sn = stat_sn.plus(u32::from(bhs[2] & 1 == 0));
            }
            bytes.extend(crate::text::pdu(&session, bhs, segment));
        }
    } else {
        bytes.extend(u.take_rest());
    }
    let whole = hear(new().expect("as before"), &bytes, &[usize::MAX]);
    let cuts = cuts.map(|cut| usize::from(cut) + 1);
    assert_eq!(hear(new().expect("as before"), &bytes, &cuts), whole, "in pieces of {cuts:?}");
    assert_eq!(hear(new().expect("as before"), &bytes, &[1]), whole, "a byte at a time");
    Ok(())
}

fn hear(mut session: Session<SoftCrc32c>, bytes: &[u8], cuts: &[usize]) -> Heard {
    let mut heard = Heard { events: Vec::new(), buffers: Vec::new(), error: None, sent: Vec::new() };
    let mut tags: Vec<Itt> = Vec::new();
    for data in [Data::In(300), Data::Out(1200), Data::None, Data::In(4096)] {
        let command =
            Command { lun: Lun(0), cdb: cdb::test_unit_ready().padded(), attribute: TaskAttribute::Simple, data };
        tags.push(session.submit(command).expect("within the depth"));
        heard.buffers.push(vec![0; data.len() as usize]);
    }
    let mut head = Head::default();
    send(&mut session, &mut head, &mut heard);
    let mut arrived: Vec<u8> = Vec::new();
    let mut coming = bytes;
    let mut pieces = cuts.iter().cycle();
    'stream: loop {
        let piece = coming.len().min(pieces.next().copied().unwrap_or(1));
        let (now, later) = coming.split_at(piece);
        coming = later;
        arrived.extend_from_slice(now);
        loop {
            let result = match session.rx_plan() {
                RxPlan::Stop => break 'stream,
                RxPlan::Scratch { need } => {
                    assert!((1..=1072).contains(&need));
                    if arrived.len() < need {
                        break;
                    }
                    match session.rx_scratch(Instant::ZERO, &arrived) {
                        Ok(used) => {
                            arrived.drain(..used);
                            let waits = session.rx_plan() == RxPlan::Scratch { need };
                            assert!(used > 0 || !waits, "it had the {need} bytes it needed");
                            Ok(())
                        }
                        Err(error) => Err(error),
                    }
                }
                RxPlan::Place { itt, offset, len } => {
                    let at = tags.iter().position(|tag| *tag == itt).expect("a task of ours");
                    let count = arrived.len().min(len as usize);
                    if count == 0 {
                        break;
                    }
                    let place = &mut heard.buffers[at][offset as usize..][..len as usize];
                    place[..count].copy_from_slice(&arrived[..count]);
                    let placed: Vec<u8> = arrived.drain(..count).collect();
                    session.rx_placed(Instant::ZERO, &placed)
                }
            };
            if let Err(error) = result {
                sentence(&error);
                heard.error = Some(error.to_string());
                break 'stream;
            }
        }
        if coming.is_empty() {
            break;
        }
    }
    send(&mut session, &mut head, &mut heard);
    session.give_up();
    while let Some(event) = session.poll_event() {
        heard.events.push(event);
    }
    let ended = |tag| {
        let ends = |event: &&Event| matches!(event, Event::TaskDone { itt, .. } if *itt == tag);
        heard.events.iter().filter(ends).count()
    };
    assert!(tags.iter().all(|tag| ended(*tag) == 1), "each command ends once");
    heard
}

fn send(session: &mut Session<SoftCrc32c>, head: &mut Head, heard: &mut Heard) {
    while let Some(Transmit { payload, .. }) = session.poll_transmit(head) {
        heard.sent.push([head.bytes(), format!("{payload:?}").as_bytes()].concat());
    }
}
