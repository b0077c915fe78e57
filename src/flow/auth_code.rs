//! Authorization codes (RFC 6749 §4.1) with PKCE (RFC 7636): the URL that starts, and the redemption that ends.
//!
//! tokend keeps nothing between the two: the caller holds state, nonce and verifier in the browser's own session.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::acquire::broken_off;
use super::app::App;
use super::classify::refuse;
use super::exchange::{self, Trouble};
use super::issue::{Expected, Owner, granted, issue};
use super::members::{self, Claims};
use super::metrics::Flow;
use super::refusal::{Kind, Refusal};
use super::request::{Answer, AuthCode, AuthCodeUrl, AuthorizationUrl, Call, Common, RefreshReason, TokenSource};
use super::{Inner, Outcome, id_token};
use crate::authority::{Failure, Repeat};
use crate::cache::{self, Key, Loaded};
use crate::oauth::Form;
use crate::secret::Secret;
use crate::token::{Head, Retry, Scopes, Tenant, Turn};

/// The authorize URL for a request.
pub(super) async fn url(
    inner: &Arc<Inner>,
    app: &Arc<App>,
    call: Call,
    request: &AuthCodeUrl<'_>,
) -> Result<AuthorizationUrl, Arc<Refusal>> {
    let common = &request.common;
    let scopes = members::scopes(inner, common)?;
    scopes_named(app, &scopes)?;
    members::audience_and_resource(app, common)?;
    let redirect_uri = redirect_uri(request.redirect_uri)?;
    response_mode(request.response_mode)?;
    let claims = Claims::read(common)?;
    let tenant = app.tenant(common.tenant)?;
    let endpoint = app.authority.authorization_endpoint(tenant.as_ref(), call).await;
    let mut url = endpoint.map_err(|failure| refuse(Flow::AuthCode, failure, None))?;
    let (state, nonce) = (given_or_random(request.state, "state")?, given_or_random(request.nonce, "nonce")?);
    let code_verifier = random()?;
    let sent = sent_scopes(app, &scopes);
    let extra: Vec<&str> = request.extra_scopes_to_consent.iter().flat_map(Scopes::iter).collect();
    let scope = sent.with(&extra).to_string();
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, code_verifier.as_bytes()));
    let claims = claims.merged(app);
    let members = [
        ("client_id", Some(app.client_id.as_str())),
        ("response_type", Some("code")),
        ("redirect_uri", Some(redirect_uri)),
        ("scope", Some(&scope)),
        ("state", Some(&state)),
        ("nonce", Some(&nonce)),
        ("code_challenge", Some(&challenge)),
        ("code_challenge_method", Some("S256")),
        ("response_mode", request.response_mode),
        ("prompt", request.prompt),
        ("login_hint", request.login_hint),
        ("domain_hint", request.domain_hint),
        ("audience", common.audience),
        ("resource", common.resource),
        ("claims", claims.as_deref()),
    ]
    .map(|(name, value)| value.map(|value| (name, value)));
    url.query_pairs_mut().extend_pairs(members.into_iter().flatten());
    let redirect_uri = redirect_uri.to_owned();
    Ok(AuthorizationUrl { authorization_url: url.into(), state, nonce, code_verifier, redirect_uri, scope: sent.to_string() })
}

/// Redeems a code: once, whatever happens, and detached from the caller, who may leave but must not lose it.
pub(super) async fn redeem(inner: &Arc<Inner>, app: &Arc<App>, call: Call, request: &AuthCode<'_>) -> Outcome {
    let redemption = Redemption::read(inner, app, call, request)?;
    let key = redemption.key();
    let outcome = inner.redemptions.join(key, Box::pin(redemption.run())).await;
    let head = outcome.unwrap_or_else(|| Err(Arc::new(broken_off())))?;
    Ok(Answer { head, source: TokenSource::IdentityProvider, reason: RefreshReason::NotApplicable })
}

/// A code with all that its redemption needs.
struct Redemption {
    inner: Arc<Inner>,
    app: Arc<App>,
    call: Call,
    code: Secret,
    redirect_uri: String,
    code_verifier: Option<Secret>,
    nonce: Option<String>,
    scopes: Scopes,
    tenant: Option<Tenant>,
    claims: Option<String>,
    audience: Option<String>,
    resource: Option<String>,
    variant: [u8; 32],
}

