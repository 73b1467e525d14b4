//! How a stream is cut into segments.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

/// Who sends nothing for so long has said what it had to say.
const QUIET: Duration = Duration::from_millis(2);

/// As much as is read at a time, in bytes.
const READ: usize = 64 << 10;

/// As much as is glued, in bytes: somebody who waits for room in the other direction is not kept waiting.
const MOST: usize = 1 << 20;

/// How what arrives is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Segmentation {
    /// As it comes.
    #[default]
    Whole,
    /// Each byte in a segment of its own.
    Cut,
    /// Everything that comes before the sender pauses, in one piece.
    Glue,
}

/// Whether a sender may say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    GoesOn,
    Ended,
}

impl Segmentation {
    /// All of them.
    pub const ALL: [Segmentation; 3] = [Segmentation::Whole, Segmentation::Cut, Segmentation::Glue];

    /// Appends what is to be passed on next to `bytes`, which has it even where this fails.
    pub(super) async fn gather(self, from: &mut ReadHalf<'_>, bytes: &mut Vec<u8>) -> io::Result<Stream> {
        let mut count = read(from, bytes).await?;
        while self == Segmentation::Glue && count > 0 && bytes.len() < MOST {
            match timeout(QUIET, read(from, bytes)).await {
                Ok(more) => count = more?,
                Err(_) => break,
            }
        }
        Ok(if count == 0 { Stream::Ended } else { Stream::GoesOn })
    }

    /// Passes `bytes` on; the socket must not delay small segments.
    pub(super) async fn send(self, to: &mut WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
        match self {
            Segmentation::Whole | Segmentation::Glue => to.write_all(bytes).await,
            Segmentation::Cut => {
                for byte in bytes.chunks(1) {
                    to.write_all(byte).await?;
                }
                Ok(())
            }
        }
    }
}

async fn read(from: &mut ReadHalf<'_>, bytes: &mut Vec<u8>) -> io::Result<usize> {
    bytes.reserve(READ);
    from.read_buf(bytes).await
}
