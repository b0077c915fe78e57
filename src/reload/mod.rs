//! Reloading is one type: a value built from the contents of a file, or of several that belong together, compared by content every ten seconds and whenever it is refused.
//!
//! A bad new file keeps the old value: it is logged, counted and shown in `/status`, and the next good one heals it.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::digest::{Context, SHA256};

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

/// How the contents of several files, in the order of their sources, become one value.
type Join<T> = Box<dyn Fn(&[Secret]) -> Result<T, Problem> + Send + Sync>;

/// Whether a new value (the second) may take the place of the one in force (the first).
type Follows<T> = Box<dyn Fn(&T, &T) -> Result<(), Problem> + Send + Sync>;

/// A value and the contents that it was made from.
#[derive(Debug)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Names the contents: the same for the same contents in every process, and another for others.
    pub version: u64,
}

/// A value that follows its source, or its sources.
pub struct Reloading<T> {
    key: String,
    sources: Vec<Source>,
    parse: Join<T>,
    follows: Follows<T>,
    current: ArcSwap<Versioned<T>>,
    contents: ArcSwap<Vec<Secret>>,
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
        let alone = move |contents: &[Secret]| parse(contents.first().map_or(&[][..], |text| text.expose().as_bytes()));
        Self::load_all(source.key.clone(), vec![source], Box::new(alone), Box::new(follows))
    }

    /// The same for files that make one value together. Each look reads all of them; what does not fit together is as bad as what
    /// cannot be parsed, and the next look heals it. `key` names all of them in the log.
    ///
    /// # Errors
    /// A source cannot be read, or the contents are not what they should be.
    pub fn load_joined(
        key: &str,
        sources: Vec<Source>,
        parse: impl Fn(&[Secret]) -> Result<T, Problem> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Problem> {
        Self::load_all(key.to_owned(), sources, Box::new(parse), Box::new(|_, _| Ok(())))
    }

    fn load_all(key: String, sources: Vec<Source>, parse: Join<T>, follows: Follows<T>) -> Result<Arc<Self>, Problem> {
        let contents = read_all(&sources)?;
        let value = parse(&contents)?;
        let version = version_of(&contents);
        Ok(Arc::new(Self {
            key,
            sources,
            parse,
            follows,
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

    /// Whether the value never changes: none of its sources is a file.
    pub fn is_fixed(&self) -> bool {
        self.sources.iter().all(|source| matches!(source.place, Place::Value(_)))
    }

    /// Compares the source now and takes new contents. Returns whether there was a change.
    pub fn refresh(&self) -> bool {
        let _one_at_a_time = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match read_all(&self.sources) {
            Ok(contents) => contents,
            Err(problem) => return self.keep(problem),
        };
        if contents.iter().map(Secret::expose).eq(self.contents.load().iter().map(Secret::expose)) {
            self.problem.store(None);
            return false;
        }
        let old = self.current.load_full();
        let parsed = (self.parse)(&contents);
        match parsed.and_then(|value| (self.follows)(&old.value, &value).map(|()| value)) {
            Ok(value) => {
                let version = version_of(&contents);
                self.current.store(Arc::new(Versioned { value, version }));
                self.contents.store(Arc::new(contents));
                self.problem.store(None);
                tracing::info!(key = %self.key, "new contents are in force");
                true
            }
            Err(problem) => self.keep(problem),
        }
    }

    /// The configuration key that names the source.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Keeps the value in force, because the source could not be compared or its new contents are not what they should be. Returns
    /// that there was no change.
    pub fn keep(&self, problem: Problem) -> bool {
        // The same bad file is compared every ten seconds: one line and one count for each new problem, not for each look.
        if self.problem.load().as_deref() != Some(&problem) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(key = %self.key, reason = %problem.reason, "new contents were refused; the old ones stay in force");
            self.problem.store(Some(Arc::new(problem)));
        }
        false
    }

    /// Compares the source every ten seconds until the soft stop. A fixed value needs no watching.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        if self.is_fixed() {
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

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("key", &self.key).finish_non_exhaustive()
    }
}

fn read_all(sources: &[Source]) -> Result<Vec<Secret>, Problem> {
    sources.iter().map(Source::read).collect()
}

fn version_of(contents: &[Secret]) -> u64 {
    let mut hash = Context::new(&SHA256);
    for text in contents {
        hash.update(text.expose().as_bytes());
    }
    let hash = hash.finish();
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

    #[test]
    fn files_that_belong_together_are_taken_together() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        let write = |a: &str, b: &str| std::fs::write(&paths[0], a).and_then(|()| std::fs::write(&paths[1], b));
        write("1", "1")?;
        let sources = paths.iter().map(|path| Source { key: String::new(), file: None, place: Place::File(path.clone()) });
        let value = Reloading::load_joined("pair", sources.collect(), |texts| match texts {
            [a, b] if a.expose() == b.expose() => number(a.expose().as_bytes()),
            _ => Err(Problem::new("they do not belong together", "write both")),
        });
        let value = value.map_err(|problem| problem.reason)?;
        write("2", "1")?;
        assert!(!value.refresh() && !value.refresh());
        assert_eq!((value.current().value, value.failures(), value.problem().is_some()), (1, 1, true));
        write("2", "2")?;
        assert!(value.refresh());
        assert_eq!((value.current().value, value.failures(), value.problem().is_some()), (2, 1, false));
        Ok(())
    }
}
