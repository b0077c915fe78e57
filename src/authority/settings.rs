//! Where an app's authority is, read from the configuration's text.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::profile::{ENTRA, OIDC, Profile};
use crate::finding::Complaint;
use crate::reload::Source;
use crate::token::Tenant;

/// One app's authority.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration key of the app (`apps.orders`).
    pub key: String,
    /// The file that the key stands in.
    pub file: Option<String>,
    /// Which kind of authority, and where.
    pub address: Address,
    /// Trusted for this authority beside the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Overrides the `aud` of client assertions at OIDC issuers.
    pub assertion_audience: AssertionAudience,
}

/// Where an authority is, and of which kind: the configuration key that names it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    profile: &'static Profile,
    url: Url,
    tenant: Option<Tenant>,
    issuer: Option<String>,
}

/// What a client assertion at an OIDC issuer names as its audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer, as one string: what current servers ask for.
    #[default]
    Issuer,
    /// The token endpoint: what RFC 7523 suggested, for old servers.
    TokenEndpoint,
}

/// Where the keys of an issuer are that is no app's authority.
#[derive(Clone, Debug)]
pub enum KeyPlace {
    /// Where its metadata document says.
    Discovered,
    /// At this URL.
    Url(Url),
    /// In a file: nothing is asked of anybody.
    File(Source),
}

/// How calls to authorities are bounded (`authority:` in the configuration).
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// For a connection with its TLS handshake.
    pub connect_timeout: Duration,
    /// For one call with its retries.
    pub timeout: Duration,
    /// Calls at one authority at a time; further ones wait their turn.
    pub concurrency: usize,
    /// Before the one retry of a call that ended in a 5xx.
    pub retry_delay: Duration,
}

// === impl CallSettings ===

impl CallSettings {
    /// Before a repetition: never so long that no time is left for it.
    pub fn pause(&self) -> Duration {
        self.retry_delay.min(self.timeout / 4)
    }

    /// What an attempt has of the time-out, so that one that hangs leaves time for its repetition (ERR-2).
    pub fn half(&self) -> Duration {
        self.timeout.saturating_sub(self.pause()) / 2
    }
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(8),
            concurrency: 64,
            retry_delay: Duration::from_secs(1),
        }
    }
}

// === impl Address ===

impl Address {
    /// Reads `authority:`, an Entra-style URL of host and tenant.
    ///
    /// # Errors
    /// No URL, not https (AUT-2), or a path that is not one tenant.
    pub fn entra(text: &str, insecure_http: bool) -> Result<Self, Complaint> {
        let url = absolute(text, insecure_http)?;
        let remedy = "write https://HOST/TENANT, with the tenant's id or domain name";
        let mut segments = url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty());
        let (Some(tenant), None) = (segments.next(), segments.next()) else {
            return Err(Complaint::new("the path of an authority is one tenant", remedy));
        };
        let tenant = Tenant::parse(tenant).ok_or_else(|| Complaint::new("the path is no tenant id and no domain name", remedy))?;
        if matches!(tenant.as_str(), "adfs" | "dstsv2" | "tfp") {
            return Err(Complaint::new(
                "AD FS, dSTS and B2C paths are not served as an `authority`",
                "name a server with OpenID Connect discovery by `issuer` instead",
            ));
        }
        let mut origin = url.clone();
        origin.set_path("/");
        Ok(Self { profile: &ENTRA, url: origin, tenant: Some(tenant), issuer: None })
    }

    /// Reads `issuer:`, the issuer of any server with OpenID Connect discovery.
    ///
    /// # Errors
    /// No URL, or not https (AUT-2).
    pub fn oidc(text: &str, insecure_http: bool) -> Result<Self, Complaint> {
        let url = absolute(text, insecure_http)?;
        Ok(Self { profile: &OIDC, url, tenant: None, issuer: Some(text.to_owned()) })
    }

    /// Names an issuer whose documents are not asked for, so that the name need be no URL. `keys`: where its keys are, if they are
    /// anywhere but in a file.
    ///
    /// # Errors
    /// None that can happen: a URL that stands for none is one.
    pub fn of_keys(issuer: &str, keys: Option<&Url>) -> Result<Self, Complaint> {
        let url = keys.cloned().map_or_else(|| Url::parse(issuer).or_else(|_| Url::parse("https://issuer.invalid")), Ok);
        let url = url.map_err(|_| Complaint::new("it is no name of an issuer", "write it as the tokens say it in `iss`"))?;
        Ok(Self { profile: &OIDC, url, tenant: None, issuer: Some(issuer.to_owned()) })
    }

    /// Reads the URL of a key set.
    ///
    /// # Errors
    /// No URL, or not https.
    pub fn keys(text: &str) -> Result<Url, Complaint> {
        absolute(text, false)
    }

    /// What its kind does in its own way.
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Its URL: scheme, host and port; of an issuer that is configured also the path.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The tenant of the path; `common` and `organizations` for multi-tenant apps.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// The issuer that is configured, exactly as written, which is what tokens carry as `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The host, with its port where it is not the scheme's own: what accounts call their environment.
    pub fn host(&self) -> String {
        let url = self.url();
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.issuer, &self.tenant) {
            (Some(issuer), _) => f.write_str(issuer),
            (None, Some(tenant)) => write!(f, "{}{tenant}", self.url),
            (None, None) => write!(f, "{}", self.url),
        }
    }
}

/// An absolute https URL without credentials, query and fragment; http only by explicit switch and only on loopback.
fn absolute(text: &str, insecure_http: bool) -> Result<Url, Complaint> {
    let url = Url::parse(text).map_err(|_| Complaint::new("it is no absolute URL", "write https://HOST/…"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(Complaint::new("user, password, query and fragment do not belong in it", "write scheme, host and path only"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if !insecure_http => {
            Err(Complaint::new("it is http", "use https, or set `insecure_http: true` for a server on loopback"))
        }
        "http" if !is_loopback(&url) => Err(Complaint::new("http is for loopback only", "use https")),
        "http" => Ok(url),
        _ => Err(Complaint::new("the scheme is neither https nor http", "write https://HOST/…")),
    }
}

/// Whether the URL's host is the machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn aut_2_http_is_refused() {
        assert!(Address::entra("http://login.example/t", false).is_err());
        assert!(Address::entra("http://login.example/t", true).is_err());
        assert!(Address::entra("http://127.0.0.1:8652/t", true).is_ok());
        assert!(Address::oidc("http://127.0.0.1:8652/t", false).is_err());
    }

    #[test]
    fn an_authority_is_host_and_tenant() {
        for bad in [
            "login.example",
            "https://login.example",
            "https://login.example/a/b",
            "https://u:p@h/t",
            "https://h/t?x=1",
            "ftp://h/t",
        ] {
            assert!(Address::entra(bad, false).is_err(), "{bad}");
        }
        for good in [
            "https://login.example/contoso.example",
            "https://login.example/common/",
            "https://h:8443/8eaef023-2b34-4da1-9baa-8bc8c9d6a490",
        ] {
            assert!(Address::entra(good, false).is_ok(), "{good}");
        }
    }

    #[test]
    fn aut_9_the_port_is_kept() {
        let host = Address::entra("https://h:8443/t", false).map(|address| address.host());
        assert_eq!(host.ok().as_deref(), Some("h:8443"));
    }
}
