//! Where an authority is, and of which kind: read from the configuration's text, and told from the URL where nothing else says it
//! (AUT-1).

use std::fmt;

use url::Url;

use crate::authority::cloud;
use crate::authority::profile::{ADFS, B2C, CIAM, ENTRA, OIDC, Profile};
use crate::finding::Complaint;
use crate::token::{PolicyName, Tenant};

/// Where an authority is, and of which kind: the configuration key that names it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    profile: &'static Profile,
    url: Url,
    tenant: Option<Tenant>,
    issuer: Option<String>,
    below: Below,
}

/// `apps.*.kind`: a kind of authority that its URL does not show, at a host of somebody's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityKind {
    /// Microsoft Entra ID.
    Entra,
    /// An external tenant of Entra.
    Ciam,
    /// Azure AD B2C.
    B2c,
    /// Active Directory Federation Services.
    Adfs,
}

/// What stands between the host and everything else, where that is no tenant alone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Below {
    Nothing,
    /// AD FS.
    Adfs,
    /// A B2C tenant with one of its policies; `tfp` says whether the path has that word.
    Policy {
        tfp: bool,
        tenant: Tenant,
        policy: PolicyName,
    },
}

/// The first segment of an AD FS, and of B2C's longer form.
const ADFS_PATH: &str = "adfs";
const TFP: &str = "tfp";

// === impl AuthorityKind ===

impl AuthorityKind {
    /// Every kind, with what the configuration calls it.
    pub const ALL: [(&'static str, Self); 4] =
        [("entra", Self::Entra), ("ciam", Self::Ciam), ("b2c", Self::B2c), ("adfs", Self::Adfs)];

    /// The kind that a URL shows.
    ///
    /// # Errors
    /// It is one that is not served.
    pub fn of(url: &Url) -> Result<Self, Complaint> {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let path = url.path().to_ascii_lowercase();
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next()) {
            (Some("dstsv2"), _) => Err(Complaint::new(
                "dSTS is not served",
                "name a server with OpenID Connect discovery by `issuer`, or an authority of another kind",
            )),
            (Some(ADFS_PATH), _) => Ok(Self::Adfs),
            (Some(TFP), _) => Ok(Self::B2c),
            (_, Some(policy)) if policy.starts_with("b2c_") => Ok(Self::B2c),
            _ if cloud::is_b2c(&host) => Ok(Self::B2c),
            _ if cloud::is_external(&host) => Ok(Self::Ciam),
            _ => Ok(Self::Entra),
        }
    }
}

// === impl Address ===

impl Address {
    /// Reads `authority:`, a URL whose form says which kind it is, unless `kind` does.
    ///
    /// # Errors
    /// No URL, not https (AUT-2), or a path that its kind does not have.
    pub fn authority(text: &str, kind: Option<AuthorityKind>, insecure_http: bool) -> Result<Self, Complaint> {
        let url = absolute(text, insecure_http)?;
        let shown = AuthorityKind::of(&url)?;
        let segments: Vec<&str> = url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty()).collect();
        let mut origin = url.clone();
        origin.set_path("/");
        match kind.unwrap_or(shown) {
            AuthorityKind::Entra => Self::tenant_of(&ENTRA, origin, &segments),
            AuthorityKind::Ciam => Self::external(origin, &segments),
            AuthorityKind::B2c => Self::policy_of(origin, &segments),
            AuthorityKind::Adfs => Self::adfs(origin, &segments),
        }
    }

    fn tenant_of(profile: &'static Profile, url: Url, segments: &[&str]) -> Result<Self, Complaint> {
        let remedy = "write https://HOST/TENANT, with the tenant's id or domain name";
        let [tenant] = segments else { return Err(Complaint::new("the path of an authority is one tenant", remedy)) };
        let tenant = Tenant::parse(tenant).ok_or_else(|| Complaint::new("the path is no tenant id and no domain name", remedy))?;
        if matches!(tenant.as_str(), ADFS_PATH | TFP) {
            return Err(Complaint::new(
                format!("`{tenant}` is no tenant: that is the path of another kind of authority"),
                "leave `kind` out, or write https://HOST/TENANT",
            ));
        }
        Ok(Self { profile, url, tenant: Some(tenant), issuer: None, below: Below::Nothing })
    }

