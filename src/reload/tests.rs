//! What is taken from files that change, are bad, hang, or make the one who reads them panic.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Contents, Place, Reloading, Reloads, Source};
use crate::finding::Complaint;
use crate::tasks::Tasks;

/// A number in a file, and the folder that ends with it.
struct Number {
    value: Arc<Reloading<u32>>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn source(path: &Path) -> Source {
    Source { key: "n".to_owned(), file: None, place: Place::File(path.to_owned()) }
}

fn number(bytes: &[u8]) -> Result<u32, Complaint> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    assert!(text != "panic", "on purpose");
    text.trim().parse().map_err(|_| Complaint::new("not a number", "write a number"))
}

// === impl Number ===

impl Number {
    fn one() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        std::fs::write(&path, "1").unwrap();
        Self { value: Reloading::load(source(&path), number).unwrap(), path, _folder: folder }
    }

    /// Another file in its place, as mounts are changed: whoever has opened the old one goes on with that.
    fn write(&self, text: &str) {
        let fresh = self.path.with_extension("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, &self.path).unwrap();
    }

    /// A pipe that nobody writes to in its place: to open it for reading never ends.
    fn hang(&self) {
        std::fs::remove_file(&self.path).unwrap();
        assert!(Command::new("mkfifo").arg(&self.path).status().unwrap().success());
    }

    /// A writer comes with this and goes.
    fn wake(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    fn is(&self) -> (u32, u64, Option<String>) {
        (self.value.current().value, self.value.failures(), self.value.problem().map(|problem| problem.reason.clone()))
    }
}

#[tokio::test]
async fn a_bad_file_keeps_the_old_value_and_counts_once() {
    let number = Number::one();
    assert!(!number.value.reread().await);
    let first = number.value.current().version;
    number.write("2");
    assert!(number.value.reread().await);
    assert_eq!(number.is(), (2, 0, None));
    assert_ne!(number.value.current().version, first);
    number.write("x");
    assert!(!number.value.reread().await);
    assert!(!number.value.reread().await);
    assert_eq!(number.is(), (2, 1, Some("not a number".to_owned())));
    number.write("3");
    assert!(number.value.reread().await);
    assert_eq!(number.is(), (3, 1, None));
}

#[tokio::test]
async fn files_that_belong_together_are_taken_together() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    let write = |a: &str, b: &str| std::fs::write(&paths[0], a).and_then(|()| std::fs::write(&paths[1], b)).unwrap();
    write("1", "1");
    let value = Reloading::load_joined("pair", paths.iter().map(|path| source(path)).collect(), |parts: &[Contents]| match parts {
        [a, b] if a == b => number(a.bytes()),
        _ => Err(Complaint::new("they do not belong together", "write both")),
    });
    let value = value.unwrap();
    write("2", "1");
    assert!(!value.reread().await && !value.reread().await);
    assert_eq!((value.current().value, value.failures(), value.problem().is_some()), (1, 1, true));
    write("2", "2");
    assert!(value.reread().await);
    assert_eq!((value.current().value, value.failures(), value.problem().is_some()), (2, 1, false));
}

#[tokio::test]
async fn whoever_asks_has_what_stood_there_then() {
    let number = Number::one();
    for round in 2..50_u32 {
        // Reads are under way that began before the file was replaced.
        let (before, _) = tokio::join!(join_all((0..4).map(|_| number.value.reread())), async {
            number.write(&round.to_string());
            number.value.reread().await;
            assert_eq!(number.value.current().value, round);
        });
        drop(before);
    }
}

#[tokio::test]
async fn a_file_that_hangs_is_read_once_and_waited_for_by_those_who_came_first() {
    let number = Number::one();
    number.hang();
    let changed = join_all((0..50).map(|_| number.value.reread())).await;
    assert!(changed.into_iter().all(|changed| !changed));
    for _ in 0..1000 {
        assert_eq!(number.value.reread().now_or_never(), Some(false), "somebody waits again");
    }
    assert_eq!(number.is(), (1, 1, Some("it was not read within 1 s".to_owned())));
    // What comes in the end is taken although nobody waits for it.
    number.wake("2");
    for _ in 0..1000 {
        if number.value.current().value == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((number.is(), *number.value.reads.ended.borrow()), ((2, 1, None), 1));
    // And the next one is waited for again.
    std::fs::remove_file(&number.path).unwrap();
    number.write("3");
    assert!(number.value.reread().await);
}

#[tokio::test]
async fn a_panic_keeps_the_value_and_frees_the_place() {
    let number = Number::one();
    number.write("panic");
    assert!(!join_all((0..3).map(|_| number.value.reread())).await.contains(&true));
    number.write("2");
    assert!(number.value.reread().await);
    assert_eq!(number.value.current().value, 2);
}

#[tokio::test]
async fn all_values_are_compared_when_that_is_asked_for() {
    let (tasks, reloads, numbers) = (Tasks::default(), Reloads::default(), [Number::one(), Number::one()]);
    let also = Arc::new(AtomicUsize::new(0));
    numbers.iter().for_each(|number| reloads.follow(&number.value));
    let counted = Arc::clone(&also);
    reloads.follow_by(move || {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    reloads.run(&tasks);
    // One of them hangs: that is nothing to the other.
    numbers[0].hang();
    numbers[1].write("2");
    reloads.compare_now();
    for _ in 0..1000 {
        if numbers[1].value.current().value == 2 && also.load(Ordering::SeqCst) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((numbers[1].value.current().value, also.load(Ordering::SeqCst)), (2, 1));
    numbers[0].wake("1");
    assert!(tasks.stop(Duration::from_secs(10)).await);
}
