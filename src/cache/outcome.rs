//! What a look into memory, a flight, and a load bring.

use super::flight::Lost;
use crate::token::{AnswerHead, IssuedToken};

/// What was found.
#[derive(Debug)]
pub enum Look {
    /// A token that may be used.
    Hit {
        /// The answer's first part.
        head: AnswerHead,
        /// Whether it is due for renewal.
        due: bool,
        /// Whether the shared store has to be asked first whether it still stands: see [`super::Cache::recheck`].
        unchecked: bool,
    },
    /// None, and why.
    Miss(Miss),
}

/// Why there is no hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There is no token.
    Absent,
    /// There is one, and it is too close to its end.
    Expired,
    /// There is one, and the request does not want it.
    Bypassed,
}

/// Where a flight found what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLevel {
    /// In memory, where another flight had just put it.
    Memory,
    /// In the store that replicas share.
    Shared,
    /// At the authority.
    Authority,
}

/// What a flight brings to all who joined it.
#[derive(Clone, Debug)]
pub struct FlightOutcome {
    /// The answer's first part.
    pub head: AnswerHead,
    /// Where it was found.
    pub level: CacheLevel,
    /// Whether the identical request brought it, and not one for more scopes.
    pub(super) exact: bool,
    /// Its place in the order of stores of this process.
    pub(super) generation: u64,
}

/// How a load ended.
#[derive(Debug)]
pub struct LoadOutcome<E> {
    /// What it brought to all who joined it, if it came to an end.
    pub outcome: Result<Result<FlightOutcome, E>, Lost>,
    /// Whether it was somebody else's flight that was waited for.
    pub joined: bool,
}

/// What a load brings.
#[derive(Debug)]
pub struct Loaded {
    /// What the authority issued.
    pub grant: IssuedToken,
    /// Under which folded scopes it can be found besides the ones asked for; empty: only by the identical request.
    pub granted: Box<str>,
    /// Whether it may be kept at all.
    pub kept: bool,
}
