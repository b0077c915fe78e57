//! `doors` of proxies and of Microsoft's sidecar, and what apis say of them.

use super::{keys, yaml};
use crate::finding::{Findings, Severity};
use crate::flow::{ApiDoor, ApiIdentity, ApiSettings};
use crate::http::{ClientDoor, DoorSettings};

const APPS: &str = "apps: {a: {issuer: https://id.example, client_id: c, credential: {secret: {file: /s}}, \
                    inbound: {audiences: ['https://api.example']}}}\n";
const CALLERS: &str = "callers: [{name: p, token: {file: /t}, doors: [auth_request, ms_sidecar]}]\n";

fn read(more: &str, api: &str) -> (Option<(ApiSettings, DoorSettings)>, Findings) {
    let (settings, findings) = yaml(&format!("{APPS}{more}apis: {{g: {{{api}}}}}\n"), &[]);
    (settings.map(|mut settings| (settings.apis.remove(0), settings.http.doors)), findings)
}

/// The one finding: its key, whether it is an error, and its text.
fn only(more: &str, api: &str) -> (String, bool, String) {
    let (_, findings) = read(more, api);
    let mut all = findings.iter();
    let (first, second) = (all.next(), all.next());
    let found = first.unwrap_or_else(|| panic!("nothing is said of {more}{api}"));
    assert!(second.is_none(), "{more}{api}: {:?}", keys(&findings));
    (found.key.clone(), found.severity == Severity::Error, format!("{}: {}", found.reason, found.remedy))
}

const BOTH: &str = "doors: [auth_request, ms_sidecar]\n";

#[test]
fn an_api_says_at_which_doors_it_is_served_and_how() {
    let (api, doors) = {
        let more = format!("{BOTH}{CALLERS}ms_sidecar: {{app: a}}\n");
        let api = "scopes: [s], doors: [auth_request, ms_sidecar], identity_headers: {X-User-Id: oid, x-tenant: tid}, \
                   overrides: true, app_overrides: true, app_token: true";
        let (read, findings) = read(&more, api);
        assert!(findings.iter().next().is_none(), "{:?}", keys(&findings));
        read.unwrap()
    };
    assert_eq!(doors.open, [ClientDoor::Rest, ClientDoor::AuthRequest, ClientDoor::MsSidecar]);
    assert_eq!((doors.ms_sidecar.app.as_deref(), doors.ms_sidecar.anyone), (Some("a"), false));
    assert_eq!(api.doors, ApiDoor::ALL);
    assert!((api.overrides, api.app_overrides, api.app_token) == (true, true, true));
    let headers: Vec<_> = api.identity_headers.iter().map(|(name, claim)| (name.as_str(), claim.as_str())).collect();
    assert_eq!((headers, api.identity, api.exchange), (vec![("x-user-id", "oid"), ("x-tenant", "tid")], ApiIdentity::User, true));
}

#[test]
fn an_api_that_is_only_judged_needs_no_scopes() {
    let (read, findings) = read("doors: [auth_request]\n", "doors: [auth_request], exchange: false");
    assert!(findings.iter().next().is_none(), "{:?}", keys(&findings));
    assert!(!read.unwrap().0.exchange);
    let (key, is_error, _) = only("doors: [auth_request]\n", "doors: [auth_request], exchange: true");
    assert_eq!((&*key, is_error), ("apis.g.scopes", true));
}

