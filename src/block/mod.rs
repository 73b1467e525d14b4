//! The block device, as exports and loads see it: blocks in, completions out.
//!
//! ```text
//!   export ── Io { op, lba, blocks, buffer, completion } ──► Block::submit ──► unit, driver
//!   export ◄── Done { token, result, buffer } ── Completions ◄── Completion::finish
//! ```
//! An exporter keeps one [`Completions`] per connection and as many [`Io`]s under way as it likes;
//! batches go in by one call and come out by one.

mod claims;
mod completion;
mod device;
mod error;
mod geometry;
mod io;
mod memory;
mod name;
mod pool;
mod registry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use self::claims::{Claim, Use};
pub(crate) use self::completion::Finished;
pub use self::completion::{Completion, Completions, Done};
pub use self::device::{Block, read_first_block, run};
pub use self::error::IoError;
pub use self::geometry::Geometry;
pub use self::io::{Io, Op};
pub(crate) use self::memory::{Memory, keep_stack};
pub use self::name::{UnitName, name_parts};
pub use self::pool::{Buffer, MAX_BUFFER, Pool};
pub use self::registry::Registry;
