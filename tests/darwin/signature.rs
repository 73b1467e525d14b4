//! The signature that the linker puts into a program (osfmk/kern/cs_blobs.h of xnu).

use std::path::Path;

/// CSMAGIC_CODEDIRECTORY.
const CODE_DIRECTORY: [u8; 4] = 0xfade_0c02_u32.to_be_bytes();
/// Where a code directory says where its identifier is.
const IDENTIFIER_OFFSET: usize = 20;

/// Where it says where its team is, from CS_SUPPORTSTEAMID on, which the linker's is.
const TEAM_OFFSET: usize = 48;

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

fn edit(program: &Path, edit: impl FnOnce(&mut [u8])) {
    let mut bytes = std::fs::read(program).expect("the program");
    let directories = bytes.windows(CODE_DIRECTORY.len()).rposition(|four| four == CODE_DIRECTORY);
    edit(&mut bytes[directories.expect("a code directory")..]);
    std::fs::write(program, bytes).expect("the program, written");
}

/// What another build's signature is to macOS: another code directory, here by another name in it.
pub(crate) fn sign_again(program: &Path) {
    edit(program, |directory| {
        let name = word(directory, IDENTIFIER_OFFSET);
        directory[name] ^= 1;
    });
}

/// Makes it a team's: what follows the first letter of its name, which another build keeps.
pub(crate) fn sign_by_a_team(program: &Path) {
    edit(program, |directory| {
        assert_eq!(word(directory, TEAM_OFFSET), 0, "it is a team's already");
        let team = word(directory, IDENTIFIER_OFFSET) as u32 + 1;
        directory[TEAM_OFFSET..TEAM_OFFSET + 4].copy_from_slice(&team.to_be_bytes());
    });
}
