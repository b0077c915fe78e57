//! The callers, as the configuration says.

use crate::authority::{self, KeyPlace};
use crate::listen::Address;
use crate::reload::Source;

/// The doors that a caller's rights name. `rest` is tokend's own API, the others speak protocols that clients have already.
pub const DOORS: [&str; 5] = ["rest", "oauth2", "msi", "auth_request", "ms_sidecar"];

/// The flows that a caller without `callers.*.flows` has. Every other one is had by its name only, so that a release that brings a
/// flow gives it to nobody.
pub const USUAL_FLOWS: [&str; 4] = ["client_credentials", "on_behalf_of", "auth_code", "silent"];

/// What the right to ask about tokens (RFC 7662) is called among the flows. No token comes of it.
pub const INTROSPECT: &str = "introspect";

/// A process that asks tokend: how it proves itself, and what it may ask for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name: `[a-z0-9][a-z0-9-]*`. What it keeps is kept under this name.
    pub name: String,
    /// What it was called before: what it kept under these names is still its own.
    pub former_names: Vec<String>,
    /// How it proves itself.
    pub proof: CallerProof,
    /// What it may ask for.
    pub rights: Rights,
}

/// How a caller proves itself.
#[derive(Clone, Debug)]
pub enum CallerProof {
    /// By one of these tokens, one per line.
    Token(Source),
    /// By a JWT of an issuer.
    Jwt(Box<JwtProof>),
    /// By the certificate that its connection has shown.
    Certificate(CertificateNamed),
    /// By what the kernel says of its process at a Unix socket.
    Peer(PeerProof),
    /// By having reached an address that is its own.
    Listener(Vec<Address>),
}

/// Which JWTs are a caller's.
#[derive(Clone, Debug)]
pub struct JwtProof {
    /// Whose they are, exactly as they say it in `iss`, and who is trusted beside the system's roots when its keys are fetched.
    pub issuer: authority::Settings,
    /// Whom they are for: this one and no other.
    pub audience: String,
    /// Whom they name; all of them are this caller.
    pub subjects: Vec<String>,
    /// Where the keys are.
    pub keys: KeyPlace,
    /// What the issuer wants to see of whoever has its documents and keys.
    pub discovery_token: Option<Source>,
}

/// Which certificates are a caller's: one of these names stands in it, letter by letter.
#[derive(Clone, Debug)]
pub enum CertificateNamed {
    /// Its one URI (SPIFFE, X.509-SVID §2).
    SpiffeIds(Vec<String>),
    /// A DNS name of it.
    DnsNames(Vec<String>),
}

/// Which processes are a caller's: both, if both are given.
#[derive(Clone, Debug)]
pub struct PeerProof {
    /// The configuration key (`callers[0].peer`).
    pub key: String,
    /// The file that the key stands in.
    pub file: Option<String>,
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// What a caller may ask for.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The apps that it may use; `None`: all.
    pub apps: Option<Vec<String>>,
    /// The apis that it may have tokens for; `None`: all, and whatever it names by `scopes`.
    pub apis: Option<Vec<String>>,
    /// The flows that it may use, by the names that `flow` gives them, and [`INTROSPECT`]; `None`: [`USUAL_FLOWS`].
    pub flows: Option<Vec<&'static str>>,
    /// The doors that it may use, of [`DOORS`].
    pub doors: Vec<&'static str>,
    /// Whose accounts it may use.
    pub accounts: AccountRights,
}

/// Whose accounts a caller may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRights {
    /// Those that signed in through it.
    Own,
    /// Those of every caller, and those that signed in before there were callers.
    All,
}

// === impl Settings ===

impl Settings {
    /// Where its tokens are, if it proves itself by one.
    pub fn token(&self) -> Option<&Source> {
        match &self.proof {
            CallerProof::Token(source) => Some(source),
            _ => None,
        }
    }

    /// The addresses that are its alone.
    pub fn listeners(&self) -> &[Address] {
        match &self.proof {
            CallerProof::Listener(addresses) => addresses,
            _ => &[],
        }
    }

    /// Which JWTs are its, if it proves itself by them.
    pub fn jwt(&self) -> Option<&JwtProof> {
        match &self.proof {
            CallerProof::Jwt(proof) => Some(proof),
            _ => None,
        }
    }
}

// === impl Rights ===

impl Rights {
    /// Whether it may use this flow.
    pub(super) fn may_use(&self, flow: &'static str) -> bool {
        self.flows.as_deref().unwrap_or(&USUAL_FLOWS).contains(&flow)
    }
}

/// Every name under which something is kept for a caller, in the order of the places of [`super::Caller`]: what they are called,
/// and behind these what they were called before.
pub fn kept_names(callers: &[Settings]) -> impl Iterator<Item = &str> {
    let former = callers.iter().flat_map(|caller| &caller.former_names);
    callers.iter().map(|caller| &caller.name).chain(former).map(String::as_str)
}
