//! One direction of a connection.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::segment::{Segmentation, Stream};

/// Carries bytes until the sender has ended its direction, and ends it on the other side too.
pub(super) async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, how: Segmentation) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        // What came before an error is delivered before it.
        let stream = how.gather(&mut from, &mut bytes).await;
        how.send(&mut to, &bytes).await?;
        bytes.clear();
        if stream? == Stream::Ended {
            return to.shutdown().await;
        }
    }
}
