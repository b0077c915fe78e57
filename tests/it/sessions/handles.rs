//! Sessions at the token endpoint: what begins there is continued by a refresh handle.

use super::{ENTRA, EXPIRED, ISSUER, Kind, OWN, Stage, id, is_unknown};
use crate::doors::form;
use crate::support::Answer;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Stage {
    /// Begins a session at the token endpoint by one of the two grants.
    async fn granted(&self, replica: usize, caller: &str, (grant, kind): (&str, Kind), session: Option<&str>) -> Answer {
        let bearer = self.bearer(kind, kind.users[0]).await;
        let mut pairs = vec![("grant_type", grant), ("client_id", kind.app), ("scope", kind.scopes)];
        pairs.extend(session.map(|session| ("session", session)));
        if grant == JWT_BEARER {
            pairs.push(("assertion", &bearer));
        } else {
            pairs.extend([("subject_token", &*bearer), ("subject_token_type", ACCESS_TOKEN)]);
        }
        form(&self.client(replica, caller), "/oauth2/token", &pairs).await
    }

    /// Redeems a handle.
    async fn redeemed(&self, replica: usize, caller: &str, kind: Kind, handle: &str) -> Answer {
        let pairs = [("grant_type", "refresh_token"), ("client_id", kind.app), ("refresh_token", handle)];
        form(&self.client(replica, caller), "/oauth2/token", &pairs).await
    }

    async fn revoked(&self, replica: usize, caller: &str, handle: &str) -> Answer {
        form(&self.client(replica, caller), "/oauth2/revoke", &[("token", handle)]).await
    }
}

