//! The way of a log line to standard error: through a bounded queue and a thread of its own.
//!
//! Standard error may be a pipe that nobody reads, and a write to a full pipe does not return. So whoever logs only appends to the
//! queue. What finds it full is dropped and counted, and the log says how many lines are missing,
//! at the place where they are missing.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::Metrics;
use super::settings::Format;

/// How many bytes of lines wait at most. As many again may be in the hands of the thread that writes.
const ROOM: usize = 512 * 1024;

/// How long to wait before asking again, where standard error is a pipe that somebody made non-blocking.
const AGAIN: Duration = Duration::from_millis(10);

/// What an empty queue keeps of its memory, in bytes.
const KEPT: usize = 64 * 1024;

/// Takes log lines, and never makes anybody wait for their being written; clones share one queue.
#[derive(Clone)]
pub(super) struct Lines(Arc<SharedLines>);

struct SharedLines {
    queue: Mutex<LineQueue>,
    /// The queue has something, or is closed.
    filled: Condvar,
    /// Everything in the queue is written.
    emptied: Condvar,
    dropped: IntCounter,
    format: Format,
    room: usize,
}

#[derive(Default)]
struct LineQueue {
    /// Whole lines, each with its end.
    waiting: Vec<u8>,
    /// How many lines did not fit since the thread came by last. Until it comes again no line is taken, so that all of them are
    /// missing at one place: behind the last that is waiting.
    missing: u64,
    writing: bool,
    closed: bool,
}

// === impl Lines ===

impl Lines {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(format: Format, sink: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_room(ROOM, format, sink)
    }

    #[expect(clippy::expect_used, reason = "name and help are literals: a bad one fails the first test that makes this")]
    fn with_room(room: usize, format: Format, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let help = "Log lines that were dropped: standard error was not read fast enough, or could not be written.";
        let dropped = IntCounter::new("tokend_log_lines_dropped_total", help).expect("a valid metric");
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        let this = Self(Arc::new(SharedLines { queue: Mutex::default(), filled, emptied, dropped, format, room }));
        let shared = Arc::clone(&this.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.run(sink))?;
        Ok(this)
    }

    /// Shows how many lines were dropped.
    pub(super) fn observe(&self, metrics: &Metrics) {
        metrics.register("log_lines_dropped_total", Box::new(self.0.dropped.clone()));
    }

    /// Takes a whole line, or several that belong together, with the end of the last.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut queue = self.0.lock();
        if queue.missing > 0 || queue.waiting.len() + lines.len() > self.0.room {
            let count = count(lines);
            queue.missing += count;
            self.0.dropped.inc_by(count);
        } else {
            queue.waiting.extend_from_slice(lines);
        }
        drop(queue);
        self.0.filled.notify_one();
    }

    /// Ends the thread when everything is written, and waits for that, but no longer than `within`.
    pub(super) fn close(&self, within: Duration) {
        let mut queue = self.0.lock();
        queue.closed = true;
        self.0.filled.notify_one();
        let busy = |queue: &mut LineQueue| queue.writing || queue.has_something();
        // Whoever is still waiting then is given up: the process ends.
        let _given_up = self.0.emptied.wait_timeout_while(queue, within, busy);
    }
}

/// One line per `write`: that is how the layer that makes them writes.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl SharedLines ===

impl SharedLines {
    fn lock(&self) -> MutexGuard<'_, LineQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut sink: impl Write) {
        let (mut taken, mut unsaid) = (Vec::new(), 0);
        while let Some(missing) = self.take(&mut taken) {
            unsaid += missing;
            if let Err(left) = write_all(&mut sink, &taken) {
                let lost = count(left);
                self.dropped.inc_by(lost);
                unsaid += lost;
            } else if unsaid > 0 && write_all(&mut sink, notice(self.format, unsaid).as_bytes()).is_ok() {
                unsaid = 0;
            }
        }
    }

    /// Waits for lines, and takes all that are there. Returns how many are missing behind them; `None`: no more will come.
    fn take(&self, taken: &mut Vec<u8>) -> Option<u64> {
        taken.clear();
        taken.shrink_to(KEPT);
        let mut queue = self.lock();
        queue.writing = false;
        while !queue.has_something() {
            self.emptied.notify_all();
            if queue.closed {
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.writing = true;
        std::mem::swap(&mut queue.waiting, taken);
        Some(std::mem::take(&mut queue.missing))
    }
}

// === impl LineQueue ===

impl LineQueue {
    fn has_something(&self) -> bool {
        !self.waiting.is_empty() || self.missing > 0
    }
}

/// Writes all of it, or returns what could not be written.
fn write_all<'a>(sink: &mut impl Write, mut lines: &'a [u8]) -> Result<(), &'a [u8]> {
    while !lines.is_empty() {
        match sink.write(lines) {
            Ok(0) => return Err(lines),
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(_) => return Err(lines),
        }
    }
    Ok(())
}

