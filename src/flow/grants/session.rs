//! Long-running on-behalf-of sessions: what is done for a user goes on when the user's token has ended.
//!
//! With the user's token and the name of a session one begins, which always asks the authority. The name alone continues it: from
//! the cache, else by the session's refresh token. Whoever has the name has the session, within its app and its caller. So the
//! name is a secret, and is nothing that others may know or guess.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::on_behalf_of::{asserted, exchange_types, exchanged, no_bearer, owner_of, tenant_of, token_exchange, user_of};
use super::silent::REFRESH_TOKEN;
use super::wanted::{handle_ready, wanted_handle};
use crate::authority::OboGrant;
use crate::caller::Caller;
use crate::flow::about::Owner;
use crate::flow::accounts::sign_out_at;
use crate::flow::app::App;
use crate::flow::catalogue::Flow;
use crate::flow::issue::Expected;
use crate::flow::members::{self, ClaimsMember, random};
use crate::flow::plan::{Asker, CachedGrant, CachedPlan, Plan, Planning, SessionPlace, StartPlan};
use crate::flow::refusal::Refusal;
use crate::flow::request::{Common, OnBehalfOf};
use crate::flow::settings::SessionAsk;
use crate::flow::spine::failure::{no_session, unavailable};
use crate::flow::state::FlowState;
use crate::oauth::{Claims, Form, GRANT_JWT_BEARER, TOKEN_TYPE_ACCESS, TOKEN_TYPE_REFRESH};
use crate::secret::Secret;
use crate::token::{
    FlightKey, KeySpace, Lane, Partition, PartitionOwner, Scopes, SignIn, SpaceId, Tenant, TokenDigest, TokenKey, VariantMembers,
};

/// The name of a session whose key is made here.
const NEW: &str = "new";
/// How long a caller's own key is: at least as long as 128 random bits in base64url.
const SHORTEST: usize = 22;
const LONGEST: usize = 256;
/// What asks some issuers for a refresh token.
const OFFLINE_ACCESS: &str = "offline_access";

/// A session that is continued, but for what its record says.
struct Continuing<'a> {
    asker: Asker<'a>,
    common: &'a Common<'a>,
    scopes: &'a Scopes,
    claims: ClaimsMember,
    /// The cache's generation when the request arrived.
    arrived: u64,
}

/// A start that lacks nothing but the judgement of its user's token.
struct Start<'a> {
    asker: Asker<'a>,
    request: &'a OnBehalfOf<'a>,
    bearer: &'a str,
    digest: TokenDigest,
    key: Secret,
    /// Whether the key was made here.
    is_new: bool,
    scopes: &'a Scopes,
    claims: ClaimsMember,
}

/// What is to be done.
pub(super) fn plan<'a>(asker: Asker<'a>, request: &'a OnBehalfOf<'a>, named: &'a str) -> Result<Planning<'a>, Refusal> {
    asker.app.has_credential()?;
    exchange_types(asker.app, request)?;
    if request.requested_token_type.is_some_and(|kind| kind != TOKEN_TYPE_ACCESS) {
        return Err(Refusal::member(
            "`requested_token_type` has no meaning for a `session`, whose tokens are access tokens: leave it out",
        ));
    }
    match request.bearer {
        Some(bearer) => {
            let start = Start::of(asker, request, named, bearer)?;
            Ok(Planning::Waits(Box::pin(start.plan())))
        }
        None if named == NEW => Err(no_bearer()),
        None => continues(asker, request, judged(named)?),
    }
}

/// Where the sessions of an owner's accounts are.
pub(in crate::flow) fn space_of(app: &App, owner: Caller) -> KeySpace {
    app.space_of(owner).of_sessions()
}

/// Ends a session, whether or not anything is known of it.
pub(in crate::flow) async fn end(state: &Arc<FlowState>, app: &App, caller: Caller, named: Option<&str>) -> Result<(), Refusal> {
    let named = named.ok_or_else(|| Refusal::member("`session` is missing: give the key of the session that ends"))?;
    if named == NEW {
        return Err(Refusal::member("`session` is `new`, which is no key: give the one that the start was answered with"));
    }
    sign_out_at(state, places(state, app, caller, judged(named)?), named.len()).await
}

