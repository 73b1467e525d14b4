//! Whether a mount of an earlier life leads to this daemon.
//!
//! ```text
//!   cat <mount>/<a name that nobody has asked for> ─┬─ what only this life of the daemon knows ─► Ours
//!                                                   ├─ anything else, or no such file ──────────► Another's
//!                                                   └─ no answer, again and again ──────────────► Silent
//! ```
//! It is read by a program that can be ended: whoever serves the mount may let its readers wait for ever. Our own server
//! waits for nobody with the answer, also not for the target; what takes time is the client, which comes back to a server
//! that was away.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::AttachError;
use super::program::Program;
use super::runner::Runner;
use crate::export::nfs::Proofs;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(15);

/// How long a mount may take to show whose it is: as long as a disk of an earlier life may take to answer. A client that
/// has lost its server tries to connect again after some seconds, at most ten on Linux and eight on macOS.
const LIMIT: Duration = Duration::from_secs(120);

/// How long until the next attempt: a program that cannot be run has failed at once.
const PAUSE: Duration = Duration::from_secs(2);

/// How `cat` says ENOENT and ESTALE, by which a server says that there is nothing of that name: as C's library has it, in
/// the language that it is told to speak.
const DENIALS: [&str; 2] = ["No such file", "Stale"];

/// What a mount has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It leads to this daemon.
    Ours,
    /// It leads to somebody else, or to nothing that this daemon ever mounted.
    Another,
    /// It has not answered.
    Silent,
}

