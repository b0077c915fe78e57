//! A caller's proof by a token: the tokens are followed in their files, and compared with what a request brings.
//!
//! What is compared is SHA-256 of both sides, in constant time and with every token there is, so that neither the length of a token
//! nor its place tells anything.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use super::settings::Settings;
use crate::finding::{Complaint, Findings};
use crate::reload::{OuterBlanks, PATIENCE, Reloading};

/// 128 bits in base64url without padding.
const SHORTEST: usize = 22;
/// More is no token but a file in the wrong place; a header that is longer is not even hashed.
const LONGEST: usize = 1024;

const REMEDY: &str = "write one token per line, such as `openssl rand -base64 33` prints; a line that begins with # is a comment";

/// The tokens of all callers that have any; clones share everything.
#[derive(Clone, Debug)]
pub struct CallerTokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The name of each, and its tokens.
    callers: Vec<(String, Arc<Reloading<Tokens>>)>,
    owners: Arc<Owners>,
}

/// Whose each token is.
#[derive(Debug, Default)]
struct Owners {
    table: ArcSwap<TokenTable>,
    // Two files may be read at the same time: a token has one owner all the same.
    giving: Mutex<()>,
}

/// The tokens of one caller, hashed.
struct Tokens(Vec<TokenHash>);

/// A token as it is kept and compared: SHA-256 of it.
#[derive(Clone, Copy)]
pub(super) struct TokenHash([u8; 32]);

/// Every token in force, and whose it is.
#[derive(Default)]
struct TokenTable(Vec<(TokenHash, u16)>);

// === impl CallerTokens ===

impl CallerTokens {
    /// Loads the tokens of all callers. `None`: there are findings.
    pub fn load(callers: &[Settings], findings: &mut Findings) -> Option<Self> {
        let owners = Arc::<Owners>::default();
        let mut loaded: Vec<(String, Arc<Reloading<Tokens>>)> = Vec::new();
        let mut good = true;
        for (index, caller) in (0_u16..).zip(callers) {
            let Some(source) = caller.token() else { continue };
            let given = Arc::clone(&owners);
            let take = move |_: &Tokens, new: &Tokens| given.give(index, new).map_err(|_| shared("another caller's"));
            let tokens = Reloading::load_guarded(source.clone(), Tokens::parse, take).and_then(|tokens| {
                let given = owners.give(index, &tokens.current().value);
                given.map(|()| tokens).map_err(|other| match callers.get(usize::from(other)) {
                    Some(other) => shared(&format!("the caller `{}`'s", other.name)),
                    None => shared("another caller's"),
                })
            });
            match tokens {
                Ok(tokens) => {
                    if let Some(problem) = tokens.oddity(OuterBlanks::Passed) {
                        findings.warning(source.file.as_deref(), &source.key, problem);
                    }
                    loaded.push((caller.name.clone(), tokens));
                }
                Err(problem) => {
                    findings.error(source.file.as_deref(), &source.key, problem);
                    good = false;
                }
            }
        }
        good.then(|| Self(Arc::new(Inner { callers: loaded, owners })))
    }

    /// Whether no caller has a token.
    pub(super) fn is_empty(&self) -> bool {
        self.0.callers.is_empty()
    }

    /// The number of the caller whose token this is.
    pub(super) fn owner(&self, token: &TokenHash) -> Option<u16> {
        self.0.owners.table.load().owner(token)
    }

    /// Why the newest contents of a caller's file were not taken, if they were not, and how often that happened.
    pub(super) fn reload_states(&self) -> impl Iterator<Item = (&str, Option<Arc<Complaint>>, u64)> {
        self.0.callers.iter().map(|(caller, tokens)| (caller.as_str(), tokens.problem(), tokens.failures()))
    }

    /// Reads all files again, in the order of the configuration: what one caller gives up, a later one may have at once. Where
    /// files hang, it waits for two seconds at most, and takes the other files when they have been read.
    pub(super) async fn reread(&self) {
        let until = tokio::time::Instant::now() + PATIENCE;
        for (_, tokens) in &self.0.callers {
            if tokio::time::Instant::now() < until {
                tokens.reread().await;
            } else {
                tokens.ask();
            }
        }
    }
}

fn shared(whose: &str) -> Complaint {
    Complaint::new(format!("one of its tokens is {whose} too"), "give each caller tokens of its own")
}

// === impl Owners ===

impl Owners {
    /// Gives a caller these tokens in place of those that it had. `Err`: one of them is this other caller's.
    fn give(&self, index: u16, tokens: &Tokens) -> Result<(), u16> {
        let _one = self.giving.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load();
        match table.other_owner(index, tokens) {
            Some(other) => Err(other),
            None => {
                self.table.store(Arc::new(table.with(index, tokens)));
                Ok(())
            }
        }
    }
}

// === impl Tokens ===

impl Tokens {
    fn parse(contents: &[u8]) -> Result<Self, Complaint> {
        let text = std::str::from_utf8(contents).map_err(|_| Complaint::new("it is not UTF-8 text", REMEDY))?;
        let mut hashes = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let token = line.trim();
            // What is commented out is no token any more.
            if token.is_empty() || token.starts_with('#') {
                continue;
            }
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                let reason = format!("line {number} has spaces or characters that a header cannot carry");
                return Err(Complaint::new(reason, REMEDY));
            }
            if !(SHORTEST..=LONGEST).contains(&token.len()) {
                let reason = format!("line {number} has under {SHORTEST} or over {LONGEST} characters");
                return Err(Complaint::new(reason, REMEDY));
            }
            hashes.push(TokenHash::of(token.as_bytes()));
        }
        if hashes.is_empty() { Err(Complaint::new("there is no token", REMEDY)) } else { Ok(Self(hashes)) }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