#[tokio::test]
async fn a_session_that_begins_there_is_answered_with_a_handle_and_continued_by_it() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            for grant in [JWT_BEARER, EXCHANGE] {
                let plain = stage.granted(0, "alpha", (grant, kind), None).await;
                assert_eq!((plain.status, plain.json.get("refresh_token")), (200, None), "{}", plain.text);
                let begun = stage.granted(0, "alpha", (grant, kind), Some("new")).await;
                let handle = begun.member("refresh_token").to_owned();
                assert!(begun.status == 200 && handle.starts_with("tkd1."), "{}", begun.text);
                // RFC 6749's and RFC 8693's members alone.
                assert_eq!(begun.json.get("session"), None);
                let is_exchange = grant == EXCHANGE;
                assert_eq!(begun.member("issued_token_type"), if is_exchange { ACCESS_TOKEN } else { "" });
                for replica in [0, stage.last()] {
                    let again = stage.redeemed(replica, "alpha", kind, &handle).await;
                    assert_eq!(again.member("access_token"), begun.member("access_token"), "{}", again.text);
                    assert!(again.member("refresh_token").starts_with("tkd1."));
                }
                stage.later(EXPIRED);
                let renewed = stage.redeemed(stage.last(), "alpha", kind, &handle).await;
                assert_eq!(renewed.status, 200, "{}", renewed.text);
                assert_ne!(renewed.member("access_token"), begun.member("access_token"));
                let handle = renewed.member("refresh_token").to_owned();
                // Another caller, and another app.
                stage.redeemed(0, "beta", kind, &handle).await.oauth_error(400, "invalid_grant", "handle");
                stage.redeemed(0, "desk", kind, &handle).await.oauth_error(400, "invalid_grant", "handle");
                stage.redeemed(0, "alpha", Kind { app: "billing", ..kind }, &handle).await.oauth_error(
                    400,
                    "invalid_grant",
                    "handle",
                );
                // Others revoke nothing.
                assert_eq!(stage.revoked(0, "beta", &handle).await.status, 200);
                assert_eq!(stage.redeemed(0, "alpha", kind, &handle).await.status, 200);
                assert_eq!(stage.revoked(stage.last(), "alpha", &handle).await.status, 200);
                for replica in [0, stage.last()] {
                    stage.redeemed(replica, "alpha", kind, &handle).await.oauth_error(400, "invalid_grant", "");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_key_of_ones_own_and_a_handle_are_one_session() {
    for stage in Stage::both().await {
        for kind in [ENTRA, ISSUER] {
            let begun = stage.granted(0, "alpha", (JWT_BEARER, kind), Some(OWN)).await;
            let handle = begun.member("refresh_token");
            let rest = stage.go_on(stage.last(), kind, OWN).await;
            assert_eq!(rest.token(), begun.member("access_token"));
            // Signed out by account, by key and by handle it is the same end.
            assert_eq!(stage.sign_out(0, "alpha", kind, id(&rest)).await.status, 204);
            stage.redeemed(0, "alpha", kind, handle).await.oauth_error(400, "invalid_grant", "");
            let begun = stage.granted(0, "alpha", (JWT_BEARER, kind), Some(OWN)).await;
            assert_eq!(stage.end(stage.last(), "alpha", kind, OWN).await.status, 204);
            stage.redeemed(0, "alpha", kind, begun.member("refresh_token")).await.oauth_error(400, "invalid_grant", "");
            // A handle of before is no handle of the next session of this key.
            let next = stage.granted(0, "alpha", (JWT_BEARER, kind), Some(OWN)).await;
            stage.redeemed(0, "alpha", kind, begun.member("refresh_token")).await.oauth_error(400, "invalid_grant", "");
            assert_eq!(stage.revoked(0, "alpha", next.member("refresh_token")).await.status, 200);
            stage.is_over(kind, OWN).await;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_words_of_that_door() {
    let stage = Stage::memory().await;
    let start = async |session| stage.granted(0, "alpha", (JWT_BEARER, ENTRA), Some(session)).await;
    start("short").await.oauth_error(400, "invalid_request", "session");
    start(OWN).await;
    let bearer = stage.bearer(ENTRA, super::BEN).await;
    let pairs =
        [("grant_type", JWT_BEARER), ("client_id", "orders"), ("scope", ENTRA.scopes), ("assertion", &bearer), ("session", OWN)];
    form(&stage.client(0, "alpha"), "/oauth2/token", &pairs).await.oauth_error(400, "invalid_grant", "another user");
    for grant in ["client_credentials", "authorization_code", "refresh_token"] {
        let pairs = [("grant_type", grant), ("client_id", "orders"), ("session", OWN), ("refresh_token", "x"), ("code", "x")];
        form(&stage.client(0, "alpha"), "/oauth2/token", &pairs).await.oauth_error(400, "invalid_request", "session");
    }
    // The key alone continues it at the other door.
    let alone = [("grant_type", JWT_BEARER), ("client_id", "orders"), ("scope", ENTRA.scopes), ("session", OWN)];
    form(&stage.client(0, "alpha"), "/oauth2/token", &alone).await.oauth_error(400, "invalid_request", "assertion");
    assert_eq!(stage.go_on(0, ENTRA, OWN).await.source(), "cache");
    // Where the server gives nothing to continue with there is no handle either.
    let shop = Kind { app: "shop", ..ISSUER };
    let answer = stage.granted(0, "alpha", (EXCHANGE, shop), Some("new")).await;
    assert_eq!((answer.status, answer.json.get("refresh_token")), (200, None), "{}", answer.text);
}

/// The right to sessions is the flow's that began them.
#[tokio::test]
async fn whoever_may_act_on_behalf_of_users_continues_by_handle_and_nobody_else() {
    let mut stage = Stage::sharing(1).await;
    let begun = stage.granted(0, "beta", (JWT_BEARER, ENTRA), Some("new")).await;
    let handle = begun.member("refresh_token");
    let usual = stage.yaml.clone();
    for (flows, is_allowed) in [("[on_behalf_of]", true), ("[silent, auth_code]", false)] {
        stage.yaml = usual.replace("{name: beta,", &format!("{{name: beta, flows: {flows},"));
        let replica = stage.join().await;
        let answer = stage.redeemed(replica, "beta", ENTRA, handle).await;
        if is_allowed {
            assert_eq!(answer.member("access_token"), begun.member("access_token"), "{}", answer.text);
        } else {
            answer.oauth_error(400, "unauthorized_client", "flows");
        }
    }
}

#[tokio::test]
async fn a_session_is_counted_and_shown_as_its_flow() {
    let stage = Stage::memory().await;
    let (_, key) = stage.begun(0, ENTRA, "new").await;
    let begun = stage.granted(0, "alpha", (JWT_BEARER, ENTRA), Some("new")).await;
    stage.go_on(0, ENTRA, &key).await.token();
    stage.redeemed(0, "alpha", ENTRA, begun.member("refresh_token")).await;
    stage.forced(0, ENTRA, &key).await.token();
    is_unknown(&stage.go_on(0, ENTRA, OWN).await);
    let sample = |outcome: &str, source: &str| {
        format!("tokend_requests_total{{app=\"orders\",flow=\"on_behalf_of\",outcome=\"{outcome}\",source=\"{source}\"}}")
    };
    for (outcome, source, count) in [("ok", "authority", 3.0), ("ok", "memory", 2.0), ("user", "none", 1.0)] {
        assert_eq!(stage.metric(0, &sample(outcome, source)).await, count, "{outcome} {source}");
    }
    let metrics = stage.replicas[0].admin.get("/metrics").await.text;
    assert!(!metrics.contains(&key) && !metrics.contains(OWN) && !metrics.contains("flow=\"session\""));
}
