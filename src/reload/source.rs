//! Where the contents of a value are, and how they are read: never on an async worker, and never without an end in sight.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::text::{self, OuterBlanks};
use crate::finding::Complaint;
use crate::secret::Secret;
use crate::tasks;

/// The most that is read of a file, in bytes: what is longer is no certificate, no key and no secret.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Where a value comes from, and the configuration key that says so.
#[derive(Clone, Debug)]
pub struct Source {
    /// The key's path in the configuration, or the environment variable.
    pub key: String,
    /// The file that the key stands in, for findings.
    pub file: Option<String>,
    /// Where the contents are.
    pub place: Place,
}

/// Where contents are.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A value from the environment or written in the configuration: fixed for the process.
    Value(Secret),
}

/// What a file holds, without a byte order mark: bytes, wiped when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents(Zeroizing<Vec<u8>>);

// === impl Source ===

impl Source {
    /// What stands in the place of a source that the configuration lacks, until that is mended; `key` is where it should be.
    pub fn missing(key: &str) -> Self {
        Self { key: key.to_owned(), file: None, place: Place::Value(Secret::new("")) }
    }

    /// Whether it is one that the configuration lacks: no other value is empty.
    pub fn is_missing(&self) -> bool {
        matches!(&self.place, Place::Value(text) if text.expose().is_empty())
    }

    /// Reads the contents at the start of the process, which waits for a file for ten seconds.
    ///
    /// # Errors
    /// The file cannot be read, with the reason and the remedy.
    pub fn read(&self) -> Result<Contents, Complaint> {
        match &self.place {
            Place::Value(secret) => Ok(Contents::of(secret)),
            Place::File(path) => read(path).map_err(|error| unreadable(&error)).and_then(Contents::in_utf_8),
        }
    }

    /// Reads the contents as [`Source::read`] does, and makes something of them.
    ///
    /// # Errors
    /// The file cannot be read, or `parse` refuses its contents.
    pub fn parsed<T>(&self, parse: impl FnOnce(&[u8]) -> Result<T, Complaint>) -> Result<T, Complaint> {
        let contents = self.read()?;
        parse(contents.bytes()).map_err(|problem| contents.explained(problem))
    }

    /// Reads the contents however long it takes: for a thread that nobody waits for.
    pub(super) fn read_now(&self) -> Result<Contents, Complaint> {
        match &self.place {
            Place::Value(secret) => Ok(Contents::of(secret)),
            Place::File(path) => contents(path).map_err(|error| unreadable(&error)).and_then(Contents::in_utf_8),
        }
    }
}

/// Reads a file at the start of the process, which waits for it for ten seconds.
///
/// # Errors
/// It cannot be read, is larger than 4 MiB, or is not there in time.
pub fn read(path: &Path) -> io::Result<Contents> {
    read_within(path, tasks::START)
}

fn read_within(path: &Path, patience: Duration) -> io::Result<Contents> {
    let file = path.to_owned();
    let read = tasks::within(patience, move || contents(&file));
    read.unwrap_or_else(|| {
        let reason = format!("it was not read within {} s: see to the volume that it is mounted from", patience.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    })
}

fn contents(path: &Path) -> io::Result<Contents> {
    let mut bytes = Zeroizing::new(Vec::new());
    // One byte more than may be there.
    let read = File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read <= LARGEST) {
        Ok(Contents(text::unmarked(bytes)))
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 4 MiB"))
    }
}

/// The path is not repeated: a secret may stand in its place.
fn unreadable(error: &io::Error) -> Complaint {
    Complaint::new(format!("the file cannot be read: {error}"), "mount the file, or mend its path or its permissions")
}

// === impl Contents ===

impl Contents {
    fn of(secret: &Secret) -> Self {
        Self(text::unmarked(Zeroizing::new(secret.expose().as_bytes().to_vec())))
    }

    fn in_utf_8(self) -> Result<Self, Complaint> {
        text::foreign(self.bytes()).map_or(Ok(self), Err)
    }

    /// What is wrong with the contents, and what they hold that nobody sees: that may be why.
    pub(super) fn explained(&self, problem: Complaint) -> Complaint {
        match text::seen(self.bytes(), OuterBlanks::Passed) {
            Some(seen) => Complaint::new(format!("{}; {seen}", problem.reason), problem.remedy),
            None => problem,
        }
    }

    /// What the contents hold that is hardly meant. It is a part of them all the same.
    pub fn oddity(&self, blanks: OuterBlanks) -> Option<Complaint> {
        let seen = text::seen(self.bytes(), blanks)?;
        Some(Complaint::new(format!("{seen}, which counts as a part of it"), "write it without, unless it is meant"))
    }

    /// The bytes; every use is a place to look at in a review.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text.
    ///
    /// # Errors
    /// They are none.
    pub fn text(&self) -> Result<&str, Complaint> {
        std::str::from_utf8(&self.0).map_err(|_| Complaint::new("it is not UTF-8 text", "write it as text (PEM for keys)"))
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::Command;
    use std::time::Duration;

    use super::{LARGEST, contents, read, read_within};

    #[test]
    fn a_file_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        // A pipe that nobody writes to: to open it for reading never ends.
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = read_within(&pipe, Duration::from_millis(50)).unwrap_err();
        assert!(error.kind() == ErrorKind::TimedOut && error.to_string().contains("volume"), "{error}");
        // What hangs ends: a writer comes and goes.
        drop(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        assert_eq!(contents("/dev/zero".as_ref()).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, vec![7; usize::try_from(LARGEST).unwrap()]).unwrap();
        let read = read(&file).unwrap();
        assert_eq!((read.bytes().len(), format!("{read:?}")), (4 * 1024 * 1024, "[redacted]".to_owned()));
    }
}
