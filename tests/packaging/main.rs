//! What people install, and with what: manual pages, the job of launchd, the packages and their scripts, the formula
//! for Homebrew, and the script that a Mac owner runs.
//!
//! ```text
//!   packaging/… ──► a directory in place of / ◄── stubs of launchctl, kmutil, hdiutil … that write down their calls
//! ```
//! No Mac is needed: what a Mac would do is what the stubs say it does.

#![cfg(target_os = "linux")]

#[path = "../common/process.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod process;
#[path = "../common/program.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod program;

mod acceptance;
mod apple;
mod apt;
mod ends;
mod homebrew;
mod launchd;
mod linux;
mod mac;
mod manual;
mod packages;
mod practice;
mod scripts;
mod snippets;
mod workflows;
