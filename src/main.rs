//! argv[0] decides: daemon or command line.

fn main() {}