/// Where a caller may have the session of this key, under its present name first.
fn places(state: &FlowState, app: &App, caller: Caller, key: &str) -> Vec<(SpaceId, Partition)> {
    let place = |owner: Caller| {
        let sessions = space_of(app, owner);
        (*sessions.id(), sessions.partition(PartitionOwner::Session(key)))
    };
    state.selves(caller).into_iter().map(|(owner, _)| place(owner)).collect()
}

fn continues<'a>(asker: Asker<'a>, request: &'a OnBehalfOf<'a>, key: &str) -> Result<Planning<'a>, Refusal> {
    if request.subject_token_type.is_some() {
        return Err(Refusal::member("`subject_token_type` is the user's token's, and there is none: leave it out"));
    }
    let (state, places) = (asker.state, places(asker.state, asker.app, asker.caller, key));
    let continuing = Continuing::of(asker, &request.common)?;
    if let Some((space, partition)) = places.first()
        && let Some(sign_in) = state.cache.accounts().remembered(partition).filter(|sign_in| sign_in.space == *space)
    {
        return continuing.plan(*space, *partition, &sign_in).map(Planning::Done);
    }
    Ok(Planning::Waits(Box::pin(async move {
        let mut otherwise = no_session();
        for (space, partition) in places {
            match state.cache.accounts().signed_or_remembered(&space, &partition).await {
                Ok(signed) => {
                    if let Some(sign_in) = signed.sign_in {
                        return continuing.plan(space, partition, &sign_in);
                    }
                }
                Err(why) => otherwise = unavailable(why),
            }
        }
        Err(otherwise)
    })))
}

/// What is to be done for the session that a handle names.
pub(in crate::flow) fn plan_of<'a>(
    asker: Asker<'a>,
    common: &'a Common<'a>,
    (space, partition): (SpaceId, Partition),
    sign_in: &SignIn,
) -> Result<Plan<'a>, Refusal> {
    asker.app.has_credential()?;
    Continuing::of(asker, common)?.plan(space, partition, sign_in)
}

// === impl Continuing ===

impl<'a> Continuing<'a> {
    fn of(asker: Asker<'a>, common: &'a Common<'a>) -> Result<Self, Refusal> {
        let arrived = asker.state.cache.generation();
        let scopes = members::scopes(asker.state, common)?;
        members::user_target(asker.app, common, scopes)?;
        let claims = ClaimsMember::read(common)?;
        Ok(Self { asker, common, scopes, claims, arrived })
    }

    /// What is to be done, by what the session's record says of its user and its tenant.
    fn plan(self, space: SpaceId, partition: Partition, sign_in: &SignIn) -> Result<Plan<'a>, Refusal> {
        let Self { asker: Asker { state, app, caller, call }, common, scopes, claims, arrived } = self;
        let session = sign_in.session().ok_or_else(no_session)?;
        let tenant = kept_tenant(app, common.tenant, &session.tenant)?;
        let members = VariantMembers { session: Some(&session.user), ..claims.variant(app, common, tenant.as_ref()) };
        let variant = app.usual.variant_of(&members);
        Ok(Plan::Cached(CachedPlan {
            flow: Flow::OnBehalfOf,
            app,
            call,
            asker: caller,
            owner: caller,
            bound: state.is_bound(caller),
            key: TokenKey { partition, variant, scopes: scopes.folded(app.authority.matching()) },
            owned: true,
            search: None,
            tenant,
            assertion: None,
            scopes,
            common,
            bypass: claims.bypass(arrived),
            carried: REFRESH_TOKEN + claims.carried() + members::carried(common),
            claims,
            grant: CachedGrant::Session(space),
        }))
    }
}

