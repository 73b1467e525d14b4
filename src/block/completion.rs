//! How the results of operations come back to their submitters.
//!
//! ```text
//!   Completion ── finish ──────────┐
//!   Finished ── add, add, send ────┴──► Completions ── wait, take ──► Done { token, result, buffer }
//! ```
//! A [`Completion`] that is forgotten answers its operation with [`IoError::Aborted`].

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::error::IoError;
use super::pool::Buffer;

/// An operation's result.
#[derive(Debug)]
pub struct Done {
    /// The one given to [`Completions::completion`].
    pub token: u64,
    /// What became of it.
    pub result: Result<(), IoError>,
    /// The buffer that came with the operation.
    pub buffer: Option<Buffer>,
}

/// Where the results of one exporter's connection arrive.
#[derive(Debug, Default)]
pub struct Completions {
    done: Mutex<Vec<Done>>,
    arrived: Notify,
}

impl Completions {
    /// An empty queue.
    pub fn new() -> Arc<Completions> {
        Arc::new(Completions::default())
    }

    /// The promise for one operation, known by `token`.
    pub fn completion(self: &Arc<Self>, token: u64) -> Completion {
        Completion { queue: Some(self.clone()), token }
    }

    /// Moves everything that has arrived to the end of `out`; waits until there is something.
    /// May be cancelled and called again without loss.
    pub async fn wait(&self, out: &mut Vec<Done>) {
        while !self.take(out) {
            self.arrived.notified().await;
        }
    }

    /// Moves everything that has arrived to the end of `out` and says whether there was anything.
    pub fn take(&self, out: &mut Vec<Done>) -> bool {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let any = !done.is_empty();
        out.append(&mut done);
        any
    }

    fn push(&self, done: impl IntoIterator<Item = Done>) {
        let was_empty = {
            let mut queue = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = queue.is_empty();
            queue.extend(done);
            was_empty
        };
        if was_empty {
            self.arrived.notify_one();
        }
    }
}

/// Results on their way: all results of a round reach each waiting connection together, under one lock and with one
/// wake-up for each [`Completions`].
#[derive(Debug, Default)]
pub(crate) struct Finished {
    queue: Option<Arc<Completions>>,
    done: Vec<Done>,
}

impl Finished {
    /// Answers an operation and gives its buffer back, at the next [`send`](Finished::send).
    pub(crate) fn add(&mut self, mut completion: Completion, result: Result<(), IoError>, buffer: Option<Buffer>) {
        let Some(queue) = completion.queue.take() else { return };
        if !self.queue.as_ref().is_some_and(|current| Arc::ptr_eq(current, &queue)) {
            self.send();
            self.queue = Some(queue);
        }
        self.done.push(Done { token: completion.token, result, buffer });
    }

    /// Lets go of everything.
    pub(crate) fn send(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.push(self.done.drain(..));
        }
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        self.send();
    }
}

/// The promise to answer one operation. One that is dropped answers [`IoError::Aborted`].
#[derive(Debug)]
pub struct Completion {
    queue: Option<Arc<Completions>>,
    token: u64,
}

impl Completion {
    /// Answers and gives the buffer back.
    pub fn finish(mut self, result: Result<(), IoError>, buffer: Option<Buffer>) {
        if let Some(queue) = self.queue.take() {
            queue.push([Done { token: self.token, result, buffer }]);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.push([Done { token: self.token, result: Err(IoError::Aborted), buffer: None }]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_forgotten_operation_is_answered() {
        let completions = Completions::new();
        drop(completions.completion(7));
        let mut done = Vec::new();
        completions.wait(&mut done).await;
        assert_eq!((done[0].token, done[0].result), (7, Err(IoError::Aborted)));
    }

    #[tokio::test]
    async fn results_come_out_in_one_batch() {
        let completions = Completions::new();
        for token in 0..3 {
            completions.completion(token).finish(Ok(()), None);
        }
        let mut done = Vec::new();
        completions.wait(&mut done).await;
        assert_eq!(done.iter().map(|done| done.token).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(!completions.take(&mut done));
    }
}
