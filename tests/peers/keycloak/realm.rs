//! The realm that the tests meet: its clients and users.

use serde_json::{Value, json};

use super::{
    BOUND, BY_CERTIFICATE, BY_ED25519, BY_ES256, CERTIFIED, DAEMON, DESK, KeycloakFiles, Login, ORDERS, OTHER_USER, REALM,
    REDIRECT_URI, STOCK, STRANGER, TERMINAL, USER, WEB,
};

/// What the realm is made of, as Keycloak imports it.
pub(super) fn realm(files: &KeycloakFiles) -> Value {
    let certificate_pem = &files.certificate;
    let exchange = json!({"standard.token.exchange.enabled": "true"});
    let device = json!({"oauth2.device.authorization.grant.enabled": "true"});
    let code = json!({"standardFlowEnabled": true, "redirectUris": [REDIRECT_URI]});
    json!({
        "realm": REALM,
        "enabled": true,
        // Refresh tokens work once.
        "revokeRefreshToken": true,
        "refreshTokenMaxReuse": 0,
        "clients": [
            client(DAEMON.0, &json!({"secret": DAEMON.1, "serviceAccountsEnabled": true})),
            client(CERTIFIED, &merged(&code, &json!({
                "clientAuthenticatorType": "client-jwt",
                "serviceAccountsEnabled": true,
                "attributes": merged(&exchange, &json!({"jwt.credential.certificate": der(certificate_pem)})),
                "protocolMappers": [audience(STOCK.0)],
            }))),
            client(WEB.0, &merged(&code, &json!({
                "secret": WEB.1,
                "attributes": {
                    "pkce.code.challenge.method": "S256",
                    // Those that codes are sent to.
                    "post.logout.redirect.uris": "+",
                    "oauth2.device.authorization.grant.enabled": "true",
                },
                "protocolMappers": [audience(ORDERS.0), audience(CERTIFIED)],
            }))),
            client(ORDERS.0, &json!({
                "secret": ORDERS.1,
                "attributes": merged(&exchange, &json!({"standard.token.exchange.enableRefreshRequestedTokenType": "SAME_SESSION"})),
                "protocolMappers": [audience(STOCK.0)],
            })),
            client(DESK.0, &json!({
                "secret": DESK.1,
                "directAccessGrantsEnabled": true,
                "attributes": device,
                "protocolMappers": [audience(ORDERS.0)],
            })),
            client(TERMINAL, &json!({
                "publicClient": true,
                "directAccessGrantsEnabled": true,
                "attributes": device,
            })),
            client(BY_CERTIFICATE, &certified(&files.subject, false)),
            client(BOUND, &certified(&files.subject, true)),
            client(BY_ES256, &keyed(&files.es256, "ES256")),
            client(BY_ED25519, &keyed(&files.ed25519, "EdDSA")),
            client(STOCK.0, &json!({"secret": STOCK.1})),
            client(STRANGER.0, &json!({"secret": STRANGER.1, "attributes": exchange})),
        ],
        "users": [user(USER), user(OTHER_USER)],
    })
}

/// A confidential client that may do nothing but what `more` says.
fn client(id: &str, more: &Value) -> Value {
    let nothing = json!({
        "clientId": id,
        "protocol": "openid-connect",
        "publicClient": false,
        "standardFlowEnabled": false,
        "implicitFlowEnabled": false,
        "directAccessGrantsEnabled": false,
        "serviceAccountsEnabled": false,
    });
    merged(&nothing, more)
}

/// A client that proves itself by the certificate of its connection; whether its tokens are bound to that.
fn certified(subject: &str, binds: bool) -> Value {
    json!({
        "clientAuthenticatorType": "client-x509",
        "serviceAccountsEnabled": true,
        "attributes": {
            "x509.subjectdn": subject,
            "x509.allow.regex.pattern.comparison": "false",
            "tls.client.certificate.bound.access.tokens": binds.to_string(),
        },
    })
}

/// A client that proves itself by this key, and by this algorithm alone.
fn keyed(jwk: &Value, algorithm: &str) -> Value {
    let mut jwk = jwk.clone();
    for (name, value) in [("kid", algorithm), ("alg", algorithm), ("use", "sig")] {
        jwk[name] = json!(value);
    }
    json!({
        "clientAuthenticatorType": "client-jwt",
        "serviceAccountsEnabled": true,
        "attributes": {
            "use.jwks.string": "true",
            "jwks.string": json!({"keys": [jwk]}).to_string(),
            "token.endpoint.auth.signing.alg": algorithm,
        },
    })
}

/// Puts a client into the `aud` of the access tokens of the client that carries this mapper.
fn audience(client: &str) -> Value {
    json!({
        "name": format!("audience {client}"),
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {
            "included.client.audience": client,
            "access.token.claim": "true",
            "introspection.token.claim": "true",
            "id.token.claim": "false",
        },
    })
}

/// Complete and verified, because Keycloak would else ask for the rest at the first sign-in.
fn user((name, password): Login) -> Value {
    json!({
        "username": name,
        "enabled": true,
        "email": format!("{name}@example.com"),
        "emailVerified": true,
        "firstName": name,
        "lastName": "Example",
        "credentials": [{"type": "password", "value": password, "temporary": false}],
    })
}

fn merged(base: &Value, more: &Value) -> Value {
    let mut merged = base.clone();
    if let (Some(into), Some(from)) = (merged.as_object_mut(), more.as_object()) {
        into.extend(from.clone());
    }
    merged
}

/// Keycloak wants the certificate without its armour.
fn der(pem: &str) -> String {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let body = pem.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map(|(body, _)| body);
    let body = body.unwrap_or_else(|| panic!("no certificate in the PEM text"));
    body.split_whitespace().collect()
}
