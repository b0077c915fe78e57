//! `callers`: one proof each, and none that two could show.

use super::{APP, keys, yaml};
use crate::authority::KeyPlace;
use crate::caller::{CallerProof, CertificateNamed};
use crate::finding::{Finding, Findings, Severity};

const TLS: &str = "tls: {cert: {file: /c}, key: {file: /k}, client_ca: {file: /a}}\n";
const SOCKET: &str = "listen: ['127.0.0.1:8650', 'unix:/run/t.sock']\n";
const JWT: &str = "issuer: 'https://id.example', audience: tokend, subjects: [orders]";

/// The proofs of these entries, and the findings, of a configuration with more at its top.
fn read(more: &str, entries: &[&str]) -> (Option<Vec<CallerProof>>, Findings) {
    let list: String = entries.iter().enumerate().map(|(at, entry)| format!("  - {{name: c{at}, {entry}}}\n")).collect();
    let apps = if more.starts_with("apps:") { "" } else { APP };
    let (settings, findings) = yaml(&format!("{apps}{more}callers:\n{list}"), &[("JWKS", "{}")]);
    (settings.map(|settings| settings.callers.into_iter().map(|caller| caller.proof).collect()), findings)
}

/// The one finding of these entries.
#[track_caller]
fn only(more: &str, entries: &[&str]) -> Finding {
    let (_, findings) = read(more, entries);
    let list: Vec<_> = findings.iter().collect();
    let [finding] = list.as_slice() else { panic!("{entries:?}: {findings:#?}") };
    (*finding).clone()
}

#[track_caller]
fn is_wrong(more: &str, entries: &[&str], key: &str, word: &str) {
    let finding = only(more, entries);
    assert!(finding.severity == Severity::Error && finding.key == key && finding.reason.contains(word), "{finding:?}");
    assert!(!finding.remedy.is_empty(), "{finding:?}");
}

#[test]
fn a_caller_has_one_proof() {
    is_wrong("", &["flows: [silent]"], "callers[0].token", "no proof");
    is_wrong("", &["token: {file: /t}, listener: '127.0.0.1:5178'"], "callers[0]", "more than one");
    is_wrong(TLS, &[&format!("jwt: {{{JWT}}}, certificate: {{dns_names: [a]}}")], "callers[0]", "more than one");
    let (proofs, findings) = read(
        &format!("{TLS}{SOCKET}"),
        &[
            "token: {file: /t}",
            &format!("jwt: {{{JWT}, ca_file: /ca.pem, discovery_token: {{file: /d}}}}"),
            &format!("jwt: {{{}, jwks_uri: 'https://keys.example/jwks'}}", JWT.replace("orders", "shop")),
            "jwt: {issuer: kubernetes/serviceaccount, audience: tokend, subjects: [a, b], jwks: {env: JWKS}}",
            "certificate: {spiffe_ids: ['spiffe://prod.example/ns/shop/sa/orders']}",
            "certificate: {dns_names: [orders.internal]}",
            "peer: {uid: 1000}",
            "peer: {uid: '1001', gid: 7}",
            "listener: localhost:5178",
            "listener: unix:/run/own.sock",
        ],
    );
    assert!(findings.is_empty(), "{findings:#?}");
    let proofs = proofs.unwrap();
    let CallerProof::Jwt(first) = &proofs[1] else { panic!("{proofs:?}") };
    assert!(matches!(first.keys, KeyPlace::Discovered) && first.discovery_token.is_some() && first.issuer.ca_file.is_some());
    assert_eq!((first.issuer.address.to_string().as_str(), first.issuer.key.as_str()), ("https://id.example", "callers[1].jwt"));
    assert!(matches!(&proofs[2], CallerProof::Jwt(jwt) if matches!(jwt.keys, KeyPlace::Url(_))));
    let CallerProof::Jwt(filed) = &proofs[3] else { panic!("{proofs:?}") };
    assert!(matches!(filed.keys, KeyPlace::File(_)) && filed.issuer.address.to_string() == "kubernetes/serviceaccount");
    assert!(matches!(&proofs[4], CallerProof::Certificate(CertificateNamed::SpiffeIds(ids)) if ids.len() == 1));
    assert!(matches!(&proofs[5], CallerProof::Certificate(CertificateNamed::DnsNames(names)) if *names == ["orders.internal"]));
    assert!(matches!(&proofs[7], CallerProof::Peer(peer) if (peer.uid, peer.gid) == (Some(1001), Some(7))));
    assert!(matches!(&proofs[8], CallerProof::Listener(addresses) if addresses.len() == 2));
    assert!(matches!(&proofs[9], CallerProof::Listener(addresses) if addresses.len() == 1));
}

