//! FUSE, on systems that have none: nothing is ever mounted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::block::Block;

/// A unit's file system, mounted: there is none.
#[derive(Debug)]
pub(crate) enum Mounted {}

impl Mounted {
    /// Says that this system has no FUSE.
    pub(crate) fn mount(_unit: Arc<dyn Block>, _point: &Path, _runtime: &Handle) -> io::Result<Mounted> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "FUSE is not on this system"))
    }

    pub(crate) fn file(&self) -> PathBuf {
        match *self {}
    }

    pub(crate) fn unmount(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn unmount_lazily(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn leave(self) {
        match self {}
    }

    pub(crate) fn abort(&mut self) -> io::Result<()> {
        match *self {}
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        match *self {}
    }
}
