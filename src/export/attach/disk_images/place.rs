//! Where below the runtime directory a unit's mount and file are.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::inner::Inner;
use crate::export::attach::AttachError;
use crate::export::name::file_name;

/// Where a unit's mount and file are.
pub(super) struct Place {
    pub(super) point: PathBuf,
    pub(super) file: PathBuf,
}

impl Inner {
    pub(super) fn place(&self, unit: &str) -> Result<Place, AttachError> {
        let name = file_name(unit)
            .ok_or_else(|| AttachError::Unsupported(format!("{unit} is too long a name for a directory")))?;
        // The system names files by their real path: on macOS, /var is a link.
        let luns = self.luns.canonicalize().unwrap_or_else(|_| self.luns.clone());
        let point = luns.join(&name);
        Ok(Place { file: point.join(&name), point })
    }
}

/// Makes a directory; what is below the runtime directory is root's alone.
pub(super) fn make_directory(path: &Path) -> Result<(), AttachError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| AttachError::Failed(format!("{} cannot be made: {error}", path.display())))
}
