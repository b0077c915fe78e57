//! What verified claims are worth to one app: audience, issuer, times, kind and scopes, judged on every request by a pure function.

use super::settings::{Settings, Tenants};
use crate::authority::{AccessTokenForm, AuthorityError, IssuerForm, MetadataDocument};
use crate::oauth::Claims;
use crate::token::PolicyName;

/// Accepted difference between two clocks, in seconds.
pub const SKEW: i64 = 60;

/// One app's policy, with what its authority adds.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) audiences: Vec<String>,
    /// The app's client id, and those of other apps that are among the audiences.
    clients: Vec<String>,
    pub(super) scopes: Vec<String>,
    issuers: Issuers,
    pub(super) form: AccessTokenForm,
}

/// Whose tokens are looked at.
#[derive(Clone, Debug)]
pub enum Issuers {
    /// Those of an authority where each tenant has its own issuer, of which its documents have the form: of these tenants.
    PerTenant(Tenants),
    /// One issuer's.
    One(String),
    /// Those of the issuer that the metadata document names, and of this policy where it has policies: those may share issuer and
    /// keys.
    Published(Option<PolicyName>),
}

/// What is known of issuers beside the policy, as far as it is needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct IssuerFacts<'a> {
    /// What the document about the token's version says of issuers.
    pub form: Option<&'a IssuerForm>,
    /// The issuer of access tokens that the document names.
    pub published: Option<&'a str>,
    /// The id of the authority's own tenant, where it has one.
    pub own: Option<&'a str>,
}

/// Whose token it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A user's, for whom something is asked.
    User,
    /// A user's or an app's.
    Anybody,
}

/// What the claims are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted.
    Accepted,
    /// Not accepted, and why.
    Invalid(&'static str),
    /// Not accepted: it is for another API.
    Elsewhere,
    /// Accepted, but without a scope that the app asks for.
    InsufficientScope,
}

// === impl Whose ===

impl Whose {
    fn refuses_apps(self) -> Option<&'static str> {
        (self == Self::User).then_some("it is an app's token: there is no user to act for")
    }
}

// === impl Policy ===

impl Policy {
    /// Makes a policy. Entra's v2 tokens have the app's client id as their audience.
    pub fn new(settings: &Settings, client_id: &str, issuers: Issuers, form: AccessTokenForm) -> Self {
        let mut audiences = settings.audiences.clone();
        if form.has_own_audience() {
            audiences.push(client_id.to_owned());
        }
        let clients = std::iter::once(client_id.to_owned()).chain(settings.clients.iter().cloned()).collect();
        Self { audiences, clients, scopes: settings.scopes.clone(), issuers, form }
    }

    /// Judges the claims of a token on whose behalf something is asked, at a time in seconds since the Unix epoch.
    pub fn judge(&self, claims: &Claims, whose: Whose, known: IssuerFacts<'_>, now: i64) -> Verdict {
        if let Some(why) = times(claims, now) {
            return Verdict::Invalid(why);
        }
        if !self.is_for(claims) {
            return Verdict::Elsewhere;
        }
        let wrong = self.issuer(claims, known).or_else(|| self.kind(claims, whose));
        wrong.map_or_else(|| self.scope(claims), Verdict::Invalid)
    }

    /// Whether what documents say of issuers is needed to judge.
    pub fn needs_document(&self) -> bool {
        matches!(&self.issuers, Issuers::PerTenant(_) | Issuers::Published(_))
    }

