//! A connection: calls in, replies out, and the payload of writes straight into buffers.
//!
//! ```text
//!   socket ─► ring ─► call ─┬─► mount, files ──────────────► reply
//!                           └─► READ, WRITE, COMMIT ─► Bytes ─► reply, in any order
//!   payload of a long WRITE ─────► buffers ─────────────┘
//! ```
//! A client whose connection breaks sends everything again that was not answered, over another one. READ,
//! WRITE and COMMIT may be done twice, as long as no old WRITE comes after a newer one: those that have
//! arrived are done in order, whichever connection they came by (`bytes`), and one that has not is not
//! taken any more from a connection that its client has closed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::answer::{Pending, What, later};
use super::attached::Attached;
use super::files::{self, read_handle};
use super::handle::UnitId;
use super::replies::{PATIENCE, Replies};
use super::rpc::{self, Call, LAST_FRAGMENT, Refusal, put_refusal, put_reply};
use super::setup::FlushPolicy;
use super::volume::{File, MAX_IO, Place, Shown, Volume};
use super::wire::{Stable, Status, procedure, program, put_failure, put_post_op};
use super::xdr::{Garbage, Reader, Write, padding};
use super::{mount, overseer};

use crate::block::Claim;
use crate::clients::Place as Seat;
use crate::export::bytes::Answer;
use crate::export::ring::Ring;

/// The longest call without the payload of a WRITE: heads, credentials, and a path or two names.
const MAX_HEAD: usize = 2048;

/// The longest call.
const MAX_RECORD: usize = MAX_HEAD + MAX_IO as usize;

/// A record mark.
const MARK: usize = 4;

/// Bytes received at once, where they are not the payload of a long write.
const RING: usize = 128 << 10;

/// After a write that long, only as much as a head is received ahead: the payload of the next one shall
/// not land in the ring, from where it would have to be copied.
const LARGE: usize = 64 << 10;

/// Socket buffers: a few long requests.
const SOCKET_BUFFER: usize = 2 << 20;

/// The most fragments of one call: as many as libtirpc makes of the longest.
const MAX_FRAGMENTS: usize = 1024;

/// How long a client may be here that has shown neither a path that is good nor a handle. mount_nfs, which connects
/// before it mounts, has done both in a moment.
const UNKNOWN: Duration = Duration::from_secs(30);

/// How long a server that stops waits for answers that are about to come.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves a client until it has gone or `stop`.
///
/// # Errors
/// If the client breaks the protocol or stops in the middle, or the socket fails. Operations that are under
/// way then end on their own, unanswered.
pub(super) async fn serve(
    stream: TcpStream,
    seat: Arc<Seat>,
    volume: Arc<Volume>,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(&stream);
    if let Err(error) =
        socket.set_send_buffer_size(SOCKET_BUFFER).and_then(|()| socket.set_recv_buffer_size(SOCKET_BUFFER))
    {
        tracing::debug!("an NFS connection keeps its small socket buffers: {error}");
    }
    let ring = Ring::kept(RING);
    let mut connection = Connection {
        seat,
        known_by: Some(Instant::now() + UNKNOWN),
        volume,
        replies: Replies::new(),
        ring,
        claims: Vec::new(),
        settled: false,
        large: false,
    };
    let (stream, end) = connection.run(stream, &stop).await?;
    let End::Elsewhere(lane) = end else { return Ok(()) };
    let stream = stream.into_std()?;
    let served = lane.spawn(async move {
        connection.settled = true;
        connection.run(TcpStream::from_std(stream)?, &stop).await.map(drop)
    });
    // The lanes have ended, or a bug has ended it.
    served.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// How serving a client ends.
enum End {
    /// It has gone.
    Over,
    /// It is to be served there, beside the driver of the unit that it uses.
    Elsewhere(Handle),
}

struct Connection {
    seat: Arc<Seat>,
    /// When it has to leave if it has not shown by then what it is here for; nothing once it has.
    known_by: Option<Instant>,
    volume: Arc<Volume>,
    replies: Arc<Replies>,
    ring: Ring,
    /// The units that the client has used.
    claims: Vec<(UnitId, Claim)>,
    /// It stays on its thread.
    settled: bool,
    /// The last call was a write of at least [`LARGE`] bytes.
    large: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.replies.close();
    }
}

