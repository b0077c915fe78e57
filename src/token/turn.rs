//! Whose turn it is after a failure, and whether to try again: the two questions that every error answers.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// Who has to act. The HTTP edge turns this into a status, and nothing else decides one. Replicas tell each other by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Turn {
    /// The caller's request is wrong: 400.
    Caller,
    /// The user has to sign in again, or the inbound token is not accepted: 401.
    User,
    /// The caller may not do this: 403.
    Rights,
    /// What the request names is not configured: 404.
    Configuration,
    /// The authority asks for fewer requests: 429.
    Throttled,
    /// The authority refused our credential or configuration, or answered garbage: 502.
    Operator,
    /// The authority, or its keys, cannot be reached, or tokend sheds load: 503.
    Unavailable,
    /// The authority did not answer in time: 504.
    OutOfTime,
}

/// Whether the same request can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not without a change.
    Never,
    /// From this moment on.
    At(Moment),
    /// Soon, at the caller's own pace.
    Backoff,
}
