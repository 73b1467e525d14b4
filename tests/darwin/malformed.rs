//! Files that are no program, or not a whole one: one sentence each, never a crash.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::machrun::{Program, is_arm64};

/// sysexits.h: EX_DATAERR.
const WRONG: Option<i32> = Some(65);

/// The header and the load commands of a Mach-O of 64 bits: 32 bytes, and the fifth number after its magic.
fn end_of_commands(file: &[u8]) -> usize {
    32 + number(file, 20) as usize
}

fn number(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"))
}

/// A program's file, and the loader that checks what becomes of it.
struct Sample {
    program: Program,
    bytes: Vec<u8>,
    directory: tempfile::TempDir,
    tried: AtomicUsize,
}

impl Sample {
    fn of(program: Program) -> Sample {
        let bytes = fs::read(&program.file).expect("a program");
        let directory = tempfile::tempdir().expect("a directory");
        Sample { program, bytes, directory, tried: AtomicUsize::new(0) }
    }

    /// Whether the file could be run; if not, it is told in one sentence.
    fn could_run(&self, bytes: &[u8], what: &str) -> Result<(), String> {
        let file = self.directory.path().join(self.tried.fetch_add(1, Ordering::Relaxed).to_string());
        fs::write(&file, bytes).expect("a file");
        // Thousands of them: the limit of the whole test is enough.
        let ended = self.program.machrun().arg("--check").arg(&file).output().expect("the loader");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        fs::remove_file(&file).expect("a file");
        if ended.status.code() == Some(0) {
            assert!(said.is_empty(), "{what}: {said}");
            return Ok(());
        }
        assert_eq!(ended.status.code(), WRONG, "{what}: {} {said}", ended.status);
        let one = said.lines().count() == 1 && said.starts_with(&format!("machrun: {}: ", file.display()));
        assert!(one, "{what}: {said}");
        Err(said)
    }

    fn must_fail(&self, bytes: &[u8], what: &str) -> String {
        self.could_run(bytes, what).err().unwrap_or_else(|| panic!("{what}: it could run"))
    }
}

/// Of how many places one is tried: an emulator takes its time to start.
fn sparsely() -> usize {
    if is_arm64() { 16 } else { 1 }
}

fn both_kinds() -> Option<[Sample; 2]> {
    let chained = Program::named("fixups")?;
    let by_opcodes = Program::linked("fixups", "-by-opcodes", &["-no_fixup_chains"])?;
    Some([chained, by_opcodes].map(Sample::of))
}

#[test]
fn a_file_cut_short_anywhere_gets_one_sentence() {
    let Some(samples) = both_kinds() else { return };
    for sample in &samples {
        let end = end_of_commands(&sample.bytes);
        let within_commands = (0..end).step_by(64);
        let behind = (end..sample.bytes.len()).step_by(sample.bytes.len() / 64);
        for length in within_commands.chain(behind) {
            sample.must_fail(&sample.bytes[..length], &format!("cut to {length}"));
        }
    }
}

#[test]
fn no_number_in_the_load_commands_makes_the_loader_crash() {
    let Some(samples) = both_kinds() else { return };
    for sample in &samples {
        for at in (0..end_of_commands(&sample.bytes)).step_by(4 * sparsely()) {
            for value in [0, u32::MAX] {
                let mut bytes = sample.bytes.clone();
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
                drop(sample.could_run(&bytes, &format!("{value:#x} at {at:#x}")));
            }
        }
    }
}

/// What the linker left for the loader, of which the fixups come first.
#[test]
fn nothing_in_the_fixups_makes_the_loader_crash() {
    const LINKEDIT: &[u8] = b"__LINKEDIT\0";
    let Some(samples) = both_kinds() else { return };
    for sample in &samples {
        let name = sample.bytes.windows(LINKEDIT.len()).position(|window| window == LINKEDIT).expect("a segment");
        // segment_command_64: the offset in the file is 32 bytes behind the beginning of the name.
        let begin = number(&sample.bytes, name + 32) as usize;
        for at in (begin..begin + 320).step_by(sparsely()) {
            for value in [0xff, sample.bytes[at] ^ 0x10] {
                let mut bytes = sample.bytes.clone();
                bytes[at] = value;
                drop(sample.could_run(&bytes, &format!("{value:#x} at {at:#x}")));
            }
        }
    }
}

