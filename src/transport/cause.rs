//! What broke a call, as the log tells it. An error of the client is kept as text: that is compared and shared, and quotes no URL.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::why::Why;

/// The innermost thing that is known of a call that failed: a name that was not found, a connection that was refused, a
/// certificate that is not trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Cause {
    why: Why,
    text: Arc<str>,
}

// === impl Cause ===

impl Cause {
    /// A cause in words, which quote no secret.
    pub fn new(words: impl Into<Arc<str>>) -> Self {
        Self { why: Why::Other, text: words.into() }
    }

    /// The cause of the client's error at a host.
    pub(super) fn of(error: &(dyn Error + 'static), host: &str) -> Self {
        Self::at(host, Why::of(error), &causes(error))
    }

    /// A cause that is known, with the client's words for it.
    pub(super) fn at(host: &str, why: Why, words: &str) -> Self {
        let text = match why.sentence() {
            Some(sentence) => format!("{host}: {sentence} ({words})"),
            None => format!("{host}: {words}"),
        };
        Self { why, text: text.into() }
    }

    /// Which cause it is.
    pub fn why(&self) -> Why {
        self.why
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Error for Cause {}

/// An error with everything that it wraps, from the outside in.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text += ": ";
        text += &deeper.to_string();
        cause = deeper.source();
    }
    text
}