/// The tenant of a session, if the app still may ask it. A request that names another one means no session that there is.
fn kept_tenant(app: &App, named: Option<&str>, kept: &str) -> Result<Option<Tenant>, Refusal> {
    if app.authority.tenant().is_some_and(Tenant::is_any) {
        // It is the user's own, as the token said that began the session.
        let own = Tenant::parse(kept).ok_or_else(no_session)?;
        return if named.is_none_or(|named| Tenant::parse(named).as_ref() == Some(&own)) {
            Ok(Some(own))
        } else {
            Err(no_session())
        };
    }
    let kept = app.tenant(Some(kept).filter(|kept| !kept.is_empty()))?;
    match named {
        Some(_) if app.tenant(named)? != kept => Err(no_session()),
        _ => Ok(kept),
    }
}

// === impl Start ===

impl<'a> Start<'a> {
    fn of(asker: Asker<'a>, request: &'a OnBehalfOf<'a>, named: &'a str, bearer: &'a str) -> Result<Self, Refusal> {
        let common = &request.common;
        let scopes = members::scopes(asker.state, common)?;
        members::target(asker.app, common, scopes)?;
        let claims = ClaimsMember::read(common)?;
        let is_new = named == NEW;
        let key = if is_new { random()? } else { own_key(asker.state, named, bearer)?.to_owned() };
        let digest = TokenDigest::of(bearer);
        Ok(Self { asker, request, bearer, digest, key: Secret::new(key), is_new, scopes, claims })
    }

    async fn plan(self) -> Result<Plan<'a>, Refusal> {
        let Asker { state, app, call, .. } = &self.asker;
        let common = &self.request.common;
        handle_ready(state, common.wants_handle).await?;
        let user = user_of(state, app, (self.bearer, &self.digest), call.clone()).await?;
        let tenant = tenant_of(app, app.tenant(common.tenant), common.tenant, &user)?;
        self.planned(user, tenant)
    }

    fn planned(self, user: Arc<Claims>, tenant: Option<Tenant>) -> Result<Plan<'a>, Refusal> {
        let (form, asked) = (self.form(), self.scopes.clone());
        let Self { asker: Asker { state, app, caller, call }, request, bearer, digest, key, is_new, scopes, claims } = self;
        let common = &request.common;
        let (place, former) = start_places(state, app, caller, (&user, key.expose()))?;
        let members = VariantMembers { session: Some(&place.user), ..claims.variant(app, common, tenant.as_ref()) };
        let variant = app.usual.variant_of(&members);
        let named = tenant.as_ref().map_or("", Tenant::as_str);
        let merged = claims.merged(app);
        let text = scopes.to_string();
        let flight = [
            b"session",
            app.name.as_bytes(),
            &place.space,
            key.expose().as_bytes(),
            &digest,
            &variant,
            request.subject_token_type.unwrap_or_default().as_bytes(),
            named.as_bytes(),
            merged.as_deref().unwrap_or_default().as_bytes(),
            text.as_bytes(),
        ];
        let exchange = exchanged(app, request);
        Ok(Plan::Start(Box::new(StartPlan {
            app: Arc::clone(app),
            call,
            owner: caller,
            bound: state.is_bound(caller),
            place,
            former,
            // A failure says nothing of the user's other tokens, and something of every start with this one.
            lane: Lane::of(&[b"session", &place.user, named.as_bytes(), &digest]),
            variant,
            challenge: claims.challenge(),
            flight: FlightKey::of(&flight),
            form: form.with_some("claims", merged),
            carried: bearer.len() + key.expose().len() + claims.carried() + members::carried(common),
            handle: wanted_handle(state, app, caller, scopes, common),
            expected: Expected { asked, tenant: tenant.clone(), owner: Owner::User(user), exchange },
            scopes: scopes.clone(),
            tenant,
            key,
            is_new,
        })))
    }

    /// What is sent: as without a session, and at issuers with what asks for a refresh token, where that has to be said.
    fn form(&self) -> Form {
        let (app, request, scopes) = (self.asker.app, self.request, self.scopes);
        if app.authority.profile().on_behalf_of == OboGrant::JwtBearer {
            return asserted(app, GRANT_JWT_BEARER, scopes, Secret::new(self.bearer), request);
        }
        let subject = request.subject_token_type.unwrap_or(TOKEN_TYPE_ACCESS);
        let (scopes, kind) = match app.session_ask {
            None => (scopes.clone(), TOKEN_TYPE_ACCESS),
            Some(SessionAsk::OfflineAccess) => (scopes.with(&[OFFLINE_ACCESS]), TOKEN_TYPE_ACCESS),
            Some(SessionAsk::RefreshTokenType) => (scopes.clone(), TOKEN_TYPE_REFRESH),
        };
        token_exchange((subject, kind), &scopes, Secret::new(self.bearer), &request.common)
    }
}

