//! The claims of a JWT (RFC 7519, RFC 9068, OpenID Connect, Entra) as far as tokend judges them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

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
    /// OpenID Connect §5.1.
    #[serde(default, deserialize_with = "shown")]
    pub email: Option<String>,
    /// OpenID Connect §5.1.
    #[serde(default, deserialize_with = "shown")]
    pub name: Option<String>,
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
        names.into_iter().chain(subjects).chain(kinds).filter_map(Option::as_deref).chain(self.aud.iter())
    }
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

/// Whether a claim is there, whatever it says; null says nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// NumericDate (RFC 7519 §2): a number, which some servers send with a fraction.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let whole = number.as_i64().or_else(|| number.as_f64().filter(|float| float.abs() < 1e15).map(|float| float as i64));
    whole.map(Some).ok_or_else(|| serde::de::Error::custom("not a date"))
}

#[cfg(test)]
mod tests {
    use super::{Audience, Claims, ClientInfo};

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