impl Connection {
    async fn run(&mut self, mut stream: TcpStream, stop: &CancellationToken) -> io::Result<(TcpStream, End)> {
        let (mut reader, writer) = stream.split();
        let replies = self.replies.clone();
        let end = tokio::select! {
            end = self.read_calls(&mut reader) => Some(end?),
            failed = replies.write_to(writer.as_ref(), |_| false) => { failed?; None }
            () = stop.cancelled() => None,
        };
        let end = match end {
            Some(end) => end,
            None => {
                // What is under way may still be answered.
                match timeout(FAREWELL, replies.write_to(writer.as_ref(), Replies::idle)).await {
                    Ok(written) => written?,
                    Err(_) => tracing::debug!("an NFS client did not get all its answers"),
                }
                End::Over
            }
        };
        Ok((stream, end))
    }

    async fn read_calls(&mut self, reader: &mut ReadHalf<'_>) -> io::Result<End> {
        loop {
            let Some(mark) = self.next_mark(reader).await? else { return Ok(End::Over) };
            self.seat.touch();
            if mark & LAST_FRAGMENT == 0 {
                self.join_fragments(reader).await?;
                continue;
            }
            let length = (mark & !LAST_FRAGMENT) as usize;
            if length > MAX_RECORD {
                return Err(garbage("it sent something that is no call"));
            }
            let head = length.min(MAX_HEAD);
            self.fill(reader, MARK + head).await?;
            let record = self.record(head);
            let call = match rpc::parse(record).map_err(|Garbage| garbage("it sent something that is no call"))? {
                Ok(call) => call,
                Err((xid, refusal)) => {
                    self.refuse(xid, refusal).await;
                    self.skip(reader, MARK + length).await?;
                    continue;
                }
            };
            if (call.program, call.version, call.procedure) == (program::NFS, program::VERSION, procedure::WRITE) {
                if let Some(end) = self.write(reader, &call, length).await? {
                    return Ok(end);
                }
                continue;
            }
            if length > head {
                return Err(garbage("it sent a call that is longer than any"));
            }
            if let Some(end) = self.perform(&call, head).await? {
                return Ok(end);
            }
            self.large = false;
            self.ring.consume(MARK + length);
        }
    }

    /// Makes one fragment of those that the ring begins with (RFC 5531 §11). Apple's client and Linux' send none, but
    /// libtirpc does, where a call is longer than its buffer.
    async fn join_fragments(&mut self, reader: &mut ReadHalf<'_>) -> io::Result<()> {
        // Whoever has shown nothing has nothing long to say.
        let longest = MARK + if self.known_by.is_some() { MAX_HEAD } else { MAX_RECORD };
        let mut whole = vec![0; MARK];
        for _ in 0..MAX_FRAGMENTS {
            self.fill(reader, MARK).await?;
            let mark = self.ring.filled().first_chunk().map_or(0, |mark| u32::from_be_bytes(*mark));
            let (last, length) = (mark & LAST_FRAGMENT != 0, (mark & !LAST_FRAGMENT) as usize);
            if (length == 0 && !last) || length > longest - whole.len() {
                break;
            }
            self.ring.consume(MARK);
            let begin = whole.len();
            whole.resize(begin + length, 0);
            receive(&mut self.ring, reader, whole.get_mut(begin..).unwrap_or_default()).await?;
            if last {
                let mark = (whole.len() - MARK) as u32 | LAST_FRAGMENT;
                whole.iter_mut().zip(mark.to_be_bytes()).for_each(|(to, from)| *to = from);
                let rest = self.ring.filled();
                self.ring = Ring::new(RING + whole.len()).holding([&whole, rest]);
                return Ok(());
            }
        }
        Err(garbage("it sent fragments that are no call"))
    }

    /// The client has shown what it is here for.
    fn is_known(&mut self) {
        self.known_by = None;
        self.seat.is_known();
    }