// === impl Redemption ===

impl Redemption {
    fn read(inner: &Arc<Inner>, app: &Arc<App>, call: Call, request: &AuthCode<'_>) -> Result<Self, Refusal> {
        let common: &Common<'_> = &request.common;
        let scopes = members::scopes(inner, common)?.into_owned();
        scopes_named(app, &scopes)?;
        members::audience_and_resource(app, common)?;
        let code = request.code.filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| Refusal::member("`code` is missing: pass on the code that came to the redirect URI"))?;
        let redirect_uri = redirect_uri(request.redirect_uri)?.to_owned();
        if request.code_verifier.is_some_and(|verifier| !is_verifier(verifier)) {
            let detail = "`code_verifier` is none: it has 43 to 128 characters of [A-Za-z0-9-._~] (RFC 7636 §4.1)";
            return Err(Refusal::member(detail));
        }
        id_token::check_answers_issuer(app, request.iss)?;
        let claims = Claims::read(common)?;
        Ok(Self {
            tenant: app.tenant(common.tenant)?,
            claims: claims.merged(app),
            inner: Arc::clone(inner),
            app: Arc::clone(app),
            call,
            code: Secret::new(code),
            redirect_uri,
            code_verifier: request.code_verifier.map(Secret::new),
            nonce: request.nonce.map(str::to_owned),
            scopes,
            audience: common.audience.map(str::to_owned),
            resource: common.resource.map(str::to_owned),
            variant: claims.variant(app, common, [None, None]),
        })
    }

    /// Two redemptions of one code at the same time are one call, if they ask for the same in every respect.
    fn key(&self) -> Key {
        let optional = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| format!("+{text}"));
        Key::of(&[
            b"code",
            self.app.name.as_bytes(),
            self.code.expose().as_bytes(),
            self.redirect_uri.as_bytes(),
            optional(self.code_verifier.as_ref().map(Secret::expose)).as_bytes(),
            optional(self.nonce.as_deref()).as_bytes(),
            optional(self.tenant.as_ref().map(Tenant::as_str)).as_bytes(),
            optional(self.claims.as_deref()).as_bytes(),
            &self.variant,
            self.scopes.to_string().as_bytes(),
        ])
    }

    fn form(&self) -> Form {
        let entra = self.app.authority.is_entra();
        let form = Form::default()
            .with("grant_type", "authorization_code")
            .with("redirect_uri", &self.redirect_uri)
            // RFC 6749 §4.1.3 has no scope here; Entra takes it to choose the resource (REQ-3).
            .with_some("scope", entra.then(|| self.scopes.with_reserved().to_string()))
            .with_some("client_info", entra.then_some("1"))
            .with_some("audience", self.audience.clone())
            .with_some("resource", self.resource.clone())
            .with_some("claims", self.claims.clone())
            .with_secret("code", self.code.clone());
        match &self.code_verifier {
            Some(verifier) => form.with_secret("code_verifier", verifier.clone()),
            None => form,
        }
    }

    async fn run(self) -> Result<Head, Arc<Refusal>> {
        let (inner, app) = (&self.inner, &self.app);
        let context = self.call;
        let response = exchange::run(inner, app, &self.form(), self.tenant.as_ref(), Repeat::Never, context).await;
        let response = response.map_err(|trouble| self.refuse(trouble))?;
        let Some(id_token) = &response.id_token else {
            return Err(self.refuse(Failure::Invalid("it has no id_token").into()).into());
        };
        let now = inner.clock.unix();
        let user = id_token::verify(app, id_token.expose(), self.nonce.as_deref(), self.tenant.as_ref(), now, context).await;
        // The code is spent, whatever is wrong with what it brought.
        let user = user.map_err(|refusal| refusal.retrying(Retry::Never))?;
        let jitter = inner.jitter;
        let expected =
            Expected { asked: self.scopes.clone(), tenant: self.tenant.clone(), owner: Owner::User(user), exchange: false };
        let grant = issue(app, &expected, response, now, jitter()).map_err(|failure| self.refuse(failure.into()))?;
        let matching = app.authority.matching();
        let granted = granted(matching, &self.scopes, &grant);
        let Some(account) = &grant.account else {
            return Err(self.refuse(Failure::Invalid("it does not say whose token it is").into()).into());
        };
        let partition = app.space_in(self.tenant.as_ref()).partition(cache::Owner::Account(&account.home_account_id));
        Ok(inner.cache.keep(&partition, &self.variant, &self.scopes.folded(matching), &Loaded { grant, granted }))
    }

    fn refuse(&self, trouble: Trouble) -> Refusal {
        let mut refusal = match trouble {
            Trouble::Credential(problem) => exchange::unusable(&problem),
            // Whether the code was redeemed is not known: it must not be sent again, and the user starts over.
            Trouble::Authority(failure @ (Failure::Unreachable | Failure::TimedOut)) => {
                let lower = refuse(Flow::AuthCode, failure, None);
                let detail = format!("{}; whether the code was redeemed is not known: start the sign-in again", lower.detail);
                Refusal::new(Turn::Unavailable, Kind::AuthorityUnavailable, detail).retrying(Retry::Never)
            }
            Trouble::Authority(failure) => {
                let until = match &failure {
                    Failure::Throttled { retry_after, .. } | Failure::Unavailable { retry_after, .. } => {
                        retry_after.map(|pause| self.inner.clock.moment().after(pause))
                    }
                    _ => None,
                };
                refuse(Flow::AuthCode, failure, until)
            }
        };
        refusal.authorization_uri = exchange::authorization_uri(&self.app, self.tenant.as_ref(), &refusal);
        refusal
    }
}

