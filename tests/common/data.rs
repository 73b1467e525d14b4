//! Data that no target could make up, and where it has to come out again.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A file of random bytes.
pub(crate) struct RandomFile {
    path: PathBuf,
    _dir: TempDir,
}

impl RandomFile {
    pub(crate) fn of_bytes(bytes: u64) -> RandomFile {
        let dir = super::scratch_dir();
        let path = dir.path().join("random");
        let mut urandom = File::open("/dev/urandom").expect("/dev/urandom").take(bytes);
        let mut file = BufWriter::new(File::create(&path).expect("a file"));
        std::io::copy(&mut urandom, &mut file).expect("random bytes");
        file.flush().expect("random bytes");
        RandomFile { path, _dir: dir }
    }

    pub(crate) fn name(&self) -> &str {
        self.path.to_str().expect("a path in UTF-8")
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("our file")
    }

    /// Fails at the first byte that differs, up to this file's length.
    pub(crate) fn assert_same_as(&self, other: &Path, what: &str) {
        let mut ours = BufReader::with_capacity(1 << 20, File::open(&self.path).expect("our file"));
        let theirs = File::open(other).unwrap_or_else(|error| panic!("{what}: {}: {error}", other.display()));
        let mut theirs = BufReader::with_capacity(1 << 20, theirs);
        let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut offset = 0;
        loop {
            let n = ours.read(&mut a).expect("our file");
            if n == 0 {
                return;
            }
            if let Err(error) = theirs.read_exact(&mut b[..n]) {
                panic!("{what}: it ends before byte {}: {error}", offset + n);
            }
            if a[..n] != b[..n] {
                let at = (0..n).find(|&i| a[i] != b[i]).expect("the first difference");
                panic!("{what}: byte {} differs", offset + at);
            }
            offset += n;
        }
    }
}
