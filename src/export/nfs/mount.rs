//! The MOUNT protocol (RFC 1813 §5): from a path to the first handle.

use super::rpc::Refusal;
use super::volume::Volume;
use super::wire::{MAX_PATH, Status, mount_procedure, program};
use super::xdr::{Garbage, Reader, Write};

/// AUTH_SYS, the flavor of credentials that a client may use.
const AUTH_SYS: u32 = 1;

/// Whether a call of that version is one that is carried out. Apple's client unmounts by version 1 (Apple's NFS,
/// kext/nfs_vfsops.c, nfs3_umount_rpc), which has the same UMNT (RFC 1094 appendix A).
pub(super) fn has(version: u32, procedure: u32) -> bool {
    const FIRST: u32 = 1;
    version == program::VERSION || (version == FIRST && procedure == mount_procedure::UMNT)
}

/// Carries a call out and appends its results; whether it was a mount. There is no list of mounts: it would help
/// nobody, and clients that crash never unmount.
pub(super) fn perform(
    volume: &Volume,
    procedure: u32,
    mut arguments: Reader<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, Refusal> {
    match procedure {
        mount_procedure::NULL | mount_procedure::UMNTALL => {}
        mount_procedure::MNT => {
            let path = arguments.opaque(MAX_PATH).map_err(|Garbage| Refusal::Arguments)?;
            match volume.at_path(path) {
                Some(handle) => {
                    out.u32(0);
                    out.opaque(&handle.bytes(volume.secret()));
                    out.u32(1);
                    out.u32(AUTH_SYS);
                    return Ok(true);
                }
                None => out.u32(Status::Access as u32),
            }
        }
        mount_procedure::UMNT => {
            arguments.opaque(MAX_PATH).map_err(|Garbage| Refusal::Arguments)?;
        }
        // The lists of mounts and of exports are always empty.
        mount_procedure::DUMP | mount_procedure::EXPORT => out.bool(false),
        _ => return Err(Refusal::Procedure),
    }
    Ok(false)
}
