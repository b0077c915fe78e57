//! Reloading is one type: a value built from a file's contents, compared by content every ten seconds and whenever it is refused.
//!
//! A bad new file keeps the old value: it is logged, counted and shown in `/status`, and the next good one heals it.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::digest::{SHA256, digest};

use crate::finding::Problem;
use crate::secret::Secret;
use crate::tasks::Tasks;

/// How often files are compared.
pub const EVERY: Duration = Duration::from_secs(10);

/// Where a value comes from, and the configuration key that says so.
#[derive(Clone, Debug)]
pub struct Source {
    /// The key's path in the configuration, or the environment variable.
    pub key: String,
    /// The file that the key stands in, for findings.
    pub file: Option<String>,
    /// Where the text is.
    pub place: Place,
}

/// Where a text is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A value from the environment or written in the configuration: fixed for the process.
    Value(Secret),
}

/// How a file's contents become a value.
pub type Parse<T> = fn(&[u8]) -> Result<T, Problem>;

/// Whether a new value (the second) may take the place of the one in force (the first).
struct Follows<T>(Box<Judge<T>>);

type Judge<T> = dyn Fn(&T, &T) -> Result<(), Problem> + Send + Sync;

/// A value and the contents that it was made from.
#[derive(Debug)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Names the contents: the same for the same contents in every process, and another for others.
    pub version: u64,
}

/// A value that follows its source.
#[derive(Debug)]
pub struct Reloading<T> {
    source: Source,
    parse: Parse<T>,
    follows: Follows<T>,
    current: ArcSwap<Versioned<T>>,
    contents: ArcSwap<Secret>,
    problem: ArcSwapOption<Problem>,
    failures: AtomicU64,
    // The watcher and a refusal may compare at the same time; the later contents have to win.
    comparing: Mutex<()>,
}

// === impl Source ===

impl Source {
    /// Reads the text now.
    ///
    /// # Errors
    /// The file cannot be read, with the reason and the remedy.
    pub fn read(&self) -> Result<Secret, Problem> {
        match &self.place {
            Place::Value(secret) => Ok(secret.clone()),
            Place::File(path) => {
                let bytes = std::fs::read(path).map_err(|error| {
                    Problem::new(
                        format!("the file {} cannot be read: {error}", path.display()),
                        "mount the file, or mend its path or its permissions",
                    )
                })?;
                String::from_utf8(bytes).map(Secret::new).map_err(|_| {
                    Problem::new(format!("the file {} is not UTF-8 text", path.display()), "write the value as text (PEM for keys)")
                })
            }
        }
    }
}

// === impl Follows ===

impl<T> fmt::Debug for Follows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follows")
    }
}

// === impl Reloading ===

impl<T: Send + Sync + 'static> Reloading<T> {
    /// Reads and parses the source for the first time.
    ///
    /// # Errors
    /// The source cannot be read or its contents are not what they should be.
    pub fn load(source: Source, parse: Parse<T>) -> Result<Arc<Self>, Problem> {
        Self::load_guarded(source, parse, |_, _| Ok(()))
    }

    /// The same for a value that not every other may follow: what `follows` refuses is as bad as what cannot be parsed.
    ///
    /// # Errors
    /// The source cannot be read or its contents are not what they should be.
    pub fn load_guarded(
        source: Source,
        parse: Parse<T>,
        follows: impl Fn(&T, &T) -> Result<(), Problem> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Problem> {
        let contents = source.read()?;
        let value = parse(contents.expose().as_bytes())?;
        let version = version_of(&contents);
        Ok(Arc::new(Self {
            source,
            parse,
            follows: Follows(Box::new(follows)),
            current: ArcSwap::from_pointee(Versioned { value, version }),
            contents: ArcSwap::from_pointee(contents),
            problem: ArcSwapOption::empty(),
            failures: AtomicU64::new(0),
            comparing: Mutex::default(),
        }))
    }

    /// The value in force.
    pub fn current(&self) -> Arc<Versioned<T>> {
        self.current.load_full()
    }

    /// Why the newest contents were not taken, if they were not.
    pub fn problem(&self) -> Option<Arc<Problem>> {
        self.problem.load_full()
    }

    /// How many times new contents were refused or could not be read.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Compares the source now and takes new contents. Returns whether there was a change.
    pub fn refresh(&self) -> bool {
        let _one_at_a_time = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match self.source.read() {
            Ok(contents) => contents,
            Err(problem) => return self.keep(problem),
        };
        if contents.expose() == self.contents.load().expose() {
            self.problem.store(None);
            return false;
        }
        let old = self.current.load_full();
        let parsed = (self.parse)(contents.expose().as_bytes());
        match parsed.and_then(|value| (self.follows.0)(&old.value, &value).map(|()| value)) {
            Ok(value) => {
                let version = version_of(&contents);
                self.current.store(Arc::new(Versioned { value, version }));
                self.contents.store(Arc::new(contents));
                self.problem.store(None);
                tracing::info!(key = %self.source.key, "new contents are in force");
                true
            }
            Err(problem) => self.keep(problem),
        }
    }

    fn keep(&self, problem: Problem) -> bool {
        // The same bad file is compared every ten seconds: one line and one count for each new problem, not for each look.
        if self.problem.load().as_deref() != Some(&problem) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(key = %self.source.key, reason = %problem.reason, "new contents were refused; the old ones stay in force");
            self.problem.store(Some(Arc::new(problem)));
        }
        false
    }

    /// Compares the source every ten seconds until the soft stop. A fixed value needs no watching.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        if matches!(self.source.place, Place::Value(_)) {
            return;
        }
        let this = Arc::clone(self);
        tasks.background("reload", async move {
            // What was read a moment ago is not read again at once.
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let this = Arc::clone(&this);
                // File systems may hang: the comparison must not hold an async worker.
                if tokio::task::spawn_blocking(move || this.refresh()).await.is_err() {
                    tracing::error!("comparing a file panicked");
                }
            }
        });
    }
}

fn version_of(contents: &Secret) -> u64 {
    let hash = digest(&SHA256, contents.expose().as_bytes());
    hash.as_ref().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::{Place, Reloading, Source};
    use crate::finding::Problem;

    fn number(bytes: &[u8]) -> Result<u32, Problem> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        text.trim().parse().map_err(|_| Problem::new("not a number", "write a number"))
    }

    #[test]
    fn a_bad_file_keeps_the_old_value_and_counts_once() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("n");
        std::fs::write(&path, "1")?;
        let source = Source { key: "n".to_owned(), file: None, place: Place::File(path.clone()) };
        let value = Reloading::load(source, number).map_err(|problem| problem.reason)?;
        assert!(!value.refresh());
        let first = value.current().version;
        std::fs::write(&path, "2")?;
        assert!(value.refresh());
        assert_eq!(value.current().value, 2);
        assert_ne!(value.current().version, first);
        std::fs::write(&path, "x")?;
        assert!(!value.refresh());
        assert!(!value.refresh());
        assert_eq!((value.current().value, value.failures()), (2, 1));
        assert!(value.problem().is_some());
        std::fs::write(&path, "3")?;
        assert!(value.refresh());
        assert!(value.problem().is_none());
        Ok(())
    }
}
