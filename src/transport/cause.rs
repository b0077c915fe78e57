//! What broke a call, as the log tells it. An error of the client is kept as text: that is compared and shared, and quotes no URL.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The innermost thing that is known of a call that failed: a name that was not found, a connection that was refused, a
/// certificate that is not trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Cause(Arc<str>);

// === impl Cause ===

impl Cause {
    /// A cause in words, which quote no secret.
    pub fn new(words: impl Into<Arc<str>>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
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