    /// What a client shows a handle for, and what is there.
    async fn place(&mut self, handle: Result<Shown, Status>) -> Result<(Shown, Place), Status> {
        let shown = handle?;
        self.is_known();
        let place = self.volume.place(&shown).await?;
        Ok((shown, place))
    }

    /// Carries out a call that has come in full.
    async fn perform(&mut self, call: &Call, length: usize) -> io::Result<Option<End>> {
        let Call { xid, procedure: number, user, .. } = *call;
        let version = match call.program {
            program::NFS => call.version == program::VERSION,
            program::MOUNT => mount::has(call.version, number),
            _ => true,
        };
        if !version {
            self.refuse(xid, Refusal::Version).await;
            return Ok(None);
        }
        if call.program == program::MOUNT {
            let share = self.replies.begin(0).await;
            let mut results = Vec::new();
            match mount::perform(&self.volume, number, self.arguments(call, length), &mut results) {
                Ok(mounted) => {
                    share.reply(|out| put_reply(out, xid, 0, |out| out.extend(results)), None, 0);
                    if mounted {
                        self.is_known();
                    }
                }
                Err(refusal) => share.reply(|out| put_refusal(out, xid, refusal, program::VERSION), None, 0),
            }
            return Ok(None);
        }
        if call.program != program::NFS {
            self.refuse(xid, Refusal::Program).await;
            return Ok(None);
        }
        if number == procedure::NULL {
            self.replies.begin(0).await.reply(|out| put_reply(out, xid, 0, |_| {}), None, 0);
            return Ok(None);
        }
        if number > procedure::COMMIT {
            self.refuse(xid, Refusal::Procedure).await;
            return Ok(None);
        }
        let mut arguments = self.arguments(call, length);
        let Ok(shown) = read_handle(&mut arguments).map(|handle| overseer::shown(&self.volume, handle)) else {
            self.refuse(xid, Refusal::Arguments).await;
            return Ok(None);
        };
        let (shown, place) = match self.place(shown).await {
            Ok(found) => found,
            Err(status) => {
                self.fail(call, status).await;
                return Ok(None);
            }
        };
        match (&place, number) {
            (Place::File(file), procedure::READ) => self.read(call, file, shown.attached, length).await,
            (Place::File(file), procedure::COMMIT) => self.commit(call, file, shown.attached).await,
            (Place::Proof(id), procedure::READ) => {
                self.read_proof(call, *id, length).await;
                Ok(None)
            }
            (Place::Proof(_), procedure::COMMIT) => {
                self.fail(call, Status::Inval).await;
                Ok(None)
            }
            (_, procedure::READ | procedure::COMMIT) => {
                self.fail(call, Status::IsDir).await;
                Ok(None)
            }
            _ => {
                let share = self.replies.begin(0).await;
                let mut arguments = self.arguments(call, length);
                if read_handle(&mut arguments).is_err() {
                    return Ok(None);
                }
                let (volume, place) = (&*self.volume, &place);
                let request = files::Request { volume, place, shown: &shown, user, procedure: number, arguments };
                let mut results = Vec::new();
                match files::perform(request, &mut results) {
                    Ok(()) => share.reply(|out| put_reply(out, xid, 0, |out| out.extend(results)), None, 0),
                    Err(refusal) => share.reply(|out| put_refusal(out, xid, refusal, program::VERSION), None, 0),
                }
                Ok(None)
            }
        }
    }

    async fn read(
        &mut self,
        call: &Call,
        file: &Arc<File>,
        attached: Option<Arc<Attached>>,
        length: usize,
    ) -> io::Result<Option<End>> {
        if let Some(lane) = self.better_lane(file) {
            return Ok(Some(End::Elsewhere(lane)));
        }
        let mut arguments = self.arguments(call, length);
        let asked = read_handle(&mut arguments).and_then(|_| Ok((arguments.u64()?, arguments.u32()?)));
        let Ok((offset, count)) = asked else {
            self.refuse(call.xid, Refusal::Arguments).await;
            return Ok(None);
        };
        if let Err(status) = self.may_use(file, attached.as_deref()) {
            self.fail(call, status).await;
            return Ok(None);
        }
        let attributes = self.volume.file_attributes(file, attached.as_deref());
        let there = attributes.size.saturating_sub(offset);
        let length = there.min(count.min(MAX_IO).into()) as usize;
        let what = What::Read { end: length as u64 == there };
        let pending = self.pending(call, file, attached.clone(), length, what).await;
        match length {
            0 => pending.data(&[]),
            _ => unless_refused(attached.as_deref(), file.bytes.read_soon(offset, length, pending))
                .await
                .unwrap_or_default(),
        }
        Ok(None)
    }

