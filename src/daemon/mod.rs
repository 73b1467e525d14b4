//! The daemon.

mod connect;
mod control;
mod failure;
mod runtime_dir;
mod send_targets;
