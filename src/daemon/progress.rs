//! News of a request's work, for the client that waits for it.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ipc::{BenchProgress, Frame};

/// The way to a client, which shows the news while it waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    to: Option<mpsc::Sender<Frame>>,
    gone: CancellationToken,
}

impl Progress {
    /// To a client that takes frames there; `gone` says that it has hung up.
    pub(crate) fn to(client: mpsc::Sender<Frame>, gone: CancellationToken) -> Progress {
        Progress { to: Some(client), gone }
    }

    /// Sends `sentence`. A client that does not take sentences quickly enough misses some.
    pub(crate) fn say(&self, sentence: impl Into<String>) {
        self.send(Frame::Progress(sentence.into()));
    }

    /// Shows how far a benchmark is.
    pub(crate) fn show(&self, progress: BenchProgress) {
        self.send(Frame::Bench(progress));
    }

    fn send(&self, frame: Frame) {
        if let Some(to) = &self.to {
            let _ = to.try_send(frame);
        }
    }

    /// Waits until the client has hung up.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}
