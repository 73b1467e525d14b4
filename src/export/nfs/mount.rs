//! The MOUNT protocol (RFC 1813 §5): from a path to the first handle.

use super::handle::LENGTH;
use super::rpc::Refusal;
use super::volume::Volume;
use super::wire::{MAX_PATH, Status, mount_procedure};
use super::xdr::{Garbage, Reader, Write};

/// AUTH_SYS, the flavor of credentials that a client may use.
const AUTH_SYS: u32 = 1;

/// Carries a call out and appends its results. There is no list of mounts: it would help nobody, and clients
/// that crash never unmount.
pub(super) fn perform(
    volume: &Volume,
    procedure: u32,
    mut arguments: Reader<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    match procedure {
        mount_procedure::NULL | mount_procedure::UMNTALL => {}
        mount_procedure::MNT => {
            let path = arguments.opaque(MAX_PATH).map_err(|Garbage| Refusal::Arguments)?;
            match volume.at_path(path) {
                Some(object) => {
                    out.u32(0);
                    let handle: [u8; LENGTH] = object.handle(volume.secret());
                    out.opaque(&handle);
                    out.u32(1);
                    out.u32(AUTH_SYS);
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
    Ok(())
}
