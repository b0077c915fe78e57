//! One call at a token endpoint: its turn, its time-out, and one repetition where that is safe (ERR-1, ERR-2).

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::{Instant, timeout};
use url::Url;

use super::Authority;
use super::answer::{self, Failure};
use crate::oauth::{Basic, Form, TokenResponse};
use crate::telemetry::Context;
use crate::transport::{Outgoing, Over};

/// Whether a call may be repeated when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Client credentials, on-behalf-of, token exchange (ERR-1, ERR-2).
    Once,
    /// A code, device code or refresh token: sent once, whatever happens.
    Never,
}

/// One call at a token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct TokenCall<'a> {
    /// Where to.
    pub endpoint: &'a Url,
    /// Whether it may be repeated.
    pub repeat: Repeat,
    /// The grant, for what is counted of calls that were not made.
    pub grant: &'a str,
}

/// What is sent: made anew for each attempt, because an issuer takes a client assertion once (ASN-5).
#[derive(Debug)]
pub struct Proved {
    /// The grant and the client's proof.
    pub form: Form,
    /// The proof as `Authorization: Basic`, where the server wants it so.
    pub basic: Option<Basic>,
    /// When it is too late to send it.
    pub until: Option<Instant>,
}

// === impl Authority ===

impl Authority {
    /// Asks for a token. A call waits for its turn as long as it may then take; the time-out bounds it with its repetition.
    ///
    /// # Errors
    /// There is no token; whether the authority refused, cannot serve or did not answer, or no turn came.
    pub async fn token<P, E>(&self, call: TokenCall<'_>, context: Context, prove: impl Fn() -> P) -> Result<TokenResponse, E>
    where
        P: Future<Output = Result<Proved, E>>,
        E: From<Failure>,
    {
        let turn = timeout(self.calls.timeout, self.turns.acquire()).await;
        let turn = turn.map_err(|_| self.metrics.not_made(call.grant, Failure::Busy))?;
        // On the heap, and only now: a call that waits for its turn must not carry room for the rest.
        let whole = Box::pin(async {
            let over = match call.repeat {
                Repeat::Once => Over::Kept,
                // It has no second try: a kept connection that is dead must not cost the only one.
                Repeat::Never => Over::Fresh,
            };
            let first = self.attempt(call, &prove().await?, context.clone(), 0, over).await;
            // Others need not wait while this one pauses.
            drop(turn);
            match first {
                Err(failure) if call.repeat == Repeat::Once && failure.is_worth_repeating() => {
                    let over = if failure.is_answer() {
                        tokio::time::sleep(self.pause()).await;
                        Over::Kept
                    } else {
                        // Others may have had the kept connections replaced before: these may be dead, too.
                        Over::Fresh
                    };
                    let _turn = self.turns.acquire().await;
                    Ok(self.attempt(call, &prove().await?, context.clone(), 1, over).await?)
                }
                outcome => Ok(outcome?),
            }
        });
        let outcome = timeout(self.calls.timeout, whole).await;
        outcome.unwrap_or_else(|_| Err(self.metrics.not_made(call.grant, Failure::TimedOut).into()))
    }

    /// Before a repetition: never so long that no time is left for it.
    fn pause(&self) -> Duration {
        self.calls.retry_delay.min(self.calls.timeout / 4)
    }

    /// What an attempt has of the time-out, so that one that hangs leaves time for its repetition (ERR-2).
    pub(super) fn half(&self) -> Duration {
        self.calls.timeout.saturating_sub(self.pause()) / 2
    }

    async fn attempt(
        &self,
        call: TokenCall<'_>,
        proved: &Proved,
        context: Context,
        resend: i64,
        over: Over,
    ) -> Result<TokenResponse, Failure> {
        let outgoing = Outgoing {
            method: Method::POST,
            url: call.endpoint,
            headers: self.headers(proved.basic.as_ref(), &context),
            body: Some(proved.form.encode()),
            until: proved.until,
            over,
            purpose: proved.form.grant(),
        };
        let deadline = match call.repeat {
            Repeat::Never => self.calls.timeout,
            Repeat::Once => self.half(),
        };
        let (started, span) = (self.clock.moment(), outgoing.span(&context, resend));
        let mut secrets = proved.form.secrets();
        secrets.extend(proved.basic.iter().flat_map(Basic::secrets));
        let result = answer::token(self.door.send_in(&span, context, outgoing, deadline).await, &secrets, self.clock.wall());
        self.metrics.call(proved.form.grant(), &span, result.as_ref().err(), self.clock.moment().since(started));
        result
    }

    /// REQ-11: what Entra-style authorities log and count by; OIDC issuers get only what OAuth defines.
    fn headers(&self, basic: Option<&Basic>, context: &Context) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded;charset=utf-8"));
        if let Some(mut basic) = basic.and_then(|basic| HeaderValue::try_from(format!("Basic {}", basic.expose())).ok()) {
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        if self.is_entra() {
            if let Ok(id) = HeaderValue::try_from(context.correlation_id.to_string()) {
                headers.insert(HeaderName::from_static("client-request-id"), id);
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
