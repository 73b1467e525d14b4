//! What a program knows about itself.

use std::env;
use std::process::Command;

fn main() {
    let path = env::current_exe().expect("a path");
    println!("{:?} {}", env::args().collect::<Vec<_>>(), path.display());
    if env::args().nth(1).as_deref() == Some("again") {
        let status = Command::new(path).arg("child").status().expect("a child");
        std::process::exit(status.code().expect("an exit status") + 3);
    }
}
