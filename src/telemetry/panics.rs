//! Panics are log lines like any other: the standard library's own report would wait for whoever reads standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};
use std::thread;

/// Has every panic of the process logged, from now on.
pub(super) fn log() {
    set_hook(Box::new(report));
}

/// Says where it was. What it said is repeated only where that stands in the source: a text that was made for the occasion may
/// quote what was being worked on, such as a token.
fn report(panic: &PanicHookInfo<'_>) {
    let said = panic.payload().downcast_ref::<&'static str>().copied();
    let at = panic.location().map(ToString::to_string);
    // Only where RUST_BACKTRACE asks for it.
    let backtrace = Some(Backtrace::capture()).filter(|trace| trace.status() == BacktraceStatus::Captured);
    tracing::error!(
        thread = thread::current().name(),
        at,
        said,
        backtrace = backtrace.as_ref().map(tracing::field::display),
        "panicked"
    );
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, set_hook, take_hook};

    use super::super::tests::observe;
    use super::super::{Format, Level};
    use super::log;

    #[test]
    fn a_panic_is_one_line_that_says_where_and_repeats_no_text_of_the_moment() {
        let (text, _) = observe(Level::Error, Format::Json, || {
            // Other tests may panic meanwhile, on other threads: theirs are not in this log.
            let usual = take_hook();
            log();
            let secret = std::hint::black_box("canary");
            let literal = catch_unwind(|| panic!("written down"));
            let made = catch_unwind(|| panic!("about {secret}"));
            set_hook(usual);
            assert!(literal.is_err() && made.is_err());
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let [literal, made] = &lines[..] else { panic!("two lines: {text}") };
        assert_eq!((&literal["said"], &literal["message"]), (&"written down".into(), &"panicked".into()));
        assert!(made["said"].is_null() && !text.contains("canary"), "{text}");
        for line in [literal, made] {
            assert!(line["at"].as_str().is_some_and(|at| at.contains("panics.rs:")), "{text}");
        }
    }
}
