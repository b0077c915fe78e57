//! What a request's head must not say, on whichever listener: a browser's marks, a foreign Host, a proxy's claims.
//!
//! A page that a user of this machine visits can send requests to loopback. What gives it away are the headers that browsers add
//! and pages cannot remove (`Origin`, `Sec-Fetch-Site`) and, after DNS rebinding, a `Host` that is not ours.

use std::net::IpAddr;

use http::header::{FORWARDED, HOST, ORIGIN};
use http::request::Parts;

use super::Peer;
use super::certificate::CertificateNames;

/// The rules of one listener.
#[derive(Clone, Debug)]
pub struct Gate {
    hosts: Vec<Box<str>>,
    header: usize,
}

/// Why a request is turned away before it is read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trespass {
    /// It comes from a web page.
    Origin,
    /// It names another host.
    Host,
    /// It names no host, two, or something that is no host.
    BadHost,
    /// It carries a proxy's claims about another sender.
    Forwarded,
    /// Its head is too large.
    TooLarge,
}

// === impl Gate ===

impl Gate {
    /// Rules that take `hosts` beside the names that every listener has, and heads of up to `header` bytes.
    pub fn new(hosts: &[String], header: usize) -> Self {
        let hosts = hosts.iter().filter_map(|host| name_of(host)).map(Box::from).collect();
        Self { hosts, header }
    }

    /// Judges the size of a request's head alone.
    ///
    /// # Errors
    /// It is too large.
    pub fn judge_size(&self, head: &Parts) -> Result<(), Trespass> {
        let target = head.uri.path().len() + head.uri.query().map_or(0, str::len);
        let size = head.headers.iter().fold(target, |size, (name, value)| size + name.as_str().len() + value.len());
        if size > self.header { Err(Trespass::TooLarge) } else { Ok(()) }
    }

    /// Judges a request's head.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn judge(&self, head: &Parts, peer: &Peer) -> Result<(), Trespass> {
        let mut size = head.uri.path().len() + head.uri.query().map_or(0, str::len);
        let mut forwarded = false;
        for (name, value) in &head.headers {
            size += name.as_str().len() + value.len();
            match name.as_str() {
                _ if *name == ORIGIN => return Err(Trespass::Origin),
                // A user who types the address is no page.
                "sec-fetch-site" if !value.as_bytes().eq_ignore_ascii_case(b"none") => return Err(Trespass::Origin),
                "x-real-ip" => forwarded = true,
                text => forwarded |= *name == FORWARDED || text.starts_with("x-forwarded-"),
            }
        }
        if size > self.header {
            return Err(Trespass::TooLarge);
        }
        if forwarded && peer.came_to_local_listener() {
            return Err(Trespass::Forwarded);
        }
        self.judge_host(head, peer)
    }

    /// HTTP/2 and an absolute target name the host in the URI; a `Host` beside it must be ours as well.
    fn judge_host(&self, head: &Parts, peer: &Peer) -> Result<(), Trespass> {
        let Peer::Tcp { listener, .. } = peer else { return Ok(()) };
        let mut hosts = head.headers.get_all(HOST).iter();
        let (host, second) = (hosts.next(), hosts.next());
        let authority = head.uri.authority().map(http::uri::Authority::as_str);
        if second.is_some() || (host.is_none() && authority.is_none()) {
            return Err(Trespass::BadHost);
        }
        let host = host.map(|host| host.to_str()).transpose().map_err(|_| Trespass::BadHost)?;
        for text in [host, authority].into_iter().flatten() {
            let name = name_of(text).ok_or(Trespass::BadHost)?;
            // A client that has verified our certificate has verified its names: no page of another name gets that far.
            let named = || head.extensions.get::<CertificateNames>().is_some_and(|names| names.have(name));
            if !self.is_ours(name, listener.ip()) && !named() {
                return Err(Trespass::Host);
            }
        }
        Ok(())
    }

    fn is_ours(&self, name: &str, listener: IpAddr) -> bool {
        if name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost") || name == "[::1]" {
            return true;
        }
        if self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name)) {
            return true;
        }
        let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        // Rebinding needs a name: an address in Host was typed or configured. On a wildcard listener it is one of ours.
        literal.parse::<IpAddr>().is_ok_and(|address| listener.is_unspecified() || address == listener)
    }
}

