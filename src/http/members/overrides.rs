//! What clients of Microsoft's sidecar say in the query, and how it is read: names in any case, and what is empty says nothing.

use std::borrow::Cow;

use super::explain::is_showable;
use super::form::{MOST_PAIRS, decode_form};
use super::table::LONGEST;
use super::values::ScopeList;
use crate::flow::Overrides;
use crate::http::fault::{Fault, FaultKind};

/// One parameter.
pub(in crate::http) struct SidecarParameter {
    /// Its name, as Microsoft's documents spell it.
    pub(in crate::http) name: &'static str,
    /// What the API document says of it.
    pub(in crate::http) says: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scopes,
    AppToken,
    Tenant,
    ForceRefresh,
    Claims,
    /// Read with the head, where the request gets its id.
    CorrelationId,
    ManagedIdentity,
    /// It would say whose token is wanted, or bind it, and is not served.
    Refused,
    /// It says something of a call to the api that is not made here.
    OfCall,
    /// It has to be the one that is served.
    Scheme,
}

const AGENT: &str = "Refused: agent identities are not served.";
const CALL: &str = "About a call to the api, which is not made here: it has no effect.";

/// What an id for the request is called here.
pub(in crate::http) const CORRELATION: &str = "optionsOverride.AcquireTokenOptions.CorrelationId";

/// What the names begin with that may say something of the token, and of whose it is.
const MEANINGFUL: [&str; 4] = ["optionsOverride", "AgentIdentity", "AgentUsername", "AgentUserId"];

/// What the names begin with that say something of the call alone.
const HARMLESS: [&str; 3] =
    ["optionsOverride.ExtraHeaderParameters.", "optionsOverride.ExtraQueryParameters.", "optionsOverride.CustomHeader."];

/// The parameters that are known.
pub(in crate::http) const PARAMETERS: [SidecarParameter; 19] = {
    const fn row(name: &'static str, kind: Kind, says: &'static str) -> SidecarParameter {
        SidecarParameter { name, says, kind }
    }
    [
        row("optionsOverride.Scopes", Kind::Scopes, "Other scopes than the api's; it may stand several times."),
        row("optionsOverride.RequestAppToken", Kind::AppToken, "`true`: the app's own token, though there is a user."),
        row("optionsOverride.AcquireTokenOptions.Tenant", Kind::Tenant, "Another tenant, which the app has to list."),
        row("optionsOverride.AcquireTokenOptions.ForceRefresh", Kind::ForceRefresh, "`true`: not from the cache."),
        row("optionsOverride.AcquireTokenOptions.Claims", Kind::Claims, "A claims challenge. It bypasses the cached token."),
        row(CORRELATION, Kind::CorrelationId, "As the header `x-correlation-id`, which wins."),
        row(
            "optionsOverride.AcquireTokenOptions.ManagedIdentity.UserAssignedClientId",
            Kind::ManagedIdentity,
            "The app's client id, or one of its `managed_identity_ids`; another one is refused.",
        ),
        row(
            "optionsOverride.AcquireTokenOptions.LongRunningWebApiSessionKey",
            Kind::Refused,
            "Refused: long-running sessions begin at `/obo`, with `session`.",
        ),
        row("optionsOverride.AcquireTokenOptions.FmiPath", Kind::Refused, AGENT),
        row("optionsOverride.AcquireTokenOptions.PopPublicKey", Kind::Refused, "Refused: tokens are not bound to keys."),
        row("AgentIdentity", Kind::Refused, AGENT),
        row("AgentUsername", Kind::Refused, AGENT),
        row("AgentUserId", Kind::Refused, AGENT),
        row("optionsOverride.BaseUrl", Kind::OfCall, CALL),
        row("optionsOverride.RelativePath", Kind::OfCall, CALL),
        row("optionsOverride.HttpMethod", Kind::OfCall, CALL),
        row("optionsOverride.AcceptHeader", Kind::OfCall, CALL),
        row("optionsOverride.ContentType", Kind::OfCall, CALL),
        row("optionsOverride.ProtocolScheme", Kind::Scheme, "`Bearer`, or nothing: tokens are not bound to keys."),
    ]
};

/// The parameters of a query, decoded.
#[derive(Default)]
pub(in crate::http) struct SidecarQuery<'a> {
    scopes: Vec<Cow<'a, str>>,
    app_token: bool,
    force_refresh: bool,
    tenant: Option<Cow<'a, str>>,
    claims: Option<Cow<'a, str>>,
    managed_identity: Option<Cow<'a, str>>,
}

