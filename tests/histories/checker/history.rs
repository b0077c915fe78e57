//! What happened: which request got which answer, what went wrong beside it, and what the authority and the processes looked like.
//!
//! Times are milliseconds since the run began. Nothing here holds a token or a secret.

use std::collections::BTreeSet;
use std::fmt;

/// A moment of the run.
pub(crate) type Millis = u64;

/// From one moment to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) begin: Millis,
    pub(crate) end: Millis,
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) replicas: usize,
    /// How long it was.
    pub(crate) length: Millis,
    /// When it began, in Unix milliseconds: what tokens are dated by.
    pub(crate) epoch: u64,
    pub(crate) ops: Vec<Op>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) families: Vec<Family>,
    pub(crate) calls: Vec<Call>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) stores: Vec<Store>,
    /// Replicas whose wall clock is not the machine's.
    pub(crate) skewed: BTreeSet<usize>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    pub(crate) replica: usize,
    /// Which account, or which user of the flows that begin with a user's token; for an app's own tokens always 0.
    pub(crate) account: usize,
    /// What a token must be for.
    pub(crate) asked: Identity,
    pub(crate) span: Span,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An app's own token.
    App {
        forced: bool,
    },
    /// A user's token for another API, from the user's token for ours.
    Obo {
        forced: bool,
    },
    SignIn,
    Silent {
        forced: bool,
    },
    SignOut,
    /// A sign-out of a user who has tokens and no sign-in.
    Leave,
    List,
}

/// Whose a token is, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) client: String,
    pub(crate) subject: String,
    /// Asked: these must be there. Of a token: these are there.
    pub(crate) scopes: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Token(Token),
    /// 204.
    Done,
    Accounts {
        accounts: BTreeSet<usize>,
        complete: bool,
    },
    Refused {
        status: u16,
        error: String,
        retryable: bool,
    },
    /// No answer at all.
    Nothing(String),
}

/// What a token and the answer around it say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    pub(crate) identity: Identity,
    /// The sign-in that it comes of; empty if it comes of none.
    pub(crate) sid: String,
    /// Unix seconds, as the token itself says.
    pub(crate) issued: i64,
    pub(crate) ends: i64,
    /// As the answer says.
    pub(crate) expires_in: i64,
    pub(crate) from_cache: bool,
}

/// What was done to the fleet, and from when until everything worked again.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) what: What,
    pub(crate) text: String,
    pub(crate) span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// The process was killed; it is there again at the end.
    Kill(usize),
    /// The process was stopped and went on.
    Stop(usize),
    /// This replica's way to Redis.
    Path(usize),
    /// Redis, for all.
    Redis,
    /// Redis, for all, and it may have lost some or all of what it had.
    Loss,
    /// Redis lost all that it had, and worked all the time.
    Flush,
    /// Redis, for all, and it may have dropped some of what it had.
    Eviction,
    /// The authority was slow.
    Authority,
    /// The machine did not give this process its turn: nothing can be said about times.
    Machine,
}

/// What the authority knows of a sign-in.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) sid: String,
    pub(crate) account: usize,
    /// When a refresh token of it was sent, and whether that one had been used before.
    pub(crate) redemptions: Vec<(Millis, bool)>,
}

/// A call of the authority.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Millis,
    pub(crate) key: Key,
}

/// What a call is for: those that one call should serve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    App(String),
    Obo(usize),
    /// A refresh, of whichever scopes.
    Account(usize),
}

/// What a process uses.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Millis,
    pub(crate) replica: usize,
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
}

/// What one Redis server has.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) at: Millis,
    pub(crate) connections: usize,
    pub(crate) keys: usize,
    pub(crate) without_end: Vec<String>,
}

// === impl Span ===

impl Span {
    /// Whether both have a moment in common, the other one drawn out to both sides.
    pub(crate) fn meets(self, other: Self, before: Millis, after: Millis) -> bool {
        self.begin <= other.end.saturating_add(after) && other.begin.saturating_sub(before) <= self.end
    }
}

// === impl What ===

impl What {
    /// Whether this replica's use of Redis suffers.
    pub(crate) fn troubles(self, replica: usize) -> bool {
        match self {
            Self::Path(troubled) => troubled == replica,
            Self::Redis | Self::Loss | Self::Eviction | Self::Machine => true,
            Self::Kill(_) | Self::Stop(_) | Self::Flush | Self::Authority => false,
        }
    }

    /// Whether Redis may have less afterwards.
    pub(crate) fn loses(self) -> bool {
        matches!(self, Self::Loss | Self::Flush | Self::Eviction)
    }

    /// Which replica was killed or stopped.
    pub(crate) fn halts(self) -> Option<usize> {
        match self {
            Self::Kill(replica) | Self::Stop(replica) => Some(replica),
            _ => None,
        }
    }
}

// === impl History ===

impl History {
    /// Faults of a kind that meet a span, drawn out by `after` at their ends.
    pub(crate) fn faults_in(&self, span: Span, after: Millis, is: impl Fn(What) -> bool) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| is(fault.what) && span.meets(fault.span, 0, after))
    }

    /// Whether a replica's use of Redis suffered in this span, or had ended to suffer less than `after` before.
    pub(crate) fn is_troubled(&self, replica: usize, span: Span, after: Millis) -> bool {
        self.faults_in(span, after, |what| what.troubles(replica)).next().is_some()
    }

    /// Whether a replica was killed at a moment of this span.
    pub(crate) fn kills(&self, span: Span) -> impl Iterator<Item = (usize, Millis)> {
        self.faults.iter().filter_map(move |fault| match fault.what {
            What::Kill(replica) if span.begin <= fault.span.begin && fault.span.begin <= span.end => {
                Some((replica, fault.span.begin))
            }
            _ => None,
        })
    }

    /// Counts what the authority knows of refreshes among its calls.
    pub(crate) fn with_refreshes(&mut self) {
        for family in &self.families {
            let calls = family.redemptions.iter().map(|(at, _)| Call { at: *at, key: Key::Account(family.account) });
            self.calls.extend(calls);
        }
    }

    /// From which moment on everything had worked for `calm` since `from`, for all replicas.
    pub(crate) fn calm_since(&self, from: Millis, calm: Millis) -> Millis {
        let mut faults: Vec<_> = self.faults.iter().filter(|fault| fault.what != What::Authority).map(|fault| fault.span).collect();
        faults.sort_by_key(|span| span.begin);
        let mut until = from.saturating_add(calm);
        for span in faults {
            if span.begin <= until && from <= span.end {
                until = until.max(span.end.saturating_add(calm));
            }
        }
        until
    }
}

// === impl Display ===

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |millis: Millis| format!("{}.{:03}", millis / 1_000, millis % 1_000);
        write!(f, "{:>8} – {:>8}", seconds(self.begin), seconds(self.end))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.asked.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        write!(f, "{}  replica {}  {:?} of {} for {scopes:?}: ", self.span, self.replica, self.kind, self.account)?;
        match &self.outcome {
            Outcome::Token(token) => {
                let (sid, from) = (token.sid.get(..6).unwrap_or("none"), if token.from_cache { "cache" } else { "authority" });
                write!(f, "token of sign-in {sid} from {} to {}, {from}", token.issued, token.ends)
            }
            Outcome::Done => write!(f, "done"),
            Outcome::Accounts { accounts, complete } => write!(f, "accounts {accounts:?}, complete: {complete}"),
            Outcome::Refused { status, error, retryable } => write!(f, "{status} {error}, retryable: {retryable}"),
            Outcome::Nothing(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  fault  {:?}: {}", self.span, self.what, self.text)
    }
}
