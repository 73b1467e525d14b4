//! What the tests of the exports share: a disk in memory, the same one the integration tests use.

use crate::block;

#[allow(dead_code)]
#[path = "../../tests/common/ramdisk.rs"]
pub(crate) mod ramdisk;
