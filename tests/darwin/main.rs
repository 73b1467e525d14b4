//! Programs made for macOS, run here by the loader; `make test-darwin` runs them, and the Mac's own program after them.
//!
//! ```text
//!   programs/*.rs ──► Mach-O ──► machrun ──► glibc, Linux
//!                                   └── loader/ system/ frameworks/ machine/
//! ```
//! Each file here is a subject, with the program of that name: what the loader does with it, and whether what stands
//! for macOS is as macOS is.

#![cfg(target_os = "linux")]

mod mac;
mod machrun;
mod signature;

mod activated;
mod clocks;
mod ends;
mod files;
mod fixups;
mod frames;
mod imports;
mod initialisers;
mod keychain;
mod limits;
mod malformed;
mod memory;
mod network;
mod objects;
mod packed;
mod panics;
mod power;
mod processes;
mod queues;
mod services;
mod shutdown;
mod signals;
mod sockets;
mod system;
mod tcp_list;
mod threads;
mod variables;