    /// AUT-11: without a path the tenant is the host's own.
    fn external(url: Url, segments: &[&str]) -> Result<Self, Complaint> {
        let own = url.host_str().and_then(cloud::external_tenant);
        let named = match (segments, &own) {
            ([], Some(own)) => Self::tenant_of(&CIAM, url, &[own])?,
            ([], None) => {
                let remedy = "write https://HOST/TENANT, with the tenant's id or domain name";
                return Err(Complaint::new("at this host the path has to name the external tenant", remedy));
            }
            (segments, _) => Self::tenant_of(&CIAM, url, segments)?,
        };
        if named.tenant.as_ref().is_some_and(Tenant::is_any) {
            let remedy = "write https://NAME.ciamlogin.com, or name the tenant's id or domain name";
            return Err(Complaint::new("an external tenant (CIAM) is one tenant, and this names a set of them", remedy));
        }
        Ok(named)
    }

    fn policy_of(url: Url, segments: &[&str]) -> Result<Self, Complaint> {
        let remedy =
            "write https://NAME.b2clogin.com/TENANT/POLICY, with the tenant's id or domain name and the name of one policy";
        let wrong = |reason: &str| Complaint::new(reason, remedy);
        let (tfp, rest) = match segments {
            [first, rest @ ..] if first.eq_ignore_ascii_case(TFP) => (true, rest),
            all => (false, all),
        };
        let [tenant, policy] = rest else { return Err(wrong("the path at Azure AD B2C is one tenant and one policy")) };
        let tenant = Tenant::parse(tenant).filter(|tenant| !tenant.is_any());
        let tenant = tenant.ok_or_else(|| wrong("the path does not begin with a tenant id or a domain name of one tenant"))?;
        let policy = PolicyName::parse(policy).ok_or_else(|| wrong("the path does not end with the name of a policy"))?;
        Ok(Self { profile: &B2C, url, tenant: None, issuer: None, below: Below::Policy { tfp, tenant, policy } })
    }

    fn adfs(url: Url, segments: &[&str]) -> Result<Self, Complaint> {
        match segments {
            [path] if path.eq_ignore_ascii_case(ADFS_PATH) => {
                Ok(Self { profile: &ADFS, url, tenant: None, issuer: None, below: Below::Adfs })
            }
            _ => Err(Complaint::new("the path of an AD FS is `/adfs` and nothing else", "write https://HOST/adfs")),
        }
    }

    /// Reads `issuer:`, the issuer of any server with OpenID Connect discovery.
    ///
    /// # Errors
    /// No URL, or not https (AUT-2).
    pub fn oidc(text: &str, insecure_http: bool) -> Result<Self, Complaint> {
        let url = absolute(text, insecure_http)?;
        Ok(Self { profile: &OIDC, url, tenant: None, issuer: Some(text.to_owned()), below: Below::Nothing })
    }

    /// Names an issuer whose documents are not asked for, so that the name need be no URL. `keys`: where its keys are, if they are
    /// anywhere but in a file.
    ///
    /// # Errors
    /// None that can happen: a URL that stands for none is one.
    pub fn of_keys(issuer: &str, keys: Option<&Url>) -> Result<Self, Complaint> {
        let url = keys.cloned().map_or_else(|| Url::parse(issuer).or_else(|_| Url::parse("https://issuer.invalid")), Ok);
        let url = url.map_err(|_| Complaint::new("it is no name of an issuer", "write it as the tokens say it in `iss`"))?;
        Ok(Self { profile: &OIDC, url, tenant: None, issuer: Some(issuer.to_owned()), below: Below::Nothing })
    }

    /// Reads the URL of a key set.
    ///
    /// # Errors
    /// No URL, or not https.
    pub fn keys(text: &str) -> Result<Url, Complaint> {
        absolute(text, false)
    }

    /// Reads the URL of an endpoint.
    ///
    /// # Errors
    /// No URL, or not https.
    pub fn endpoint(text: &str, insecure_http: bool) -> Result<Url, Complaint> {
        absolute(text, insecure_http)
    }

    /// This address with another policy in the place of its own; `None`: it has none.
    pub fn with_policy(&self, policy: &PolicyName) -> Option<Self> {
        let Below::Policy { tfp, tenant, .. } = &self.below else { return None };
        Some(Self { below: Below::Policy { tfp: *tfp, tenant: tenant.clone(), policy: policy.clone() }, ..self.clone() })
    }

