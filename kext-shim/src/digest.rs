//! CRC32C by the processor's instruction.
//!
//! SSE 4.2 and ARMv8 have one that works on general registers: no vector state is touched, so that it may be
//! used in a kernel, where a compiler may not be told of those features. Every Mac that macOS 11 runs on has it;
//! elsewhere (where this is tested) the processor is asked once per session.

use core::sync::atomic::{AtomicBool, Ordering};

use iscsi_proto::digest::{Crc32c, SoftCrc32c};

static INSTRUCTION: AtomicBool = AtomicBool::new(false);

/// The instruction, once [`look`](Hardware::look) has found it; else tables.
#[derive(Debug)]
pub struct Hardware;

impl Hardware {
    /// Finds out whether there is the instruction.
    pub fn look() {
        INSTRUCTION.store(has_instruction(), Ordering::Relaxed);
    }
}

impl Crc32c for Hardware {
    fn append(crc: u32, bytes: &[u8]) -> u32 {
        if INSTRUCTION.load(Ordering::Relaxed) { by_instruction(crc, bytes) } else { SoftCrc32c::append(crc, bytes) }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn has_instruction() -> bool {
    // Leaf 1 is there on every processor with 64 bits; bit 20 of ECX is SSE 4.2.
    core::arch::x86_64::__cpuid(1).ecx & 1 << 20 != 0
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn by_instruction(crc: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = u64::from(!crc);
    for word in words {
        let word = u64::from_le_bytes(*word);
        // SAFETY: registers only; `has_instruction` has found it.
        unsafe { core::arch::asm!("crc32 {0}, {1}", inout(reg) state, in(reg) word, options(pure, nomem, nostack)) };
    }
    let mut state = state as u32;
    for &byte in rest {
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("crc32 {0:e}, {1}", inout(reg) state, in(reg_byte) byte, options(pure, nomem, nostack));
        }
    }
    !state
}

#[cfg(all(target_arch = "aarch64", target_os = "macos", not(miri)))]
fn has_instruction() -> bool {
    true
}

#[cfg(all(target_arch = "aarch64", target_os = "macos", not(miri)))]
fn by_instruction(crc: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = !crc;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // SAFETY: registers only; every Mac with this processor has it.
        unsafe {
            core::arch::asm!("crc32cx {0:w}, {0:w}, {1:x}", inout(reg) state, in(reg) word,
                options(pure, nomem, nostack));
        }
    }
    for &byte in rest {
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("crc32cb {0:w}, {0:w}, {1:w}", inout(reg) state, in(reg) u32::from(byte),
                options(pure, nomem, nostack));
        }
    }
    !state
}

#[cfg(any(miri, not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "macos")))))]
fn has_instruction() -> bool {
    false
}

#[cfg(any(miri, not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "macos")))))]
fn by_instruction(crc: u32, bytes: &[u8]) -> u32 {
    SoftCrc32c::append(crc, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_gives_what_the_tables_give() {
        Hardware::look();
        let data: Vec<u8> = (0..1000u32).map(|n| (n * 167) as u8).collect();
        for from in 0..9 {
            for len in [0, 1, 7, 8, 9, 48, 900] {
                let bytes = &data[from..from + len];
                let start = SoftCrc32c::append(0, &data[..from]);
                assert_eq!(Hardware::append(start, bytes), SoftCrc32c::append(start, bytes), "{from} {len}");
            }
        }
    }
}