    /// Reads a proof, which is for root and the daemon's own user alone.
    async fn read_proof(&mut self, call: &Call, id: UnitId, length: usize) {
        let mut arguments = self.arguments(call, length);
        let asked = read_handle(&mut arguments).and_then(|_| Ok((arguments.u64()?, arguments.u32()?)));
        let Ok((offset, count)) = asked else {
            return self.refuse(call.xid, Refusal::Arguments).await;
        };
        if call.user != Some(0) && call.user != Some(self.volume.owner) {
            return self.fail(call, Status::Access).await;
        }
        let content = self.volume.proof(&id);
        let from = usize::try_from(offset).map_or(content.len(), |offset| offset.min(content.len()));
        let (_, rest) = content.split_at(from);
        let data = rest.get(..count as usize).unwrap_or(rest);
        let (attributes, end) = (self.volume.attributes(&Place::Proof(id), None), data.len() == rest.len());
        let results = |out: &mut Vec<u8>| {
            out.u32(0);
            put_post_op(out, Some(&attributes));
            out.u32(data.len() as u32);
            out.bool(end);
            out.opaque(data);
        };
        self.replies.begin(0).await.reply(|out| put_reply(out, call.xid, 0, results), None, 0);
    }

    async fn commit(
        &mut self,
        call: &Call,
        file: &Arc<File>,
        attached: Option<Arc<Attached>>,
    ) -> io::Result<Option<End>> {
        if let Err(status) = self.may_store(file, attached.as_deref()) {
            self.fail(call, status).await;
            return Ok(None);
        }
        let what = What::Commit { verifier: self.volume.verifier };
        let pending = self.pending(call, file, attached.clone(), 0, what).await;
        if file.unit.geometry().write_cache {
            unless_refused(attached.as_deref(), async { file.bytes.flush(pending) }).await.unwrap_or_default();
        } else {
            pending.done();
        }
        Ok(None)
    }

    /// A request that is about so many bytes of a file, as soon as there is room for it.
    async fn pending(
        &self,
        call: &Call,
        file: &File,
        attached: Option<Arc<Attached>>,
        bytes: usize,
        what: What,
    ) -> Pending {
        let share = self.replies.begin(bytes).await;
        let (attributes, complaints) =
            (self.volume.file_attributes(file, attached.as_deref()), file.complaints.clone());
        Pending { share, xid: call.xid, attributes, what, attached, since: Instant::now(), complaints }
    }

