//! The target: answers to what is under way, right or wrong in one thing, and worse.

use arbitrary::Unstructured;
use iscsi_proto::digest::{Crc32c, SoftCrc32c};
use iscsi_proto::error::Error;
use iscsi_proto::ids::{Itt, Lun, Ttt};
use iscsi_proto::pdu::*;
use iscsi_proto::session::{Data, RxPlan};
use iscsi_proto::sn::{CmdSn, DataSn, StatSn};

use super::model::{Asked, Model, pattern};

/// What must become of a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Taken,
    Refused,
    /// It is one of too many, or the last that is not.
    Either,
}

/// A PDU on its way.
#[derive(Debug)]
struct Saying {
    bhs: Bhs,
    data: Vec<u8>,
    /// It carries a status.
    status: bool,
    due: Due,
}

/// Mostly `right`.
fn about(u: &mut Unstructured<'_>, right: u32) -> arbitrary::Result<u32> {
    Ok(match u.int_in_range(0..=19)? {
        0 => right.wrapping_add(1),
        1 => right.wrapping_sub(1),
        2 => u.arbitrary()?,
        _ => right,
    })
}

/// One PDU.
pub(super) fn say(model: &mut Model, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    if model.session.rx_plan() == RxPlan::Stop {
        return Ok(());
    }
    let kind = u.int_in_range(0..=13)?;
    let stat_sn = StatSn(about(u, model.stat_sn.0)?);
    let (exp_cmd_sn, max_cmd_sn) = window(model, u)?;
    let picked = match kind {
        0..=7 | 13 => model.pick(u)?,
        _ => Itt::RESERVED,
    };
    let head = Numbers { stat_sn, exp_cmd_sn, max_cmd_sn };
    let mut saying = match kind {
        0..=2 => response(model, u, picked, head)?,
        3..=5 => data_in(model, u, picked, head)?,
        6 | 7 => r2t(model, u, picked, head)?,
        8 => nop_in(model, u, head)?,
        9 => manage_response(model, u, head)?,
        10 => text_response(model, u, head)?,
        11 => logout_response(model, u, head)?,
        12 => async_message(model, u, head)?,
        _ => reject(model, u, picked, head)?,
    };
    if saying.status && stat_sn != model.stat_sn {
        saying.due = Due::Refused;
    }
    if saying.data.len() > model.connection.max_recv_data_segment_length as usize {
        saying.due = Due::Refused;
    }
    send(model, u, &saying)
}

#[derive(Clone, Copy)]
struct Numbers {
    stat_sn: StatSn,
    exp_cmd_sn: CmdSn,
    max_cmd_sn: CmdSn,
}

/// ExpCmdSN and MaxCmdSN: the window opens, stays, goes back, or makes no sense.
fn window(model: &mut Model, u: &mut Unstructured<'_>) -> arbitrary::Result<(CmdSn, CmdSn)> {
    let next = model.next_cmd_sn;
    let (exp, max) = match u.int_in_range(0..=15)? {
        0 => (next, CmdSn(next.0.wrapping_sub(1))),
        1 => (next.plus(9), next),
        2 => (next, next.plus(u.arbitrary()?)),
        _ => (next, next.plus(u.int_in_range(0..=7)?)),
    };
    if !max.next().is_before(exp) && model.max_cmd_sn.is_before(max) {
        model.max_cmd_sn = max;
    }
    Ok((exp, max))
}

