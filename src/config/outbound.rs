//! The way out: which proxy, for whom not, and which root certificates;
//! from `outbound` and from the variables that every program takes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

use super::apps::words;
use super::report::Report;
use super::{host, raw};
use crate::finding::Complaint;
use crate::transport::{NamedRoots, Settings};

const REMEDY: &str = "write http://HOST:PORT; https:// where the proxy itself speaks TLS";

const REMEDY_OF_ENTRY: &str = "write a name (with all below it), *.NAME, an address, a network such as 10.0.0.0/8, HOST:PORT, or *";

/// Reads `outbound`. HTTPS_PROXY counts where it names no proxy, and NO_PROXY with it: authorities beyond loopback are https.
pub(super) fn outbound(raw: Option<raw::Outbound>, environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Settings {
    let raw = raw.unwrap_or_default();
    let mut no_proxy = words("outbound.no_proxy", raw.no_proxy, report);
    for (index, host) in no_proxy.iter().enumerate() {
        if let Some(problem) = odd(host) {
            report.warning(&format!("outbound.no_proxy.{index}"), problem);
        }
    }
    let proxy = match raw.proxy {
        Some(text) => {
            let proxy = report.take("outbound.proxy", proxy(&text.0));
            if let Some(host) = proxy.as_ref().and_then(Url::host_str) {
                host::judge("outbound.proxy", host, report);
            }
            if proxy.as_ref().is_some_and(|url| url.password().is_some()) && !report.is_from_a_variable("outbound.proxy") {
                let remedy = "set it by the variable TOKEND_OUTBOUND__PROXY from a secret";
                report.warning("outbound.proxy", Complaint::new("a password stands in the configuration itself", remedy));
            }
            proxy
        }
        None => {
            if let Some((name, list)) = first(environment, &["NO_PROXY", "no_proxy"]) {
                for host in list.split(|c: char| c == ',' || c.is_whitespace()).filter(|host| !host.is_empty()) {
                    if let Some(problem) = odd(host) {
                        report.warning_at(name, problem);
                    }
                    no_proxy.push(host.to_owned());
                }
            }
            of_environment(environment, &no_proxy, report)
        }
    };
    Settings { proxy, no_proxy, roots: roots(environment) }
}

fn of_environment(environment: &BTreeMap<String, String>, no_proxy: &[String], report: &mut Report<'_>) -> Option<Url> {
    let (name, text) = first(environment, &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?;
    if no_proxy.iter().any(|host| host == "*") {
        return None;
    }
    // Here, and by custom, the scheme may be left out.
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    proxy(&whole).map_err(|problem| report.error_at(None, name, problem)).ok()
}

/// What keeps an entry from ever meaning a host: `*` alone, a name, one after `.` or `*.`, an address, a network; each but the
/// first and the last with a port, if it is for that alone.
fn odd(entry: &str) -> Option<Complaint> {
    let host = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            if port.parse::<u16>().is_err() {
                return Some(Complaint::new("an entry has no port behind its colon", REMEDY_OF_ENTRY));
            }
            host
        }
        _ => entry,
    };
    let bare = host.strip_prefix("*.").or_else(|| host.strip_prefix('.')).unwrap_or(host);
    let address = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare);
    let is_network = || {
        let Some((address, length)) = address.split_once('/') else { return false };
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= most)
    };
    let is_name = || !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_good = entry == "*" || address.parse::<IpAddr>().is_ok() || is_network() || is_name();
    (!is_good).then(|| Complaint::new("an entry is no host, and so exempts none", REMEDY_OF_ENTRY))
}

/// A proxy's URL: what it may say beside scheme, host and port is a user with a password.
fn proxy(text: &str) -> Result<Url, Complaint> {
    let url = Url::parse(text).map_err(|_| Complaint::new("it is no absolute URL", REMEDY))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Complaint::new("it is no http proxy", REMEDY));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(Complaint::new("it goes on after host and port", REMEDY));
    }
    Ok(url)
}

fn roots(environment: &BTreeMap<String, String>) -> NamedRoots {
    let directories = first(environment, &["SSL_CERT_DIR"]).map_or("", |(_, list)| list);
    NamedRoots {
        file: first(environment, &["SSL_CERT_FILE"]).map(|(_, file)| PathBuf::from(file)),
        directories: std::env::split_paths(directories).filter(|path| !path.as_os_str().is_empty()).collect(),
    }
}

