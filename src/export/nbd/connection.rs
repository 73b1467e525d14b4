//! A connection in its transmission phase: the rounds, and what is waited for between them.

use std::io::{self, IoSlice};
use std::pin::pin;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::handshake::Agreed;
use super::socket::Socket;
use super::transmission::{Need, Transmission};
use crate::block::Completions;
use crate::export::outbox::MAX_SLICES;

/// How often the server checks that a client takes its replies and sends its payloads.
const TICK: Duration = Duration::from_secs(5);

/// After that many ticks without a byte, a client that keeps buffers from others is let go.
const PATIENCE: u32 = 6;

/// How long a server that stops waits for answers that are about to come.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves `agreed` on `stream` until the client has gone or `stop`.
///
/// # Errors
/// If the client breaks the protocol or stops in the middle, or the socket fails. Operations that are
/// under way then end on their own, unanswered.
pub(super) async fn run(stream: UnixStream, agreed: Agreed, stop: CancellationToken) -> io::Result<()> {
    let mut socket = Socket::new(stream)?;
    let completions = Completions::new();
    let _client = agreed.claim;
    let pool = agreed.unit.pool().clone();
    let mut transmission = Transmission::new(agreed.unit, agreed.structured, completions.clone());
    let mut done = Vec::new();
    let mut stopped = pin!(stop.cancelled());
    let mut deadline = None;
    let mut tick = interval_at(Instant::now() + TICK, TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut bytes_moved, mut bytes_at_tick, mut silent_ticks) = (0u64, 0, 0);

    loop {
        // One round. What comes from the unit makes room for what comes from the client; what goes to
        // the unit goes before what goes to the client, since it has the longer way.
        if transmission.in_flight() > 0 {
            completions.take(&mut done);
        }
        let mut moved = !done.is_empty();
        for done in done.drain(..) {
            transmission.take_result(done)?;
        }
        let mut need = transmission.advance()?;
        if need == Need::Bytes
            && let Some(n) = receive(&mut socket, &mut transmission)?
        {
            moved = true;
            bytes_moved += n as u64;
            if n == 0 && !transmission.end_of_requests() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            need = transmission.advance()?;
        }
        moved |= transmission.submit();
        let sent = send(&mut socket, &mut transmission)?;
        bytes_moved += sent as u64;
        moved |= sent > 0;

        let idle = transmission.in_flight() == 0 && transmission.outbox.is_empty();
        if need == Need::Nothing && idle {
            return Ok(());
        }
        if moved {
            tokio::task::coop::consume_budget().await;
            continue;
        }

        let length = if let Need::Buffer(length) = need { Some(length) } else { None };
        tokio::select! {
            () = completions.wait(&mut done), if transmission.in_flight() > 0 => {}
            ready = socket.readable(), if need == Need::Bytes => ready?,
            ready = socket.writable(), if !transmission.outbox.is_empty() => ready?,
            buffer = pool.get(length.unwrap_or(1)), if length.is_some() => transmission.lend(buffer),
            () = &mut stopped, if deadline.is_none() => {
                deadline = Some(Instant::now() + FAREWELL);
                transmission.close();
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => return Ok(()),
            _ = tick.tick() => {
                let owes = transmission.waits_for_payload() || !transmission.outbox.is_empty();
                silent_ticks = if owes && bytes_moved == bytes_at_tick { silent_ticks + 1 } else { 0 };
                bytes_at_tick = bytes_moved;
                if silent_ticks >= PATIENCE {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it stopped in the middle of a message"));
                }
            }
        }
    }
}

/// Receives once. `None` if there is nothing now; 0 if there will never be.
fn receive(socket: &mut Socket, transmission: &mut Transmission) -> io::Result<Option<usize>> {
    socket.receive(|receive| transmission.receive(receive))
}

/// Writes once, as much as the socket takes. Returns how many bytes that was.
fn send(socket: &mut Socket, transmission: &mut Transmission) -> io::Result<usize> {
    if transmission.outbox.is_empty() {
        return Ok(0);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let (count, bytes) = transmission.outbox.gather(&mut slices);
    let sent = socket.send(&slices[..count], bytes)?;
    transmission.written(sent);
    Ok(sent)
}