fn response(model: &mut Model, u: &mut Unstructured<'_>, itt: Itt, head: Numbers) -> arbitrary::Result<Saying> {
    let under_way = model.tasks.get(&itt.0).filter(|task| task.under_way());
    let count = under_way.map_or(0, |task| task.data_in + task.r2ts);
    let exp_data_sn = DataSn(about(u, count)?);
    let response = if u.ratio(1, 8)? { u.arbitrary()? } else { 0 };
    let bhs = ScsiResponse {
        flags: FINAL | u.choose(&[0, residual::UNDERFLOW, residual::OVERFLOW, 0x1e])?,
        response,
        status: *u.choose(&[0, 0, 0, 2, 8, 0x18, 0x28, 0x40, 0xff])?,
        itt,
        snack_tag: 0,
        stat_sn: head.stat_sn,
        exp_cmd_sn: head.exp_cmd_sn,
        max_cmd_sn: head.max_cmd_sn,
        exp_data_sn,
        bidi_read_residual_count: 0,
        residual_count: about(u, 512)?,
    }
    .encode();
    let data = segment(u)?;
    let missing = response == 0 && DataSn(count).is_before(exp_data_sn);
    let due = match under_way {
        Some(_) if missing => Due::Refused,
        Some(_) => Due::Taken,
        None => Due::Refused,
    };
    Ok(Saying { bhs, data, status: true, due })
}

/// A data segment of any kind, none mostly.
fn segment(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let length = match u.int_in_range(0..=7)? {
        0 => u.int_in_range(0..=120)?,
        1 => u.int_in_range(0..=9000)?,
        _ => 0,
    };
    let mut data = u.bytes(length.min(u.len()))?.to_vec();
    data.resize(length, 0x5a);
    if length >= 2 && u.arbitrary()? {
        // A length that fits, as in front of sense data.
        data[..2].copy_from_slice(&(length as u16 - 2).to_be_bytes());
    }
    Ok(data)
}

fn data_in(model: &mut Model, u: &mut Unstructured<'_>, itt: Itt, head: Numbers) -> arbitrary::Result<Saying> {
    let task = model.tasks.get(&itt.0).filter(|task| task.under_way());
    let (expected, placed, count) = match task {
        Some(task) => match task.command.data {
            Data::In(len) => (len, task.placed, task.data_in),
            Data::None | Data::Out(_) => (0, 0, 0),
        },
        None => (0, 0, 0),
    };
    let left = expected - placed;
    let length = match u.int_in_range(0..=7)? {
        0 => u.int_in_range(0..=9000)?,
        1 => 0,
        2 => left,
        3 => left.saturating_add(1),
        _ => u.int_in_range(0..=left)?,
    };
    let length = length.min(model.connection.max_recv_data_segment_length + 1);
    let status = u.ratio(1, 3)?;
    let flags = if status { data_in_flags::FINAL | data_in_flags::STATUS | u.choose(&[0, 2, 4])? } else { 0 };
    let data_sn = DataSn(about(u, count)?);
    let buffer_offset = about(u, placed)?;
    let bhs = DataIn {
        flags,
        status: *u.choose(&[0, 0, 2, 8])?,
        lun: Lun(0),
        itt,
        ttt: Ttt::RESERVED,
        stat_sn: head.stat_sn,
        exp_cmd_sn: head.exp_cmd_sn,
        max_cmd_sn: head.max_cmd_sn,
        data_sn,
        buffer_offset,
        residual_count: about(u, left)?,
    }
    .encode();
    let data = (0..length).map(|at| pattern(itt, buffer_offset.wrapping_add(at))).collect();
    let due = match task.map(|task| task.command.data) {
        Some(Data::In(_)) if data_sn.0 == count && length <= left && (length == 0 || buffer_offset == placed) => {
            Due::Taken
        }
        Some(Data::None | Data::Out(_)) if length == 0 => Due::Taken,
        _ => Due::Refused,
    };
    Ok(Saying { bhs, data, status, due })
}