/// The host of `host[:port]`, brackets kept. `None`: it is no such text.
fn name_of(text: &str) -> Option<&str> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => text.split_at(end + 2),
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port_is_one = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name_is_one = !name.is_empty() && !name.contains(['@', '/', ',', ' ']);
    (port_is_one && name_is_one).then_some(name)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{Gate, Peer, Trespass};

    const LOCAL: &str = "127.0.0.1:8650";

    fn judge(listener: &str, headers: &[(&str, &str)]) -> Result<(), Trespass> {
        let mut request = Request::builder().uri("/obo");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let peer = Peer::Tcp { address: "127.0.0.1:50000".parse().unwrap(), listener: listener.parse().unwrap(), tls: false };
        Gate::new(&["Tokend.Internal".to_owned(), "orders:8650".to_owned()], 4096).judge(&head, &peer)
    }

    #[test]
    fn takes_its_own_names_with_any_port_and_case() {
        for host in ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8650", "tokend.internal", "TOKEND.internal:80", "orders"] {
            assert_eq!(judge(LOCAL, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(judge("10.0.0.5:8650", &[("host", "10.0.0.5:8650")]), Ok(()));
        assert_eq!(judge("0.0.0.0:8650", &[("host", "10.0.0.9")]), Ok(()));
        assert_eq!(judge("[::]:8650", &[("host", "[fd00::1]:8650")]), Ok(()));
    }

    #[test]
    fn refuses_foreign_hosts() {
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2", "[::2]", "localhost."] {
            assert_eq!(judge(LOCAL, &[("host", host)]), Err(Trespass::Host), "{host}");
        }
        assert_eq!(judge("0.0.0.0:8650", &[("host", "evil.example")]), Err(Trespass::Host));
    }

    #[test]
    fn refuses_what_is_no_host() {
        assert_eq!(judge(LOCAL, &[]), Err(Trespass::BadHost));
        assert_eq!(judge(LOCAL, &[("host", "localhost"), ("host", "localhost")]), Err(Trespass::BadHost));
        for host in ["", "localhost:x", "user@localhost", ":80", "[::1", "localhost, evil"] {
            assert_eq!(judge(LOCAL, &[("host", host)]), Err(Trespass::BadHost), "{host}");
        }
    }

    #[test]
    fn an_authority_in_the_target_is_judged_too() {
        let peer = Peer::Tcp { address: LOCAL.parse().unwrap(), listener: LOCAL.parse().unwrap(), tls: false };
        let gate = Gate::new(&[], 4096);
        for (uri, want) in [("http://evil.example/obo", Err(Trespass::Host)), ("http://localhost:8650/obo", Ok(()))] {
            let (head, ()) = Request::builder().uri(uri).header("host", "localhost").body(()).unwrap().into_parts();
            assert_eq!(gate.judge(&head, &peer), want, "{uri}");
        }
    }

    #[test]
    fn refuses_pages() {
        for origin in ["null", "http://localhost:8650", "https://evil.example"] {
            assert_eq!(judge(LOCAL, &[("host", "localhost"), ("origin", origin)]), Err(Trespass::Origin), "{origin}");
        }
        for site in ["cross-site", "same-origin", "same-site", ""] {
            assert_eq!(judge(LOCAL, &[("host", "localhost"), ("sec-fetch-site", site)]), Err(Trespass::Origin), "{site}");
        }
        assert_eq!(judge(LOCAL, &[("host", "localhost"), ("sec-fetch-site", "none")]), Ok(()));
    }

    #[test]
    fn refuses_a_proxys_claims_on_local_listeners_only() {
        for name in ["forwarded", "x-forwarded-for", "X-Forwarded-Host", "x-forwarded-anything", "x-real-ip"] {
            assert_eq!(judge(LOCAL, &[("host", "localhost"), (name, "1.2.3.4")]), Err(Trespass::Forwarded), "{name}");
            assert_eq!(judge("0.0.0.0:8650", &[("host", "localhost"), (name, "1.2.3.4")]), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_unix_socket_has_no_host() {
        let gate = Gate::new(&[], 4096);
        let peer = Peer::Unix { uid: 0, gid: 0, pid: None };
        let (head, ()) = Request::builder().uri("/obo").header("host", "any.example").body(()).unwrap().into_parts();
        assert_eq!(gate.judge(&head, &peer), Ok(()));
        let (head, ()) = Request::builder().uri("/obo").header("origin", "null").body(()).unwrap().into_parts();
        assert_eq!(gate.judge(&head, &peer), Err(Trespass::Origin));
    }

    #[test]
    fn bounds_the_head() {
        let long = "x".repeat(5000);
        assert_eq!(judge(LOCAL, &[("host", "localhost"), ("x-long", &long)]), Err(Trespass::TooLarge));
    }
}