#[test]
fn a_jwt_says_whose_it_is_for_whom_and_about_whom() {
    for (members, key, word) in [
        ("audience: tokend, subjects: [a]", "issuer", "no `issuer`"),
        ("issuer: 'https://id.example', subjects: [a]", "audience", "no `audience`"),
        ("issuer: 'https://id.example', audience: tokend", "subjects", "no subjects"),
        ("issuer: 'https://id.example', audience: tokend, subjects: []", "subjects", "empty"),
        ("issuer: 'https://id.example', audience: tokend, subjects: ['a b']", "subjects[0]", "spaces"),
        ("issuer: 'https://id.example', audience: '', subjects: [a]", "audience", "empty"),
        ("issuer: 'http://id.example', audience: tokend, subjects: [a]", "issuer", "http"),
        ("issuer: id.example, audience: tokend, subjects: [a]", "issuer", "URL"),
        ("issuer: 'a b', audience: tokend, subjects: [a], jwks: {file: /j}", "issuer", "spaces"),
        (&format!("{JWT}, jwks_uri: 'http://keys.example'"), "jwks_uri", "http"),
        (&format!("{JWT}, jwks: {{file: /j}}, jwks_uri: 'https://keys.example'"), "jwks_uri", "both"),
        (&format!("{JWT}, jwks: {{}}"), "jwks", "where the text is"),
        (&format!("{JWT}, discovery_token: {{file: ''}}"), "discovery_token.file", "empty"),
    ] {
        is_wrong("", &[&format!("jwt: {{{members}}}")], &format!("callers[0].jwt.{key}"), word);
    }
    for member in ["ca_file: /ca.pem", "discovery_token: {file: /d}"] {
        let finding = only("", &[&format!("jwt: {{{JWT}, jwks: {{file: /j}}, {member}}}")]);
        assert!(finding.severity == Severity::Warning && finding.reason.contains("no effect"), "{finding:?}");
    }
}

#[test]
fn an_audience_that_others_have_is_no_proof() {
    let apps = "apps: {other: {issuer: 'https://other.example', client_id: other-client, credential: {secret: {file: /s}}, \
                inbound: {audiences: ['api://orders']}}}\n";
    for (audience, word) in [
        ("api://orders", "`other`"),
        ("other-client", "client id"),
        ("https://kubernetes.default.svc", "API server"),
        ("https://kubernetes.default.svc.cluster.local", "API server"),
        ("https://id.example", "issuer itself"),
    ] {
        let jwt = format!("jwt: {{issuer: 'https://id.example', audience: '{audience}', subjects: [a]}}");
        is_wrong(apps, &[&jwt], "callers[0].jwt.audience", word);
    }
}

#[test]
fn certificates_need_a_ca_and_exact_names() {
    is_wrong("", &["certificate: {dns_names: [a]}"], "callers[0].certificate", "`tls.client_ca`");
    is_wrong(
        "tls: {cert: {file: /c}, key: {file: /k}}\n",
        &["certificate: {dns_names: [a]}"],
        "callers[0].certificate",
        "`tls.client_ca`",
    );
    for (members, key, word) in [
        ("{}", "certificate", "nothing says"),
        ("{dns_names: [a], spiffe_ids: ['spiffe://a/b']}", "certificate", "both"),
        ("{dns_names: ['*.internal']}", "certificate.dns_names[0]", "DNS name"),
        ("{dns_names: ['a b']}", "certificate.dns_names[0]", "DNS name"),
        ("{dns_names: []}", "certificate.dns_names", "empty"),
        ("{spiffe_ids: ['https://a/b']}", "certificate.spiffe_ids[0]", "SPIFFE"),
        ("{spiffe_ids: ['spiffe://a']}", "certificate.spiffe_ids[0]", "SPIFFE"),
        ("{spiffe_ids: ['spiffe://a/']}", "certificate.spiffe_ids[0]", "SPIFFE"),
        ("{spiffe_ids: ['spiffe://A/b']}", "certificate.spiffe_ids[0]", "SPIFFE"),
        ("{spiffe_ids: ['spiffe://a/b/../c']}", "certificate.spiffe_ids[0]", "SPIFFE"),
        ("{spiffe_ids: ['spiffe://a:1/b']}", "certificate.spiffe_ids[0]", "SPIFFE"),
    ] {
        is_wrong(TLS, &[&format!("certificate: {members}")], &format!("callers[0].{key}"), word);
    }
    let alone = "tls: {cert: {file: /c}, key: {file: /k}, client_certificates: optional}\n";
    is_wrong(alone, &["token: {file: /t}"], "tls.client_certificates", "no effect");
    let odd = TLS.replace("/a}", "/a}, client_certificates: maybe");
    is_wrong(&odd, &["token: {file: /t}"], "tls.client_certificates", "whether clients");
}

