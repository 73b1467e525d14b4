//! Commands that do not touch the medium: who a unit is and how it is.

use iscsi_proto::scsi::Sense;

use crate::decode::{INVALID_FIELD, INVALID_OPCODE, number};
use crate::disk::Unit;
use crate::lock::lock;
use crate::script::Command;
use crate::sense::fixed_sense;
use crate::session::Session;

/// What becomes of such a command.
pub(crate) enum Outcome {
    Done,
    Data(Vec<u8>),
    Check(Sense),
}

/// Does it. Without a unit only INQUIRY, REPORT LUNS and REQUEST SENSE come here.
pub(crate) fn execute(session: &Session, command: &Command, unit: Option<&Unit>) -> Outcome {
    let cdb = &command.cdb;
    let (data, allocation) = match (cdb[0], unit) {
        (0x00 | 0x1b, _) => return Outcome::Done,
        (0x03, _) => {
            let mut waiting = lock(&session.attentions);
            let at = waiting.iter().position(|(lun, _)| *lun == command.lun);
            let sense = at.and_then(|at| waiting.remove(at)).map(|(_, sense)| sense);
            let none = Sense::new(iscsi_proto::scsi::SenseKey::NoSense, 0, 0);
            (Ok(fixed_sense(&sense.unwrap_or(none))), number(&cdb[4..5]))
        }
        (0x12, _) => (inquiry(session, command, unit), number(&cdb[3..5])),
        (0xa0, _) => (report_luns(session, cdb), number(&cdb[6..10])),
        (0x1a, Some(unit)) => (mode_sense_6(unit, cdb), number(&cdb[4..5])),
        (0x5a, Some(unit)) => (mode_sense_10(unit, cdb), number(&cdb[7..9])),
        (0x25, Some(unit)) => (Ok(capacity_10(unit)), 8),
        (0x9e, Some(unit)) if cdb[1] & 0x1f == 0x10 => (Ok(capacity_16(unit)), number(&cdb[10..14])),
        _ => (Err(INVALID_OPCODE), 0),
    };
    match data {
        Ok(mut data) => {
            data.truncate(allocation as usize);
            Outcome::Data(data)
        }
        Err(sense) => Outcome::Check(sense),
    }
}

fn inquiry(session: &Session, command: &Command, unit: Option<&Unit>) -> Result<Vec<u8>, Sense> {
    let cdb = &command.cdb;
    let (vital, page) = (cdb[1] & 1 != 0, cdb[2]);
    let Some(unit) = unit else {
        // There is no unit and there can be none (SPC-5 table 146).
        return if vital { Err(INVALID_FIELD) } else { Ok(standard([0x7f, 0, 0], ["SIM", "", ""])) };
    };
    let disk = &unit.disk;
    if !vital {
        if page != 0 {
            return Err(INVALID_FIELD);
        }
        // LU_CONG.
        let conglomerate = u8::from(disk.administrative) << 6;
        return Ok(standard([disk.peripheral(), conglomerate, 2], [&disk.vendor, &disk.product, &disk.revision]));
    }
    let contents = vital_page(session, command, unit, page).ok_or(INVALID_FIELD)?;
    let mut data = vec![disk.peripheral(), page];
    data.extend((contents.len() as u16).to_be_bytes());
    data.extend(contents);
    Ok(data)
}

fn standard([peripheral, conglomerate, queuing]: [u8; 3], names: [&str; 3]) -> Vec<u8> {
    let mut data = vec![peripheral, conglomerate, 6, 0x12, 0, 0, 0, queuing];
    for (name, width) in names.into_iter().zip([8, 16, 4]) {
        let end = data.len() + width;
        data.extend(name.bytes().take(width));
        data.resize(end, b' ');
    }
    data.resize(96, 0);
    data[4] = 96 - 5;
    data
}

