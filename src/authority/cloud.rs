//! Microsoft's clouds: which hosts are one authority (AUT-5), and what their v1 tokens are issued by.

/// The canonical host first, then its aliases.
const CLOUDS: [&[&str]; 6] = [
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.microsoftonline.de"],
    &["login-us.microsoftonline.com"],
    &["login.windows-ppe.net", "sts.windows-ppe.net", "login.microsoft-ppe.com"],
];

/// Issuers of v1 tokens that are not on the cloud's own host, without tenant and slash.
const V1: [(&str, &str); 4] = [
    ("login.microsoftonline.com", "https://sts.windows.net"),
    ("login.partner.microsoftonline.cn", "https://sts.chinacloudapi.cn"),
    ("login.microsoftonline.us", "https://sts.windows.net"),
    ("login.windows-ppe.net", "https://sts.windows-ppe.net"),
];

/// The name by which a cloud's hosts are one; a host of no known cloud is its own.
pub(super) fn canonical(host: &str) -> &str {
    CLOUDS.iter().find(|hosts| hosts.contains(&host)).and_then(|hosts| hosts.first()).copied().unwrap_or(host)
}

/// What the cloud of this host issues v1 tokens as; `None`: as its own host.
pub(super) fn v1_issuer(host: &str) -> Option<&'static str> {
    let host = canonical(host);
    V1.iter().find(|(cloud, _)| *cloud == host).map(|(_, issuer)| *issuer)
}

#[cfg(test)]
mod tests {
    use super::{canonical, v1_issuer};

    #[test]
    fn aut_5_aliases_are_one_cloud() {
        assert_eq!(canonical("login.windows.net"), "login.microsoftonline.com");
        assert_eq!(canonical("login.chinacloudapi.cn"), "login.partner.microsoftonline.cn");
        assert_eq!(canonical("127.0.0.1:8652"), "127.0.0.1:8652");
        assert_ne!(canonical("login.microsoftonline.us"), canonical("login.microsoftonline.com"));
        assert_eq!(v1_issuer("login.windows.net"), Some("https://sts.windows.net"));
        assert_eq!(v1_issuer("127.0.0.1"), None);
    }
}
