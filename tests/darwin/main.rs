//! Programs made for macOS, run here by the loader; `make test-darwin` runs them, and the Mac's own program after them.
//!
//! ```text
//!   programs/*.rs ──► Mach-O ──► machrun ──► glibc, Linux
//!                                   └── loader/ system/ frameworks/ machine/
//! ```
//! Each file here is a subject, with the program of that name: what the loader does with it, and whether what stands
//! for macOS is as macOS is.

#![cfg(target_os = "linux")]

mod machrun;

mod ends;
mod files;
mod fixups;
mod frames;
mod imports;
mod initialisers;
mod limits;
mod malformed;
mod memory;
mod packed;
mod panics;
mod processes;
mod queues;
mod signals;
mod sockets;
mod system;
mod tcp_list;
mod threads;
mod variables;