/// What the mount of a unit shows.
///
/// # Errors
/// If the system gives no random numbers.
pub(super) async fn shown(
    runner: &dyn Runner,
    point: &Path,
    unit: &str,
    proofs: &Proofs,
) -> Result<Shown, AttachError> {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        // A client answers from its memory what it was told once: each attempt is another question.
        let asked = proofs.ask(unit).map_err(|error| AttachError::Failed(error.to_string()))?;
        let file = point.join(&asked.file_name);
        match runner.run(Program::Cat, vec![file.into()], ATTEMPT).await {
            Ok(outcome) if outcome.ok() && outcome.stdout == asked.content.as_bytes() => return Ok(Shown::Ours),
            // Whatever else fails a read, a signal, no memory, a user's privacy settings, says nothing of the mount.
            Ok(outcome) if !outcome.ok() && !DENIALS.iter().any(|denial| outcome.reason().contains(denial)) => {
                tracing::debug!("whose {} is does not show yet: {}", point.display(), outcome.reason());
            }
            Ok(outcome) => {
                let said = if outcome.ok() { "another answer".to_owned() } else { outcome.reason() };
                tracing::warn!("{} does not lead to this iscsid: {said}", point.display());
                return Ok(Shown::Another);
            }
            Err(error) => tracing::debug!("whose {} is does not show yet: {error}", point.display()),
        }
        sleep(PAUSE).await;
    }
    tracing::warn!("{} does not show within {} s that it leads to this iscsid", point.display(), LIMIT.as_secs());
    Ok(Shown::Silent)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::export::attach::runner::{Outcome, Running};

    const UNIT: &str = "iqn.2026-11.org.example:a/0";

    /// What cat ends with and says of a file; none if it hangs.
    type Answer = Box<dyn Fn(&str) -> Option<(i32, String)> + Send + Sync>;

    /// Whoever serves the mount.
    struct Server {
        answer: Answer,
        asked: AtomicU32,
    }

    impl Server {
        /// It answers by that, with what cat ends with and prints; or not at all.
        fn new(answer: impl Fn(&str) -> Option<(i32, String)> + Send + Sync + 'static) -> Server {
            Server { answer: Box::new(answer), asked: AtomicU32::new(0) }
        }

        async fn shown(&self, proofs: &Proofs) -> Shown {
            shown(self, Path::new("/m"), UNIT, proofs).await.expect("random numbers")
        }
    }

    impl Runner for Server {
        fn run(&self, program: Program, arguments: Vec<OsString>, limit: Duration) -> Running<'_> {
            assert_eq!(program, Program::Cat);
            self.asked.fetch_add(1, Ordering::Relaxed);
            let path = arguments[0].to_str().expect("text").to_owned();
            let answer = (self.answer)(path.strip_prefix("/m/").expect("below the mount"));
            Box::pin(async move {
                let Some((code, said)) = answer else {
                    tokio::time::sleep(limit).await;
                    return Err(AttachError::Failed("it did not end".to_owned()));
                };
                let (stdout, stderr) = if code == 0 { (said, String::new()) } else { (String::new(), said) };
                Ok(Outcome { code, stdout: stdout.into_bytes(), stderr })
            })
        }

        fn has(&self, _: Program) -> bool {
            true
        }

        fn is_root(&self) -> bool {
            true
        }
    }

    fn proofs() -> std::sync::Arc<Proofs> {
        std::sync::Arc::new(Proofs::new().expect("random numbers"))
    }

    // check: mount-shows-whose-it-is
    #[tokio::test(start_paused = true)]
    async fn only_who_knows_what_this_life_knows_is_ours() {
        let (ours, before) = (proofs(), proofs());
        let (one, other) = (ours.clone(), before);
        assert_eq!(Server::new(move |name| Some((0, one.content_of(UNIT, name)))).shown(&ours).await, Shown::Ours);
        assert_eq!(Server::new(move |name| Some((0, other.content_of(UNIT, name)))).shown(&ours).await, Shown::Another);
        assert_eq!(Server::new(|_| Some((0, String::new()))).shown(&ours).await, Shown::Another);
        // An answer to an earlier question is none.
        let (one, first) = (ours.clone(), std::sync::Mutex::new(None));
        let again = move |name: &str| {
            let mut first = first.lock().expect("no panic");
            Some((0, first.get_or_insert_with(|| one.content_of(UNIT, name)).clone()))
        };
        let parrot = Server::new(again);
        assert_eq!(parrot.shown(&ours).await, Shown::Ours);
        assert_eq!(parrot.shown(&ours).await, Shown::Another);
        // And that of another unit's directory is none for this one.
        let one = ours.clone();
        let next_door = Server::new(move |name| Some((0, one.content_of("iqn.2026-11.org.example:a/1", name))));
        assert_eq!(next_door.shown(&ours).await, Shown::Another);
    }

    // check: mount-shows-whose-it-is
    #[tokio::test(start_paused = true)]
    async fn a_read_that_fails_proves_nothing_unless_the_server_has_denied_it() {
        let ours = proofs();
        for ends in [(1, "cat: f: Operation not permitted"), (1, "cat: f: Input/output error"), (-1, "")] {
            let (one, tries) = (ours.clone(), AtomicU32::new(0));
            let server = Server::new(move |name| match tries.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Some((ends.0, ends.1.to_owned())),
                _ => Some((0, one.content_of(UNIT, name))),
            });
            assert_eq!(server.shown(&ours).await, Shown::Ours, "{ends:?}");
        }
        for denial in ["cat: f: No such file or directory", "cat: f: Stale NFS file handle"] {
            assert_eq!(Server::new(move |_| Some((1, denial.to_owned()))).shown(&ours).await, Shown::Another);
        }
    }

    // check: mount-shows-whose-it-is
    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_asked_again_and_not_for_ever() {
        let ours = proofs();
        let (one, tries) = (ours.clone(), AtomicU32::new(0));
        let late = Server::new(move |name| {
            (tries.fetch_add(1, Ordering::Relaxed) == 2).then(|| (0, one.content_of(UNIT, name)))
        });
        assert_eq!(late.shown(&ours).await, Shown::Ours);
        assert_eq!(late.asked.load(Ordering::Relaxed), 3);
        let begun = Instant::now();
        assert_eq!(Server::new(|_| None).shown(&ours).await, Shown::Silent);
        assert!(begun.elapsed() <= LIMIT + ATTEMPT + PAUSE);
    }
}
