//! Where tokens come from: a token endpoint, which is asked with an app's credential. A grant is sent again here and nowhere else.
//!
//! Each attempt has a proof of its own, because an issuer takes a client assertion once (ASN-5). It is made before there is a
//! permit: whoever signs, or waits for a file, must not keep others from their calls.

mod call_time;
mod retry;

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};
use url::Url;

pub use retry::Repeat;

use self::call_time::CallTime;
use self::retry::{Attempt, NextStep, is_about_client, is_client_taken};
use crate::authority::{
    Authority, AuthorityError, BegunDevice, CallPermit, Endpoints, PushedRequest, ReadAnswer, TokenRequest, TokenVersion,
    token_answer,
};
use crate::clock::Clock;
use crate::credential::{Credential, CredentialError, ProofTarget, UsedCredential};
use crate::finding::Complaint;
use crate::oauth::{Form, GRANT_CLIENT_CREDENTIALS, GRANT_TOKEN_EXCHANGE, Proof, SecretPlace, TokenResponse};
use crate::tasks::Tasks;
use crate::telemetry::Context;
use crate::token::Tenant;

/// An app as a client of its authority's token endpoint.
#[derive(Debug)]
pub struct TokenClient {
    /// Whom it asks.
    pub authority: Arc<Authority>,
    /// How it proves itself.
    pub credential: Arc<Credential>,
    client_id: String,
    clock: Clock,
    tasks: Tasks,
}

/// A grant, and how it is sent.
#[derive(Clone, Debug)]
pub struct GrantCall<'a> {
    /// The grant.
    pub form: &'a Form,
    /// The tenant that is asked, where it is not the authority's own.
    pub tenant: Option<&'a Tenant>,
    /// Whether it may be sent again.
    pub repeat: Repeat,
    /// As whom it is sent.
    pub client: ClientProof,
    /// Its trace and ids.
    pub context: Context,
}

/// As whom a grant is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// As the client with its credential.
    Usual,
    /// As a public client: the credential stays here, also where there is one.
    Public,
}

/// What came of a grant, and which version of the credential it was sent with last.
#[derive(Debug)]
pub struct GrantOutcome<T = TokenResponse> {
    /// The answer.
    pub outcome: Result<T, SourceError>,
    /// The version.
    pub version: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The authority's doing, before the grant was sent: a document that could not be had.
    #[error("a document of the authority cannot be had")]
    Before(#[source] AuthorityError),
    /// The authority's doing.
    #[error("the authority gave no token")]
    Authority(#[source] AuthorityError),
    /// The credential's.
    #[error("the credential cannot be used")]
    Credential(#[source] Complaint),
}

/// A grant with its proof and its permit: nothing but the sending is left to do.
#[derive(Debug)]
pub struct ReadyGrant<'a> {
    client: &'a TokenClient,
    call: &'a GrantCall<'a>,
    endpoint: Url,
    step: TimedAttempt,
    proof: Proof,
    used: UsedCredential,
    permit: CallPermit<'a>,
}

/// An attempt, and the time that is left for it.
#[derive(Debug)]
struct TimedAttempt {
    attempt: Attempt,
    time: CallTime,
}

// === impl TokenClient ===

impl TokenClient {
    /// An app, by its client id.
    pub fn new(authority: Arc<Authority>, credential: Arc<Credential>, client_id: &str, clock: Clock, tasks: Tasks) -> Self {
        Self { authority, credential, client_id: client_id.to_owned(), clock, tasks }
    }

    /// Sends a grant, and once more where that is safe and worth it. A wait for the first permit may be as long as the call may
    /// then take.
    pub async fn send(&self, call: &GrantCall<'_>) -> GrantOutcome {
        let mut used = self.credential.used();
        let outcome = async {
            let endpoint = self.endpoint(call).await?;
            self.send_until_told(call, &endpoint, token_answer, &mut used).await
        };
        let outcome = outcome.await;
        GrantOutcome { outcome, version: used.version }
    }

    /// Begins a device flow (RFC 8628 §3.1), once more where that is worth it: a code of which nobody hears ends by itself. `None`:
    /// the authority has no such endpoint.
    pub async fn begin_device(&self, call: &GrantCall<'_>) -> GrantOutcome<Option<BegunDevice>> {
        let mut used = self.credential.used();
        let outcome = async {
            let endpoint = self.authority.device_endpoint(call.tenant, self.is_by_tls(call), call.context.clone()).await;
            let Some(endpoint) = endpoint.map_err(SourceError::Before)? else { return Ok(None) };
            self.send_until_told(call, &endpoint, BegunDevice::read, &mut used).await.map(Some)
        };
        let outcome = outcome.await;
        GrantOutcome { outcome, version: used.version }
    }

    /// Pushes an authorization request (RFC 9126 §2), once more where that is worth it: a request of which nobody hears ends by
    /// itself. `None`: the authority has no such endpoint.
    pub async fn push_request(&self, call: &GrantCall<'_>) -> GrantOutcome<Option<PushedRequest>> {
        let mut used = self.credential.used();
        let outcome = async {
            let endpoint = self.authority.pushed_request_endpoint(call.context.clone()).await;
            let Some(endpoint) = endpoint.map_err(SourceError::Before)? else { return Ok(None) };
            self.send_until_told(call, &endpoint, PushedRequest::read, &mut used).await.map(Some)
        };
        let outcome = outcome.await;
        GrantOutcome { outcome, version: used.version }
    }

    /// Does all but the sending, for a grant that may be sent only while somebody else says so.
    ///
    /// # Errors
    /// There is no permit, or no proof.
    pub async fn ready<'a>(&'a self, call: &'a GrantCall<'a>) -> Result<ReadyGrant<'a>, GrantOutcome> {
        let mut used = self.credential.used();
        let ready = async {
            let endpoint = self.endpoint(call).await?;
            let step = self.timed(Attempt::first(call.repeat));
            self.ready_for(call, &endpoint, step, &mut used).await
        };
        let outcome = ready.await;
        outcome.map_err(|error| GrantOutcome { outcome: Err(error), version: used.version })
    }

