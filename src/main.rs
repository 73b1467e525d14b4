//! argv[0] decides: daemon or command line.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use iscsid::options::Options;

fn main() -> ExitCode {
    let mut words = env::args_os();
    let program = words.next().unwrap_or_default();
    let mut words = words.peekable();
    if Path::new(&program).file_name() == Some(OsStr::new("iscsictl")) || words.next_if(|word| word == "ctl").is_some()
    {
        return ExitCode::from(iscsid::cli::run(words) as u8);
    }
    match Options::understand(words) {
        Ok(options) => iscsid::daemon::run(&options),
        Err(code) => ExitCode::from(code as u8),
    }
}
