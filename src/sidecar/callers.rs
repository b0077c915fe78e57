//! Who may ask: the files that callers are known by at start, and the issuers of their JWTs.

use std::collections::HashMap;
use std::sync::Arc;

use super::parts::Parts;
use crate::admin::ReloadReport;
use crate::authority::{self, Authority, KeyAccess, KeyPlace};
use crate::caller::{self, AccountRights, CallerProof, CallerTokens, Callers, JwtCallers, JwtProof, Rights};
use crate::config::Settings;
use crate::finding::Findings;
use crate::inbound::Inbound;
use crate::listen::{self, BindError, Bound};
use crate::reload::{Place, Source};
use crate::transport::{Door, Roots};

/// What the verifiers of callers' JWTs remember altogether, in bytes: there are few callers, however often they ask.
const REMEMBERED: u64 = 1024 * 1024;

/// Callers whose files are loaded and fit.
#[derive(Debug)]
pub(super) struct PreparedCallers {
    tokens: CallerTokens,
    issuers: Vec<PreparedIssuer>,
}

#[derive(Debug)]
struct PreparedIssuer {
    address: authority::Address,
    access: KeyAccess,
    door: Door,
    /// The callers whose JWTs are its own, by their places.
    callers: Vec<u16>,
}

/// What clients of a managed identity show where there are no callers: as if it were one caller's tokens.
#[derive(Debug)]
pub(super) struct PreparedMsi {
    client: [caller::Settings; 1],
    tokens: CallerTokens,
}

/// Loads `msi.secret`.
pub(super) fn prepare_msi(secret: &Source, findings: &mut Findings) -> Option<PreparedMsi> {
    let rights = Rights { apps: None, apis: None, flows: None, doors: Vec::new(), accounts: AccountRights::Own };
    let (name, proof) = ("msi".to_owned(), CallerProof::Token(secret.clone()));
    let client = [caller::Settings { name, former_names: Vec::new(), proof, rights }];
    let tokens = CallerTokens::load(&client, findings)?;
    Some(PreparedMsi { client, tokens })
}

/// Loads every file that a caller is known by.
pub(super) fn prepare(settings: &Settings, roots: &mut Roots, findings: &mut Findings) -> Option<PreparedCallers> {
    Callers::check(&settings.callers, findings);
    let tokens = CallerTokens::load(&settings.callers, findings);
    let mut issuers: Vec<PreparedIssuer> = Vec::new();
    let (mut known, mut good) = (HashMap::new(), true);
    for (index, proof) in (0_u16..).zip(&settings.callers).filter_map(|(index, caller)| Some((index, caller.jwt()?))) {
        let identity = identity(proof);
        let same = identity.as_ref().and_then(|identity| known.get(identity)).and_then(|at: &usize| issuers.get_mut(*at));
        if let Some(same) = same {
            same.callers.push(index);
            continue;
        }
        let Some(issuer) = prepare_one(settings, proof, index, roots, findings) else {
            good = false;
            continue;
        };
        if let Some(identity) = identity {
            known.insert(identity, issuers.len());
        }
        issuers.push(issuer);
    }
    tokens.filter(|_| good).map(|tokens| PreparedCallers { tokens, issuers })
}

fn prepare_one(
    settings: &Settings,
    proof: &JwtProof,
    index: u16,
    roots: &mut Roots,
    findings: &mut Findings,
) -> Option<PreparedIssuer> {
    let address = proof.issuer.address.clone();
    let access = KeyAccess::load(&proof.keys, proof.discovery_token.as_ref(), &address.to_string());
    let access = access.map_err(|problems| {
        for (source, problem) in problems {
            findings.error(source.file.as_deref(), &source.key, problem);
        }
    });
    let door = super::door::open(settings, &proof.issuer, roots, findings);
    Some(PreparedIssuer { address, access: access.ok()?, door: door?, callers: vec![index] })
}

/// What makes two entries' issuer the same one, with one set of keys; `None`: a text that stands in the configuration is compared
/// with none.
fn identity(proof: &JwtProof) -> Option<String> {
    let path = |source: &Source| match &source.place {
        Place::File(path) => Some(path.display().to_string()),
        Place::Value(_) => None,
    };
    let keys = match &proof.keys {
        KeyPlace::Discovered => String::new(),
        KeyPlace::Url(url) => url.to_string(),
        KeyPlace::File(source) => path(source)?,
    };
    let token = match &proof.discovery_token {
        Some(source) => path(source)?,
        None => String::new(),
    };
    let issuer = &proof.issuer;
    Some(format!("{:?} {:?} {keys:?} {token:?}", issuer.address, issuer.ca_file))
}

// === impl PreparedMsi ===

impl PreparedMsi {
    /// Who they are.
    pub(super) fn callers(self, parts: &Parts) -> Arc<Callers> {
        let jwts = JwtCallers::none(&parts.clock);
        Callers::new(&self.client, self.tokens, jwts, &parts.metrics, parts.clock.clone())
    }
}

// === impl PreparedCallers ===

impl PreparedCallers {
    /// The callers, with a verifier for each issuer; nothing is asked of anybody.
    pub(super) fn callers(&self, settings: &Settings, metrics: &authority::Metrics, parts: &Parts) -> Arc<Callers> {
        let share = REMEMBERED / u64::try_from(self.issuers.len().max(1)).unwrap_or(u64::MAX);
        let verifier = |issuer: &PreparedIssuer| {
            let own = (parts.clock.clone(), parts.tasks.clone(), metrics.clone());
            let (access, door) = (issuer.access.clone(), issuer.door.clone());
            let authority = Authority::of_keys(&issuer.address, access, settings.calls.clone(), door, own);
            Arc::new(Inbound::of_any_type(authority, share, parts.clock.clone()))
        };
        let entries = self.issuers.iter().enumerate().flat_map(|(at, issuer)| {
            let jwt = move |index: &u16| Some((*index, at, settings.callers.get(usize::from(*index))?.jwt()?));
            issuer.callers.iter().filter_map(jwt)
        });
        let jwts = JwtCallers::new(self.issuers.iter().map(verifier).collect(), entries, parts.clock.clone());
        Callers::new(&settings.callers, self.tokens.clone(), jwts, &parts.metrics, parts.clock.clone())
    }
}

/// Binds the addresses that are one caller's alone. They speak no TLS: only this machine reaches them.
///
/// # Errors
/// An address cannot be bound.
pub(super) async fn bind(settings: &Settings) -> Result<Vec<Bound>, BindError> {
    let mut all = Vec::new();
    for (index, caller) in (0_u16..).zip(&settings.callers).filter(|(_, caller)| !caller.listeners().is_empty()) {
        let own = listen::Settings { addresses: caller.listeners().to_vec(), ..settings.listen.clone() };
        all.extend(listen::bind(&own).await?.into_iter().map(|bound| bound.owned_by(index)));
    }
    Ok(all)
}

/// The files of callers whose new contents were refused.
pub(super) fn problems(callers: &Callers) -> Vec<ReloadReport> {
    let refused = callers.files().filter_map(|file| {
        let problem = Some(file.problem?.reason.clone());
        let member = if file.member == "token" { file.member.to_owned() } else { format!("jwt.{}", file.member) };
        Some(ReloadReport { what: format!("callers.{}.{member}", file.caller), failures: file.failures, problem })
    });
    refused.collect()
}

/// How often new contents of each caller's files were refused, by name.
pub(super) fn failures(callers: &Callers) -> HashMap<&str, u64> {
    let mut failures = HashMap::new();
    for file in callers.files() {
        *failures.entry(file.caller).or_default() += file.failures;
    }
    failures
}