    /// What is needed of the document about a token's version, and of the authority's own tenant.
    ///
    /// # Errors
    /// The document does not say it.
    pub fn facts<'a>(
        &self,
        document: Option<&'a MetadataDocument>,
        own: Option<&'a str>,
    ) -> Result<IssuerFacts<'a>, AuthorityError> {
        Ok(match (&self.issuers, document) {
            (Issuers::PerTenant(_), Some(document)) => IssuerFacts { form: Some(document.issuer_form()?), published: None, own },
            (Issuers::Published(_), Some(document)) => {
                IssuerFacts { form: None, published: Some(document.access_token_issuer()?), own }
            }
            _ => IssuerFacts { own, ..IssuerFacts::default() },
        })
    }

    /// Whether the own tenant's id is needed to judge.
    pub fn needs_own_tenant(&self) -> bool {
        matches!(&self.issuers, Issuers::PerTenant(Tenants::Own))
    }

    /// Whether a token is for the app.
    pub fn is_for(&self, claims: &Claims) -> bool {
        self.audiences.iter().any(|audience| claims.aud.has(audience))
    }

    fn issuer(&self, claims: &Claims, IssuerFacts { form, published, own }: IssuerFacts<'_>) -> Option<&'static str> {
        let Some(issuer) = &claims.iss else { return Some("it has no iss") };
        let tenants = match &self.issuers {
            Issuers::One(expected) => return (issuer != expected).then_some("its issuer is not the app's"),
            Issuers::Published(_) if published != Some(issuer) => {
                return Some("its issuer is not the one that the authority's metadata names");
            }
            Issuers::Published(policy) => return is_of_policy(claims, policy.as_ref()),
            Issuers::PerTenant(tenants) => tenants,
        };
        let tid = claims.tid.as_deref().filter(|tid| uuid::Uuid::try_parse(tid).is_ok());
        let Some(tid) = tid else { return Some("it has no tenant id") };
        let allowed = match tenants {
            Tenants::Own => own.is_some_and(|own| own.eq_ignore_ascii_case(tid)),
            Tenants::Listed(list) => list.iter().any(|tenant| tenant.eq_ignore_ascii_case(tid)),
            Tenants::Every => true,
        };
        if !allowed {
            return Some("its tenant is not one that the app accepts");
        }
        let is_its_tenants = form.is_some_and(|form| form.is_of(issuer, tid));
        (!is_its_tenants).then_some("its issuer is not the one that the authority's metadata names for its tenant")
    }

    /// Access tokens only: an id token proves a sign-in to its own client and nothing to an API.
    fn kind(&self, claims: &Claims, whose: Whose) -> Option<&'static str> {
        if claims.is_key_bound {
            return Some("it is bound to a key (`cnf`), and whether its sender has that key cannot be checked here");
        }
        if claims.has_events || claims.token_use.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("id")) {
            return Some("it is no access token");
        }
        if self.form == AccessTokenForm::Delegated {
            if claims.idtyp.as_deref() == Some("app") {
                return whose.refuses_apps();
            }
            if whose == Whose::Anybody && claims.is_of_an_app() {
                return None;
            }
            let delegated = claims.scp.as_deref().is_some_and(|scopes| !scopes.trim().is_empty());
            return (!delegated).then_some("it is no access token of a user: it has no scp");
        }
        if claims.is_of_an_app() && whose == Whose::User {
            return whose.refuses_apps();
        }
        let typ = claims.typ.as_deref().unwrap_or_default();
        let kinds = ["ID", "Refresh", "Offline", "Logout"];
        if claims.at_hash.is_some() || claims.c_hash.is_some() || kinds.iter().any(|kind| kind.eq_ignore_ascii_case(typ)) {
            return Some("it is no access token");
        }
        // Every id token has the client id for its audience, and not all have a claim that no access token has.
        let says_so = claims.is_at_jwt || [&claims.scope, &claims.scp, &claims.client_id].iter().any(|claim| claim.is_some());
        if self.clients.iter().any(|client| claims.aud.has(client)) && !says_so {
            return Some("its audience is an app's client id, and nothing says that it is no id token");
        }
        None
    }

    fn scope(&self, claims: &Claims) -> Verdict {
        let granted = match self.form {
            AccessTokenForm::Delegated => &claims.scp,
            AccessTokenForm::AnyIssuer => claims.scope.as_ref().map_or(&claims.scp, |_| &claims.scope),
        };
        let has = |scope: &String| granted.as_deref().unwrap_or_default().split(' ').any(|mine| mine == scope);
        if self.scopes.is_empty() || self.scopes.iter().any(has) { Verdict::Accepted } else { Verdict::InsufficientScope }
    }
}

