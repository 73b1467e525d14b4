//! The daemon.

mod control;
mod runtime_dir;

