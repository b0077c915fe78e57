//! A file on a volume that hangs.

use std::path::Path;
use std::process::Command;

/// Puts a pipe in the place of a file, to which nobody writes: to open it for reading never ends.
pub(crate) fn hang(path: &Path) {
    std::fs::remove_file(path).expect("a file");
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}
