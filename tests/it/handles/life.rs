//! From the sign-in that brings a handle to what ends it.

use std::sync::Arc;

use tokend::caller::Caller;
use tokend::flow::{Common, Redeem, RefusalKind, Request, Service, Silent, TokenSource};
use tokend::token::Scopes;

use super::{ANA, DAY, EVA, EXPIRED, ORDERS, RING, Seen, Stage, USER_READ, call, is_invalid};

#[tokio::test]
async fn a_handle_brings_what_was_asked_for_and_the_next_handle() {
    for stage in Stage::both().await {
        for (app, scopes, user, other) in
            [("web", ORDERS, ANA, USER_READ), ("shop-offline", "orders.read stock.read", EVA, "stock.read")]
        {
            let (last, signed) = (stage.last(), stage.sign_in(0, app, scopes, user).await);
            assert!(Service::is_handle(signed.handle()) && signed.handle().len() <= 2048);
            let calls = stage.calls().await;
            let again = Seen::of(stage.redeem(last, app, signed.handle()).await);
            assert_eq!((&again.token, &again.account), (&signed.token, &signed.account));
            assert_ne!(again.handle(), signed.handle());
            assert_eq!(stage.calls().await, calls, "it was cached");
            // For other scopes; what the handle itself asks for stays.
            let part = Seen::of(stage.redeem_as(0, (Caller::ANYONE, app), again.handle(), other).await);
            assert_eq!((part.source, stage.calls().await), (TokenSource::IdentityProvider, calls + 1));
            let own = Seen::of(stage.redeem(last, app, part.handle()).await);
            assert_eq!(own.token, signed.token);
            // By the refresh token, again and again, and the first handle as well.
            let mut handle = own.handle().to_owned();
            for _ in 0..3 {
                stage.later(EXPIRED);
                let renewed = Seen::of(stage.redeem(last, app, &handle).await);
                assert_eq!(renewed.source, TokenSource::IdentityProvider);
                assert_eq!(Seen::of(stage.redeem(0, app, signed.handle()).await).token, renewed.token);
                handle = renewed.handle().to_owned();
            }
        }
        // Nothing but the authority's own was sent to it.
        for asked in stage.emulator.asked("token").await {
            assert!(!asked.to_string().contains("tkd1."), "{asked}");
        }
    }
}

#[tokio::test]
async fn nobody_gets_one_who_does_not_ask_for_it() {
    let stage = Stage::memory().await;
    let user = (Caller::ANYONE, "web", ORDERS, ANA);
    let signed = Seen::of(stage.sign_in_with(0, user, |common| common.wants_handle = false).await);
    assert!(signed.handle.is_none());
    let handle = stage.ana(0).await.handle().to_owned();
    let common = |wants_handle| Common { app: Some("web"), wants_handle, ..Common::default() };
    let redeem = Request::Redeem(Redeem { common: common(false), handle: &handle, of_session: false });
    assert!(Seen::of(stage.service(0).token(Caller::ANYONE, call(), &redeem).await).handle.is_none());
    let common = Common { scopes: Some(Scopes::granted(ORDERS)), ..common(true) };
    let silent = Request::Silent(Silent { common, account: Some(&signed.account) });
    assert!(Seen::of(stage.service(0).token(Caller::ANYONE, call(), &silent).await).handle.is_none());
}

#[tokio::test]
async fn a_handle_that_would_be_too_long_is_none_and_the_token_is_there() {
    let stage = Stage::memory().await;
    // Entra takes them in any case.
    let scope = |number: u16| {
        let cased = ORDERS.char_indices().map(|(at, letter)| {
            let is_upper = at >= ORDERS.len() - 14 && number >> (at + 14 - ORDERS.len()) & 1 == 1;
            if is_upper { letter.to_ascii_uppercase() } else { letter }
        });
        cased.collect::<String>()
    };
    let many = (0..100).map(scope).collect::<Vec<_>>().join(" ");
    let user = (Caller::ANYONE, "web", ORDERS, ANA);
    let signed = stage.sign_in_with(0, user, |common| common.scopes = Some(Scopes::granted(&many))).await;
    let signed = Seen::of(signed);
    assert!(signed.handle.is_none() && !signed.token.is_empty());
}

#[tokio::test]
async fn a_sign_in_that_nothing_renews_has_no_handle() {
    let stage = Stage::memory().await;
    let script =
        serde_json::json!({"on": {"grant_type": "authorization_code"}, "times": 1, "do": {"set": {"refresh_token": null}}});
    stage.emulator.script(script).await;
    let signed = stage.sign_in(0, "shop-offline", "orders.read", EVA).await;
    assert!(signed.handle.is_none() && !signed.token.is_empty());
}