#[test]
fn headers_that_mean_something_else_are_refused() {
    for name in [
        "authorization",
        "Host",
        "x-tokend-token",
        "X-Tokend-Anything",
        "set-cookie",
        "vary",
        "access-control-allow-origin",
        "x-accel-redirect",
        "x-forwarded-for",
        "proxy-connection",
        "content-encoding",
    ] {
        let (key, is_error, text) =
            only("doors: [auth_request]\n", &format!("scopes: [s], doors: [auth_request], identity_headers: {{{name}: oid}}"));
        assert!(is_error && text.contains("x-user-id"), "{name}: {text}");
        assert_eq!(key, format!("apis.g.identity_headers.{}", name.to_ascii_lowercase()));
    }
    for name in ["x_user_id", "x user", "'x:y'", "''", "é"] {
        let (_, is_error, text) =
            only("doors: [auth_request]\n", &format!("scopes: [s], doors: [auth_request], identity_headers: {{{name}: oid}}"));
        assert!(is_error && text.contains("letters, digits"), "{name}: {text}");
    }
    for (headers, reason) in [("{x-a: oid, X-A: tid}", "stands twice"), ("{x-a: ''}", ""), ("{x-a: }", "")] {
        let (_, is_error, text) =
            only("doors: [auth_request]\n", &format!("scopes: [s], doors: [auth_request], identity_headers: {headers}"));
        assert!(is_error && text.contains(reason), "{headers}: {text}");
    }
}

#[test]
fn the_apps_own_identity_is_for_those_who_are_known() {
    let api = "scopes: [s], doors: [auth_request], identity: app";
    let (key, is_error, _) = only("doors: [auth_request]\n", api);
    assert_eq!((&*key, is_error), ("apis.g.identity", true));
    let socket = "listen: ['127.0.0.1:8650', 'unix:/run/t.sock']\ndoors: [auth_request]\n";
    for known in [format!("doors: [auth_request]\n{CALLERS}"), socket.to_owned()] {
        let (read, findings) = read(&known, api);
        assert!(findings.iter().next().is_none(), "{:?}", keys(&findings));
        assert_eq!(read.unwrap().0.identity, ApiIdentity::App);
        for (more, at) in [("exchange: false", "exchange"), ("identity_headers: {x-a: oid}", "identity_headers")] {
            let (key, is_error, _) = only(&known, &format!("{api}, {more}"));
            assert_eq!((key, is_error), (format!("apis.g.{at}"), true));
        }
    }
    let (key, is_error, text) = only("doors: [auth_request]\n", &format!("{api}s"));
    assert!(key == "apis.g.identity" && is_error && text.contains("write user or app"), "{text}");
}

#[test]
fn an_address_of_its_own_is_no_proof_for_the_apps_token() {
    let api = "scopes: [s], doors: [auth_request], identity: app";
    let by = |proof: &str| format!("doors: [auth_request]\ncallers: [{{name: p, {proof}, doors: [auth_request]}}]\n");
    let (key, is_error, text) = only(&by("listener: '127.0.0.1:5178'"), api);
    assert!(key == "apis.g.identity" && is_error && text.contains("a token or a certificate"), "{text}");
    for proof in ["listener: 'unix:/run/p.sock'", "token: {file: /t}"] {
        assert!(read(&by(proof), api).1.iter().next().is_none(), "{proof}");
    }
    let without = "doors: [auth_request]\ncallers: [{name: p, token: {file: /t}}]\n";
    let (_, findings) = read(without, api);
    assert_eq!(keys(&findings).join(" "), "doors apis.g.identity", "no caller has the door");
}

#[test]
fn what_the_sidecars_routes_lack_is_said() {
    let apps = "apps: {default: {issuer: https://id.example, client_id: c, credential: {secret: {file: /s}}}, b: {issuer: https://id.example, \
                client_id: d, credential: {secret: {file: /s}}, inbound: {audiences: ['https://api.example']}}}\n";
    let said = |sidecar: &str, api: &str| {
        let doors = format!("doors: [ms_sidecar]\n{CALLERS}ms_sidecar: {{{sidecar}}}\n");
        let (_, findings) = yaml(&format!("{apps}{doors}apis: {{g: {{scopes: [s], doors: [ms_sidecar]{api}}}}}\n"), &[]);
        keys(&findings).join(" ")
    };
    assert_eq!(said("app: b", ", app: b"), "");
    assert_eq!(said("app: b", ""), "apis.g", "another app than elsewhere");
    assert_eq!(said("", ", app: b"), "ms_sidecar.app", "the app of /Validate accepts nobody");
    assert_eq!(said("app: b", ", app: default"), "apis.g", "nobody gets a token for it");
    assert_eq!(said("app: b", ", app: default, app_token: true"), "");
}