fn r2t(model: &mut Model, u: &mut Unstructured<'_>, itt: Itt, head: Numbers) -> arbitrary::Result<Saying> {
    let task = model.tasks.get(&itt.0).filter(|task| task.under_way());
    let (len, solicited, count, open) = match task {
        Some(task) => (task.command.data.len(), task.solicited, task.r2ts, task.asked.len()),
        None => (0, 0, 0, 0),
    };
    let is_write = task.is_some_and(|task| matches!(task.command.data, Data::Out(_)));
    let left = len.saturating_sub(solicited);
    let wanted = match u.int_in_range(0..=5)? {
        0 => u.arbitrary()?,
        1 => left.saturating_add(1),
        2 => u.int_in_range(0..=left)?,
        _ => left.min(model.params.max_burst_length),
    };
    model.ttt = model.ttt.wrapping_add(1);
    let ttt = if u.ratio(1, 24)? { Ttt::RESERVED } else { Ttt(model.ttt) };
    let lun = Lun(u.arbitrary()?);
    let r2t_sn = DataSn(about(u, count)?);
    let buffer_offset = about(u, solicited)?;
    let bhs = R2t {
        flags: FINAL,
        lun,
        itt,
        ttt,
        stat_sn: head.stat_sn,
        exp_cmd_sn: head.exp_cmd_sn,
        max_cmd_sn: head.max_cmd_sn,
        r2t_sn,
        buffer_offset,
        desired_data_transfer_length: wanted,
    }
    .encode();
    let right = is_write
        && ttt != Ttt::RESERVED
        && r2t_sn.0 == count
        && buffer_offset == solicited
        && (1..=left.min(model.params.max_burst_length)).contains(&wanted)
        && open < usize::from(model.params.max_outstanding_r2t);
    let due = match task {
        Some(_) if right => Due::Taken,
        _ => Due::Refused,
    };
    Ok(Saying { bhs, data: Vec::new(), status: false, due })
}

fn nop_in(model: &mut Model, u: &mut Unstructured<'_>, head: Numbers) -> arbitrary::Result<Saying> {
    let pings: Vec<u32> = model.pings.iter().copied().collect();
    let itt = match u.int_in_range(0..=3)? {
        0 => Itt(u.arbitrary()?),
        1 | 2 if !pings.is_empty() => Itt(*u.choose(&pings)?),
        _ => Itt::RESERVED,
    };
    let ttt = if u.arbitrary()? { Ttt(u.arbitrary()?) } else { Ttt::RESERVED };
    let lun = Lun(u.arbitrary()?);
    let Numbers { stat_sn, exp_cmd_sn, max_cmd_sn } = head;
    let bhs = NopIn { flags: FINAL, lun, itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn }.encode();
    let known = itt == Itt::RESERVED || model.pings.contains(&itt.0);
    let due = if known { ping(model, ttt) } else { Due::Refused };
    Ok(Saying { bhs, data: segment(u)?, status: itt != Itt::RESERVED, due })
}

/// What becomes of a ping: there is a limit to what is kept for those who do not read the answers.
fn ping(model: &Model, ttt: Ttt) -> Due {
    let kept: usize = model.pongs.iter().map(|(_, _, data)| data.len() + 256).sum();
    match ttt == Ttt::RESERVED || kept < 1 << 19 {
        true => Due::Taken,
        false => Due::Either,
    }
}

/// A tag of those sent, one that has not been sent, or any.
fn choose(u: &mut Unstructured<'_>, tags: impl Iterator<Item = u32>) -> arbitrary::Result<Itt> {
    let tags: Vec<u32> = tags.collect();
    match tags.is_empty() || u.ratio(1, 16)? {
        true => Ok(Itt(u.arbitrary()?)),
        false => Ok(Itt(*u.choose(&tags)?)),
    }
}

fn manage_response(model: &mut Model, u: &mut Unstructured<'_>, head: Numbers) -> arbitrary::Result<Saying> {
    let itt = choose(u, model.manages.keys().copied())?;
    let Numbers { stat_sn, exp_cmd_sn, max_cmd_sn } = head;
    let response = *u.choose(&[0, 0, 0, 1, 5, 255, 77])?;
    let bhs = TaskManagementResponse { flags: FINAL, response, itt, stat_sn, exp_cmd_sn, max_cmd_sn }.encode();
    let due = if model.manages.get(&itt.0).is_some_and(|(_, sent)| *sent) { Due::Taken } else { Due::Refused };
    Ok(Saying { bhs, data: Vec::new(), status: true, due })
}

