//! A user client of the extension in its harness, `iscsi-kernel-sim`, over a Unix socket.
//!
//! ```text
//!   call ──► frame, descriptor beside it ──► user client         answers in any order, told apart by an id
//!   task ──► frame ─────────────────────────► SCSI stack ──► HBA
//!   reader thread ◄── answers, notices
//! ```
//! The frames are those of `iscsi_kext_messages::harness`. On macOS `sys.rs` has the same calls but for [`Port::task`]:
//! there the operating system's own disk driver issues tasks.

use std::collections::HashMap;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use bytemuck::{bytes_of, pod_read_unaligned};
use iscsi_kext_messages::harness::{
    FRAME_FROM_TARGET, FRAME_MAGIC, FRAME_MOST, FRAME_NOTICE, FRAME_TASK, FrameAnswer, FrameRequest, FrameTask,
    FrameTasked,
};
use iscsi_kext_messages::io_return::{Code, NOT_ATTACHED, SUCCESS};
use iscsi_kext_messages::{ISCSI_LISTEN, IscsiListenIn, IscsiNotice};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::sync::{mpsc as notices, oneshot};

type Reply = Result<Vec<u8>, Code>;

/// Who waits for an answer.
enum Waiter {
    Thread(mpsc::Sender<Reply>),
    Task(oneshot::Sender<Reply>),
}

impl Waiter {
    fn answer(self, reply: Reply) {
        // The caller may have stopped waiting.
        match self {
            Waiter::Thread(sender) => drop(sender.send(reply)),
            Waiter::Task(sender) => drop(sender.send(reply)),
        }
    }
}

/// Those who wait; `None` once the other side is gone.
type Waiters = Arc<Mutex<Option<HashMap<u64, Waiter>>>>;

/// A user client of the extension.
pub(super) struct Port {
    stream: UnixStream,
    writing: Mutex<()>,
    waiters: Waiters,
    next: AtomicU64,
}

impl Port {
    /// Connects to the harness that listens there. Notices go to `notices`, which is closed when the other side goes.
    pub(super) fn open(path: &Path, notices: notices::UnboundedSender<IscsiNotice>) -> Result<Port, String> {
        let failed =
            |error: io::Error| format!("the kernel extension's harness at {} cannot be used: {error}", path.display());
        let stream = UnixStream::connect(path).map_err(failed)?;
        let reading = stream.try_clone().map_err(failed)?;
        let waiters = Waiters::new(Mutex::new(Some(HashMap::new())));
        let reader = Reader { stream: reading, waiters: waiters.clone(), notices };
        thread::Builder::new().name("kernel-sim".to_owned()).spawn(move || reader.run()).map_err(failed)?;
        Ok(Port { stream, writing: Mutex::default(), waiters, next: AtomicU64::new(1) })
    }

    /// How the extension is told of a descriptor: it comes beside the struct.
    pub(super) fn descriptor(&self, _fd: BorrowedFd<'_>) -> i32 {
        0
    }

    /// One call, from any thread: `input` in, at most `room` bytes out. Waits for its end.
    pub(super) fn call(&self, selector: u32, input: &[u8], room: usize, pass: Option<BorrowedFd<'_>>) -> Reply {
        let (reply, answer) = mpsc::channel();
        self.send(selector, &[input], room, pass, Waiter::Thread(reply));
        answer.recv().unwrap_or(Err(NOT_ATTACHED))
    }

    /// Notices come from now on.
    pub(super) fn listen(&self) -> Result<(), Code> {
        self.call(ISCSI_LISTEN, bytes_of(&IscsiListenIn { reserved: 0 }), 0, None).map(drop)
    }

    /// A task of the SCSI stack, as a disk driver would issue it, and what was read.
    pub(super) async fn task(&self, task: &FrameTask, data: &[u8]) -> Result<(FrameTasked, Vec<u8>), Code> {
        let (reply, answer) = oneshot::channel();
        let room =
            size_of::<FrameTasked>() + if task.direction == FRAME_FROM_TARGET { task.length as usize } else { 0 };
        self.send(FRAME_TASK, &[bytes_of(task), data], room, None, Waiter::Task(reply));
        let mut bytes = answer.await.unwrap_or(Err(NOT_ATTACHED))?;
        if bytes.len() < size_of::<FrameTasked>() {
            return Err(NOT_ATTACHED);
        }
        let read = bytes.split_off(size_of::<FrameTasked>());
        Ok((pod_read_unaligned(&bytes), read))
    }

    fn send(&self, selector: u32, input: &[&[u8]], room: usize, pass: Option<BorrowedFd<'_>>, waiter: Waiter) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        match &mut *self.waiters.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waiters) => drop(waiters.insert(id, waiter)),
            None => return waiter.answer(Err(NOT_ATTACHED)),
        }
        let length: usize = input.iter().map(|part| part.len()).sum();
        let request = FrameRequest { magic: FRAME_MAGIC, selector, input: length as u32, output: room as u32, id };
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write_head(&request, pass).and_then(|()| {
            let mut stream = &self.stream;
            input.iter().try_for_each(|part| stream.write_all(part))
        });
        if written.is_err() {
            // Half a frame is out: nothing can follow it. The reader answers everybody.
            drop(self.stream.shutdown(Shutdown::Both));
        }
    }

    fn write_head(&self, request: &FrameRequest, pass: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = bytes_of(request);
        let descriptors = pass.map(|fd| [fd.as_raw_fd()]);
        let rights = descriptors.as_ref().map(|fds| [ControlMessage::ScmRights(fds)]);
        let control = rights.as_ref().map_or(&[][..], |rights| &rights[..]);
        // No signal comes of it: Rust's start-up switches SIGPIPE off.
        let sent = sendmsg::<()>(self.stream.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None)?;
        (&self.stream).write_all(bytes.get(sent..).unwrap_or_default())
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // The reader ends by it.
        drop(self.stream.shutdown(Shutdown::Both));
    }
}

struct Reader {
    stream: UnixStream,
    waiters: Waiters,
    notices: notices::UnboundedSender<IscsiNotice>,
}

impl Reader {
    fn run(mut self) {
        let error = loop {
            if let Err(error) = self.next() {
                break error;
            }
        };
        tracing::debug!("the kernel extension's harness is gone: {error}");
        let left = self.waiters.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.into_iter().flatten().for_each(|(_, waiter)| waiter.answer(Err(NOT_ATTACHED)));
    }

    fn next(&mut self) -> io::Result<()> {
        let mut head = [0; size_of::<FrameAnswer>()];
        self.stream.read_exact(&mut head)?;
        let answer: FrameAnswer = pod_read_unaligned(&head);
        if answer.length > FRAME_MOST {
            return Err(io::Error::other("an answer that is too long"));
        }
        let mut bytes = vec![0; answer.length as usize];
        self.stream.read_exact(&mut bytes)?;
        if answer.kind == FRAME_NOTICE {
            if bytes.len() != size_of::<IscsiNotice>() {
                return Err(io::Error::other("a notice of another length"));
            }
            // The listener may have gone.
            let _ = self.notices.send(pod_read_unaligned(&bytes));
            return Ok(());
        }
        let waiter = match &mut *self.waiters.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waiters) => waiters.remove(&answer.id),
            None => None,
        };
        if let Some(waiter) = waiter {
            waiter.answer(if answer.result == SUCCESS { Ok(bytes) } else { Err(answer.result) });
        }
        Ok(())
    }
}
