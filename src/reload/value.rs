//! A value that follows the contents of its files, and keeps the old ones where the new are bad.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::digest::{Context, SHA256};

use super::reads::{PATIENCE, Reads};
use super::source::{Contents, Place, Source};
use super::text::OuterBlanks;
use crate::finding::Complaint;
use crate::tasks;

/// How a file's contents become a value.
pub type Parse<T> = fn(&[u8]) -> Result<T, Complaint>;

/// How the contents of several files, in the order of their sources, become one value.
type Join<T> = Box<dyn Fn(&[Contents]) -> Result<T, Complaint> + Send + Sync>;

/// Whether a new value (the second) may take the place of the one in force (the first). If so, it is about to do that.
type Follows<T> = Box<dyn Fn(&T, &T) -> Result<(), Complaint> + Send + Sync>;

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
    /// Set where somebody asked for oddities: those of later contents are logged.
    blanks: OnceLock<OuterBlanks>,
    // Only the thread that reads touches it, and whoever asks for oddities at the start.
    contents: Mutex<Vec<Contents>>,
    problem: ArcSwapOption<Complaint>,
    failures: AtomicU64,
    pub(super) reads: Reads,
}

// === impl Reloading ===

impl<T: Send + Sync + 'static> Reloading<T> {
    /// Reads and parses the source for the first time.
    ///
    /// # Errors
    /// The source cannot be read or its contents are not what they should be.
    pub fn load(source: Source, parse: Parse<T>) -> Result<Arc<Self>, Complaint> {
        Self::load_guarded(source, parse, |_, _| Ok(()))
    }

    /// Reads and parses a value that not every other may follow: what `follows` refuses is as bad as what cannot be parsed.
    ///
    /// # Errors
    /// The source cannot be read or its contents are not what they should be.
    pub fn load_guarded(
        source: Source,
        parse: Parse<T>,
        follows: impl Fn(&T, &T) -> Result<(), Complaint> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Complaint> {
        let alone = move |contents: &[Contents]| parse(contents.first().map_or(&[][..], Contents::bytes));
        Self::load_all(source.key.clone(), vec![source], Box::new(alone), Box::new(follows))
    }

    /// Reads and parses files that make one value together. Each look reads all of them. Files that do not fit together are as bad
    /// as a file that cannot be parsed, and the next look heals it. `key` names all of them in the log.
    ///
    /// # Errors
    /// A source cannot be read, or the contents are not what they should be.
    pub fn load_joined(
        key: &str,
        sources: Vec<Source>,
        parse: impl Fn(&[Contents]) -> Result<T, Complaint> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Complaint> {
        Self::load_all(key.to_owned(), sources, Box::new(parse), Box::new(|_, _| Ok(())))
    }

    fn load_all(key: String, sources: Vec<Source>, parse: Join<T>, follows: Follows<T>) -> Result<Arc<Self>, Complaint> {
        let contents: Vec<Contents> = sources.iter().map(Source::read).collect::<Result<_, _>>()?;
        let value = parse(&contents).map_err(|problem| explained(&contents, problem))?;
        let version = version_of(&contents);
        Ok(Arc::new(Self {
            key,
            sources,
            parse,
            follows,
            current: ArcSwap::from_pointee(Versioned { value, version }),
            blanks: OnceLock::new(),
            contents: Mutex::new(contents),
            problem: ArcSwapOption::empty(),
            failures: AtomicU64::new(0),
            reads: Reads::new(),
        }))
    }

    /// The value in force.
    pub fn current(&self) -> Arc<Versioned<T>> {
        self.current.load_full()
    }

    /// Something of the value in force, for a look that is over at once: it costs less than [`Reloading::current`].
    pub fn look<R>(&self, at: impl FnOnce(&Versioned<T>) -> R) -> R {
        at(&self.current.load())
    }

    /// Why the newest contents were not taken, if they were not.
    pub fn problem(&self) -> Option<Arc<Complaint>> {
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

    /// Reads the source again and takes new contents. Returns whether there is another value than before.
    ///
    /// It waits for a second at most, and not at all if others have waited for the read under way in vain. Then the value in force
    /// has to do, and new contents are taken when they come.
    pub async fn reread(self: &Arc<Self>) -> bool {
        if self.is_fixed() {
            return false;
        }
        let before = self.current.load().version;
        let Some(wanted) = self.reads.want() else { return false };
        if wanted.is_first {
            self.begin();
        }
        if !self.reads.wait(wanted).await {
            let reason = format!("it was not read within {} s", PATIENCE.as_secs());
            self.keep(Complaint::new(reason, "see to the volume that it is mounted from"));
        }
        self.current.load().version != before
    }

    /// Has the source read again, and waits for nothing.
    pub fn ask(self: &Arc<Self>) {
        if !self.is_fixed() && self.reads.ask() {
            self.begin();
        }
    }

    /// Waits for a read that is under way, if there is one, as [`Reloading::reread`] does.
    pub async fn settled(&self) {
        if let Some(wanted) = self.reads.under_way() {
            self.reads.wait(wanted).await;
        }
    }

    /// Starts the thread that reads until nobody asks for more.
    fn begin(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let work = move || {
            let turn = this.reads.turn();
            loop {
                this.compare();
                if !turn.next() {
                    break;
                }
            }
        };
        if let Err(error) = tasks::thread("reload", work) {
            self.keep(Complaint::new(format!("no thread can be started to read it: {error}"), "allow the process more threads"));
            while self.reads.turn().next() {}
        }
    }

    /// Compares the source and takes new contents.
    fn compare(&self) {
        // Whatever hangs does so here, before the lock.
        let read: Result<Vec<Contents>, Complaint> = self.sources.iter().map(|source| self.read(source)).collect();
        let contents = match read {
            Ok(contents) => contents,
            Err(problem) => return self.keep(problem),
        };
        let mut known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if contents == *known {
            self.problem.store(None);
            return;
        }
        let old = self.current.load_full();
        let parsed = (self.parse)(&contents).map_err(|problem| explained(&contents, problem));
        match parsed.and_then(|value| (self.follows)(&old.value, &value).map(|()| value)) {
            Ok(value) => {
                let version = version_of(&contents);
                self.current.store(Arc::new(Versioned { value, version }));
                *known = contents;
                self.problem.store(None);
                tracing::info!(key = %self.key, "new contents are in force");
                if let Some(odd) = self.blanks.get().and_then(|blanks| oddity(&known, *blanks)) {
                    tracing::warn!(key = %self.key, reason = %odd.reason, "new contents hold what is hardly meant");
                }
            }
            Err(problem) => self.keep(problem),
        }
    }

    /// Reads one of the sources; where there are several, a reason says which.
    fn read(&self, source: &Source) -> Result<Contents, Complaint> {
        source.read_now().map_err(|problem| match self.sources.len() {
            1 => problem,
            _ => Complaint { reason: format!("`{}`: {}", source.key, problem.reason), ..problem },
        })
    }

    /// What the contents in force hold that is hardly meant; from now on that of new contents is logged.
    pub fn oddity(&self, blanks: OuterBlanks) -> Option<Complaint> {
        let blanks = *self.blanks.get_or_init(|| blanks);
        oddity(&self.contents.lock().unwrap_or_else(PoisonError::into_inner), blanks)
    }

    /// The configuration key that names the source.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Keeps the value in force, because the source could not be compared or its new contents are not what they should be.
    fn keep(&self, problem: Complaint) {
        // A bad file is compared every ten seconds: one line and one count for each new problem, not for each look.
        if self.problem.load().as_deref() != Some(&problem) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(key = %self.key, reason = %problem.reason, "new contents were refused; the old ones stay in force");
            self.problem.store(Some(Arc::new(problem)));
        }
    }
}

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What is wrong with contents, and what the first of them that holds something invisible holds.
fn explained(contents: &[Contents], problem: Complaint) -> Complaint {
    contents.iter().fold(problem, |problem, contents| contents.explained(problem))
}

fn oddity(contents: &[Contents], blanks: OuterBlanks) -> Option<Complaint> {
    contents.iter().find_map(|contents| contents.oddity(blanks))
}

fn version_of(contents: &[Contents]) -> u64 {
    let mut hash = Context::new(&SHA256);
    for part in contents {
        hash.update(part.bytes());
    }
    let hash = hash.finish();
    hash.as_ref().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}