fn text_response(model: &mut Model, u: &mut Unstructured<'_>, head: Numbers) -> arbitrary::Result<Saying> {
    let itt = choose(u, model.text.iter().map(|(itt, _)| *itt))?;
    let Numbers { stat_sn, exp_cmd_sn, max_cmd_sn } = head;
    let flags = *u.choose(&[FINAL, FINAL, CONTINUE, 0, FINAL | CONTINUE])?;
    let ttt = if u.arbitrary()? { Ttt(5) } else { Ttt::RESERVED };
    let lun = Lun(u.arbitrary()?);
    let bhs = TextResponse { flags, lun, itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn }.encode();
    let known = model.text.is_some_and(|(current, sent)| current == itt.0 && sent);
    let goes_on = flags != FINAL;
    let legal = flags != FINAL | CONTINUE && !(goes_on && ttt == Ttt::RESERVED);
    let due = if known && legal { Due::Taken } else { Due::Refused };
    Ok(Saying { bhs, data: segment(u)?, status: true, due })
}

fn logout_response(model: &mut Model, u: &mut Unstructured<'_>, head: Numbers) -> arbitrary::Result<Saying> {
    let itt = choose(u, model.logouts.keys().copied())?;
    let Numbers { stat_sn, exp_cmd_sn, max_cmd_sn } = head;
    let response = u.arbitrary()?;
    let bhs =
        LogoutResponse { flags: FINAL, response, itt, stat_sn, exp_cmd_sn, max_cmd_sn, time2wait: 2, time2retain: 20 };
    let due = if model.logouts.get(&itt.0) == Some(&true) { Due::Taken } else { Due::Refused };
    Ok(Saying { bhs: bhs.encode(), data: Vec::new(), status: true, due })
}

fn async_message(model: &mut Model, u: &mut Unstructured<'_>, head: Numbers) -> arbitrary::Result<Saying> {
    let bhs = AsyncMessage {
        flags: FINAL,
        lun: Lun(u.arbitrary()?),
        itt: Itt::RESERVED,
        stat_sn: head.stat_sn,
        exp_cmd_sn: head.exp_cmd_sn,
        max_cmd_sn: head.max_cmd_sn,
        event: *u.choose(&[0, 1, 2, 3, 4, 5, 255, 100])?,
        vendor_code: u.arbitrary()?,
        parameter1: 0,
        parameter2: 2,
        parameter3: 20,
    };
    Ok(Saying { bhs: bhs.encode(), data: segment(u)?, status: true, due: unasked(model) })
}

/// More of them in a second than that may end the connection; how much time has passed does not count here.
fn unasked(model: &mut Model) -> Due {
    model.unasked += 1;
    if model.unasked > 2048 { Due::Either } else { Due::Taken }
}

fn reject(model: &mut Model, u: &mut Unstructured<'_>, itt: Itt, head: Numbers) -> arbitrary::Result<Saying> {
    let Numbers { stat_sn, exp_cmd_sn, max_cmd_sn } = head;
    let reason = *u.choose(&[0x04, 0x09, 0x0c, 0x02, 0x55])?;
    let bhs = Reject { flags: FINAL, reason, itt: Itt::RESERVED, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn: DataSn(0) };
    let controls = model.manages.keys().chain(model.pings.iter()).chain(model.text.iter().map(|(itt, _)| itt));
    let (code, itt) = match u.int_in_range(0..=5)? {
        0 => (*u.choose(&[0x40, 0x42, 0x44, 0x46])?, choose(u, controls.copied())?),
        1 => (u.arbitrary()?, itt),
        2 => (0x05, itt),
        _ => (0x01, itt),
    };
    let mut data = vec![0; 48];
    data[0] = code;
    data[16..20].copy_from_slice(&itt.0.to_be_bytes());
    if u.ratio(1, 16)? {
        data.truncate(u.int_in_range(0..=48)?);
    }
    // What was discarded with its number leaves a gap in CmdSN. A ping that waits to be sent has a tag, too.
    let numbered = code & 0x3f == ScsiCommand::OPCODE || code & 0x7f == TextRequest::OPCODE;
    let due = match (reason == 0x02 && numbered && data.len() == BHS_LEN, model.knows(itt)) {
        (true, true) => Due::Refused,
        (true, false) => Due::Either,
        (false, _) => unasked(model),
    };
    Ok(Saying { bhs: bhs.encode(), data, status: true, due })
}

