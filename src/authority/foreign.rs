//! What `tokend check` says of an authority whose documents name an issuer that nobody would expect from its address.

use std::sync::Arc;

use url::Url;

use super::answer::AuthorityError;
use super::cloud;
use super::document::shown;
use super::profile::IssuerRule;
use super::server::{Authority, TokenVersion};
use crate::finding::Complaint;
use crate::telemetry::Context;

// === impl Authority ===

impl Authority {
    /// What is odd about the issuers that its documents name. At an issuer that is configured nothing can be: a document of another
    /// one is refused.
    pub async fn foreign_issuers(self: &Arc<Self>, context: Context) -> Vec<Complaint> {
        let mut problems = Vec::new();
        if self.profile().issuers == IssuerRule::Configured {
            return problems;
        }
        let v1 = self.profile().v1_tokens.then_some((TokenVersion::V1, "v1 metadata"));
        let current = if v1.is_some() { "v2.0 metadata" } else { "metadata" };
        for (version, name) in [(TokenVersion::Current, current)].into_iter().chain(v1) {
            let document = match self.document(version, context.clone()).await {
                Ok(document) => document,
                Err(failure) => {
                    problems.push(unreadable(name, &failure));
                    continue;
                }
            };
            problems.extend(match document.metadata.issuer.as_deref() {
                Some(issuer) => self.foreign(name, issuer),
                None => Some(unreadable(name, &AuthorityError::Invalid("the metadata document has no `issuer`"))),
            });
        }
        problems
    }

    fn foreign(&self, name: &str, issuer: &str) -> Option<Complaint> {
        let host = self.address.host();
        let of_issuer = Url::parse(issuer).ok().and_then(|url| host_of(&url));
        let is_at = |issuer: &str| self.profile().issues_at.is_some_and(|domain| issuer.ends_with(domain));
        if of_issuer.is_some_and(|issuer| cloud::may_issue_for(&host, &issuer) || is_at(&issuer)) {
            return None;
        }
        let reason = format!("its {name} says that tokens are issued by `{}`, which is not `{host}`", shown(issuer));
        Some(Complaint::new(
            reason,
            "check that this authority is the one that is meant: users' tokens are accepted if they carry that issuer",
        ))
    }
}

fn unreadable(name: &str, failure: &AuthorityError) -> Complaint {
    Complaint::new(
        format!("its {name} cannot be used: {failure}"),
        "check the address of the authority: without the document no user's token of that version is accepted",
    )
}

fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}
