//! Which programs have files open, as lsof tells.

use std::ffi::OsString;
use std::time::Duration;

use super::AttachError;
use super::mac_tools::holders;
use super::program::Program;
use super::runner::Runner;

/// Who has one of these files open, or something on a volume that is mounted there: a sentence for each.
pub(super) async fn open_files(
    runner: &dyn Runner,
    files: &[String],
    limit: Duration,
) -> Result<Vec<String>, AttachError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let words = ["-F", "pcn", "--"].into_iter().chain(files.iter().map(String::as_str)).map(OsString::from).collect();
    // It ends with 1 where nothing is open.
    Ok(holders(&runner.run(Program::Lsof, words, limit).await?.stdout))
}
