//! Producers of block I/O: whoever offers a unit to the operating system or to another program.
//!
//! ```text
//!   nbd client ── Unix socket ──► nbd ──► Block (trait of the user kernel)
//! ```
//! An export knows a unit by the trait [`Block`](crate::kernel_bridge::user::block::Block) and finds
//! it in the [`Registry`](crate::kernel_bridge::user::block::Registry); it never sees a session.

pub mod nbd;
mod split;
#[cfg(test)]
mod testing;
