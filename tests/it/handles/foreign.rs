//! What is no handle of the app and caller that ask: nothing comes of it, whatever it is.

use tokend::caller::{Beyond, Caller};
use tokend::flow::{Common, Redeem, RefusalKind, Request, Silent};
use tokend::token::Scopes;

use super::{ANA, ORDERS, RING, Seen, Stage, USER_READ, call, decoded, encoded, is_invalid};

/// Two that see their own accounts, and one that sees all; each has eight times its name as its token.
const CALLERS: &str = "callers:
  - {name: alpha, token: {inline: alphaalphaalphaalphaalphaalphaalphaalpha}}
  - {name: beta, token: {inline: betabetabetabetabetabetabetabeta}}
  - {name: desk, token: {inline: deskdeskdeskdeskdeskdeskdeskdesk}, accounts: all}
  - {name: bound, token: {inline: boundboundboundboundboundboundboundbound}, apis: [graph-user]}
  - {name: mute, token: {inline: mutemutemutemutemutemutemutemute}, flows: [auth_code]}
";

#[tokio::test]
async fn another_app_cannot_redeem_it() {
    for stage in Stage::both().await {
        let signed = stage.ana(0).await;
        // Ana has signed in there as well.
        let elsewhere = stage.sign_in(0, "orders", USER_READ, ANA).await;
        for (app, handle) in [("orders", signed.handle()), ("web", elsewhere.handle()), ("shop-offline", signed.handle())] {
            is_invalid(&stage.redeem(stage.last(), app, handle).await);
        }
        Seen::of(stage.redeem(stage.last(), "web", signed.handle()).await);
    }
}

#[tokio::test]
async fn another_caller_cannot_redeem_or_revoke_it_and_neither_can_who_sees_all() {
    for stage in [Stage::memory_with(CALLERS).await, Stage::sharing_with(RING, CALLERS).await] {
        let last = stage.last();
        let [alpha, beta, desk] = [stage.caller(0, "alpha").await, stage.caller(0, "beta").await, stage.caller(0, "desk").await];
        let signed = Seen::of(stage.sign_in_with(0, (alpha, "web", ORDERS, ANA), |_| {}).await);
        let theirs = Seen::of(stage.sign_in_with(0, (beta, "web", ORDERS, ANA), |_| {}).await);
        for (caller, handle) in
            [(beta, signed.handle()), (desk, signed.handle()), (Caller::ANYONE, signed.handle()), (alpha, theirs.handle())]
        {
            for replica in [0, last] {
                let redeemed = stage.redeem_as(replica, (caller, "web"), handle, "").await;
                // Nobody in particular may have nothing where there are callers.
                if caller == Caller::ANYONE {
                    assert!(redeemed.is_err())
                } else {
                    is_invalid(&redeemed)
                }
                stage.service(replica).revoke(caller, call(), handle).await.expect("nothing to revoke");
            }
        }
        let next = Seen::of(stage.redeem_as(last, (alpha, "web"), signed.handle(), "").await);
        stage.service(last).revoke(alpha, call(), next.handle()).await.expect("revoked");
        is_invalid(&stage.redeem_as(0, (alpha, "web"), signed.handle(), "").await);
        Seen::of(stage.redeem_as(0, (beta, "web"), theirs.handle(), "").await);
    }
}

#[tokio::test]
async fn a_callers_rights_are_those_of_silent() {
    let stage = Stage::memory_with(CALLERS).await;
    let [bound, mute] = [stage.caller(0, "bound").await, stage.caller(0, "mute").await];
    let kind = |outcome: &tokend::flow::Outcome| outcome.as_ref().err().map(|refusal| refusal.kind);
    // It may have signed the user in, and have no more tokens of it.
    let signed = Seen::of(stage.sign_in_with(0, (mute, "web", ORDERS, ANA), |_| {}).await);
    let redeemed = stage.redeem_as(0, (mute, "web"), signed.handle(), "").await;
    assert_eq!(kind(&redeemed), Some(RefusalKind::CallerNotAllowed));
    // With a bound to certain apis it has to name one of them, whatever the handle would ask for.
    let signed = Seen::of(stage.sign_in_with(0, (bound, "orders", "api graph-user", ANA), |_| {}).await);
    let of_api = |api| {
        let common = Common { api, app: Some("orders"), beyond: Beyond::Nothing, wants_handle: true, ..Common::default() };
        Request::Redeem(Redeem { common, handle: signed.handle(), of_session: false })
    };
    let redeemed = Seen::of(stage.service(0).token(bound, call(), &of_api(Some("graph-user"))).await);
    assert_eq!(redeemed.token, signed.token);
    for request in [of_api(None), of_api(Some("graph"))] {
        let redeemed = stage.service(0).token(bound, call(), &request).await;
        assert_eq!(kind(&redeemed), Some(RefusalKind::CallerNotAllowed));
    }
    stage.service(0).revoke(bound, call(), redeemed.handle()).await.expect("revoked");
    is_invalid(&stage.service(0).token(bound, call(), &of_api(Some("graph-user"))).await);
}