#[tokio::test]
async fn a_sign_out_ends_it_for_good() {
    for stage in Stage::both().await {
        for by_handle in [false, true] {
            let (last, signed) = (stage.last(), stage.ana(0).await);
            let second = stage.ana(last).await;
            let next = Seen::of(stage.redeem(last, "web", signed.handle()).await);
            if by_handle {
                stage.revoke(last, signed.handle()).await.expect("revoked");
                // Once more changes nothing.
                stage.revoke(0, signed.handle()).await.expect("revoked");
            } else {
                stage.sign_out(last, "web", &signed.account).await;
            }
            let handles = [signed.handle(), second.handle(), next.handle()];
            for replica in [last, 0] {
                for handle in handles {
                    is_invalid(&stage.redeem(replica, "web", handle).await);
                }
            }
            // A month later even the epoch is gone that the sign-out has left.
            stage.later(31 * DAY);
            if stage.redis.is_some() {
                for epoch in stage.names("}:e").await {
                    stage.redis().admin().ask::<()>(&["DEL", &epoch]).await.expect("gone");
                }
            }
            let again = stage.ana(0).await;
            for replica in [last, 0] {
                for handle in handles {
                    is_invalid(&stage.redeem(replica, "web", handle).await);
                    // It does not sign out who signed in after it.
                    stage.revoke(replica, handle).await.expect("nothing to revoke");
                }
                Seen::of(stage.redeem(replica, "web", again.handle()).await);
            }
            stage.sign_out(0, "web", &signed.account).await;
        }
    }
}

#[tokio::test]
async fn a_later_sign_in_and_another_refresh_token_end_nothing() {
    for stage in Stage::both().await {
        let (last, signed) = (stage.last(), stage.sign_in(0, "shop-offline", "orders.read", EVA).await);
        stage.later(EXPIRED);
        // Used up, and replaced by the next.
        let renewed = Seen::of(stage.redeem(last, "shop-offline", signed.handle()).await);
        let second = stage.sign_in(last, "shop-offline", "orders.read stock.read", EVA).await;
        stage.later(EXPIRED);
        for replica in [0, last] {
            for handle in [signed.handle(), renewed.handle(), second.handle()] {
                Seen::of(stage.redeem(replica, "shop-offline", handle).await);
            }
        }
        // Each asks for what it was issued for.
        let wide = Seen::of(stage.redeem(0, "shop-offline", second.handle()).await);
        let narrow = Seen::of(stage.redeem(0, "shop-offline", signed.handle()).await);
        assert_ne!(narrow.token, wide.token);
    }
}

#[tokio::test]
async fn it_lasts_for_as_long_as_is_configured_and_each_answer_brings_a_new_one() {
    let lifetime = "refresh_handles: {lifetime: 48h}\n";
    for stage in [Stage::memory_with(lifetime).await, Stage::sharing_with(RING, lifetime).await] {
        let signed = stage.ana(0).await;
        stage.later(DAY);
        let next = Seen::of(stage.redeem(stage.last(), "web", signed.handle()).await);
        stage.later(DAY + 60);
        Seen::of(stage.redeem(0, "web", signed.handle()).await);
        stage.later(1);
        is_invalid(&stage.redeem(0, "web", signed.handle()).await);
        // Nor does one that is too old sign anybody out.
        stage.revoke(0, signed.handle()).await.expect("nothing to revoke");
        Seen::of(stage.redeem(stage.last(), "web", next.handle()).await);
    }
}

#[tokio::test]
async fn what_the_request_says_besides_holds_as_at_silent() {
    let stage = Stage::memory().await;
    let signed = stage.ana(0).await;
    let ask = async |change: &dyn Fn(&mut Common<'_>)| {
        let mut common = Common { app: Some("web"), wants_handle: true, ..Common::default() };
        change(&mut common);
        let request = Request::Redeem(Redeem { common, handle: signed.handle(), of_session: false });
        stage.service(0).token(Caller::ANYONE, call(), &request).await
    };
    let forced = Seen::of(ask(&|common| common.force_refresh = true).await);
    assert!(forced.source == TokenSource::IdentityProvider && forced.token != signed.token);
    let challenged = Seen::of(ask(&|common| common.claims = Some(r#"{"access_token":{"nbf":{"essential":true}}}"#)).await);
    assert!(challenged.source == TokenSource::IdentityProvider && challenged.token != forced.token);
    for (kind, change) in [
        (RefusalKind::InvalidRequest, &(|common: &mut Common<'_>| common.claims = Some("{")) as &dyn Fn(&mut Common<'_>)),
        (RefusalKind::InvalidRequest, &|common| common.resource = Some("urn:r")),
        (RefusalKind::TenantNotAllowed, &|common| common.tenant = Some("fabrikam.example")),
        (RefusalKind::UnknownApp, &|common| common.app = Some("nobody")),
        (RefusalKind::UnknownApi, &|common| common.api = Some("nothing")),
    ] {
        assert_eq!(ask(change).await.err().map(|refusal| refusal.kind), Some(kind));
    }
}

#[tokio::test]
async fn many_at_a_time_are_one_call() {
    for stage in Stage::both().await {
        let signed = stage.sign_in(0, "shop-offline", "orders.read", EVA).await;
        stage.later(EXPIRED);
        let (calls, stage) = (stage.calls().await, Arc::new(stage));
        let asked = (0..20).map(|number| stage.redeem(number % 2 * stage.last(), "shop-offline", signed.handle()));
        let answers: Vec<Seen> = futures_util::future::join_all(asked).await.into_iter().map(Seen::of).collect();
        assert!(answers.iter().all(|answer| answer.token == answers[0].token));
        let handles: std::collections::BTreeSet<&str> = answers.iter().map(Seen::handle).collect();
        assert_eq!((handles.len(), stage.calls().await), (20, calls + 1));
    }
}