    async fn send_until_told<T>(
        &self,
        call: &GrantCall<'_>,
        endpoint: &Url,
        read: ReadAnswer<T>,
        used: &mut UsedCredential,
    ) -> Result<T, SourceError> {
        let mut step = self.timed(Attempt::first(call.repeat));
        loop {
            let ready = self.ready_for(call, endpoint, step, used).await?;
            // On the heap, and only now: a call that waits for its permit must not carry room for the rest.
            let (outcome, TimedAttempt { attempt, time }) = Box::pin(ready.sent(None, read)).await;
            let failure = match outcome {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            step = match attempt.next(&failure, time.left()) {
                NextStep::Repeat { pauses, attempt } => {
                    if pauses {
                        sleep(self.authority.calls().pause()).await;
                    }
                    TimedAttempt { attempt, time }
                }
                NextStep::Reprove => match self.with_another_proof((call, &failure), TimedAttempt { attempt, time }, used).await {
                    Some(step) => step,
                    None => return Err(failure.into()),
                },
                NextStep::GiveUp => return Err(failure.into()),
            };
        }
    }

    async fn endpoint(&self, call: &GrantCall<'_>) -> Result<Url, SourceError> {
        if call.form.grant() == GRANT_CLIENT_CREDENTIALS
            && let Some(regional) = self.authority.regional_token_endpoint(call.tenant)
        {
            return Ok(regional);
        }
        let endpoint = self.authority.token_endpoint(call.tenant, self.is_by_tls(call), call.context.clone()).await;
        endpoint.map_err(SourceError::Before)
    }

    /// Whether the certificate of the connection is what proves the client.
    fn is_by_tls(&self, call: &GrantCall<'_>) -> bool {
        self.credential.is_shown_by_tls() && call.client == ClientProof::Usual
    }

    /// An attempt that has all the time.
    fn timed(&self, attempt: Attempt) -> TimedAttempt {
        TimedAttempt { attempt, time: CallTime::new(self.authority.timeout()) }
    }

    /// Makes a proof, and notes in `used` by which credential; then waits for a permit. A proof that is too old by then is made
    /// again.
    async fn ready_for<'a>(
        &'a self,
        call: &'a GrantCall<'a>,
        endpoint: &Url,
        mut step: TimedAttempt,
        used: &mut UsedCredential,
    ) -> Result<ReadyGrant<'a>, SourceError> {
        let not_made = |failure| SourceError::Authority(self.authority.not_made(call.form, failure));
        loop {
            // On the heap, and gone before the wait.
            let proving = timeout(step.time.left(), Box::pin(self.prove(call, endpoint, step.attempt.place)));
            let (proof, by) = proving.await.map_err(|_| not_made(AuthorityError::TimedOut))??;
            *used = by;
            let since = Instant::now();
            let permit = if step.attempt.resend == 0 {
                let permit = self.authority.permit(step.time.left_to_wait()).await;
                step.time.has_waited(since);
                permit.ok_or_else(|| not_made(AuthorityError::Busy))?
            } else {
                self.authority.permit(step.time.left()).await.ok_or_else(|| not_made(AuthorityError::TimedOut))?
            };
            if !proof.is_too_old(self.clock.unix()) {
                return Ok(ReadyGrant { client: self, call, endpoint: endpoint.clone(), step, proof, used: by, permit });
            }
        }
    }

    async fn prove(
        &self,
        call: &GrantCall<'_>,
        endpoint: &Url,
        instead: Option<SecretPlace>,
    ) -> Result<(Proof, UsedCredential), SourceError> {
        if call.client == ClientProof::Public {
            return Ok((Proof::of_public(&self.client_id), self.credential.used()));
        }
        let (authority, profile, context) = (&self.authority, self.authority.profile(), call.context.clone());
        let document = match profile.endpoints {
            Endpoints::Derived => None,
            Endpoints::Discovered => Some(authority.document(TokenVersion::Current, context).await.map_err(SourceError::Before)?),
        };
        let announced = document.as_deref().map(|document| &document.metadata);
        let target = ProofTarget {
            audience: authority.audience_of_assertions(endpoint),
            assertion: profile.assertion,
            secret: profile.secret,
            instead,
            methods: announced.and_then(|metadata| metadata.token_endpoint_auth_methods_supported.as_deref()),
            algorithms: announced.and_then(|metadata| metadata.token_endpoint_auth_signing_alg_values_supported.as_deref()),
        };
        let (proof, used) = self.credential.prove(&self.client_id, target, &self.clock, &self.tasks).await?;
        if proof.shown().is_some() && endpoint.scheme() != "https" {
            let reason = "the endpoint is plain http, where no certificate is shown";
            return Err(SourceError::Credential(Complaint::new(
                reason,
                "name the issuer by https, or give the app another credential",
            )));
        }
        Ok((proof, used))
    }

    /// The attempt with another proof, after the client was refused: with the credential that its file has by now (ASN-6), else
    /// with the secret where it is announced to be taken as well (ASN-8). A client that is refused has redeemed nothing (RFC 6749
    /// §5.2), so that the latter is for every grant.
    async fn with_another_proof(
        &self,
        (call, refused): (&GrantCall<'_>, &AuthorityError),
        step: TimedAttempt,
        used: &UsedCredential,
    ) -> Option<TimedAttempt> {
        let TimedAttempt { attempt, time } = step;
        if call.client == ClientProof::Public {
            return None;
        }
        if attempt.may_reread() && self.is_replaced(used).await {
            return attempt.with_new_credential().map(|attempt| self.timed(attempt));
        }
        let names_target = call.form.grant() == GRANT_TOKEN_EXCHANGE || call.form.has("audience");
        let other = used.other.filter(|_| is_about_client(refused, names_target))?;
        let attempt = attempt.with_secret_in(other)?;
        Some(TimedAttempt { attempt, time })
    }

    /// Reads the credential again that was refused: the file may have been replaced since it was last compared (ASN-6). Returns
    /// whether it is another one.
    async fn is_replaced(&self, refused: &UsedCredential) -> bool {
        self.credential.reread().await;
        self.credential.used().contents != refused.contents
    }
}

