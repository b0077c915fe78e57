//! Where the program's own words go: answers to standard output, the rest to standard error.

use std::io::{self, Write as _};

/// Standard output may be a closed pipe; there is nobody left to tell then.
pub(super) fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    let _closed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes to standard error: what went wrong.
pub(super) fn err(text: &str) {
    let _closed = io::stderr().lock().write_all(text.as_bytes());
}