/// The first variable that says something.
fn first<'a>(environment: &'a BTreeMap<String, String>, names: &[&'a str]) -> Option<(&'a str, &'a str)> {
    names.iter().find_map(|name| {
        let value = environment.get(*name)?.trim();
        (!value.is_empty()).then_some((*name, value))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Format, parse};
    use crate::transport::Settings;

    const APP: &str = "apps: {a: {issuer: https://id.example, client_id: c, credential: {secret: {file: /s}}}}\n";

    /// The settings, or the keys of the findings.
    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (settings, findings) = parse(&format!("{APP}{text}"), Format::Yaml, "t.yaml", &environment);
        let shown = format!("{settings:?} {findings:?}");
        assert!(!shown.contains("canary"), "{shown}");
        settings.map(|settings| settings.outbound).ok_or_else(|| findings.iter().map(|finding| finding.key.clone()).collect())
    }

    fn proxy(text: &str, variables: &[(&str, &str)]) -> Option<String> {
        read(text, variables).unwrap().proxy.map(String::from)
    }

    #[test]
    fn what_the_file_says_goes_before_the_environment() {
        let variables = [("HTTPS_PROXY", "http://of.environment:3128"), ("NO_PROXY", "a.example, .b.example,,")];
        assert_eq!(proxy("outbound: {proxy: 'http://of.file:1'}", &variables).as_deref(), Some("http://of.file:1/"));
        assert_eq!(proxy("", &variables).as_deref(), Some("http://of.environment:3128/"));
        // NO_PROXY belongs to HTTPS_PROXY; `no_proxy` counts with either.
        assert_eq!(read("outbound: {proxy: 'http://of.file:1', no_proxy: [c]}", &variables).unwrap().no_proxy, ["c"]);
        assert_eq!(read("outbound: {no_proxy: [c]}", &variables).unwrap().no_proxy, ["c", "a.example", ".b.example"]);
    }

    #[test]
    fn the_variables_are_taken_as_by_other_programs() {
        assert_eq!(proxy("", &[("https_proxy", "proxy:3128")]).as_deref(), Some("http://proxy:3128/"));
        assert_eq!(proxy("", &[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://all:1")]).as_deref(), Some("http://all:1/"));
        assert_eq!(proxy("", &[("HTTP_PROXY", "http://plain:1")]), None);
        assert_eq!(proxy("", &[("ALL_PROXY", "socks5://all:1"), ("NO_PROXY", "*")]), None);
        let roots = read("", &[("SSL_CERT_FILE", "/ca.pem"), ("SSL_CERT_DIR", "/a::/b")]).unwrap().roots;
        assert_eq!(roots.file.as_deref(), Some(Path::new("/ca.pem")));
        assert_eq!(roots.directories, [Path::new("/a"), Path::new("/b")]);
    }

    /// The keys of the warnings.
    fn warned(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (settings, findings) = parse(&format!("{APP}{text}"), Format::Yaml, "t.yaml", &environment);
        assert!(settings.is_some(), "{findings:?}");
        findings.iter().map(|finding| finding.key.clone()).collect()
    }

    #[test]
    fn an_entry_of_no_proxy_that_exempts_nobody_is_told() {
        let good = "a.example, .b.example, *.c.example, *.c.example:8443, 10.0.0.0/8, 10.1.2.3, 10.1.2.3:443, ::1, [::1]:443, fd00::/8, a_b, *";
        assert_eq!(warned("", &[("NO_PROXY", good)]), [""; 0]);
        let quoted: Vec<String> = good.split(", ").map(|entry| format!("'{entry}'")).collect();
        assert_eq!(warned(&format!("outbound: {{no_proxy: [{}]}}", quoted.join(", ")), &[]), [""; 0]);
        for bad in ["http://a.example", "a*.example", "10.0.0.0/33", "a.example:", "a.example:x", "a.example/path", "fd00::/129"] {
            assert_eq!(warned("", &[("NO_PROXY", bad)]), ["NO_PROXY"], "{bad}");
            assert_eq!(warned(&format!("outbound: {{no_proxy: [a, '{bad}']}}"), &[]), ["outbound.no_proxy.1"], "{bad}");
        }
        // By commas, by spaces, or by both.
        let settings = read("", &[("NO_PROXY", "a.example b.example,  c.example")]).unwrap();
        assert_eq!(settings.no_proxy, ["a.example", "b.example", "c.example"]);
    }

    #[test]
    fn what_is_no_proxy_is_told_and_not_shown() {
        for bad in ["socks5://canary:1", "ftp://canary", "http://canary/path", "http://u:canary@h?x=1", "http://"] {
            assert_eq!(read(&format!("outbound: {{proxy: '{bad}'}}"), &[]).err(), Some(vec!["outbound.proxy".to_owned()]), "{bad}");
            assert_eq!(read("", &[("HTTPS_PROXY", bad)]).err(), Some(vec!["HTTPS_PROXY".to_owned()]), "{bad}");
        }
    }
}
