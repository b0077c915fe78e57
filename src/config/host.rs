//! Host names that no server can have: a URL's grammar takes many texts that no name server ever answers for.

use std::net::IpAddr;

use super::report::Report;
use crate::finding::Complaint;

/// The longest name and the longest label of one (RFC 1035 §2.3.4).
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Adds a warning if the host of what stands at `path` is neither an address nor a name that a server can have.
pub(super) fn judge(path: &str, host: &str, report: &mut Report<'_>) {
    if let Some(reason) = fault(host) {
        let problem =
            Complaint::new(format!("its host is no host name: {reason}"), "write the server's DNS name, or its IP address");
        report.warning(path, problem);
    }
}

/// RFC 1123 §2.1, with the `_` that container networks have in names.
fn fault(host: &str) -> Option<&'static str> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if literal.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut labels = name.split('.');
    let number = name.rsplit('.').next().unwrap_or_default();
    if name.len() > LONGEST || labels.clone().any(|label| label.len() > LONGEST_LABEL) {
        Some("it is longer than names are")
    } else if labels.clone().any(str::is_empty) {
        Some("there is nothing before, after or between its dots")
    } else if !name.bytes().all(|byte| plain(byte) || byte == b'.') {
        Some("it has characters that names do not have")
    } else if labels.any(|label| label.starts_with('-') || label.ends_with('-')) {
        Some("a part of it begins or ends with `-`")
    } else if number.bytes().all(|byte| byte.is_ascii_digit()) {
        Some("it ends in a number, as addresses do, and is none")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for good in [
            "a",
            "a.b",
            "login.microsoftonline.com.",
            "10.0.0.1",
            "::1",
            "[fd00::1]",
            "my_host",
            "xn--bcher-kva.example",
            "3com.net",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        let (long, longer) = ("a".repeat(64), "a.".repeat(130));
        for bad in
            ["", ".", "a..b", ".a", "a,b", "a%20b", "$(host)", "-a.b", "a-.b", "10.0.0", "1.2.3.4.5", "999.0.0.1", &long, &longer]
        {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
