//! The signature that the linker puts into a program (osfmk/kern/cs_blobs.h of xnu).

use std::path::Path;

/// CSMAGIC_CODEDIRECTORY.
const CODE_DIRECTORY: [u8; 4] = 0xfade_0c02_u32.to_be_bytes();
/// Where a code directory says where its identifier is.
const IDENTIFIER_OFFSET: usize = 20;

/// What another build's signature is to macOS: another code directory, here by another name in it.
pub(crate) fn sign_again(program: &Path) {
    let mut bytes = std::fs::read(program).expect("the program");
    let directories = bytes.windows(CODE_DIRECTORY.len()).rposition(|four| four == CODE_DIRECTORY);
    let directory = directories.expect("a code directory");
    let at = directory + IDENTIFIER_OFFSET;
    let offset = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    bytes[directory + offset as usize] ^= 1;
    std::fs::write(program, bytes).expect("the program, written");
}