// === impl ReadyGrant ===

impl ReadyGrant<'_> {
    /// Sends the grant, until `until` at the latest.
    pub async fn send(self, until: Option<Instant>) -> GrantOutcome {
        let (client, call, endpoint, mut used) = (self.client, self.call, self.endpoint.clone(), self.used);
        let (mut outcome, step) = Box::pin(self.sent(until, token_answer)).await;
        if let Err(failure) = &outcome
            && step.attempt.next(failure, step.time.left()) == NextStep::Reprove
            && let Some(step) = client.with_another_proof((call, failure), step, &used).await
        {
            match client.ready_for(call, &endpoint, step, &mut used).await {
                Ok(ready) => (outcome, _) = Box::pin(ready.sent(until, token_answer)).await,
                Err(error) => return GrantOutcome { outcome: Err(error), version: used.version },
            }
        }
        GrantOutcome { outcome: outcome.map_err(SourceError::Authority), version: used.version }
    }

    /// Which version of the credential made the proof.
    pub fn version(&self) -> u64 {
        self.used.version
    }

    async fn sent<T>(self, until: Option<Instant>, read: ReadAnswer<T>) -> (Result<T, AuthorityError>, TimedAttempt) {
        let Self { client, call, endpoint, step, proof, permit, .. } = self;
        let (calls, left) = (client.authority.calls(), step.time.left());
        if left.is_zero() {
            return (Err(client.authority.not_made(call.form, AuthorityError::TimedOut)), step);
        }
        let Attempt { resend, fresh, .. } = step.attempt;
        let patience = step.attempt.patience(calls.timeout, calls.half()).min(left);
        let request = TokenRequest { endpoint: &endpoint, grant: call.form, proof: &proof, resend, fresh, patience, until };
        let outcome = permit.send_once(request, call.context.clone(), read).await;
        if let Some(place) = step.attempt.place
            && is_client_taken(&outcome)
        {
            client.credential.works_in(place);
        }
        (outcome, step)
    }
}

// === impl SourceError ===

impl From<AuthorityError> for SourceError {
    fn from(failure: AuthorityError) -> Self {
        Self::Authority(failure)
    }
}

impl From<CredentialError> for SourceError {
    fn from(CredentialError(problem): CredentialError) -> Self {
        Self::Credential(problem)
    }
}