    /// Carries out a WRITE of which the first `min(length, MAX_HEAD)` bytes have come. When it is refused,
    /// its payload is skipped.
    async fn write(&mut self, reader: &mut ReadHalf<'_>, call: &Call, length: usize) -> io::Result<Option<End>> {
        let arguments = WriteArguments::read(self.arguments(call, length.min(MAX_HEAD)));
        let Ok(arguments) = arguments else {
            self.refuse(call.xid, Refusal::Arguments).await;
            self.skip(reader, MARK + length).await?;
            return Ok(None);
        };
        let WriteArguments { offset, count, payload, stable, .. } = arguments;
        let head = length.min(MAX_HEAD) - arguments.behind;
        if head + payload + padding(payload) != length || payload > MAX_IO as usize {
            self.refuse(call.xid, Refusal::Arguments).await;
            self.skip(reader, MARK + length).await?;
            return Ok(None);
        }
        let shown = overseer::shown(&self.volume, arguments.handle);
        let (file, attached) = match self.place(shown).await {
            Ok((shown, Place::File(file))) if count == payload => (Ok(file), shown.attached),
            Ok((shown, Place::File(_))) => (Err(Status::Inval), shown.attached),
            Ok((shown, Place::Proof(_))) => (Err(Status::Access), shown.attached),
            Ok((shown, _)) => (Err(Status::IsDir), shown.attached),
            Err(status) => (Err(status), None),
        };
        let file = file.and_then(|file| self.may_store(&file, attached.as_deref()).map(|()| file));
        let file = match file {
            Ok(file) => file,
            Err(status) => {
                self.fail(call, status).await;
                self.skip(reader, MARK + length).await?;
                return Ok(None);
            }
        };
        if let Some(lane) = self.better_lane(&file) {
            return Ok(Some(End::Elsewhere(lane)));
        }
        self.large = payload >= LARGE;
        self.ring.consume(MARK + head);

        let geometry = file.unit.geometry();
        let fua = stable != Stable::Unstable || file.policy == FlushPolicy::WriteThrough;
        let stable = if fua || !geometry.write_cache { Stable::FileSync } else { Stable::Unstable };
        let what = What::Write { count: payload as u32, stable, verifier: self.volume.verifier };
        let pending = self.pending(call, &file, attached.clone(), payload, what).await;
        let mut left = payload;
        if offset.checked_add(payload as u64).is_none_or(|end| end > pending.attributes.size) {
            pending.refuse(Status::NoSpace);
        } else {
            match file.bytes.begin_write(offset, payload, fua, pending) {
                Err((pending, error)) => pending.failed(error),
                Ok(mut writing) => {
                    while let Some(Some(mut filling)) = unless_refused(attached.as_deref(), writing.next()).await {
                        let bytes = filling.bytes();
                        left = left.saturating_sub(bytes.len());
                        receive(&mut self.ring, reader, bytes).await?;
                        if is_closed(reader.as_ref()) {
                            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it went in a write"));
                        }
                        writing.put(filling);
                    }
                    writing.complete();
                }
            }
        }
        self.skip(reader, left + padding(payload)).await?;
        Ok(None)
    }

    /// The thread where the connection would be served better, if it can go there now.
    fn better_lane(&self, file: &File) -> Option<Handle> {
        let lane = file.unit.lane().filter(|lane| lane.id() != Handle::current().id());
        lane.filter(|_| !self.settled && self.replies.idle())
    }

    /// Whether the client may use the unit, as which it is noted. A benchmark that writes to it is a
    /// matter of minutes.
    ///
    /// # Errors
    /// What to answer if it may not.
    fn may_use(&mut self, file: &File, attached: Option<&Attached>) -> Result<(), Status> {
        if attached.is_some_and(|attached| attached.standing().refuses()) {
            return Err(Status::Io);
        }
        if !self.claims.iter().any(|(id, _)| *id == file.id) {
            let claim = self.volume.claim(file).ok_or_else(|| later(attached))?;
            self.claims.push((file.id, claim));
        }
        Ok(())
    }

    /// As [`may_use`](Self::may_use), for what is to be stored.
    fn may_store(&mut self, file: &File, attached: Option<&Attached>) -> Result<(), Status> {
        self.may_use(file, attached).inspect_err(|status| {
            if *status == Status::Io {
                file.complaints.of_lost_data(&"the unit does not answer, or is being detached by force");
            }
        })
    }

    async fn refuse(&self, xid: u32, refusal: Refusal) {
        let share = self.replies.begin(0).await;
        share.reply(|out| put_refusal(out, xid, refusal, program::VERSION), None, 0);
    }

    async fn fail(&self, call: &Call, status: Status) {
        let share = self.replies.begin(0).await;
        let results = |out: &mut Vec<u8>| put_failure(out, call.procedure, status, None);
        share.reply(|out| put_reply(out, call.xid, 0, results), None, 0);
    }

    /// The first bytes of the record that the ring begins with.
    fn record(&self, length: usize) -> &[u8] {
        self.ring.filled().get(MARK..MARK + length).unwrap_or_default()
    }

