//! The claims of a JWT (RFC 7519, RFC 9068, OpenID Connect, Entra) as far as tokend judges them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::shape;

/// The claims of an access token or an id token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Claims {
    /// RFC 7519 §4.1.1.
    #[serde(default)]
    pub iss: Option<String>,
    /// RFC 7519 §4.1.3.
    #[serde(default)]
    pub aud: Audience,
    /// RFC 7519 §4.1.4, seconds.
    #[serde(default, deserialize_with = "date")]
    pub exp: Option<i64>,
    /// RFC 7519 §4.1.5, seconds.
    #[serde(default, deserialize_with = "date")]
    pub nbf: Option<i64>,
    /// RFC 7519 §4.1.6, seconds; of another shape, it is not there.
    #[serde(default, deserialize_with = "shown_date")]
    pub iat: Option<i64>,
    /// RFC 7519 §4.1.2.
    #[serde(default)]
    pub sub: Option<String>,
    /// Entra: the tenant.
    #[serde(default)]
    pub tid: Option<String>,
    /// Entra: the user in the tenant.
    #[serde(default)]
    pub oid: Option<String>,
    /// Entra: what the user consented to, space-separated; in no app token.
    #[serde(default, deserialize_with = "list")]
    pub scp: Option<String>,
    /// RFC 8693 §4.2, space-separated.
    #[serde(default, deserialize_with = "list")]
    pub scope: Option<String>,
    /// Entra: `app` in a token without a user.
    #[serde(default)]
    pub idtyp: Option<String>,
    /// OpenID Connect §2.
    #[serde(default)]
    pub azp: Option<String>,
    /// OpenID Connect §3.1.3.6: in an id token.
    #[serde(default)]
    pub at_hash: Option<String>,
    /// OpenID Connect §3.3.2.11: in an id token.
    #[serde(default)]
    pub c_hash: Option<String>,
    /// Keycloak: `Bearer`, `ID`, `Refresh`, `Logout`.
    #[serde(default)]
    pub typ: Option<String>,
    /// OpenID Connect §3.1.2.1.
    #[serde(default)]
    pub nonce: Option<String>,
    /// RFC 8693 §4.3, RFC 9068 §2.2: who asked for the token.
    #[serde(default, deserialize_with = "shown")]
    pub client_id: Option<String>,
    /// Cognito: `access` or `id`.
    #[serde(default)]
    pub token_use: Option<String>,
    /// Entra: `1.0` or `2.0`.
    #[serde(default, deserialize_with = "shown")]
    pub ver: Option<String>,
    /// Okta: who asked for the token.
    #[serde(default, deserialize_with = "shown")]
    pub cid: Option<String>,
    /// Auth0: the grant that it comes of.
    #[serde(default, deserialize_with = "shown")]
    pub gty: Option<String>,
    /// Whether there is a `cnf` (RFC 7800 §3.1): the token is bound to a key.
    #[serde(default, rename = "cnf", deserialize_with = "present")]
    pub is_key_bound: bool,
    /// Whether there are `events` (RFC 8417 §2.2): the token tells of something, a logout for instance.
    #[serde(default, rename = "events", deserialize_with = "present")]
    pub has_events: bool,
    /// Whether the header's `typ` is an access token's (RFC 9068 §2.1).
    #[serde(skip)]
    pub is_at_jwt: bool,
    /// What the user signs in with.
    #[serde(default, deserialize_with = "shown")]
    pub preferred_username: Option<String>,
    /// Entra v1: what the user signs in with.
    #[serde(default, deserialize_with = "shown")]
    pub upn: Option<String>,
    /// AD FS: what the user signs in with, in access tokens.
    #[serde(default, deserialize_with = "shown")]
    pub unique_name: Option<String>,
    /// B2C: the first of the user's addresses.
    #[serde(default, rename = "emails", deserialize_with = "first_shown")]
    pub first_email: Option<String>,
    /// B2C: the policy by which the user signed in.
    #[serde(default, deserialize_with = "shown")]
    pub tfp: Option<String>,
    /// B2C's custom policies: the policy, where no `tfp` says it; elsewhere how the user proved itself.
    #[serde(default, deserialize_with = "shown")]
    pub acr: Option<String>,
    /// OpenID Connect §5.1.
    #[serde(default, deserialize_with = "shown")]
    pub email: Option<String>,
    /// OpenID Connect §5.1.
    #[serde(default, deserialize_with = "shown")]
    pub name: Option<String>,
    /// Entra: what says at a sign-in or a sign-out which user is meant, where the app's registration asks for the claim.
    #[serde(default, deserialize_with = "shown")]
    pub login_hint: Option<String>,
}