/// Why a token is not one of this policy's: policies may share an issuer and keys.
pub fn is_of_policy(claims: &Claims, policy: Option<&PolicyName>) -> Option<&'static str> {
    let policy = policy?;
    let is_its = claims.policy().is_some_and(|name| name.eq_ignore_ascii_case(policy.as_str()));
    (!is_its).then_some("it is of another policy than the app's")
}

fn times(claims: &Claims, now: i64) -> Option<&'static str> {
    match (claims.exp, claims.nbf) {
        (None, _) => Some("it has no exp"),
        (Some(exp), _) if now >= exp.saturating_add(SKEW) => Some("it has expired"),
        (_, Some(nbf)) if now < nbf.saturating_sub(SKEW) => Some("it is not valid yet"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{IssuerFacts, Issuers, Policy, Settings, Tenants, Verdict, Whose};
    use crate::authority::{AccessTokenForm, IssuerForm};
    use crate::oauth::{Audience, Claims};
    use crate::token::PolicyName;

    const TID: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
    const OTHER: &str = "11111111-2b34-4da1-9baa-8bc8c9d6a490";

    fn entra(tenants: Tenants) -> Policy {
        let (audiences, scopes) = (vec!["api://orders".to_owned()], vec!["access".to_owned()]);
        let settings = Settings { audiences, scopes, tenants: tenants.clone(), ..Settings::default() };
        Policy::new(&settings, "client", Issuers::PerTenant(tenants), AccessTokenForm::Delegated)
    }

    fn claims() -> Claims {
        Claims {
            iss: Some(format!("https://h/{TID}/v2.0")),
            aud: Audience::One("api://orders".to_owned()),
            exp: Some(1000),
            nbf: Some(0),
            tid: Some(TID.to_owned()),
            scp: Some("other access".to_owned()),
            ..Claims::default()
        }
    }

    fn judge(policy: &Policy, claims: &Claims, now: i64) -> Verdict {
        policy.judge(claims, Whose::User, IssuerFacts { form: Some(&v2()), own: Some(TID), published: None }, now)
    }

    fn of_form(policy: &Policy, claims: &Claims, form: Option<&IssuerForm>, own: Option<&str>) -> Verdict {
        policy.judge(claims, Whose::User, IssuerFacts { form, own, published: None }, 500)
    }

    fn v2() -> IssuerForm {
        IssuerForm::of("https://h/{tenantid}/v2.0")
    }

    #[test]
    fn accepts_both_shapes_of_a_users_token() {
        let policy = entra(Tenants::Own);
        assert_eq!(judge(&policy, &claims(), 500), Verdict::Accepted);
        let v1 = Claims { iss: Some(format!("https://sts/{TID}/")), ..claims() };
        let form = IssuerForm::of(&format!("https://sts/{OTHER}/"));
        assert_eq!(of_form(&policy, &v1, Some(&form), Some(TID)), Verdict::Accepted);
        // One version's issuer is not the other's, and without a document there is none.
        assert!(matches!(judge(&policy, &v1, 500), Verdict::Invalid(_)));
        assert!(matches!(of_form(&policy, &v1, None, Some(TID)), Verdict::Invalid(_)));
        let bare = Claims { aud: Audience::Many(vec!["x".to_owned(), "client".to_owned()]), ..claims() };
        assert_eq!(judge(&policy, &bare, 500), Verdict::Accepted);
    }

    #[test]
    fn refuses_what_is_not_a_users_token_for_this_app() {
        let policy = entra(Tenants::Own);
        let bad = [
            Claims { iss: Some(format!("https://evil/{TID}/v2.0")), ..claims() },
            Claims { iss: None, ..claims() },
            Claims { tid: Some(OTHER.to_owned()), iss: Some(format!("https://h/{OTHER}/v2.0")), ..claims() },
            Claims { tid: Some(OTHER.to_owned()), ..claims() },
            Claims { tid: None, ..claims() },
            Claims { exp: None, ..claims() },
            Claims { scp: None, ..claims() },
            Claims { scp: Some(" ".to_owned()), ..claims() },
            Claims { is_key_bound: true, ..claims() },
            Claims { has_events: true, ..claims() },
            Claims { token_use: Some("id".to_owned()), ..claims() },
            Claims { idtyp: Some("app".to_owned()), ..claims() },
        ];
        for claims in bad {
            assert!(matches!(judge(&policy, &claims, 500), Verdict::Invalid(_)), "{claims:?}");
        }
        for aud in [Audience::One("api://other".to_owned()), Audience::None] {
            assert_eq!(judge(&policy, &Claims { aud, ..claims() }, 500), Verdict::Elsewhere);
        }
        let other_scope = Claims { scp: Some("other".to_owned()), ..claims() };
        assert_eq!(judge(&policy, &other_scope, 500), Verdict::InsufficientScope);
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        let policy = entra(Tenants::Own);
        assert_eq!(judge(&policy, &claims(), 1059), Verdict::Accepted);
        assert!(matches!(judge(&policy, &claims(), 1060), Verdict::Invalid(_)));
        let later = Claims { nbf: Some(560), ..claims() };
        assert_eq!(judge(&policy, &later, 500), Verdict::Accepted);
        assert!(matches!(judge(&policy, &later, 499), Verdict::Invalid(_)));
    }

    #[test]
    fn tenants_are_the_own_the_listed_or_every() {
        let unknown = of_form(&entra(Tenants::Own), &claims(), Some(&v2()), None);
        assert!(matches!(unknown, Verdict::Invalid(_)));
        assert_eq!(judge(&entra(Tenants::Listed(vec![TID.to_uppercase()])), &claims(), 500), Verdict::Accepted);
        assert!(matches!(judge(&entra(Tenants::Listed(vec![OTHER.to_owned()])), &claims(), 500), Verdict::Invalid(_)));
        assert_eq!(judge(&entra(Tenants::Every), &claims(), 500), Verdict::Accepted);
        let no_guid = Claims { tid: Some("x/y".to_owned()), iss: Some("https://h/x/y/v2.0".to_owned()), ..claims() };
        assert!(matches!(judge(&entra(Tenants::Every), &no_guid, 500), Verdict::Invalid(_)));
    }

    #[test]
    fn aut_15_policies_that_share_an_issuer_are_told_apart_by_the_claim_about_them() {
        let issuers = Issuers::Published(PolicyName::parse("B2C_1_susi"));
        let settings = Settings { scopes: vec!["read".to_owned()], ..Settings::default() };
        let policy = Policy::new(&settings, "client", issuers, AccessTokenForm::Delegated);
        let issuer = format!("https://c.b2clogin.com/{TID}/v2.0/");
        let judge = |claims: &Claims| {
            policy.judge(claims, Whose::User, IssuerFacts { published: Some(&issuer), ..IssuerFacts::default() }, 500)
        };
        let text = |text: &str| Some(text.to_owned());
        let good = Claims {
            iss: Some(issuer.clone()),
            aud: Audience::One("client".to_owned()),
            exp: Some(1000),
            tfp: text("b2c_1_SUSI"),
            scp: text("read"),
            ..Claims::default()
        };
        assert_eq!(judge(&good), Verdict::Accepted);
        assert_eq!(judge(&Claims { tfp: None, acr: text("b2c_1_susi"), ..good.clone() }), Verdict::Accepted);
        for bad in [
            Claims { tfp: text("b2c_1_edit"), ..good.clone() },
            Claims { tfp: text("b2c_1_edit"), acr: text("b2c_1_susi"), ..good.clone() },
            Claims { tfp: None, ..good.clone() },
            Claims { iss: text(issuer.trim_end_matches('/')), ..good.clone() },
            Claims { scp: None, ..good.clone() },
        ] {
            assert!(matches!(judge(&bad), Verdict::Invalid(_)), "{bad:?}");
        }
        assert!(matches!(policy.judge(&good, Whose::User, IssuerFacts::default(), 500), Verdict::Invalid(_)), "no document");
    }

    #[test]
    fn an_oidc_issuer_has_access_tokens_of_its_own_kind() {
        let settings = Settings { audiences: vec!["orders".to_owned()], ..Settings::default() };
        let policy = Policy::new(&settings, "client", Issuers::One("https://id".to_owned()), AccessTokenForm::AnyIssuer);
        let good = Claims {
            iss: Some("https://id".to_owned()),
            aud: Audience::One("orders".to_owned()),
            exp: Some(1000),
            ..Claims::default()
        };
        assert_eq!(judge(&policy, &good, 500), Verdict::Accepted);
        let bad = [
            Claims { at_hash: Some("x".to_owned()), ..good.clone() },
            Claims { c_hash: Some("x".to_owned()), ..good.clone() },
            Claims { typ: Some("ID".to_owned()), ..good.clone() },
            Claims { typ: Some("Refresh".to_owned()), ..good.clone() },
            Claims { typ: Some("Logout".to_owned()), ..good.clone() },
            Claims { is_key_bound: true, ..good.clone() },
            Claims { has_events: true, ..good.clone() },
            Claims { token_use: Some("id".to_owned()), ..good.clone() },
            Claims { sub: Some("client".to_owned()), client_id: Some("client".to_owned()), ..good.clone() },
            Claims { idtyp: Some("app".to_owned()), ..good.clone() },
            Claims { iss: Some("https://id/".to_owned()), ..good.clone() },
        ];
        for claims in bad {
            assert!(matches!(judge(&policy, &claims, 500), Verdict::Invalid(_)), "{claims:?}");
        }
    }

    #[test]
    fn for_the_client_id_a_token_has_to_say_that_it_is_an_access_token() {
        let settings = Settings { audiences: vec!["client".to_owned(), "orders".to_owned()], ..Settings::default() };
        let policy = Policy::new(&settings, "client", Issuers::One("https://id".to_owned()), AccessTokenForm::AnyIssuer);
        let some = || Some("x".to_owned());
        let bare = Claims {
            iss: Some("https://id".to_owned()),
            aud: Audience::One("client".to_owned()),
            exp: Some(1000),
            ..Claims::default()
        };
        let listed = Settings { clients: vec!["other".to_owned()], audiences: vec!["other".to_owned()], ..Settings::default() };
        let listed = Policy::new(&listed, "client", Issuers::One("https://id".to_owned()), AccessTokenForm::AnyIssuer);
        let other = Claims { aud: Audience::One("other".to_owned()), ..bare.clone() };
        assert!(matches!(judge(&listed, &other, 500), Verdict::Invalid(why) if why.contains("client id")), "another app's");
        assert_eq!(judge(&listed, &Claims { scope: some(), ..other }, 500), Verdict::Accepted);
        let both = Audience::Many(vec!["orders".to_owned(), "client".to_owned()]);
        for claims in [bare.clone(), Claims { aud: both, ..bare.clone() }] {
            assert!(matches!(judge(&policy, &claims, 500), Verdict::Invalid(why) if why.contains("client id")), "{claims:?}");
            for good in [
                Claims { is_at_jwt: true, ..claims.clone() },
                Claims { scope: some(), ..claims.clone() },
                Claims { scp: some(), ..claims.clone() },
                Claims { client_id: some(), ..claims.clone() },
            ] {
                assert_eq!(judge(&policy, &good, 500), Verdict::Accepted, "{good:?}");
            }
        }
        let orders = Claims { aud: Audience::One("orders".to_owned()), ..bare };
        assert_eq!(judge(&policy, &orders, 500), Verdict::Accepted);
    }
}