    fn arguments(&self, call: &Call, length: usize) -> Reader<'_> {
        Reader(self.record(length).get(call.arguments..).unwrap_or_default())
    }

    /// The next record mark; none if the client has gone.
    async fn next_mark(&mut self, reader: &mut ReadHalf<'_>) -> io::Result<Option<u32>> {
        loop {
            if let Some(mark) = self.ring.filled().first_chunk() {
                return Ok(Some(u32::from_be_bytes(*mark)));
            }
            let between = self.ring.filled().is_empty();
            if self.ring.size() > RING && self.ring.filled().len() < RING {
                // It was made for fragments.
                self.ring = Ring::kept(RING).holding([self.ring.filled(), &[]]);
            }
            let known_by = self.known_by;
            let room = self.ring.room();
            let most = if self.large { MARK + MAX_HEAD } else { room.len() };
            let room = room.get_mut(..most).unwrap_or_default();
            let n = match (between, known_by) {
                (true, None) => reader.read(room).await?,
                (true, Some(by)) => timeout_at(by, reader.read(room)).await.map_err(|_| shows_nothing())??,
                (false, _) => patiently(reader.read(room)).await?,
            };
            if n == 0 {
                return if between { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            self.ring.received(n);
        }
    }

    /// Receives until the ring holds `length` bytes.
    async fn fill(&mut self, reader: &mut ReadHalf<'_>, length: usize) -> io::Result<()> {
        while self.ring.filled().len() < length {
            let missing = length - self.ring.filled().len();
            let room = self.ring.room();
            let most = if self.large { missing } else { room.len() };
            let room = room.get_mut(..most).unwrap_or_default();
            match patiently(reader.read(room)).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.ring.received(n),
            }
        }
        Ok(())
    }

    /// Throws the next `length` bytes away.
    async fn skip(&mut self, reader: &mut ReadHalf<'_>, mut length: usize) -> io::Result<()> {
        self.large &= length < MARK;
        loop {
            let here = self.ring.filled().len().min(length);
            self.ring.consume(here);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill(reader, 1).await?;
        }
    }
}

/// The arguments of a WRITE (RFC 1813 §3.3.7) up to its payload.
struct WriteArguments<'a> {
    handle: &'a [u8],
    offset: u64,
    count: usize,
    stable: Stable,
    /// How long the payload is, in bytes.
    payload: usize,
    /// How much of it was there.
    behind: usize,
}

impl<'a> WriteArguments<'a> {
    fn read(mut reader: Reader<'a>) -> Result<WriteArguments<'a>, Garbage> {
        let handle = read_handle(&mut reader)?;
        let (offset, count) = (reader.u64()?, reader.u32()? as usize);
        let stable = Stable::from_u32(reader.u32()?).ok_or(Garbage)?;
        let payload = reader.u32()? as usize;
        Ok(WriteArguments { handle, offset, count, stable, payload, behind: reader.0.len() })
    }
}

/// Fills `bytes` with what comes next.
async fn receive(ring: &mut Ring, reader: &mut ReadHalf<'_>, bytes: &mut [u8]) -> io::Result<()> {
    let here = ring.filled();
    let n = here.len().min(bytes.len());
    let (now, mut missing) = bytes.split_at_mut(n);
    now.copy_from_slice(here.get(..n).unwrap_or_default());
    ring.consume(n);
    while !missing.is_empty() {
        let n = patiently(reader.read(missing)).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        missing = missing.get_mut(n..).unwrap_or_default();
    }
    Ok(())
}

/// Does what has the unit do something, unless its attach refuses all I/O meanwhile.
async fn unless_refused<T>(attached: Option<&Attached>, work: impl Future<Output = T>) -> Option<T> {
    match attached {
        Some(attached) => attached.unless_refused(work).await,
        None => Some(work.await),
    }
}

/// A client that is silent in the middle of a call, for which a buffer is kept, is let go.
async fn patiently<T>(read: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = |_| io::Error::new(io::ErrorKind::TimedOut, "it stopped in the middle of a call");
    timeout(PATIENCE, read).await.map_err(silent)?
}

/// Whether the client has closed the connection, as far as is known.
fn is_closed(stream: &TcpStream) -> bool {
    matches!(stream.ready(Interest::READABLE).now_or_never(), Some(Ok(ready)) if ready.is_read_closed())
}

fn shows_nothing() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it has shown neither a path nor a handle")
}

fn garbage(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