    /// What its kind does in its own way.
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Its URL: scheme, host and port; of an issuer that is configured also the path.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The tenant of the path, of which requests may name another; `common` and `organizations` for multi-tenant apps.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// The policy of the path.
    pub fn policy(&self) -> Option<&PolicyName> {
        match &self.below {
            Below::Policy { policy, .. } => Some(policy),
            Below::Nothing | Below::Adfs => None,
        }
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

    /// What keys name it by, its host aside: the tenant of policies, which all have one key space, and that it is an AD FS.
    pub(in crate::authority) fn name_below_host(&self) -> Option<&str> {
        match &self.below {
            Below::Nothing => None,
            Below::Adfs => Some(ADFS_PATH),
            Below::Policy { tenant, .. } => Some(tenant.as_str()),
        }
    }

    /// What all of its URLs begin with, without a slash at the end; `tenant` is one that a request names.
    pub(in crate::authority) fn base(&self, tenant: Option<&Tenant>) -> String {
        if let Some(issuer) = &self.issuer {
            return issuer.trim_end_matches('/').to_owned();
        }
        format!("{}{}", self.url, self.path(tenant))
    }

    /// The path of its URLs, without a slash at either end.
    pub(in crate::authority) fn path(&self, tenant: Option<&Tenant>) -> String {
        match (&self.below, tenant.or(self.tenant())) {
            (Below::Adfs, _) => ADFS_PATH.to_owned(),
            (Below::Policy { tfp: false, tenant, policy }, _) => format!("{tenant}/{policy}"),
            (Below::Policy { tfp: true, tenant, policy }, _) => format!("{TFP}/{tenant}/{policy}"),
            (Below::Nothing, Some(tenant)) => tenant.to_string(),
            (Below::Nothing, None) => String::new(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.issuer {
            Some(issuer) => f.write_str(issuer),
            None => write!(f, "{}{}", self.url, self.path(None)),
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
    use super::{Address, AuthorityKind};
    use crate::token::PolicyName;

    fn read(text: &str) -> Result<Address, String> {
        Address::authority(text, None, false).map_err(|problem| problem.reason)
    }

    #[test]
    fn aut_1_a_url_says_of_which_kind_its_authority_is() {
        let tid = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
        for (url, title, address) in [
            ("https://login.microsoftonline.com/contoso.com", "an Entra-style authority", "contoso.com"),
            ("https://login.microsoftonline.com/common/", "an Entra-style authority", "common"),
            ("https://login.windows.net/organizations", "an Entra-style authority", "organizations"),
            ("https://login.microsoftonline.us/contoso.us", "an Entra-style authority", "contoso.us"),
            ("https://login.partner.microsoftonline.cn/contoso.cn", "an Entra-style authority", "contoso.cn"),
            ("https://login.sovcloud-identity.fr/contoso.fr", "an Entra-style authority", "contoso.fr"),
            ("https://login.contoso.example:8443/contoso.example", "an Entra-style authority", "contoso.example"),
            ("https://ciamlogin.com/contoso.com", "an Entra-style authority", "contoso.com"),
            ("https://ciamlogin.com.evil.example/contoso.com", "an Entra-style authority", "contoso.com"),
            ("https://evil-b2clogin.com/contoso.com", "an Entra-style authority", "contoso.com"),
            ("https://contoso.ciamlogin.com", "an external tenant (CIAM)", "contoso.onmicrosoft.com"),
            ("https://contoso.ciamlogin.com/", "an external tenant (CIAM)", "contoso.onmicrosoft.com"),
            ("https://CONTOSO.ciamlogin.com/contoso.com", "an external tenant (CIAM)", "contoso.com"),
            (&format!("https://{tid}.ciamlogin.com/{tid}"), "an external tenant (CIAM)", tid),
            (
                "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_susi",
                "Azure AD B2C",
                "contoso.onmicrosoft.com/b2c_1_susi",
            ),
            ("https://contoso.b2clogin.us/contoso.onmicrosoft.us/susi", "Azure AD B2C", "contoso.onmicrosoft.us/susi"),
            ("https://contoso.b2clogin.cn/contoso.cn/susi/", "Azure AD B2C", "contoso.cn/susi"),
            ("https://contoso.b2clogin.de/tfp/contoso.de/susi", "Azure AD B2C", "tfp/contoso.de/susi"),
            ("https://login.microsoftonline.com/tfp/contoso.com/susi", "Azure AD B2C", "tfp/contoso.com/susi"),
            ("https://login.microsoftonline.com/TFP/contoso.com/susi", "Azure AD B2C", "tfp/contoso.com/susi"),
            ("https://login.microsoftonline.com/contoso.com/B2C_1A_susi", "Azure AD B2C", "contoso.com/b2c_1a_susi"),
            ("https://id.contoso.example/contoso.com/b2c_1_susi", "Azure AD B2C", "contoso.com/b2c_1_susi"),
            ("https://fs.contoso.example/adfs", "AD FS", "adfs"),
            ("https://fs.contoso.example:444/ADFS/", "AD FS", "adfs"),
        ] {
            let read = read(url).unwrap_or_else(|reason| panic!("{url}: {reason}"));
            assert_eq!((read.profile().title, read.path(None).as_str()), (title, address), "{url}");
        }
        for (url, word) in [
            ("https://dsts.contoso.example/dstsv2/contoso.com", "dSTS"),
            ("https://contoso.b2clogin.com/contoso.com", "one policy"),
            ("https://contoso.b2clogin.com", "one policy"),
            ("https://contoso.b2clogin.com/contoso.com/susi/more", "one policy"),
            ("https://contoso.b2clogin.com/contoso.com/su.si", "name of a policy"),
            ("https://contoso.b2clogin.com/common/susi", "one tenant"),
            ("https://login.microsoftonline.com/tfp/contoso.com", "one policy"),
            ("https://contoso.ciamlogin.com/a/b", "one tenant"),
            ("https://contoso.ciamlogin.com/common", "one tenant"),
            ("https://fs.contoso.example/adfs/oauth2", "nothing else"),
        ] {
            assert!(read(url).is_err_and(|reason| reason.contains(word)), "{url}: {:?}", read(url));
        }
    }

    #[test]
    fn aut_1_a_kind_that_is_said_goes_before_what_the_host_suggests() {
        let read =
            |url: &str, kind| Address::authority(url, Some(kind), false).map(|read| (read.profile().title, read.to_string()));
        let title = |url: &str, kind| read(url, kind).map(|(title, _)| title).map_err(|problem| problem.reason);
        assert_eq!(title("https://id.contoso.example/contoso.com/susi", AuthorityKind::B2c), Ok("Azure AD B2C"));
        assert_eq!(title("https://id.contoso.example/contoso.com", AuthorityKind::Ciam), Ok("an external tenant (CIAM)"));
        assert_eq!(title("https://contoso.ciamlogin.com/contoso.com", AuthorityKind::Entra), Ok("an Entra-style authority"));
        assert_eq!(title("https://fs.contoso.example/adfs", AuthorityKind::Adfs), Ok("AD FS"));
        assert!(title("https://id.contoso.example", AuthorityKind::Ciam).is_err_and(|reason| reason.contains("external tenant")));
        assert!(
            title("https://fs.contoso.example/adfs", AuthorityKind::Entra).is_err_and(|reason| reason.contains("another kind"))
        );
        assert!(title("https://fs.contoso.example/contoso.com", AuthorityKind::Adfs).is_err_and(|reason| reason.contains("/adfs")));
    }

    #[test]
    fn a_policy_takes_anothers_place_and_only_where_there_is_one() {
        let (susi, edit) = (read("https://c.b2clogin.com/tfp/c.com/susi").unwrap(), PolicyName::parse("EDIT").unwrap());
        let other = susi.with_policy(&edit).unwrap();
        assert_eq!(other.to_string(), "https://c.b2clogin.com/tfp/c.com/edit");
        assert_eq!((other.name_below_host(), susi.name_below_host()), (Some("c.com"), Some("c.com")), "one key space");
        assert!(read("https://login.example/t").unwrap().with_policy(&edit).is_none());
    }

    #[test]
    fn aut_2_http_is_refused() {
        let authority = |text: &str, insecure_http| Address::authority(text, None, insecure_http);
        for http in [
            "http://login.example/t",
            "http://c.ciamlogin.com",
            "http://c.b2clogin.com/c.com/susi",
            "http://fs.contoso.example/adfs",
        ] {
            assert!(authority(http, false).is_err() && authority(http, true).is_err(), "{http}");
        }
        assert!(authority("http://127.0.0.1:8652/t", true).is_ok() && authority("http://127.0.0.1:8652/adfs", true).is_ok());
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
            assert!(read(bad).is_err(), "{bad}");
        }
        for good in [
            "https://login.example/contoso.example",
            "https://login.example/common/",
            "https://h:8443/8eaef023-2b34-4da1-9baa-8bc8c9d6a490",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn aut_9_the_port_is_kept() {
        for url in ["https://h:8443/t", "https://h:8443/tfp/t/p", "https://h:8443/adfs"] {
            let read = read(url).unwrap();
            assert_eq!((read.host(), read.base(None).starts_with("https://h:8443/")), ("h:8443".to_owned(), true), "{url}");
        }
    }
}