/// Sends it, perhaps damaged, and checks what becomes of it.
fn send(model: &mut Model, u: &mut Unstructured<'_>, saying: &Saying) -> arbitrary::Result<()> {
    let mut bhs = saying.bhs;
    let mut extra = Vec::new();
    if u.ratio(1, 12)? {
        extra.resize(4 * u.int_in_range(1..=255usize)?, 0x11);
    }
    set_lengths(&mut bhs, extra.len(), saying.data.len() as u32);
    let mut wire = bhs.to_vec();
    wire.extend_from_slice(&extra);
    let header_digest = model.connection.header_digest.then(|| {
        wire.extend(SoftCrc32c::append(0, &wire).to_le_bytes());
        wire.len() - 1
    });
    let begin = wire.len();
    wire.extend_from_slice(&saying.data);
    wire.resize(wire.len() + padding(saying.data.len()), 0);
    let data_digest = (model.connection.data_digest && !saying.data.is_empty()).then(|| {
        wire.extend(SoftCrc32c::append(0, &wire[begin..]).to_le_bytes());
        wire.len() - 1
    });
    let mut due = saying.due;
    match (u.int_in_range(0..=31)?, header_digest, data_digest) {
        (0, Some(at), _) | (1, _, Some(at)) => {
            wire[at] ^= 1 << u.int_in_range(0..=7)?;
            due = Due::Refused;
        }
        (2, _, _) => {
            // A byte of it is another: what it means now, nobody knows.
            let at = u.int_in_range(0..=wire.len() - 1)?;
            wire[at] ^= u.int_in_range(1..=255u8)?;
            model.wild = true;
        }
        _ => {}
    }
    if !model.wild && due != Due::Refused {
        about_to(model, saying);
    }
    let result = model.deliver(&wire);
    if model.wild {
        return Ok(());
    }
    match (due, &result) {
        (Due::Taken, Err(error)) => panic!("in order, and refused: {error}: {saying:02x?}"),
        (Due::Refused, Ok(())) => panic!("not in order, and taken: {saying:02x?}"),
        (Due::Refused | Due::Either, Err(Error::PeerMisbehaved(_))) => {}
        (Due::Refused | Due::Either, Err(error)) => panic!("a fault of ours: {error}"),
        (Due::Taken | Due::Either, Ok(())) => taken(model, saying),
    }
    Ok(())
}

/// What the model must know before the PDU is there.
fn about_to(model: &mut Model, saying: &Saying) {
    if saying.status {
        model.stat_sn = model.stat_sn.next();
    }
    match Opcode::from(opcode(&saying.bhs)) {
        Opcode::NopIn => {
            let pdu = NopIn::decode(&saying.bhs);
            model.pings.remove(&pdu.itt.0);
            if pdu.ttt != Ttt::RESERVED {
                model.pongs.push_back((pdu.lun, pdu.ttt, saying.data.clone()));
            }
        }
        Opcode::Reject => rejected(model, saying),
        // The target wants an end: no command goes out after it (RFC 7143 §11.9.1).
        Opcode::AsyncMessage if (1..=4).contains(&AsyncMessage::decode(&saying.bhs).event) => model.held = true,
        _ => {}
    }
}

fn rejected(model: &mut Model, saying: &Saying) {
    let waits_for_logout = Reject::decode(&saying.bhs).reason == 0x0c;
    model.held |= waits_for_logout;
    let Some(named) = saying.data.first_chunk::<BHS_LEN>() else { return };
    let itt = Itt::get(named, 16);
    model.pings.remove(&itt.0);
    let Some(task) = model.tasks.get_mut(&itt.0).filter(|task| task.under_way()) else { return };
    if waits_for_logout && opcode(named) == ScsiCommand::OPCODE {
        task.sent = None;
    }
}