#[tokio::test]
async fn a_handle_from_before_there_were_callers_is_nobodys_after_that() {
    let mut stage = Stage::sharing().await;
    let signed = stage.ana(0).await;
    stage.yaml += CALLERS;
    let url = stage.redis().url();
    let newer = stage.join(&url, RING).await;
    for name in ["alpha", "desk"] {
        let caller = stage.caller(newer, name).await;
        is_invalid(&stage.redeem_as(newer, (caller, "web"), signed.handle(), "").await);
        stage.service(newer).revoke(caller, call(), signed.handle()).await.expect("nothing to revoke");
    }
    Seen::of(stage.redeem(0, "web", signed.handle()).await);
}

#[tokio::test]
async fn what_is_no_handle_is_sent_nowhere_and_signs_nobody_out() {
    for stage in Stage::both().await {
        let signed = stage.ana(0).await;
        let handle = signed.handle();
        let (calls, last) = (stage.calls().await, handle.len() - 1);
        let swapped = if handle.ends_with('A') { "B" } else { "A" };
        let bad = [
            String::new(),
            "tkd1.".to_owned(),
            "0.AXoA-of-the-authority".to_owned(),
            signed.token.clone(),
            handle[..last].to_owned(),
            format!("{}{swapped}", &handle[..last]),
            handle.replacen("tkd1.", "tkd2.", 1),
            format!(" {handle}"),
            format!("{handle}="),
            format!("tkd1.{}", "A".repeat(100_000)),
            "tkd1.\u{0}\u{e9}".to_owned(),
        ];
        for text in &bad {
            is_invalid(&stage.redeem(stage.last(), "web", text).await);
            stage.revoke(stage.last(), text).await.expect("nothing to revoke");
        }
        assert_eq!(stage.calls().await, calls);
        Seen::of(stage.redeem(stage.last(), "web", handle).await);
    }
}

#[tokio::test]
async fn no_record_of_redis_is_a_handle_and_no_handle_a_record() {
    for encryption in [RING, super::PLAINTEXT] {
        let stage = Stage::sharing_with(encryption, "").await;
        let signed = stage.ana(0).await;
        Seen::of(stage.redeem_as(1, (Caller::ANYONE, "web"), signed.handle(), USER_READ).await);
        let records = stage.redis().dump().await;
        assert!(records.len() > 3);
        for (_, value) in &records {
            for text in [encoded(value), String::from_utf8_lossy(value).into_owned()] {
                is_invalid(&stage.redeem(1, "web", &text).await);
                stage.revoke(1, &text).await.expect("nothing to revoke");
            }
        }
        Seen::of(stage.redeem(1, "web", signed.handle()).await);
        // The other way round: a sign-in is looked for where the handle's bytes lie.
        let name = stage.names("}:a").await.remove(0);
        let mut command = redis::cmd("SET");
        command.arg(&name).arg(decoded(signed.handle())).arg("PX").arg(100_000);
        command.query_async::<()>(&mut stage.redis().client().await).await.expect("set");
        let common = Common { app: Some("web"), scopes: Some(Scopes::granted(ORDERS)), force_refresh: true, ..Common::default() };
        let silent = Request::Silent(Silent { common, account: Some(&signed.account) });
        // Nothing was remembered by a replica that has just begun.
        let mut stage = stage;
        let url = stage.redis().url();
        let newcomer = stage.join(&url, encryption).await;
        let refused = stage.service(newcomer).token(Caller::ANYONE, call(), &silent).await;
        assert!(refused.is_err());
    }
}