#[test]
fn what_has_no_effect_is_said() {
    for (more, api, key) in [
        ("", "scopes: [s], doors: [auth_request]", "apis.g.doors"),
        ("", "scopes: [s], doors: [ms_sidecar]", "apis.g.doors"),
        ("", "scopes: [s], doors: [downstream]", "apis.g.doors[0]"),
        ("doors: [auth_request]\n", "scopes: [s]", "doors"),
        ("doors: [ms_sidecar]\n", "scopes: [s]", "doors"),
        ("", "scopes: [s], identity: user", "apis.g.identity"),
        ("", "scopes: [s], exchange: true", "apis.g.exchange"),
        ("", "scopes: [s], identity_headers: {x-a: oid}", "apis.g.identity_headers"),
        ("", "scopes: [s], overrides: true", "apis.g.overrides"),
        ("", "scopes: [s], app_overrides: true", "apis.g.app_overrides"),
        ("", "scopes: [s], app_token: true", "apis.g.app_token"),
        ("doors: [ms_sidecar]\n", "scopes: [s], doors: [ms_sidecar], app_overrides: true", "apis.g.app_overrides"),
        ("ms_sidecar: {app: a}\n", "scopes: [s]", "ms_sidecar"),
        ("doors: [ms_sidecar]\n", "scopes: [s], doors: [ms_sidecar], app_token: true", "ms_sidecar.unauthenticated"),
        (
            "doors: [ms_sidecar]\nms_sidecar: {unauthenticated: anyone}\n",
            "scopes: [s], doors: [ms_sidecar]",
            "ms_sidecar.unauthenticated",
        ),
    ] {
        let (found, is_error, _) = only(more, api);
        assert_eq!((&*found, is_error), (key, false), "{more}{api}");
    }
}

#[test]
fn routes_without_a_user_are_for_callers_or_for_anyone_who_is_said_to_be_answered() {
    let api = "scopes: [s], doors: [ms_sidecar], app_token: true";
    let (read_settings, _) = read("doors: [ms_sidecar]\nms_sidecar: {unauthenticated: anyone}\n", api);
    assert!(read_settings.unwrap().1.ms_sidecar.anyone);
    let both = format!("doors: [ms_sidecar]\nms_sidecar: {{unauthenticated: anyone}}\n{CALLERS}");
    let (key, is_error, text) = only(&both, api);
    assert!(key == "ms_sidecar.unauthenticated" && is_error && text.contains("`listener`"), "{text}");
    let (key, is_error, text) =
        only("doors: [ms_sidecar]\nms_sidecar: {unauthenticated: all}\n", "scopes: [s], doors: [ms_sidecar]");
    assert!(key == "ms_sidecar.unauthenticated" && is_error && text.contains("anyone"), "{text}");
    let (key, is_error, _) = only("doors: [ms_sidecar]\nms_sidecar: {app: b}\n", "scopes: [s], doors: [ms_sidecar]");
    assert_eq!((&*key, is_error), ("ms_sidecar.app", true));
}

#[test]
fn an_app_that_accepts_no_users_serves_no_proxies_users() {
    let apps = "apps: {a: {issuer: https://id.example, client_id: c, credential: {secret: {file: /s}}}}\n";
    let said = |api: &str| {
        let (_, findings) =
            yaml(&format!("{apps}doors: [auth_request]\n{CALLERS}apis: {{g: {{scopes: [s], doors: [auth_request]{api}}}}}\n"), &[]);
        keys(&findings).join(" ")
    };
    assert_eq!(said(""), "apis.g");
    assert_eq!(said(", app: a"), "apis.g");
    assert_eq!(said(", identity: app"), "");
}