/// One audience or several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// A string.
    One(String),
    /// An array.
    Many(Vec<String>),
    /// No `aud` at all.
    #[default]
    None,
}

/// Why claims cannot be read: which of them is not what it should be. No value is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsFault {
    /// They are no JSON object.
    #[error("its claims are no JSON object")]
    NoObject,
    /// A claim has another shape.
    #[error("its claim `{claim}` is {found}, where {wanted} belongs")]
    Shape {
        /// Which claim.
        claim: &'static str,
        /// What it is.
        found: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A claim is there twice: who else reads it may see the other one (RFC 7519 §4).
    #[error("one of its claims is there twice")]
    Twice,
}

/// Entra's `client_info`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ClientInfo {
    /// The user in the home tenant.
    pub uid: String,
    /// The home tenant.
    pub utid: String,
}

// === impl Claims ===

impl Claims {
    /// Every text in it, for weighing.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let names = [&self.preferred_username, &self.upn, &self.email, &self.name, &self.nonce];
        let subjects = [&self.iss, &self.sub, &self.tid, &self.oid, &self.azp];
        let kinds = [&self.scp, &self.scope, &self.idtyp, &self.at_hash, &self.c_hash, &self.typ, &self.client_id, &self.token_use];
        let others =
            [&self.ver, &self.cid, &self.gty, &self.login_hint, &self.unique_name, &self.first_email, &self.tfp, &self.acr];
        names.into_iter().chain(subjects).chain(kinds).chain(others).filter_map(Option::as_deref).chain(self.aud.iter())
    }

    /// B2C: the policy of the token.
    pub fn policy(&self) -> Option<&str> {
        self.tfp.as_deref().or(self.acr.as_deref())
    }

    /// Reads the claims of a token.
    ///
    /// # Errors
    /// What is wrong with them, by name.
    pub fn read(json: &[u8]) -> Result<Self, ClaimsFault> {
        // A list would be read as the claims in their order.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(ClaimsFault::NoObject);
        }
        serde_json::from_slice(json).map_err(|_| ClaimsFault::of(json))
    }

    /// Whether it is of an app that acts for itself, as the servers say that who say it: Entra's `idtyp`, a subject that is the
    /// client (RFC 9068 §2.2, Okta, Cognito), Auth0's grant, the name of Keycloak's service accounts.
    pub fn is_of_an_app(&self) -> bool {
        let clients = [&self.client_id, &self.azp, &self.cid].into_iter().flatten();
        let is_client = |client: &String| self.sub.as_ref() == Some(client);
        let is_account = |client: &String| {
            let account = self.preferred_username.as_deref().and_then(|name| name.strip_prefix("service-account-"));
            account.is_some_and(|account| account.eq_ignore_ascii_case(client))
        };
        self.idtyp.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("app"))
            || self.gty.as_deref() == Some("client-credentials")
            || clients.into_iter().any(|client| is_client(client) || is_account(client))
    }
}

// === impl ClaimsFault ===

impl ClaimsFault {
    /// What is wrong with claims that could not be read.
    fn of(json: &[u8]) -> Self {
        const TEXTS: [&str; 11] = ["iss", "sub", "tid", "oid", "idtyp", "azp", "at_hash", "c_hash", "typ", "nonce", "token_use"];
        let Ok(Value::Object(members)) = serde_json::from_slice(json) else { return Self::NoObject };
        let text = || shape::not_text_in(&members, &TEXTS).map(|(claim, found)| (claim, found, "a text"));
        let list = || misshapen(&members, &["aud", "scp", "scope"], is_texts, "a text or a list of texts");
        let date = || misshapen(&members, &["exp", "nbf"], |value| as_date(value).is_some(), "a number of seconds");
        match text().or_else(list).or_else(date) {
            Some((claim, found, wanted)) => Self::Shape { claim, found, wanted },
            None => Self::Twice,
        }
    }
}

