//! One target under inputs: the corpus first, then mutations of it, until the time is over or something fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mutate::Mutator;
use crate::random::Random;

/// The longest that one input may take: far more than any needs on a machine that has other things to do.
const SLOW: Duration = Duration::from_secs(10);
/// The longest input.
const LONGEST: usize = 64 * 1024;

thread_local! {
    /// What panicked on this thread, also where somebody caught it.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A target with its inputs.
pub(crate) struct Bench {
    name: &'static str,
    random: Random,
    length: Duration,
}

/// What came of a target.
pub(crate) struct Ran {
    name: &'static str,
    inputs: u64,
    pub(crate) failure: Option<String>,
}

/// What takes inputs: it says what is wrong, if anything is.
pub(crate) type Takes = Box<dyn FnMut(&[u8]) -> Result<(), String>>;

/// A target that is ready: further inputs that only it can make, and what takes them.
pub(crate) struct Ready {
    pub(crate) seeds: Vec<Vec<u8>>,
    pub(crate) takes: Takes,
}

/// Notes every panic for the thread that it happens on.
pub(crate) fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        PANICKED.with(|panicked| {
            panicked.borrow_mut().get_or_insert(text);
        });
    }));
}

// === impl Bench ===

impl Bench {
    pub(crate) fn new(name: &'static str, (seed, stream): (u64, u64), length: Duration) -> Self {
        Self { name, random: Random::of(seed, stream), length }
    }

    /// Runs the target to its end.
    #[expect(clippy::disallowed_methods, reason = "how long it runs is a matter of the machine's own clock")]
    pub(crate) fn run(self, target: crate::targets::Target) -> Ran {
        let Self { name, mut random, length } = self;
        let (began, folder) = (Instant::now(), folder("corpus").join(name));
        let mut inputs = corpus(&folder);
        assert!(!inputs.is_empty(), "there is no corpus in {}", folder.display());
        let Ready { seeds, mut takes } = target();
        inputs.extend(seeds);
        let mutator = Mutator::new(inputs.clone());
        let mut count = 0;
        let mut given = inputs.into_iter();
        loop {
            let input = match given.next() {
                Some(input) => input,
                None if began.elapsed() >= length => return Ran { name, inputs: count, failure: None },
                None => mutator.mutated(&mut random, LONGEST),
            };
            let started = Instant::now();
            PANICKED.with(|panicked| panicked.borrow_mut().take());
            let outcome = catch_unwind(AssertUnwindSafe(|| takes(&input)));
            count += 1;
            let panicked = PANICKED.with(|panicked| panicked.borrow_mut().take());
            let wrong = match (panicked, outcome) {
                (Some(panicked), _) => Some(panicked),
                (None, Ok(Err(wrong))) => Some(wrong),
                (None, _) if started.elapsed() > SLOW => Some(format!("it took {:?}", started.elapsed())),
                (None, _) => None,
            };
            if let Some(wrong) = wrong {
                let kept = keep(name, &input);
                return Ran { name, inputs: count, failure: Some(format!("{wrong}\n  input {count}: {}", kept.display())) };
            }
        }
    }
}

// === impl Ran ===

impl Ran {
    /// A line for a report.
    pub(crate) fn text(&self, seed: u64) -> String {
        match &self.failure {
            None => format!("fuzz {:<16} ok, {} inputs", self.name, self.inputs),
            Some(failure) => format!("fuzz {:<16} FAILED with seed {seed}: {failure}", self.name),
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name)
}

/// The files of a folder, by name.
fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a file of the corpus")).collect()
}

/// Writes an input down for whoever mends what it found.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, input);
    let short: String = digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let path = folder("found").join(format!("{name}-{short}"));
    std::fs::create_dir_all(folder("found")).expect("a folder");
    std::fs::write(&path, input).expect("a written file");
    path
}