fn count(lines: &[u8]) -> u64 {
    let ends = lines.iter().filter(|byte| **byte == b'\n').count();
    u64::try_from(ends).unwrap_or(u64::MAX)
}

/// What the log says in place of the lines that are missing. It is made here and not by the layer that makes the others: a line
/// that says that there is no room must not need any. An error, so that it is said whatever level is logged.
fn notice(format: Format, missing: u64) -> String {
    let mut timestamp = String::new();
    // Without a time the line is still true.
    let _untimed = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let message = if missing == 1 { "1 log line was dropped".to_owned() } else { format!("{missing} log lines were dropped") };
    let target = module_path!();
    match format {
        Format::Json => {
            let line = serde_json::json!({"timestamp": timestamp, "level": "ERROR", "message": message, "target": target});
            format!("{line}\n")
        }
        Format::Text => format!("{timestamp} ERROR {target}: {message}\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Duration;

    use super::super::Metrics;
    use super::super::settings::Format;
    use super::Lines;

    const LONG: Duration = Duration::from_secs(60);

    /// A reader that takes one write at a time, when it likes.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe(room: usize, format: Format) -> (Lines, Receiver<Vec<u8>>) {
        // A write ends when it is read.
        let (sender, receiver) = sync_channel(0);
        (Lines::with_room(room, format, Pipe(sender)).expect("a thread"), receiver)
    }

    fn read(receiver: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(receiver.recv_timeout(LONG).expect("lines")).expect("UTF-8")
    }

    fn dropped(lines: &Lines) -> u64 {
        lines.0.dropped.get()
    }

    /// Has the thread take `first`, which then stands in its hands until it is read.
    fn hold(lines: &Lines, first: &str) {
        lines.push(first.as_bytes());
        while !lines.0.lock().writing {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_counted_and_said_where_it_is_missing() {
        let (lines, receiver) = pipe(8, Format::Json);
        hold(&lines, "one\n");
        // There is room for the last of them, but it would stand before what is missing.
        for line in ["two\n", "three\n", "four\n", "5\n"] {
            lines.push(line.as_bytes());
        }
        assert_eq!(dropped(&lines), 3);
        assert_eq!((read(&receiver), read(&receiver)), ("one\n".to_owned(), "two\n".to_owned()));
        let notice: serde_json::Value = serde_json::from_str(&read(&receiver)).expect("JSON");
        assert_eq!((&notice["message"], &notice["level"]), (&"3 log lines were dropped".into(), &"ERROR".into()));
        assert!(notice["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{notice}");
        lines.push(b"six\n");
        assert_eq!((read(&receiver), dropped(&lines)), ("six\n".to_owned(), 3));
        let metrics = Metrics::default();
        lines.observe(&metrics);
        let text = String::from_utf8(metrics.render()).expect("UTF-8");
        assert!(text.contains("\ntokend_log_lines_dropped_total 3\n"), "{text}");
    }

    #[test]
    fn a_line_that_never_fits_is_missing_and_stops_nothing() {
        let (lines, receiver) = pipe(8, Format::Text);
        lines.push(b"longer than all the room\n");
        assert!(read(&receiver).ends_with(" ERROR tokend::telemetry::lines: 1 log line was dropped\n"));
        lines.push(b"short\n");
        assert_eq!(read(&receiver), "short\n");
    }

    #[test]
    fn closing_writes_what_waits_and_gives_up_on_whoever_does_not_read() {
        let (lines, receiver) = pipe(1024, Format::Json);
        hold(&lines, "one\n");
        lines.push(b"two\n");
        lines.close(Duration::from_millis(50));
        let reading = std::thread::spawn(move || [read(&receiver), read(&receiver)]);
        lines.close(LONG);
        assert_eq!(reading.join().expect("no panic"), ["one\n", "two\n"]);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (lines, receiver) = pipe(1024, Format::Json);
        drop(receiver);
        lines.push(b"one\ntwo\n");
        lines.close(LONG);
        assert_eq!(dropped(&lines), 2);
    }
}