type Misshapen = (&'static str, &'static str, &'static str);

/// The first of these members that is there and not what it should be.
fn misshapen(
    members: &Map<String, Value>,
    names: &[&'static str],
    is_good: impl Fn(&Value) -> bool,
    wanted: &'static str,
) -> Option<Misshapen> {
    let there = names.iter().filter_map(|name| members.get(*name).map(|value| (*name, value)));
    let bad = there.filter(|(_, value)| !value.is_null() && !is_good(value)).map(|(name, value)| (name, shape::name_of(value)));
    bad.map(|(name, found)| (name, if found == "a list" { "a list with something else in it" } else { found }, wanted)).next()
}

fn is_texts(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
}

// === impl Audience ===

impl Audience {
    /// The audiences.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let list = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many.as_slice(),
            Self::None => &[],
        };
        list.iter().map(String::as_str)
    }

    /// Whether `audience` is one of them.
    pub fn has(&self, audience: &str) -> bool {
        self.iter().any(|mine| mine == audience)
    }
}

// === impl ClientInfo ===

impl ClientInfo {
    /// Reads it from the answer's base64url; `None` if it is not what it should be (RSP-4).
    pub fn parse(text: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
        let info: Self = serde_json::from_slice(&json).ok()?;
        (!info.uid.is_empty() && !info.utid.is_empty()).then_some(info)
    }
}

/// The claims of a JWT without a look at its signature: for an id token that came straight from the token endpoint over TLS
/// (OpenID Connect §3.1.3.7, point 6), and to choose a key.
pub fn unverified(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Scopes come as one text, or as a list from some servers.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Audience>::deserialize(deserializer)? {
        Some(Audience::One(text)) => Some(text),
        Some(Audience::Many(list)) => Some(list.join(" ")),
        Some(Audience::None) | None => None,
    })
}

/// A claim that is only shown: of another type, it is not there.
fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    })
}

/// The first text of a list that is only shown, or the one text in its place.
fn first_shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let first = match Value::deserialize(deserializer)? {
        Value::Array(list) => list.into_iter().next().unwrap_or_default(),
        other => other,
    };
    Ok(if let Value::String(text) = first { Some(text) } else { None })
}

/// A date that not everybody asks for: of another shape, it is not there.
fn shown_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(as_date(&Value::deserialize(deserializer)?))
}

/// Whether a claim is there, whatever it says; null says nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// NumericDate (RFC 7519 §2): a number, which some servers send with a fraction.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => as_date(&value).map(Some).ok_or_else(|| serde::de::Error::custom("not a date")),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn as_date(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|float| float.abs() < 1e15).map(|float| float as i64))
}

#[cfg(test)]
mod tests {
    use super::{Audience, Claims, ClaimsFault, ClientInfo};