#[test]
fn peers_need_a_socket_and_listeners_an_address_of_their_own() {
    is_wrong("", &["peer: {uid: 1}"], "callers[0].peer", "no Unix socket");
    is_wrong("", &["peer: {uid: 1}", "listener: unix:/own"], "callers[0].peer", "no Unix socket");
    is_wrong(SOCKET, &["peer: {}"], "callers[0].peer", "which processes");
    is_wrong(SOCKET, &["peer: {uid: 4294967295}"], "callers[0].peer.uid", "no id");
    is_wrong(SOCKET, &["peer: {gid: root}"], "callers[0].peer.gid", "number");
    for (address, word) in [
        ("0.0.0.0:5178", "others than this machine"),
        ("'*:5178'", "others than this machine"),
        ("10.0.0.1:5178", "others than this machine"),
        ("5178", "the value is not a text"),
        ("unix:own.sock", "absolute"),
    ] {
        is_wrong("", &[&format!("listener: {address}")], "callers[0].listener", word);
    }
    for taken in ["127.0.0.1:8650", "127.0.0.1:8651", "unix:/run/t.sock"] {
        is_wrong(SOCKET, &[&format!("listener: {taken}")], "callers[0].listener", "`listen`");
    }
}

#[test]
fn no_two_callers_have_the_same_proof() {
    let jwt = format!("jwt: {{{JWT}}}");
    let shared = jwt.replace("[orders]", "[shop, orders]");
    is_wrong("", &[&jwt, &shared], "callers[1].jwt.subjects[1]", "another caller");
    assert!(read("", &[&jwt, &jwt.replace("tokend", "other"), &jwt.replace("[orders]", "[shop]")]).1.is_empty());
    let (ids, names) = ("certificate: {spiffe_ids: ['spiffe://a/b']}", "certificate: {dns_names: [a, b]}");
    is_wrong(TLS, &[ids, ids], "callers[1].certificate.spiffe_ids[0]", "another caller");
    is_wrong(TLS, &[names, "certificate: {dns_names: [c, b]}"], "callers[1].certificate.dns_names[1]", "another caller");
    assert!(read(TLS, &[ids, names]).1.is_empty());
    for second in ["peer: {uid: 1}", "peer: {uid: 1, gid: 2}"] {
        is_wrong(SOCKET, &["peer: {uid: 1}", second], "callers[1].peer", "the other's");
    }
    assert!(read(SOCKET, &["peer: {uid: 1}", "peer: {gid: 2}", "peer: {uid: 3, gid: 4}"]).1.is_empty());
    is_wrong("", &["listener: localhost:7", "listener: '[::1]:7'"], "callers[1].listener", "another caller's");
    assert!(read("", &["listener: '127.0.0.1:0'", "listener: '127.0.0.1:0'"]).1.is_empty());
}

#[test]
fn a_former_name_is_nobody_elses_name() {
    let token = |more: &str| format!("token: {{file: /t}}{more}");
    assert!(read("", &[&token(", former_names: [old, older]"), &token(", former_names: [ancient]")]).1.is_empty());
    for (first, second, key, word) in [
        (", former_names: [c1]", "", "callers[0].former_names[0]", "another caller has"),
        ("", ", former_names: [x, c0]", "callers[1].former_names[1]", "another caller has"),
        (", former_names: [old]", ", former_names: [old]", "callers[1].former_names[0]", "another caller had"),
        (", former_names: [c0]", "", "callers[0].former_names[0]", "anyway"),
        (", former_names: [old, old]", "", "callers[0].former_names[1]", "anyway"),
        (", former_names: [Old]", "", "callers[0].former_names[0]", "characters"),
        (", former_names: []", "", "callers[0].former_names", "empty"),
    ] {
        is_wrong("", &[&token(first), &token(second)], key, word);
    }
}

#[test]
fn doors_and_the_right_to_introspect_are_had_by_name() {
    let rights = |more: &str| {
        let (settings, findings) = yaml(&format!("{APP}callers: [{{name: a, token: {{file: /t}}{more}}}]\n"), &[]);
        (settings.map(|settings| settings.callers[0].rights.clone()), keys(&findings).join(" "))
    };
    let usual = rights("").0.unwrap();
    assert_eq!((usual.doors, usual.flows), (vec!["rest"], None));
    let more = rights(", doors: [oauth2, msi], flows: [silent, introspect]").0.unwrap();
    assert_eq!((more.doors, more.flows), (vec!["oauth2", "msi"], Some(vec!["silent", "introspect"])));
    assert_eq!(rights(", doors: [REST]").1, "callers[0].doors[0]");
    assert_eq!(rights(", doors: []").1, "callers[0].doors");
    assert_eq!(rights(", flows: [introspection]").1, "callers[0].flows[0]");
}
