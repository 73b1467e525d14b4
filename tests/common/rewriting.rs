//! A wire on which words of the target become others: what no target of ours could be made to say.
//!
//! ```text
//!   iscsid ══ Rewriting ══ target            ──►  as it is
//!                                            ◄──  each word replaced by one of the same length
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// A word, and what is there in its place; both of one length, or lengths on the wire were wrong.
pub(crate) type Word = (&'static [u8], &'static [u8]);

/// The address of such a wire. It serves until the test's process ends.
pub(crate) fn rewriting(target: SocketAddr, words: &[Word]) -> SocketAddr {
    for (word, other) in words {
        assert_eq!(word.len(), other.len(), "{}", word.escape_ascii());
    }
    let words: Arc<[Word]> = words.into();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for initiator in listener.incoming() {
            let (initiator, target) = (initiator.expect("a connection"), TcpStream::connect(target).expect("a target"));
            let up = (initiator.try_clone().expect("a handle"), target.try_clone().expect("a handle"));
            let words = words.clone();
            // The side that closes first ends both.
            std::thread::spawn(move || pass(up.0, up.1, &[]));
            std::thread::spawn(move || pass(target, initiator, &words));
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, words: &[Word]) -> io::Result<()> {
    let mut buffer = [0; 1 << 16];
    let mut held = Vec::new();
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            let _ = from.shutdown(Shutdown::Both);
            return to.shutdown(Shutdown::Both);
        }
        held.extend_from_slice(&buffer[..read]);
        for (word, other) in words {
            while let Some(at) = held.windows(word.len()).position(|window| window == *word) {
                held[at..at + word.len()].copy_from_slice(other);
            }
        }
        // The beginning of a word may be all that has come of it.
        let whole =
            held.len() - (0..=held.len()).rev().find(|&n| is_beginning(&held[held.len() - n..], words)).unwrap_or(0);
        to.write_all(&held[..whole])?;
        held.drain(..whole);
    }
}

fn is_beginning(bytes: &[u8], words: &[Word]) -> bool {
    bytes.is_empty() || words.iter().any(|(word, _)| word.len() > bytes.len() && word.starts_with(bytes))
}
