//! Answers of a unit: the first byte says which parser gets the rest.

use iscsi_proto::ids::Lun;
use iscsi_proto::scsi::capacity::{Capacity, Capacity10};
use iscsi_proto::scsi::inquiry::{StandardInquiry, device_type_name};
use iscsi_proto::scsi::mode::ModeParameters;
use iscsi_proto::scsi::report_luns::ReportLuns;
use iscsi_proto::scsi::{Sense, cdb, sense, vpd};

fn shown(text: &str) {
    assert!(text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "text of a unit that is not printable: {text:?}");
}

/// One answer.
pub fn run(data: &[u8]) {
    let Some((which, answer)) = data.split_first() else { return };
    match which % 12 {
        0 => {
            if let Some(inquiry) = StandardInquiry::parse(answer) {
                [&inquiry.vendor, &inquiry.product, &inquiry.revision].into_iter().for_each(|text| shown(text));
                device_type_name(inquiry.device_type);
                inquiry.is_disk();
            }
        }
        1 => {
            if let Some(pages) = vpd::supported(answer) {
                assert!(pages.len() < answer.len());
            }
        }
        2 => {
            if let Some(serial) = vpd::serial(answer) {
                shown(&serial);
            }
        }
        3 => {
            let total: usize = vpd::designators(answer).map(|designator| 4 + designator.name.len()).sum();
            assert!(total <= answer.len(), "designators hold more than arrived");
        }
        4 => {
            if let Some(identifier) = vpd::identifier(answer) {
                shown(&identifier);
                assert!(!identifier.is_empty());
            }
        }
        5 => {
            vpd::BlockLimits::parse(answer);
            vpd::rotation_rate(answer);
            vpd::Provisioning::parse(answer);
        }
        6 => {
            for bytes in [Some(answer), sense::sense_of_response(answer)].into_iter().flatten() {
                assert!(bytes.len() <= answer.len());
                let Some(sense) = Sense::parse(bytes) else { continue };
                shown(&sense.to_string());
                if let Some(text) = sense.text() {
                    shown(text);
                }
                let again = Sense::new(sense.key, sense.asc, sense.ascq);
                assert_eq!(again.is_unit_attention(), sense.is_unit_attention());
                assert_eq!(again.reported_luns_changed(), sense.reported_luns_changed());
            }
        }
        7 => {
            if let Some(report) = ReportLuns::parse(answer) {
                let luns: Vec<Lun> = report.luns().collect();
                assert!(luns.len() * 8 + 8 <= answer.len().max(8), "more units than arrived");
                let beyond = report.beyond().count();
                assert!((luns.len() + beyond) * 8 + 8 <= answer.len().max(8), "more behind the list than arrived");
                assert!(beyond == 0 || !report.is_well_formed());
                for lun in luns {
                    shown(&lun.to_string());
                    if let Some(number) = lun.number() {
                        let again = Lun::from_number(number).expect("a number of a unit");
                        assert_eq!(again.number(), Some(number));
                    }
                }
                if !report.is_complete() {
                    assert!(report.needed() as usize > answer.len(), "asks for what has arrived");
                }
            }
        }
        8 => {
            ModeParameters::parse_6(answer);
            ModeParameters::parse_10(answer);
        }
        9 => {
            if let Ok(capacity) = Capacity::parse_16(answer) {
                assert!(capacity.block_size > 0);
                let whole = u128::from(capacity.blocks) * u128::from(capacity.block_size);
                assert_eq!(u128::from(capacity.bytes()), whole.min(u64::MAX.into()));
                assert!(capacity.physical_block_size() >= capacity.block_size);
            }
        }
        10 => {
            if let Ok(Capacity10::Known(capacity)) = Capacity::parse_10(answer) {
                assert!(capacity.block_size > 0 && capacity.blocks > 0);
                capacity.bytes();
                capacity.physical_block_size();
            }
        }
        _ => {
            let runs: Vec<(u64, u32)> = answer
                .chunks_exact(12)
                .map(|run| {
                    let (lba, blocks) = run.split_at(8);
                    (u64::from_be_bytes(lba.try_into().unwrap()), u32::from_be_bytes(blocks.try_into().unwrap()))
                })
                .collect();
            let mut list = vec![0xa5; 8 + 16 * runs.len().min(20)];
            match cdb::unmap_list(&runs, &mut list) {
                Some(length) => assert_eq!(usize::from(length), 8 + 16 * runs.len()),
                None => assert!(runs.len() > 20, "a list that fits was refused"),
            }
        }
    }
}