impl<'a> SidecarQuery<'a> {
    /// Reads a query.
    ///
    /// # Errors
    /// A parameter is refused, there twice, no percent-encoded UTF-8, too long, or not what its value has to be.
    pub(in crate::http) fn read(query: &'a str) -> Result<Self, Fault> {
        let mut read = Self::default();
        let mut seen: Vec<Kind> = Vec::new();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        if pairs.clone().nth(MOST_PAIRS).is_some() {
            return Err(invalid(format!("there are more than {MOST_PAIRS} parameters; send those that are needed")));
        }
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_form(name).ok_or_else(|| invalid("a parameter's name is no percent-encoded UTF-8".to_owned()))?;
            let Some(parameter) = PARAMETERS.iter().find(|known| known.name.eq_ignore_ascii_case(&name)) else {
                refuse_unknown(&name)?;
                continue;
            };
            let undecodable = || invalid(format!("`{}` is no percent-encoded UTF-8", parameter.name));
            let value = decode_form(value).ok_or_else(undecodable)?;
            if value.len() > LONGEST {
                return Err(invalid(format!("`{}` is longer than {LONGEST} bytes", parameter.name)));
            }
            if parameter.kind == Kind::Refused {
                // It would be another one's token, also where the value is empty.
                return Err(invalid(format!("`{}` is not served: {}", parameter.name, parameter.refusal())));
            }
            if value.is_empty() {
                continue;
            }
            if parameter.kind != Kind::Scopes && parameter.kind != Kind::OfCall {
                if seen.contains(&parameter.kind) {
                    return Err(invalid(format!("`{}` stands twice; give it once", parameter.name)));
                }
                seen.push(parameter.kind);
            }
            read.put(parameter, value)?;
        }
        Ok(read)
    }

    fn put(&mut self, parameter: &SidecarParameter, value: Cow<'a, str>) -> Result<(), Fault> {
        match parameter.kind {
            Kind::Scopes => self.scopes.push(value),
            Kind::AppToken => self.app_token = switch(parameter.name, &value)?,
            Kind::ForceRefresh => self.force_refresh = switch(parameter.name, &value)?,
            Kind::Tenant => self.tenant = Some(value),
            Kind::Claims => self.claims = Some(value),
            Kind::ManagedIdentity => self.managed_identity = Some(value),
            Kind::CorrelationId if !is_id(&value) => {
                return Err(invalid(format!("`{}` is no GUID; send one, or none at all", parameter.name)));
            }
            Kind::Scheme if !value.eq_ignore_ascii_case("bearer") => {
                return Err(invalid(format!("`{}` is another one than `Bearer`: tokens are not bound to keys", parameter.name)));
            }
            Kind::Scheme | Kind::CorrelationId | Kind::OfCall | Kind::Refused => {}
        }
        Ok(())
    }

    /// As the flow takes them.
    ///
    /// # Errors
    /// A scope is malformed.
    pub(in crate::http) fn overrides(&self) -> Result<Overrides<'_>, Fault> {
        let scopes = if self.scopes.is_empty() { None } else { Some(ScopeList::of_text(&self.scopes.join(" "))) };
        if let Some(problem) = scopes.as_ref().and_then(ScopeList::fault) {
            return Err(invalid(format!("`optionsOverride.Scopes` {problem}")));
        }
        Ok(Overrides {
            scopes: scopes.and_then(ScopeList::into_scopes),
            app_token: self.app_token,
            tenant: self.tenant.as_deref(),
            claims: self.claims.as_deref(),
            force_refresh: self.force_refresh,
            managed_identity: self.managed_identity.as_deref(),
        })
    }
}

/// The id that a query names for its request, where it is one.
pub(in crate::http) fn correlation_id(query: &str) -> Option<uuid::Uuid> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| decode_form(name).is_some_and(|name| name.eq_ignore_ascii_case(CORRELATION)));
    named
        .find_map(|(_, value)| decode_form(value).filter(|value| is_id(value)).and_then(|value| uuid::Uuid::try_parse(&value).ok()))
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// What else would say something of the token. All else is of no concern here.
fn refuse_unknown(name: &str) -> Result<(), Fault> {
    let begins = |start: &&str| name.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    if !MEANINGFUL.iter().any(&begins) || HARMLESS.iter().any(begins) {
        return Ok(());
    }
    let shown = if name.split('.').all(is_showable) { name } else { "optionsOverride…" };
    Err(invalid(format!("`{shown}` is not served here, and the token would not be what it asks for: leave it out")))
}

/// .NET's spelling of a switch is taken too.
fn switch(name: &str, value: &str) -> Result<bool, Fault> {
    if value.eq_ignore_ascii_case("true") {
        return Ok(true);
    }
    if value.eq_ignore_ascii_case("false") {
        return Ok(false);
    }
    Err(invalid(format!("`{name}` is neither `true` nor `false`")))
}

fn invalid(detail: String) -> Fault {
    Fault::new(FaultKind::InvalidRequest, detail)
}

// === impl SidecarParameter ===