/// A page of vital product data without its header; `None` if the unit does not have it.
fn vital_page(session: &Session, command: &Command, unit: &Unit, page: u8) -> Option<Vec<u8>> {
    let disk = &unit.disk;
    let has_limits = disk.device_type == 0 && (disk.thin || disk.limits.is_some());
    let name = &session.shared.config.name;
    let serial =
        || disk.serial.clone().unwrap_or_else(|| format!("{:08x}{}", crc32c::crc32c(name.as_bytes()), command.lun));
    Some(match page {
        0x00 => {
            let mut pages = vec![0x00, 0x80, 0x83];
            if has_limits {
                pages.push(0xb0);
            }
            if disk.device_type == 0 {
                pages.extend([0xb1, 0xb2]);
            }
            pages
        }
        0x80 => serial().into_bytes(),
        0x83 => {
            let made_up = || {
                let mut naa = [0x60, 0x2f, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                naa[4..8].copy_from_slice(&crc32c::crc32c(name.as_bytes()).to_be_bytes());
                naa[8..].copy_from_slice(&command.lun.0.to_be_bytes());
                naa
            };
            let naa = disk.naa.unwrap_or_else(made_up);
            let mut target = name.clone().into_bytes();
            target.resize((target.len() + 1).next_multiple_of(4), 0);
            let vendor = format!("{:<8}{}", disk.vendor, serial());
            let mut page = designator(1, 0x03, &naa);
            page.extend(designator(2, 0x01, vendor.as_bytes()));
            page.extend(designator(1, 0x94, &[0, 0, 0, 1]));
            page.extend(designator(3, 0xa8, &target));
            page
        }
        0xb0 if has_limits => {
            let limits = disk.effective_limits();
            let mut page = vec![u8::from(limits.write_same_non_zero), limits.max_compare_and_write];
            page.extend(limits.optimal_transfer_granularity.to_be_bytes());
            page.extend(limits.max_transfer.to_be_bytes());
            page.extend(limits.optimal_transfer.to_be_bytes());
            page.extend([0; 4]);
            page.extend(limits.max_unmap_blocks.to_be_bytes());
            page.extend(limits.max_unmap_descriptors.to_be_bytes());
            page.extend(limits.unmap_granularity.to_be_bytes());
            page.extend(limits.unmap_alignment.map_or(0, |alignment| alignment | 0x8000_0000).to_be_bytes());
            page.extend(limits.max_write_same.to_be_bytes());
            page.resize(60, 0);
            page
        }
        0xb1 if disk.device_type == 0 => {
            let mut page = disk.rotation.to_be_bytes().to_vec();
            page.resize(60, 0);
            page
        }
        0xb2 if disk.device_type == 0 => {
            // LBPU, LBPWS, LBPRZ; thin.
            if disk.thin { vec![0, 0xc4, 2, 0] } else { vec![0; 4] }
        }
        _ => return None,
    })
}

fn designator(code_set: u8, kind: u8, name: &[u8]) -> Vec<u8> {
    // The protocol identifier, iSCSI, is valid with PIV.
    let protocol = if kind & 0x80 != 0 { 0x50 } else { 0 };
    [&[protocol | code_set, kind, 0, name.len() as u8], name].concat()
}

fn report_luns(session: &Session, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    if number(&cdb[6..10]) < 16 || cdb[2] > 2 {
        return Err(INVALID_FIELD);
    }
    // Select report 1 asks for well-known units, of which there are none.
    let luns = if cdb[2] == 1 { Vec::new() } else { session.shared.luns() };
    let mut data = ((luns.len() * 8) as u32).to_be_bytes().to_vec();
    data.extend([0; 4]);
    for lun in luns {
        data.extend(lun.0.to_be_bytes());
    }
    Ok(data)
}

fn mode_sense_6(unit: &Unit, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    let (descriptor, pages) = mode_pages(unit, cdb)?;
    let mut data = vec![0, 0, device_specific(unit), descriptor.len() as u8];
    data.extend(descriptor);
    data.extend(pages);
    data[0] = (data.len() - 1) as u8;
    Ok(data)
}

fn mode_sense_10(unit: &Unit, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    let (descriptor, pages) = mode_pages(unit, cdb)?;
    let mut data = vec![0, 0, 0, device_specific(unit), 0, 0, 0, descriptor.len() as u8];
    data.extend(descriptor);
    data.extend(pages);
    let length = (data.len() - 2) as u16;
    data[..2].copy_from_slice(&length.to_be_bytes());
    Ok(data)
}

/// WP and DPOFUA (SBC-4 §6.5.1).
fn device_specific(unit: &Unit) -> u8 {
    u8::from(unit.is_write_protected()) << 7 | u8::from(unit.disk.fua) << 4
}

/// The block descriptor, unless DBD forbids it, and the pages asked for.
fn mode_pages(unit: &Unit, cdb: &[u8; 16]) -> Result<(Vec<u8>, Vec<u8>), Sense> {
    // Changeable values: none. Saved values: not kept.
    let page_control = cdb[2] >> 6;
    if page_control == 3 {
        return Err(Sense::new(iscsi_proto::scsi::SenseKey::IllegalRequest, 0x39, 0));
    }
    let mut descriptor = Vec::new();
    if cdb[1] & 0x08 == 0 {
        descriptor.extend(u32::try_from(unit.blocks()).unwrap_or(u32::MAX).to_be_bytes());
        descriptor.extend(unit.disk.block_size.to_be_bytes());
    }
    let is_changeable = page_control == 1;
    let mut caching = vec![0; 20];
    (caching[0], caching[1]) = (0x08, 0x12);
    caching[2] = if unit.disk.write_cache && !is_changeable { 0x04 } else { 0 };
    let mut control = vec![0; 12];
    (control[0], control[1]) = (0x0a, 0x0a);
    control[2] = if unit.disk.descriptor_sense && !is_changeable { 0x04 } else { 0 };
    match cdb[2] & 0x3f {
        0x08 => Ok((descriptor, caching)),
        0x0a => Ok((descriptor, control)),
        0x3f => Ok((descriptor, [caching, control].concat())),
        _ => Err(INVALID_FIELD),
    }
}

fn capacity_10(unit: &Unit) -> Vec<u8> {
    let last = u32::try_from(unit.blocks() - 1).unwrap_or(u32::MAX);
    [last.to_be_bytes(), unit.disk.block_size.to_be_bytes()].concat()
}

fn capacity_16(unit: &Unit) -> Vec<u8> {
    let mut data = (unit.blocks() - 1).to_be_bytes().to_vec();
    data.extend(unit.disk.block_size.to_be_bytes());
    data.extend([0, unit.disk.physical_exponent]);
    // LBPME and LBPRZ.
    data.push(if unit.disk.thin { 0xc0 } else { 0 });
    data.resize(32, 0);
    data
}
