//! Where the contents of a value are, and how they are read: never on an async worker, and never without an end in sight.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

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

/// What a file holds: bytes, wiped when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents(Zeroizing<Vec<u8>>);

// === impl Source ===

impl Source {
    /// Reads the contents at the start of the process, which waits for a file for ten seconds.
    ///
    /// # Errors
    /// The file cannot be read, with the reason and the remedy.
    pub fn read(&self) -> Result<Contents, Complaint> {
        match &self.place {
            Place::Value(secret) => Ok(Contents::of(secret)),
            Place::File(path) => read(path).map_err(|error| unreadable(path, &error)),
        }
    }

    /// Reads the contents however long it takes: for a thread that nobody waits for.
    pub(super) fn read_now(&self) -> Result<Contents, Complaint> {
        match &self.place {
            Place::Value(secret) => Ok(Contents::of(secret)),
            Place::File(path) => contents(path).map_err(|error| unreadable(path, &error)),
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
        Ok(Contents(bytes))
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 4 MiB"))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Complaint {
    Complaint::new(
        format!("the file {} cannot be read: {error}", path.display()),
        "mount the file, or mend its path or its permissions",
    )
}

// === impl Contents ===

impl Contents {
    fn of(secret: &Secret) -> Self {
        Self(Zeroizing::new(secret.expose().as_bytes().to_vec()))
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
