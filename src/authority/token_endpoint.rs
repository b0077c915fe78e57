//! One call at a token endpoint, or at another that takes a form with the client's proof: a permit, one POST, and what the answer
//! means. Who repeats it, and with which proof, is not said here.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};
use url::Url;

use super::answer::{AuthorityError, ReadAnswer, answered};
use super::look::ReplyLook;
use super::record::EndedCall;
use super::server::Authority;
use crate::oauth::{Form, Proof};
use crate::telemetry::Context;
use crate::transport::{Outgoing, Over};

/// What is sent to a token endpoint, once.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// Where to.
    pub endpoint: &'a Url,
    /// The grant.
    pub grant: &'a Form,
    /// The client's proof.
    pub proof: &'a Proof,
    /// How often the grant was sent before, for the span.
    pub resend: i64,
    /// Whether it goes over a connection of its own: a kept one may be dead.
    pub fresh: bool,
    /// How long the answer is waited for.
    pub patience: Duration,
    /// When it is too late to send it.
    pub until: Option<Instant>,
}

/// The right to have one call under way at an authority (`authority.concurrency`). It ends with the call.
#[derive(Debug)]
pub struct CallPermit<'a> {
    authority: &'a Authority,
    _permit: SemaphorePermit<'a>,
}

// === impl Authority ===

impl Authority {
    /// Waits for a permit. `None`: none came in time, or there was no time.
    pub async fn permit(&self, patience: Duration) -> Option<CallPermit<'_>> {
        let permit = timeout(patience, self.permits.acquire()).await.ok()?;
        // Nobody closes the semaphore.
        permit.ok().map(|permit| CallPermit { authority: self, _permit: permit })
    }

    /// Counts a call that is not made, or not made any more, and says why.
    pub fn not_made(&self, grant: &Form, failure: AuthorityError) -> AuthorityError {
        self.record.metrics.not_made(grant.grant(), failure)
    }

    /// What OAuth defines, and what the authority logs, counts and routes by, where it does (REQ-11, REQ-12).
    fn headers(&self, grant: &Form, proof: &Proof, context: &Context) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded;charset=utf-8"));
        if let Some(mut basic) = proof.basic().and_then(|basic| HeaderValue::try_from(format!("Basic {basic}")).ok()) {
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        if self.profile().correlation_headers {
            if let Ok(id) = HeaderValue::try_from(context.correlation_id.to_string()) {
                headers.insert(HeaderName::from_static("client-request-id"), id);
            }
            // What is no header value is not sent: it only helps the authority to find the user's home.
            let user = grant.user().filter(|_| self.profile().routes_by_user);
            if let Some(mut user) = user.and_then(|user| HeaderValue::try_from(user).ok()) {
                user.set_sensitive(true);
                headers.insert(HeaderName::from_static("x-anchormailbox"), user);
            }
            for (name, value) in [
                ("return-client-request-id", "true"),
                ("x-client-sku", "tokend"),
                ("x-client-ver", env!("CARGO_PKG_VERSION")),
                ("x-client-os", std::env::consts::OS),
                ("x-client-cpu", std::env::consts::ARCH),
                ("x-ms-lib-capability", "retry-after, h429"),
            ] {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
        }
        headers
    }
}

// === impl CallPermit ===

impl CallPermit<'_> {
    /// Sends a form with its proof and reads the answer; others may send theirs then.
    ///
    /// # Errors
    /// There is no answer that can be read; whether the authority refused, cannot serve or did not answer.
    pub async fn send_once<T>(self, request: TokenRequest<'_>, context: Context, read: ReadAnswer<T>) -> Result<T, AuthorityError> {
        let (authority, grant, proof) = (self.authority, request.grant.grant(), request.proof);
        let outgoing = Outgoing {
            method: Method::POST,
            url: request.endpoint,
            headers: authority.headers(request.grant, proof, &context),
            body: Some(request.grant.encode_with(proof.members())),
            until: request.until,
            over: if request.fresh { Over::Fresh } else { Over::Kept },
            purpose: grant,
        };
        let url = request.endpoint;
        let (started, span) = (authority.clock.precise(), outgoing.span(&context, request.resend));
        let mut secrets = request.grant.secrets();
        secrets.extend(proof.secrets());
        let door = match proof.shown() {
            None => Ok(authority.door.clone()),
            Some(certificate) => authority.door.showing(certificate),
        };
        let door = door.map_err(|_| AuthorityError::Invalid("no connection can be made with the app's certificate"))?;
        let reply = door.send_in(&span, context.clone(), outgoing, request.patience).await;
        let look = ReplyLook::at(&reply, url);
        let result = answered(reply, &secrets, authority.clock.wall(), read).map_err(|failure| match &look {
            Some(look) => look.refused(look.named(failure, (url, grant), &secrets)),
            None => failure,
        });
        let took = authority.clock.precise().saturating_sub(started);
        authority.record.ended(&EndedCall { purpose: grant, url, context: &context, span: &span, took }, result.as_ref().err());
        result
    }
}