/// Where a session will be, and where else its caller may have one of this key.
fn start_places(
    state: &FlowState,
    app: &App,
    caller: Caller,
    (user, key): (&Claims, &str),
) -> Result<(SessionPlace, Vec<SessionPlace>), Refusal> {
    let place = |owner: Caller| -> Result<SessionPlace, Refusal> {
        let sessions = space_of(app, owner);
        let user = app.space_of(owner).partition(owner_of(app, user)?);
        Ok(SessionPlace { space: *sessions.id(), partition: sessions.partition(PartitionOwner::Session(key)), user })
    };
    let former = state.selves(caller).into_iter().skip(1).map(|(owner, _)| place(owner));
    Ok((place(caller)?, former.collect::<Result<_, _>>()?))
}

/// The key of a session, as callers name it.
fn judged(key: &str) -> Result<&str, Refusal> {
    if !(SHORTEST..=LONGEST).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::member(format!(
            "`session` is no key: one has {SHORTEST} to {LONGEST} visible ASCII characters; write `new` with the user's token for one \
             that is made here"
        )));
    }
    Ok(key)
}

/// The key that a caller gives a session that begins.
fn own_key<'a>(state: &FlowState, named: &'a str, bearer: &str) -> Result<&'a str, Refusal> {
    let key = judged(named)?;
    if state.callers.is_none() {
        let detail =
            "`session` is a key of your own, which only callers that are known may choose: write `new`, or configure `callers`";
        return Err(Refusal::member(detail));
    }
    if is_made_of(key, bearer) {
        let detail = "`session` is the user's token or its hash, which everybody knows who has seen that: choose a random key, or write `new`";
        return Err(Refusal::member(detail));
    }
    Ok(key)
}

/// Whether a key is known to whoever has seen the token: the token itself, or its SHA-256 in any usual writing.
fn is_made_of(key: &str, bearer: &str) -> bool {
    let hash = digest(&SHA256, bearer.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let plain = key.trim_end_matches('=').replace('+', "-").replace('/', "_");
    key == bearer || key.eq_ignore_ascii_case(&hex) || plain == URL_SAFE_NO_PAD.encode(hash)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::{LONGEST, SHORTEST, digest, is_made_of, judged};

    #[test]
    fn a_key_is_long_enough_and_visible() {
        for good in ["a".repeat(SHORTEST), "~".repeat(LONGEST), "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}".to_owned()] {
            assert_eq!(judged(&good).ok(), Some(&*good));
        }
        let long = "a".repeat(LONGEST + 1);
        let short = "a".repeat(SHORTEST - 1);
        for bad in
            ["", &short, &long, "new", "a key with a space in it", "a-key-with-a-line-feed\n", "a-key-with-\u{e9}-that-is-none"]
        {
            assert!(
                judged(bad).is_err_and(|refusal| refusal.detail.contains("`session`") && refusal.detail.contains("`new`")),
                "{bad}"
            );
        }
    }

    #[test]
    fn no_hash_of_the_token_is_a_key() {
        let bearer = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
        let hash = digest(&super::SHA256, bearer.as_bytes());
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        for known in [
            bearer.to_owned(),
            hex.to_uppercase(),
            hex.clone(),
            URL_SAFE_NO_PAD.encode(hash),
            URL_SAFE.encode(hash),
            STANDARD.encode(hash),
        ] {
            assert!(is_made_of(&known, bearer), "{known}");
            assert!(!is_made_of(&known, "another.token.entirely"));
        }
        assert!(!is_made_of(&hex[..63], bearer));
    }
}
