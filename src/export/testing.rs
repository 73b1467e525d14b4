//! What the tests of the exports share: a disk in memory, the same one the integration tests use.

use crate::kernel_bridge::user::block;

#[allow(dead_code)]
#[path = "../../tests/common/ramdisk.rs"]
pub(crate) mod ramdisk;
