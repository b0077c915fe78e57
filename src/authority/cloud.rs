//! Microsoft's clouds: which hosts are one authority (AUT-5), and which others may issue their tokens.

/// The canonical host first, then its aliases.
const CLOUDS: [&[&str]; 9] = [
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.microsoftonline.de"],
    &["login-us.microsoftonline.com"],
    &["login.windows-ppe.net", "sts.windows-ppe.net", "login.microsoft-ppe.com"],
    &["login.sovcloud-identity.fr"],
    &["login.sovcloud-identity.de"],
    &["login.sovcloud-identity.sg"],
];

/// Hosts that issue a cloud's v1 tokens and are none of its own.
const V1: [(&str, &str); 3] = [
    ("login.partner.microsoftonline.cn", "sts.chinacloudapi.cn"),
    ("login.microsoftonline.us", "sts.windows.net"),
    ("login.windows-ppe.net", "sts.windows-ppe.net"),
];

/// What stands behind the names of all external tenants (CIAM).
const EXTERNAL: &str = ".ciamlogin.com";

/// What stands behind the names of B2C's tenants.
const B2C: [&str; 4] = [".b2clogin.com", ".b2clogin.cn", ".b2clogin.us", ".b2clogin.de"];

/// The public cloud, and what its regions stand before.
const PUBLIC: (&str, &str) = ("login.microsoftonline.com", "login.microsoft.com");

/// The name by which a cloud's hosts are one; a host of no known cloud is its own.
pub(super) fn canonical(host: &str) -> &str {
    CLOUDS.iter().find(|hosts| hosts.contains(&host)).and_then(|hosts| hosts.first()).copied().unwrap_or(host)
}

/// Whether a host is one of a known cloud's.
pub(super) fn is_known(host: &str) -> bool {
    CLOUDS.iter().any(|hosts| hosts.contains(&host))
}

/// The host of a cloud in a region (AUT-8).
pub(super) fn regional(host: &str, region: &str) -> String {
    let (public, its_regions) = PUBLIC;
    let cloud = canonical(host);
    format!("{region}.{}", if cloud == public { its_regions } else { cloud })
}

/// Whether a host is an external tenant's (CIAM).
pub(in crate::authority) fn is_external(host: &str) -> bool {
    host.strip_suffix(EXTERNAL).is_some_and(|name| !name.is_empty())
}

/// The tenant that an external tenant's host is named after.
pub(in crate::authority) fn external_tenant(host: &str) -> Option<String> {
    let name = host.strip_suffix(EXTERNAL).filter(|name| !name.is_empty() && !name.contains('.'))?;
    Some(format!("{name}.onmicrosoft.com"))
}

/// Whether a host is one of Azure AD B2C's.
pub(in crate::authority) fn is_b2c(host: &str) -> bool {
    B2C.iter().any(|domain| host.strip_suffix(domain).is_some_and(|name| !name.is_empty()))
}

/// Whether tokens of an authority on this host may be expected to be issued by that one.
pub(super) fn may_issue_for(host: &str, issuer: &str) -> bool {
    let cloud = canonical(host);
    canonical(issuer) == cloud || V1.contains(&(cloud, issuer))
}

#[cfg(test)]
mod tests {
    use super::{canonical, external_tenant, is_known, may_issue_for, regional};

    #[test]
    fn aut_5_aliases_are_one_cloud() {
        assert_eq!(canonical("login.windows.net"), "login.microsoftonline.com");
        assert_eq!(canonical("login.chinacloudapi.cn"), "login.partner.microsoftonline.cn");
        assert_eq!(canonical("127.0.0.1:8652"), "127.0.0.1:8652");
        assert_ne!(canonical("login.microsoftonline.us"), canonical("login.microsoftonline.com"));
        let sovereign = ["fr", "de", "sg"].map(|country| format!("login.sovcloud-identity.{country}"));
        for cloud in &sovereign {
            assert!(is_known(cloud) && canonical(cloud) == cloud, "{cloud}: three clouds");
        }
        assert!(is_known("sts.windows.net") && !is_known("127.0.0.1:8652"));
    }

    #[test]
    fn aut_8_each_cloud_has_hosts_of_its_own_in_a_region() {
        for (host, expected) in [
            ("login.microsoftonline.com", "westeurope.login.microsoft.com"),
            ("login.windows.net", "westeurope.login.microsoft.com"),
            ("login.microsoftonline.us", "westeurope.login.microsoftonline.us"),
            ("login.usgovcloudapi.net", "westeurope.login.microsoftonline.us"),
            ("login.chinacloudapi.cn", "westeurope.login.partner.microsoftonline.cn"),
            ("login.sovcloud-identity.fr", "westeurope.login.sovcloud-identity.fr"),
            ("login.contoso.example", "westeurope.login.contoso.example"),
        ] {
            assert_eq!(regional(host, "westeurope"), expected);
        }
    }

    #[test]
    fn aut_11_an_external_tenant_is_named_by_its_host() {
        assert_eq!(external_tenant("contoso.ciamlogin.com").as_deref(), Some("contoso.onmicrosoft.com"));
        for other in ["ciamlogin.com", ".ciamlogin.com", "a.b.ciamlogin.com", "contoso.ciamlogin.com.example"] {
            assert_eq!(external_tenant(other), None, "{other}");
        }
    }

    #[test]
    fn a_cloud_may_issue_under_its_other_names() {
        for (host, issuer, may) in [
            ("login.microsoftonline.com", "sts.windows.net", true),
            ("login.microsoftonline.us", "sts.windows.net", true),
            ("login.chinacloudapi.cn", "sts.chinacloudapi.cn", true),
            ("127.0.0.1:8652", "127.0.0.1:8652", true),
            ("127.0.0.1:8652", "127.0.0.1:8653", false),
            ("login.microsoftonline.us", "login.microsoftonline.com", false),
            ("login.contoso.example", "login.microsoftonline.com", false),
        ] {
            assert_eq!(may_issue_for(host, issuer), may, "{host} {issuer}");
        }
    }
}