/// xnu would kill it when it comes to that page.
#[test]
fn a_program_that_was_changed_after_it_was_signed_is_told() {
    let Some(samples) = both_kinds() else { return };
    for sample in &samples {
        sample.could_run(&sample.bytes, "as it was signed").expect("nothing to be said");
        // Of what is for people only.
        let text = sample.bytes.windows(6).position(|window| window == b"thrice").expect("a text");
        let mut bytes = sample.bytes.clone();
        bytes[text] ^= 1;
        let said = sample.must_fail(&bytes, "another text");
        assert!(said.contains(&format!("page {} is not as it was signed", text / 4096)), "{said}");
    }
}

/// A file of slices, as `lipo` writes it: big-endian numbers; of two processors, the other's with nothing in it.
fn fat(slice: &[u8], at: usize, wide: bool) -> Vec<u8> {
    const X86_64: u32 = 0x0100_0007;
    const ARM64: u32 = 0x0100_000c;
    let (ours, other) = if is_arm64() { (ARM64, X86_64) } else { (X86_64, ARM64) };
    let mut file = Vec::new();
    let put = |file: &mut Vec<u8>, number: u32| file.extend(number.to_be_bytes());
    put(&mut file, if wide { 0xcafe_babf } else { 0xcafe_babe });
    put(&mut file, 2);
    for (processor, offset, size) in [(other, 4096, 16), (ours, at, slice.len())] {
        put(&mut file, processor);
        put(&mut file, 0);
        for number in [offset, size] {
            if wide {
                put(&mut file, 0);
            }
            put(&mut file, u32::try_from(number).expect("a small file"));
        }
        put(&mut file, 14);
        if wide {
            put(&mut file, 0);
        }
    }
    file.resize(at, 0);
    file.extend(slice);
    file
}

#[test]
fn of_a_fat_file_the_slice_of_this_processor_runs() {
    let Some(program) = Program::named("fixups") else { return };
    let Program { loader, file } = program;
    let directory = tempfile::tempdir().expect("a directory");
    let slice = fs::read(&file).expect("a program");
    // At pages, and where nobody would have put it.
    for (at, wide) in [(0x4000, false), (0x8000, true), (0x4010, false), (0x4fff, true)] {
        let file = directory.path().join(format!("fat-{at}"));
        fs::write(&file, fat(&slice, at, wide)).expect("a fat file");
        let said = Program { loader: loader.clone(), file }.says(&[]);
        assert!(said.ends_with("3000\n"), "{said}");
    }
}

#[test]
fn a_fat_file_without_a_slice_of_this_processor_is_refused() {
    let Some([sample, _]) = both_kinds() else { return };
    let mut bytes = fat(&sample.bytes, 0x4000, false);
    // The second slice's processor, after the header and the first.
    bytes[8 + 20..8 + 24].copy_from_slice(&12u32.to_be_bytes());
    assert!(sample.must_fail(&bytes, "another's").contains("none of the 2 slices"), "of other processors");
    bytes[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    sample.must_fail(&bytes[..0x1000], "a count that lies");
}

#[test]
fn what_is_no_program_is_said_to_be_none() {
    let Some([sample, _]) = both_kinds() else { return };
    let cases: [(&[u8], &str); 3] = [
        (b"", "it is empty"),
        (b"#!/bin/sh\necho this is a script of some length\n", "it is no Mach-O of 64 bits"),
        (&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], "the file"),
    ];
    for (bytes, why) in cases {
        let said = sample.must_fail(bytes, why);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_program_that_is_not_there_is_said_so() {
    let Some(program) = Program::named("fixups") else { return };
    let absent = Program { loader: program.loader, file: Path::new("/nonexistent/program").to_owned() };
    let ended = absent.run(&[]);
    // EX_NOINPUT
    assert_eq!(ended.status.code(), Some(66), "{ended:?}");
    assert_eq!(ended.stderr, "machrun: /nonexistent/program cannot be read: No such file or directory\n");
}
