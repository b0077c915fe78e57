//! Where the sidecar listens: Kestrel's endpoints, else URLs, else ports, as ASP.NET Core asks them; but on loopback alone.

use std::net::IpAddr;

use super::given::{ConfiguredValue, SidecarConfig};
use super::page::{YamlPage, list, scalar};
use crate::finding::{Complaint, Findings};

/// The port of Microsoft's image.
const PORT: u16 = 8080;
/// Of tokend's admin listener, unless it is told otherwise.
const ADMIN_PORT: u16 = 8651;

/// One address.
struct HeardAddress {
    address: String,
    port: Option<u16>,
    /// What is different, if anything is.
    difference: Option<&'static str>,
}

const EVERYWHERE: &str = "was every address of the machine, and who came from elsewhere was refused: loopback is what remains";
const TLS: &str = "was https. tokend speaks plain HTTP there, on loopback; for TLS write `tls: {cert: {file: …}, key: {file: …}}`, \
                   which is for all TCP addresses";

/// Writes `listen`, and `admin_listen` where that would clash.
pub(super) fn write(page: &mut YamlPage, config: &SidecarConfig, findings: &mut Findings) {
    let mut all: Vec<HeardAddress> = Vec::new();
    for (value, heard) in heard(config, findings) {
        if let Some(difference) = heard.difference {
            page.comment(0, &format!("{} {difference}.", value.place()));
        }
        all.push(heard);
    }
    if all.is_empty() {
        page.comment(0, "Nothing says where to listen: this is the port of Microsoft's image.");
        all.push(HeardAddress { address: format!("localhost:{PORT}"), port: Some(PORT), difference: None });
    }
    let mut addresses: Vec<String> = Vec::new();
    for one in &all {
        // `localhost` has both loopback addresses.
        let both = one.port.map(|port| format!("localhost:{port}"));
        let is_there = |address: &str| all.iter().any(|other| other.address == address);
        let is_implied = both.is_some_and(|both| both != one.address && is_there(&both));
        if !is_implied && !addresses.contains(&one.address) {
            addresses.push(one.address.clone());
        }
    }
    match addresses.as_slice() {
        [one] => page.line(0, &format!("listen: {}", scalar(one))),
        several => page.line(0, &format!("listen: {}", list(several))),
    }
    let taken = |port: u16| all.iter().any(|one| one.port == Some(port));
    if taken(ADMIN_PORT) {
        let free = (ADMIN_PORT + 1..).find(|port| !taken(*port)).unwrap_or(ADMIN_PORT);
        page.comment(0, &format!("Port {ADMIN_PORT} is tokend's own for probes and metrics, unless another one is named."));
        page.line(0, &format!("admin_listen: 127.0.0.1:{free}"));
    }
    page.comment(
        0,
        "GET /healthz is answered there as before. Probes from elsewhere (the kubelet's httpGet) reach no loopback address: write \
         `admin_listen: \"*:8651\"` and probe /livez and /readyz.",
    );
}

fn heard<'a>(config: &'a SidecarConfig, findings: &mut Findings) -> Vec<(&'a ConfiguredValue, HeardAddress)> {
    let mut found = Vec::new();
    let mut urls = |value: &'a ConfiguredValue, text: &str| {
        for url in text.split(';').map(str::trim).filter(|url| !url.is_empty()) {
            match self::url(url) {
                Ok(heard) => found.push((value, heard)),
                Err(reason) => value.wrong(Complaint::new(reason, "write http://HOST:PORT"), findings),
            }
        }
    };
    for endpoint in config.children("Kestrel:Endpoints") {
        if let Some((value, text)) = config.text(&format!("Kestrel:Endpoints:{endpoint}:Url")) {
            urls(value, text);
        }
    }
    if !config.children("Kestrel:Endpoints").is_empty() {
        return found;
    }
    if let Some((value, text)) = config.text("URLS") {
        urls(value, text);
        return found;
    }
    let Some((value, text)) = config.text("HTTP_PORTS") else { return found };
    for port in text.split(';').map(str::trim).filter(|port| !port.is_empty()) {
        match port.parse::<u16>() {
            Ok(port) => found.push((value, at(port, Some(EVERYWHERE)))),
            Err(_) => value.wrong(Complaint::new("it is no port", "write a number up to 65535"), findings),
        }
    }
    found
}

fn at(port: u16, difference: Option<&'static str>) -> HeardAddress {
    HeardAddress { address: format!("localhost:{port}"), port: Some(port), difference }
}

/// Reads one URL that ASP.NET Core binds to.
fn url(text: &str) -> Result<HeardAddress, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it is no URL")?;
    let is_tls = scheme.eq_ignore_ascii_case("https");
    if !is_tls && !scheme.eq_ignore_ascii_case("http") {
        return Err("its scheme is neither http nor https");
    }
    let is_socket = rest.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("unix:"));
    if is_socket {
        let difference = is_tls.then_some("was https. A Unix socket of tokend's never speaks TLS");
        return Ok(HeardAddress { address: format!("unix:{}", rest.get(5..).unwrap_or_default()), port: None, difference });
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (host, port.parse::<u16>().map_err(|_| "its port is no number up to 65535")?),
        None => (authority, if is_tls { 443 } else { 80 }),
    };
    let tls = is_tls.then_some(TLS);
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(at(port, tls));
    }
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => {
            let address = if ip.is_ipv6() { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
            Ok(HeardAddress { address, port: Some(port), difference: tls })
        }
        // To ASP.NET Core every other name is every address.
        _ => Ok(at(port, tls.or(Some(EVERYWHERE)))),
    }
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn every_form_of_url_is_an_address_of_this_machine() {
        for (text, address, is_different) in [
            ("http://localhost:5178", "localhost:5178", false),
            ("http://127.0.0.1:5000/", "127.0.0.1:5000", false),
            ("http://[::1]:5000", "[::1]:5000", false),
            ("http://+:5000", "localhost:5000", true),
            ("http://*:8080", "localhost:8080", true),
            ("http://0.0.0.0:8080", "localhost:8080", true),
            ("http://[::]:8080", "localhost:8080", true),
            ("HTTPS://sidecar", "localhost:443", true),
            ("http://10.0.0.1", "localhost:80", true),
            ("http://unix:/run/s.sock", "unix:/run/s.sock", false),
        ] {
            let heard = url(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!((heard.address.as_str(), heard.difference.is_some()), (address, is_different), "{text}");
        }
        for bad in ["5000", "ftp://h:1", "http://h:99999", "http://h:x"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