/// Entra-style: the union with the reserved scopes. OIDC: `openid`, and `offline_access` only if the app says so.
fn sent_scopes(app: &App, scopes: &Scopes) -> Scopes {
    if app.authority.is_entra() {
        return scopes.with_reserved();
    }
    let sent = scopes.with(&["openid"]);
    if app.offline_access { sent.with(&["offline_access"]) } else { sent }
}

fn scopes_named(app: &App, scopes: &Scopes) -> Result<(), Refusal> {
    if scopes.is_empty() && app.authority.is_entra() {
        return Err(Refusal::member("`scopes` is missing: give a list of scopes, or a configured `api`"));
    }
    Ok(())
}

fn redirect_uri(given: Option<&str>) -> Result<&str, Refusal> {
    let given = given.ok_or_else(|| Refusal::member("`redirect_uri` is missing: give the one that is registered for the app"))?;
    match Url::parse(given) {
        Ok(url) if url.fragment().is_none() => Ok(given),
        _ => Err(Refusal::member("`redirect_uri` is no absolute URL without a fragment (RFC 6749 §3.1.2)")),
    }
}

fn response_mode(given: Option<&str>) -> Result<(), Refusal> {
    match given {
        None | Some("query" | "form_post") => Ok(()),
        Some("fragment") => {
            Err(Refusal::member("`response_mode` is fragment, which never reaches a server: use query or form_post"))
        }
        Some(_) => Err(Refusal::member("`response_mode` is neither query nor form_post")),
    }
}

fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn given_or_random(given: Option<&str>, member: &str) -> Result<String, Refusal> {
    match given {
        None => random(),
        Some(text) if (1..=1024).contains(&text.len()) => Ok(text.to_owned()),
        Some(_) => Err(Refusal::member(format!("`{member}` has no or over 1024 characters: shorten it, or leave it out"))),
    }
}

/// 256 bits, base64url: 43 characters, which is also a code verifier.
fn random() -> Result<String, Refusal> {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Refusal::new(Turn::Unavailable, Kind::InternalError, "the system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::{is_verifier, random, redirect_uri, response_mode};

    #[test]
    fn a_random_text_is_a_code_verifier() {
        let text = random().unwrap();
        assert!(is_verifier(&text), "{text}");
        assert_ne!(random().unwrap(), text);
    }

    #[test]
    fn members_of_the_url_are_checked() {
        assert!(response_mode(Some("fragment")).is_err_and(|refusal| refusal.detail.contains("fragment")));
        assert!(response_mode(Some("form_post")).is_ok());
        assert!(redirect_uri(Some("/callback")).is_err());
        assert!(redirect_uri(Some("https://a/b#c")).is_err());
        assert!(redirect_uri(Some("https://a/b?c=d")).is_ok());
    }
}
