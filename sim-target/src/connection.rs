//! The run loop of a connection: bytes in, PDUs and events to its session, bytes out.

use std::io;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::event::Event;
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::session::{Flow, Session};
use crate::shared::{Attentions, Shared};

/// Most bytes that wait to be sent before the target stops to listen.
const HIGH_WATER: usize = 8 * 1024 * 1024;

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: TcpStream,
    shared: Arc<Shared>,
    id: u64,
    mut events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    attentions: Attentions,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut inbox = Inbox::new();
    let mut out = Outbox::default();
    out.write_limit = shared.config.write_limit;
    let mut session = Session::new(shared, id, sender, attentions);
    let mut closing = false;
    loop {
        while let Ok(event) = events.try_recv() {
            if let Event::Close { reset: true } = event {
                return stream.set_zero_linger();
            }
            closing |= session.on_event(event, &mut out) == Flow::Close;
        }
        while !closing && out.pending() < HIGH_WATER {
            let Some(pdu) = inbox.next() else { break };
            match session.on_pdu(&pdu, &mut out) {
                Flow::Continue | Flow::Ignore => {}
                Flow::Close => closing = true,
                Flow::LoggedIn => {
                    // From the first PDU after the final response on (§6.3.1).
                    (inbox.header_digest, out.header_digest) =
                        (session.agreed.header_digest, session.agreed.header_digest);
                    (inbox.data_digest, out.data_digest) = (session.agreed.data_digest, session.agreed.data_digest);
                    if session.shared.config.hasty && !session.discovery {
                        return hasty(stream, session, inbox, out, events, stop).await;
                    }
                }
            }
        }
        out.write_by(|slices| stream.try_write_vectored(slices))?;
        if closing && out.is_empty() {
            return finish(stream).await;
        }
        let listening = !closing && out.pending() < HIGH_WATER;
        if listening {
            match inbox.read_by(|room| stream.try_read(room))? {
                Some(0) => return Ok(()),
                Some(_) => {
                    tokio::task::coop::consume_budget().await;
                    continue;
                }
                None => {}
            }
        }
        let interest = match (listening, out.is_empty()) {
            (true, true) => Interest::READABLE,
            (true, false) => Interest::READABLE | Interest::WRITABLE,
            (false, _) => Interest::WRITABLE,
        };
        tokio::select! {
            ready = stream.ready(interest) => { ready?; }
            event = events.recv() => match event {
                Some(Event::Close { reset: true }) => return stream.set_zero_linger(),
                Some(event) => closing |= session.on_event(event, &mut out) == Flow::Close,
                None => return Ok(()),
            },
            _ = stop.changed() => return Ok(()),
        }
    }
}

/// Leaves the connection to a thread of its own, until it or the target ends.
async fn hasty(
    stream: TcpStream,
    mut session: Session,
    mut inbox: Inbox,
    out: Outbox,
    mut events: mpsc::UnboundedReceiver<Event>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let handle = stream.try_clone()?;
    let (tell, mut ended) = oneshot::channel();
    std::thread::Builder::new().name("sim-target-hasty".into()).spawn(move || {
        // The target may have ended: then nobody waits for this.
        drop(tell.send(crate::hasty::serve(&stream, &mut session, &mut inbox, out)));
    })?;
    loop {
        tokio::select! {
            result = &mut ended => return result.unwrap_or_else(|_| Err(io::Error::other("the thread panicked"))),
            _ = stop.changed() => break,
            event = events.recv() => match event {
                Some(Event::Close { .. }) | None => break,
                Some(_) => {}
            },
        }
    }
    // The thread waits for the socket, which it sees end.
    handle.shutdown(std::net::Shutdown::Both)?;
    drop(ended.await);
    Ok(())
}

/// Sends FIN and waits for the other side's, so that what was sent is not lost to a reset.
async fn finish(stream: TcpStream) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let stream = TcpStream::from_std(stream)?;
    let mut scratch = vec![0; 4096];
    let drain = async {
        loop {
            stream.readable().await?;
            match stream.try_read(&mut scratch) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    match tokio::time::timeout(std::time::Duration::from_secs(5), drain).await {
        Ok(result) => result,
        Err(_) => Ok(()),
    }
}