// === impl TokenTable ===

impl TokenTable {
    /// This table with these tokens in place of those that the caller had.
    fn with(&self, index: u16, tokens: &Tokens) -> Self {
        let others = self.0.iter().copied().filter(|(_, owner)| *owner != index);
        Self(others.chain(tokens.0.iter().map(|hash| (*hash, index))).collect())
    }

    /// It goes on after a hit: how long it takes says nothing.
    fn owner(&self, token: &TokenHash) -> Option<u16> {
        let mut owner = None;
        for (known, caller) in &self.0 {
            if verify_slices_are_equal(&known.0, &token.0).is_ok() {
                owner = Some(*caller);
            }
        }
        owner
    }

    /// Another caller than this one who has one of these tokens.
    fn other_owner(&self, index: u16, tokens: &Tokens) -> Option<u16> {
        tokens.0.iter().filter_map(|hash| self.owner(hash)).find(|owner| *owner != index)
    }
}

impl std::fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenTable({})", self.0.len())
    }
}

// === impl TokenHash ===

impl TokenHash {
    /// The hash of what a request shows. `None`: no token is that long.
    pub(super) fn of_shown(token: &[u8]) -> Option<Self> {
        (token.len() <= LONGEST).then(|| Self::of(token))
    }

    fn of(token: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(hash)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::settings::{AccountRights, CallerProof, Rights, Settings};
    use super::{CallerTokens, TokenHash, Tokens};
    use crate::finding::Findings;
    use crate::reload::{Place, Source};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccc";

    fn caller(folder: &Path, name: &str, contents: &str) -> Settings {
        std::fs::write(folder.join(name), contents).unwrap();
        let token = Source { key: format!("callers.{name}"), file: None, place: Place::File(folder.join(name)) };
        let rights = Rights { apps: None, apis: None, flows: None, doors: vec!["rest"], accounts: AccountRights::Own };
        Settings { name: name.to_owned(), former_names: Vec::new(), proof: CallerProof::Token(token), rights }
    }

    #[test]
    fn a_file_has_a_token_in_each_line() {
        let long = "x".repeat(1025);
        for (text, count) in [
            (A.to_owned(), 1),
            (format!("{A}\r\n\n  {B} \n"), 2),
            ("~".repeat(1024), 1),
            (format!("#{B}\n{A}\n  # {C}\n\t#{C}\n"), 1),
        ] {
            assert_eq!(Tokens::parse(text.as_bytes()).unwrap().0.len(), count, "{text}");
        }
        for (text, word) in [
            ("", "no token"),
            ("\n \n", "no token"),
            (&format!("#{A}\n # {B}\n"), "no token"),
            ("canary-canary-canary1", "line 1"),
            (&format!("{A}\ncanary"), "line 2"),
            ("canary canary canary canary", "line 1"),
            ("canaryé-canary-canary-canary", "line 1"),
            (&long, "line 1"),
        ] {
            let problem = Tokens::parse(text.as_bytes()).unwrap_err();
            assert!(problem.reason.contains(word) && !problem.reason.contains("canary"), "{problem:?}");
        }
        assert!(Tokens::parse(b"\xff").is_err());
    }

    #[tokio::test]
    async fn a_token_belongs_to_one_caller() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (caller(folder.path(), "a", A), caller(folder.path(), "b", &format!("{B}\n{C}")));
        let tokens = CallerTokens::load(&[a.clone(), b], &mut Findings::default()).unwrap();
        let owner = |token: &str| TokenHash::of_shown(token.as_bytes()).and_then(|token| tokens.owner(&token));
        let owners = || [A, B, C].map(owner);
        assert_eq!(owners(), [Some(0), Some(1), Some(1)]);
        for wrong in ["", &A[1..], &format!("{A}a"), &"x".repeat(2000)] {
            assert_eq!(owner(wrong), None, "{wrong}");
        }
        // What is another's is not taken, and what was in force stays so.
        std::fs::write(folder.path().join("a"), format!("{A}\n{C}")).unwrap();
        tokens.reread().await;
        assert_eq!(owners(), [Some(0), Some(1), Some(1)]);
        let failures: Vec<_> = tokens.reload_states().map(|(_, problem, failures)| (problem.is_some(), failures)).collect();
        assert_eq!(failures, [(true, 1), (false, 0)]);
        // Given up by one, it may be the other's.
        std::fs::write(folder.path().join("b"), B).unwrap();
        tokens.reread().await;
        tokens.reread().await;
        assert_eq!(owners(), [Some(0), Some(1), Some(0)]);
        let mut findings = Findings::default();
        let twice = caller(folder.path(), "twice", A);
        assert!(CallerTokens::load(&[a, twice], &mut findings).is_none());
        let all = format!("{findings:?}");
        assert!(all.contains("callers.twice") && all.contains("`a`") && !all.contains(A), "{all}");
        assert!(!format!("{tokens:?}").contains("aaaa"));
    }
}
