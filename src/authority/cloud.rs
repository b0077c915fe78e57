//! Microsoft's clouds: which hosts are one authority (AUT-5), and which others may issue their tokens.

/// The canonical host first, then its aliases.
const CLOUDS: [&[&str]; 6] = [
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.microsoftonline.de"],
    &["login-us.microsoftonline.com"],
    &["login.windows-ppe.net", "sts.windows-ppe.net", "login.microsoft-ppe.com"],
];

/// Hosts that issue a cloud's v1 tokens and are none of its own.
const V1: [(&str, &str); 3] = [
    ("login.partner.microsoftonline.cn", "sts.chinacloudapi.cn"),
    ("login.microsoftonline.us", "sts.windows.net"),
    ("login.windows-ppe.net", "sts.windows-ppe.net"),
];

/// What stands behind the names of all external tenants (CIAM), which issue under their ids.
const EXTERNAL: &str = ".ciamlogin.com";

/// The name by which a cloud's hosts are one; a host of no known cloud is its own.
pub(super) fn canonical(host: &str) -> &str {
    CLOUDS.iter().find(|hosts| hosts.contains(&host)).and_then(|hosts| hosts.first()).copied().unwrap_or(host)
}

/// Whether tokens of an authority on this host may be expected to be issued by that one.
pub(super) fn may_issue_for(host: &str, issuer: &str) -> bool {
    let cloud = canonical(host);
    let is_external = [host, issuer].iter().all(|name| name.ends_with(EXTERNAL));
    canonical(issuer) == cloud || V1.contains(&(cloud, issuer)) || is_external
}

#[cfg(test)]
mod tests {
    use super::{canonical, may_issue_for};

    #[test]
    fn aut_5_aliases_are_one_cloud() {
        assert_eq!(canonical("login.windows.net"), "login.microsoftonline.com");
        assert_eq!(canonical("login.chinacloudapi.cn"), "login.partner.microsoftonline.cn");
        assert_eq!(canonical("127.0.0.1:8652"), "127.0.0.1:8652");
        assert_ne!(canonical("login.microsoftonline.us"), canonical("login.microsoftonline.com"));
    }

    #[test]
    fn a_cloud_may_issue_under_its_other_names() {
        for (host, issuer, may) in [
            ("login.microsoftonline.com", "sts.windows.net", true),
            ("login.microsoftonline.us", "sts.windows.net", true),
            ("login.chinacloudapi.cn", "sts.chinacloudapi.cn", true),
            ("contoso.ciamlogin.com", "8eaef023-2b34-4da1-9baa-8bc8c9d6a490.ciamlogin.com", true),
            ("127.0.0.1:8652", "127.0.0.1:8652", true),
            ("127.0.0.1:8652", "127.0.0.1:8653", false),
            ("login.microsoftonline.us", "login.microsoftonline.com", false),
            ("login.contoso.example", "login.microsoftonline.com", false),
        ] {
            assert_eq!(may_issue_for(host, issuer), may, "{host} {issuer}");
        }
    }
}