    #[test]
    fn rsp_4_client_info_is_complete_or_nothing() {
        let parse = |json: &str| {
            use base64::Engine as _;
            ClientInfo::parse(&base64::engine::general_purpose::URL_SAFE.encode(json))
        };
        assert!(parse(r#"{"uid":"u","utid":"t"}"#).is_some());
        assert!(parse(r#"{"uid":"u"}"#).is_none());
        assert!(parse(r#"{"uid":"","utid":"t"}"#).is_none());
        assert!(ClientInfo::parse("%%%").is_none());
    }

    #[test]
    fn scopes_come_as_text_or_list_and_names_of_any_type_are_no_obstacle() -> Result<(), serde_json::Error> {
        let claims: Claims = serde_json::from_str(r#"{"scp":["a","b"],"scope":"c d","name":{"x":1},"email":null}"#)?;
        assert_eq!((claims.scp.as_deref(), claims.scope.as_deref(), claims.name), (Some("a b"), Some("c d"), None));
        assert!(serde_json::from_str::<Claims>(r#"{"iss":1}"#).is_err());
        Ok(())
    }

    #[test]
    fn a_claim_of_another_shape_is_named() {
        for (text, expected) in [
            (r#"{"sub":7}"#, "its claim `sub` is a number, where a text belongs"),
            (r#"{"sub":["ana"],"iss":"i"}"#, "its claim `sub` is a list, where a text belongs"),
            (r#"{"tid":{}}"#, "its claim `tid` is an object, where a text belongs"),
            (r#"{"oid":true}"#, "its claim `oid` is true or false, where a text belongs"),
            (r#"{"aud":7}"#, "its claim `aud` is a number, where a text or a list of texts belongs"),
            (
                r#"{"aud":["a",null]}"#,
                "its claim `aud` is a list with something else in it, where a text or a list of texts belongs",
            ),
            (r#"{"scp":{}}"#, "its claim `scp` is an object, where a text or a list of texts belongs"),
            (r#"{"exp":"1"}"#, "its claim `exp` is a text, where a number of seconds belongs"),
            (r#"{"exp":1e300}"#, "its claim `exp` is a number, where a number of seconds belongs"),
            (r#"{"sub":"ana","sub":"ben"}"#, "one of its claims is there twice"),
            ("[]", "its claims are no JSON object"),
            ("{", "its claims are no JSON object"),
        ] {
            let said = Claims::read(text.as_bytes()).map_err(|fault: ClaimsFault| fault.to_string());
            assert_eq!(said.err().as_deref(), Some(expected), "{text}");
        }
        assert!(Claims::read(br#"{"sub":null,"name":7,"ver":2,"x":[],"iat":"x"}"#).is_ok_and(|claims| claims.iat.is_none()));
        assert!(Claims::read(br#"{"iat":1.5}"#).is_ok_and(|claims| claims.iat == Some(1)));
    }

    #[test]
    fn an_apps_token_is_known_by_what_servers_say_of_it() -> Result<(), serde_json::Error> {
        for (text, is_app) in [
            (r#"{"sub":"a","idtyp":"app"}"#, true),
            (r#"{"sub":"a","client_id":"a"}"#, true),
            (r#"{"sub":"a","azp":"a"}"#, true),
            (r#"{"sub":"a","cid":"a"}"#, true),
            (r#"{"sub":"a@clients","azp":"a","gty":"client-credentials"}"#, true),
            (r#"{"sub":"u","azp":"Shop","preferred_username":"service-account-shop"}"#, true),
            (r#"{"sub":"u","azp":"shop","preferred_username":"service-account-other"}"#, false),
            (r#"{"sub":"u","azp":"shop","preferred_username":"shop","gty":"password"}"#, false),
            (r#"{"sub":"u","idtyp":"user"}"#, false),
            (r#"{"azp":"a"}"#, false),
        ] {
            assert_eq!(serde_json::from_str::<Claims>(text)?.is_of_an_app(), is_app, "{text}");
        }
        Ok(())
    }

    #[test]
    fn that_a_claim_is_there_is_known_whatever_it_says() -> Result<(), serde_json::Error> {
        for (text, is_there) in [("{}", false), (r#"{"cnf":null}"#, false), (r#"{"cnf":{}}"#, true), (r#"{"cnf":"x"}"#, true)] {
            assert_eq!(serde_json::from_str::<Claims>(text)?.is_key_bound, is_there, "{text}");
        }
        assert!(serde_json::from_str::<Claims>(r#"{"events":{"a":{}}}"#)?.has_events);
        // The header's alone to say.
        assert!(!serde_json::from_str::<Claims>(r#"{"is_at_jwt":true}"#)?.is_at_jwt);
        Ok(())
    }

    #[test]
    fn audiences_come_alone_or_in_a_list() -> Result<(), serde_json::Error> {
        let one: Claims = serde_json::from_str(r#"{"aud":"a","exp":1.5}"#)?;
        assert_eq!((one.aud.has("a"), one.exp), (true, Some(1)));
        let many: Claims = serde_json::from_str(r#"{"aud":["a","b"]}"#)?;
        assert!(many.aud.has("b") && !many.aud.has("c"));
        let none: Claims = serde_json::from_str("{}")?;
        assert_eq!(none.aud, Audience::None);
        Ok(())
    }
}