/// What follows from a PDU that was taken.
fn taken(model: &mut Model, saying: &Saying) {
    match Opcode::from(opcode(&saying.bhs)) {
        Opcode::ScsiResponse => ended(model, ScsiResponse::decode(&saying.bhs).itt),
        Opcode::DataIn => {
            let pdu = DataIn::decode(&saying.bhs);
            if let Some(task) = model.tasks.get_mut(&pdu.itt.0)
                && matches!(task.command.data, Data::In(_))
                && task.sent.is_some()
            {
                task.data_in += 1;
            }
            if saying.status {
                ended(model, pdu.itt);
            }
        }
        Opcode::R2t => {
            let pdu = R2t::decode(&saying.bhs);
            let Some(task) = model.tasks.get_mut(&pdu.itt.0).filter(|task| task.under_way()) else { return };
            let end = pdu.buffer_offset + pdu.desired_data_transfer_length;
            task.r2ts += 1;
            task.solicited = end;
            task.asked.push_back(Asked { ttt: pdu.ttt, lun: pdu.lun, next: pdu.buffer_offset, end, data_sn: 0 });
        }
        Opcode::TextResponse => {
            // It goes on: our turn.
            if let Some((_, sent)) = &mut model.text {
                *sent = false;
            }
        }
        Opcode::TaskManagementResponse => {
            let itt = TaskManagementResponse::decode(&saying.bhs).itt;
            assert!(!model.manages.contains_key(&itt.0), "answered, and not told");
        }
        _ => {}
    }
}

/// It was answered, and so has ended.
fn ended(model: &mut Model, itt: Itt) {
    assert!(model.tasks.get(&itt.0).is_some_and(|task| task.ended), "answered, and has not ended");
}

/// Much of the same.
pub(super) fn flood(model: &mut Model, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let Some(floods) = model.floods.checked_sub(1) else { return Ok(()) };
    model.floods = floods;
    let kind = u.int_in_range(0..=2)?;
    let data = vec![0x42; u.int_in_range(0..=512)?];
    // The same each time: a logout wanted, a drop announced, a vendor's event.
    let mut which = [0; 9];
    which[8] = u.arbitrary()?;
    let times = if u.ratio(1, 8)? { 3000 } else { 200 };
    for _ in 0..u.int_in_range(0..=times)? {
        if model.session.rx_plan() == RxPlan::Stop {
            break;
        }
        let (stat_sn, exp_cmd_sn) = (model.stat_sn, model.next_cmd_sn);
        let head = Numbers { stat_sn, exp_cmd_sn, max_cmd_sn: exp_cmd_sn };
        let data = data.clone();
        let mut rest = Unstructured::new(&[]);
        let mut same = Unstructured::new(&which);
        let saying = match kind {
            0 => Saying { data, ..async_message(model, &mut same, head)? },
            1 => Saying { data, ..reject(model, &mut rest, Itt::RESERVED, head)? },
            _ => {
                let (itt, ttt, max_cmd_sn) = (Itt::RESERVED, Ttt(1), exp_cmd_sn);
                let bhs = NopIn { flags: FINAL, lun: Lun(0), itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn }.encode();
                let due = ping(model, ttt);
                Saying { bhs, data, status: false, due }
            }
        };
        if model.max_cmd_sn.is_before(exp_cmd_sn) {
            model.max_cmd_sn = exp_cmd_sn;
        }
        send(model, &mut rest, &saying)?;
    }
    Ok(())
}

/// Bytes of any kind.
pub(super) fn anything(model: &mut Model, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let length = u.int_in_range(1..=200)?;
    let bytes = u.bytes(length)?;
    if model.session.rx_plan() == RxPlan::Stop {
        return Ok(());
    }
    model.wild = true;
    // Whether it is taken is the session's to say.
    let _ = model.deliver(bytes);
    Ok(())
}