impl SidecarParameter {
    /// Why it is refused, as the rest of a sentence.
    fn refusal(&self) -> &'static str {
        self.says.strip_prefix("Refused: ").unwrap_or(self.says)
    }
}

#[cfg(test)]
mod tests {
    use super::{PARAMETERS, SidecarQuery, correlation_id};

    fn fault(query: &str) -> String {
        let read = SidecarQuery::read(query);
        let fault = read.and_then(|read| read.overrides().map(drop));
        fault.err().map(|fault| fault.detail.into_owned()).unwrap_or_default()
    }

    #[test]
    fn names_are_read_in_any_case_and_what_is_empty_says_nothing() {
        let query = "optionsoverride.scopes=a&OPTIONSOVERRIDE.SCOPES=b+c&optionsOverride.RequestAppToken=True&\
                     optionsOverride.AcquireTokenOptions.Tenant=t%2Dx&optionsOverride.acquireTokenOptions.ForceRefresh=false&\
                     optionsOverride.AcquireTokenOptions.Claims=&optionsOverride.BaseUrl=https://evil&x=y&\
                     optionsOverride.ExtraHeaderParameters.a=b&\
                     optionsOverride.AcquireTokenOptions.ManagedIdentity.UserAssignedClientId=m";
        let read = SidecarQuery::read(query).ok().unwrap();
        let overrides = read.overrides().ok().unwrap();
        assert_eq!(overrides.scopes.as_ref().map(ToString::to_string).as_deref(), Some("a b c"));
        assert_eq!((overrides.app_token, overrides.force_refresh, overrides.claims), (true, false, None));
        assert_eq!((overrides.tenant, overrides.managed_identity), (Some("t-x"), Some("m")));
    }

    #[test]
    fn what_would_be_another_token_is_refused_by_its_name() {
        for name in PARAMETERS.iter().filter(|row| row.says.starts_with("Refused")).map(|row| row.name) {
            for value in ["canary", ""] {
                let fault = fault(&format!("{}={value}", name.to_lowercase()));
                assert!(fault.contains(name) && !fault.contains("canary"), "{name}: {fault}");
            }
        }
        for name in ["PopClaim", "AuthenticationScheme", "ExtraParameters.x", "New"] {
            let fault = fault(&format!("optionsOverride.AcquireTokenOptions.{name}=canary"));
            assert!(fault.contains(name) && !fault.contains("canary"), "{fault}");
        }
        let fault = fault("optionsOverride.AcquireTokenOptions.eyJhbGciOiJub25lIn0%00=canary");
        assert!(fault.contains("optionsOverride…") && !fault.contains("eyJ"), "{fault}");
        for query in [
            "optionsOverride.Scopes[0]=canary",
            "optionsOverride.Scopes.0=canary",
            "optionsOverride.AcquireTokenOptions[Tenant]=canary",
            "optionsOverride.New=canary",
            "optionsoverride=canary",
            "AgentIdentity[]=canary",
            "AgentIdentity%=canary",
            "AgentIdentity%ff=canary",
            "optionsOverride.ProtocolScheme=MTLS_POP",
        ] {
            let fault = self::fault(query);
            assert!(!fault.is_empty() && !fault.contains("canary"), "{query}: {fault}");
        }
    }

    #[test]
    fn what_is_malformed_is_named_and_its_value_is_not() {
        for (query, want) in [
            ("optionsOverride.RequestAppToken=canary", "neither `true` nor `false`"),
            ("optionsOverride.AcquireTokenOptions.ForceRefresh=1", "neither `true` nor `false`"),
            ("optionsOverride.AcquireTokenOptions.Tenant=canary%", "percent-encoded"),
            ("optionsOverride.AcquireTokenOptions.Tenant=a&optionsoverride.acquiretokenoptions.tenant=canary", "stands twice"),
            ("optionsOverride.AcquireTokenOptions.CorrelationId=canary", "is no GUID"),
            ("optionsOverride.Scopes=%22canary%22", "a character that no scope may have"),
        ] {
            let fault = fault(query);
            assert!(fault.contains(want) && !fault.contains("canary"), "{query}: {fault}");
        }
        assert!(fault(&format!("optionsOverride.AcquireTokenOptions.Claims={}", "x".repeat(9000))).contains("longer than"));
        assert!(fault(&vec!["a=b"; 65].join("&")).contains("more than 64"));
    }

    #[test]
    fn a_request_may_name_its_id() {
        let id = "6f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f";
        let query = format!("a=b&optionsoverride.acquiretokenoptions.correlationid={id}");
        assert_eq!(correlation_id(&query).map(|id| id.to_string()).as_deref(), Some(id));
        for none in ["", "a=b", "optionsOverride.AcquireTokenOptions.CorrelationId=x"] {
            assert_eq!(correlation_id(none), None);
        }
    }
}
