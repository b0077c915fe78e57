//! A proxy in the Pod of an app, by the configuration that `docs/proxies.md` shows for nginx: the app itself asks tokend nothing.

use serde_json::{Value, json};

use crate::standalone::caller;
use crate::support::{
    App, Authority, CALLER, PORTAL, Release, Stage, TENANT, USER, container, image, proxy_image, restricted, with_credential,
};
use crate::template::chart;

/// The user of the image, and of nobody else in the Pod.
const UID: u32 = 101;

/// What the page has, in the Pod: over tokend's socket, nowhere but in `/tmp` writing anything.
fn nginx() -> String {
    let mut text = include_str!("../peers/proxies/nginx/nginx.conf").to_owned();
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("    {kind}_temp_path /tmp/{kind};\n"));
    for (written, meant) in [
        ("http {\n", format!("http {{\n{}", folders.concat()).as_str()),
        ("/run/nginx.pid", "/tmp/nginx.pid"),
        ("server 127.0.0.1:8650;", "server unix:/run/tokend/tokend.sock;"),
        ("include /etc/nginx/tokend-caller.conf;", ""),
        ("listen 8080;", "listen 8081;"),
        ("server 127.0.0.1:9000;", "server 127.0.0.1:8080;"),
    ] {
        assert!(text.contains(written), "no {written} in the page's configuration");
        text = text.replace(written, meant);
    }
    text
}

fn values(authority: &Authority<'_>) -> Value {
    let mut security = restricted();
    (security["runAsUser"], security["runAsGroup"]) = (json!(UID), json!(UID));
    let proxy = json!({
        "name": "proxy", "image": proxy_image(), "imagePullPolicy": "IfNotPresent", "args": ["-g", "daemon off;", "-e", "stderr"],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}, "securityContext": security,
        "ports": [{"name": "proxy", "containerPort": 8081}],
        "readinessProbe": {"tcpSocket": {"port": 8081}, "periodSeconds": 1},
    });
    let mut config = with_credential(authority, &json!({"secret": {"file": "/run/secrets/tokend/daemon"}}));
    let mut app = config["apps"]["daemon"].take();
    app["client_id"] = json!(PORTAL);
    app["inbound"] = json!({"audiences": ["api://portal"], "scopes": ["access_as_user"]});
    config["apps"] = json!({"portal": app});
    config["doors"] = json!(["auth_request"]);
    // The page's configuration asks for it by this name.
    config["apis"] = json!({"graph": {"app": "portal", "scopes": ["api://orders/orders.read"], "doors": ["auth_request"],
                                      "identity_headers": {"x-user-id": "oid", "x-tenant-id": "tid", "x-user-roles": "roles"}}});
    json!({"app": container("serve", &[]), "proxy": proxy, "tokend": {
        "sidecar": {"enabled": true}, "socket": {"enabled": true, "loopback": false}, "image": image(), "config": config,
        "callers": {"list": [{"name": "proxy", "peer": {"uid": UID}, "doors": ["auth_request"], "apis": ["graph"]}]},
        "secrets": {"credentials": {"existingSecret": "tokend"}},
    }})
}

#[test]
fn a_proxy_in_the_pod_gives_the_app_its_token_and_its_user() {
    let stage = Stage::new("proxy");
    let authority = stage.authority();
    let folder = tempfile::tempdir().expect("a folder");
    stage.namespace.apply(&[
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "proxy"}, "data": {"nginx.conf": nginx()}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
               "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80, "targetPort": "proxy"}]}}),
        caller(&stage, "serve", &[]),
    ]);
    let _release = Release::of(&chart(folder.path()), &stage.namespace.name, "shop", &values(&authority));

    // Whoever asks the app is an outsider: its token of another caller goes with each request, and is worth nothing.
    let client = App::new(&stage.namespace, "serve");
    let host = format!("https://{}:8652", Authority::host(&stage.namespace));
    let order = json!({"app": "portal", "user": USER[0], "scopes": "access_as_user"}).to_string();
    let minted = client.served(&[("url", &host), ("path", "/_emulator/token"), ("body", &order)]);
    let bearer = minted["body"]["token"].as_str().expect("a user's token");
    let url = format!("http://shop.{}.svc", stage.namespace.name);
    let asked = [("url", url.as_str()), ("path", "/echo"), ("caller", CALLER)];
    let answer = client.served(&[&asked[..], &[("bearer", bearer)]].concat());
    let (claims, headers) = (&answer["body"]["claims"], &answer["body"]["headers"]);
    assert_eq!((&claims["oid"], &claims["scp"]), (&json!(USER[1]), &json!("orders.read")), "{answer}");
    assert_ne!(claims["aud"], json!(PORTAL), "{answer}");
    assert_eq!((&headers["X-User-Id"], &headers["X-Tenant-Id"]), (&json!([USER[1]]), &json!([TENANT])), "{answer}");
    assert!(headers["X-Tokend-Token"].is_null(), "{answer}");
    for wrong in ["", "eyJhbGciOiJub25lIn0.e30."] {
        let answer = client.ask(&[&asked[..], &[("bearer", wrong)]].concat());
        assert_eq!((&answer["status"], &answer["body"]), (&json!(401), &Value::Null), "{answer}");
    }
    assert_eq!(authority.calls().len(), 1, "one exchange for all that was asked");
}
