//! Histories that nobody lived: one in which everything holds, and for each rule some that break it alone, or are excused.

use std::collections::BTreeSet;
use std::time::Duration;

use super::checker::history::{
    Call, Family, Fault, History, Identity, Key, Kind, Millis, Op, Outcome, Sample, Span, Store, Token, What,
};
use super::checker::invariants::{Bounds, Invariant, check};
use super::checker::plan::{Deed, Plan, Topology};

/// Seconds since 1970 at which they begin.
const EPOCH: i64 = 1_795_300_000;
const SECOND: Millis = 1_000;
const MEBIBYTE: u64 = 1 << 20;

const BOUNDS: Bounds = Bounds {
    message: SECOND,
    recheck: 2 * SECOND,
    settle: 4 * SECOND,
    mark: 16 * SECOND,
    renewal: 10 * SECOND,
    scopes: 2,
    memory: 100 * MEBIBYTE,
    descriptors: 100,
    connections: 4,
    keys: 50,
};

/// A history of three replicas and a hundred seconds, with these requests.
fn of(ops: Vec<Op>) -> History {
    History { replicas: 3, length: 100 * SECOND, epoch: u64::try_from(EPOCH).expect("a time") * 1_000, ops, ..History::default() }
}

fn with(faults: &[(What, Millis, Millis)], mut history: History) -> History {
    history.faults = faults
        .iter()
        .map(|(what, begin, end)| Fault { what: *what, text: "a fault".to_owned(), span: Span { begin: *begin, end: *end } })
        .collect();
    history
}

fn broken(history: &History) -> Vec<Invariant> {
    check(history, &BOUNDS).iter().map(|violation| violation.invariant).collect()
}

fn nothing() -> Vec<Invariant> {
    Vec::new()
}

fn identity(subject: &str, scope: &str) -> Identity {
    Identity { client: "shop-web".to_owned(), subject: subject.to_owned(), scopes: BTreeSet::from([scope.to_owned()]) }
}

/// A request of account 0 that takes a tenth of a second.
fn op(kind: Kind, replica: usize, begin: Millis, outcome: Outcome) -> Op {
    Op { kind, replica, account: 0, asked: identity("eva", "orders.read"), span: Span { begin, end: begin + 100 }, outcome }
}

/// A token of a sign-in that was got when it was asked for.
fn token(sid: &str, at: Millis) -> Token {
    let issued = EPOCH + i64::try_from(at / SECOND).expect("a time");
    Token {
        identity: identity("eva", "orders.read"),
        sid: sid.to_owned(),
        issued,
        ends: issued + 20,
        expires_in: 20,
        from_cache: false,
    }
}

fn sign_in(replica: usize, at: Millis, sid: &str) -> Op {
    op(Kind::SignIn, replica, at, Outcome::Token(token(sid, at)))
}

fn silent(replica: usize, at: Millis, sid: &str) -> Op {
    op(Kind::Silent { forced: false }, replica, at, Outcome::Token(token(sid, at)))
}

fn sign_out(replica: usize, at: Millis) -> Op {
    op(Kind::SignOut, replica, at, Outcome::Done)
}

fn refused(kind: Kind, replica: usize, at: Millis, status: u16) -> Op {
    op(kind, replica, at, Outcome::Refused { status, error: "an_error".to_owned(), retryable: status >= 500 })
}

fn unknown(replica: usize, at: Millis) -> Op {
    refused(Kind::Silent { forced: false }, replica, at, 401)
}

fn list(replica: usize, at: Millis, accounts: &[usize], complete: bool) -> Op {
    op(Kind::List, replica, at, Outcome::Accounts { accounts: accounts.iter().copied().collect(), complete })
}

const SILENT: Kind = Kind::Silent { forced: false };
const APP: Kind = Kind::App { forced: false };

#[test]
fn where_everything_holds_nothing_is_found() {
    let ops = vec![
        sign_in(0, 0, "a"),
        silent(1, 5_000, "a"),
        list(2, 6_000, &[0], true),
        sign_out(0, 10_000),
        // The message is on its way.
        silent(1, 10_500, "a"),
        unknown(1, 12_000),
        list(2, 12_000, &[], true),
        sign_in(2, 20_000, "b"),
        silent(0, 21_000, "b"),
        op(APP, 0, 22_000, Outcome::Token(token("", 22_000))),
    ];
    assert_eq!(broken(&of(ops)), nothing());
}

#[test]
fn a_token_of_somebody_else_or_for_something_else_is_found() {
    for wrong in [
        Identity { subject: "sam".to_owned(), ..identity("eva", "orders.read") },
        Identity { client: "other".to_owned(), ..identity("eva", "orders.read") },
        identity("eva", "stock.read"),
    ] {
        let foreign = Token { identity: wrong, ..token("a", 5_000) };
        let ops = vec![sign_in(0, 0, "a"), op(SILENT, 1, 5_000, Outcome::Token(foreign))];
        assert_eq!(broken(&of(ops)), [Invariant::Identity]);
    }
}

#[test]
fn a_token_that_had_ended_or_is_said_to_last_longer_or_was_to_be_new_is_found() {
    let at = |forced, token| of(vec![sign_in(0, 0, "a"), op(Kind::Silent { forced }, 1, 30_000, Outcome::Token(token))]);
    assert_eq!(broken(&at(false, token("a", 5_000))), [Invariant::Freshness]);
    assert_eq!(broken(&at(false, Token { expires_in: 600, ..token("a", 25_000) })), [Invariant::Freshness]);
    // Whoever stood still when it came counts from later on, and no longer than that.
    let longer = || at(false, Token { expires_in: 20, ..token("a", 25_000) });
    assert_eq!(broken(&longer()), [Invariant::Freshness]);
    assert_eq!(broken(&with(&[(What::Stop(2), 24_000, 28_000)], longer())), nothing());
    assert_eq!(broken(&with(&[(What::Stop(2), 24_000, 26_000)], longer())), [Invariant::Freshness]);
    assert_eq!(broken(&at(true, Token { expires_in: 10, ..token("a", 20_000) })), [Invariant::Freshness]);
    assert_eq!(broken(&at(true, Token { expires_in: 18, ..token("a", 28_000) })), nothing());
}

#[test]
fn a_token_that_outlives_a_sign_out_is_found() {
    let after = |replica, at| vec![sign_in(0, 0, "a"), sign_out(0, 10_000), silent(replica, at, "a")];
    // The replica itself knows it at once, the others a second later.
    assert_eq!(broken(&of(after(0, 10_200))), [Invariant::SignedOut]);
    assert_eq!(broken(&of(after(1, 10_900))), nothing());
    assert_eq!(broken(&of(after(1, 11_200))), [Invariant::SignedOut]);
    // Where the message may have been lost it is known when Redis was asked.
    let cut = [(What::Path(1), 9_000, 12_000)];
    assert_eq!(broken(&with(&cut, of(after(1, 13_000)))), nothing());
    assert_eq!(broken(&with(&cut, of(after(1, 19_000)))), [Invariant::SignedOut]);
    // Who stood still asks before it answers.
    assert_eq!(broken(&with(&[(What::Stop(1), 9_000, 14_000)], of(after(1, 14_000)))), [Invariant::SignedOut]);
    // Another sign-in is another one.
    let mut again = after(1, 20_000);
    again.push(sign_in(2, 11_000, "b"));
    again.push(silent(1, 20_000, "b"));
    assert_eq!(broken(&of(again)), [Invariant::SignedOut], "the first one is still signed out");
}

#[test]
fn a_token_of_a_user_from_before_a_sign_out_is_found() {
    let got = |issued, replica, at| {
        let mut op = op(Kind::Obo { forced: false }, replica, at, Outcome::Token(token("", issued)));
        if let Outcome::Token(token) = &mut op.outcome {
            token.expires_in = 1;
        }
        op
    };
    let after = |issued, replica, at| of(vec![op(Kind::Leave, 0, 10_000, Outcome::Done), got(issued, replica, at)]);
    assert_eq!(broken(&after(5_000, 0, 10_200)), [Invariant::SignedOut]);
    assert_eq!(broken(&after(5_000, 1, 10_200)), nothing());
    assert_eq!(broken(&after(5_000, 1, 12_000)), [Invariant::SignedOut]);
    assert_eq!(broken(&after(10_000, 1, 12_000)), nothing());
}

#[test]
fn a_sign_out_holds_as_long_as_one_replica_knows_it() {
    let ops = || vec![sign_in(0, 0, "a"), sign_out(0, 10_000), silent(1, 40_000, "a")];
    let loss = (What::Loss, 20_000, 21_000);
    assert_eq!(broken(&with(&[loss], of(ops()))), [Invariant::SignedOut]);
    let killed = |replica| (What::Kill(replica), 18_000, 19_000);
    assert_eq!(broken(&with(&[loss, killed(0), killed(2)], of(ops()))), [Invariant::SignedOut]);
    assert_eq!(broken(&with(&[loss, killed(0), killed(1), killed(2)], of(ops()))), nothing());
    // A server that forgets everything and works on is no excuse for anybody who was told.
    let forgets = (What::Flush, 39_000, 39_900);
    assert_eq!(broken(&with(&[forgets], of(ops()))), [Invariant::SignedOut]);
    assert_eq!(broken(&with(&[forgets, (What::Kill(1), 18_000, 19_000)], of(ops()))), nothing(), "it is about to be put back");
    // Without a loss it stands in Redis.
    assert_eq!(broken(&with(&[killed(0), killed(1), killed(2)], of(ops()))), [Invariant::SignedOut]);
}

#[test]
fn an_account_that_is_listed_although_it_was_signed_out_is_found() {
    let ops = |at| vec![sign_in(0, 0, "a"), sign_out(0, 10_000), list(1, at, &[0], true)];
    assert_eq!(broken(&of(ops(10_500))), nothing());
    assert_eq!(broken(&of(ops(20_000))), [Invariant::SignedOut]);
    let mut again = ops(20_000);
    again.push(op(Kind::SignIn, 1, 15_000, Outcome::Nothing("it may have been".to_owned())));
    assert_eq!(broken(&with(&[(What::Kill(1), 15_000, 16_000)], of(again))), nothing());
}

#[test]
fn an_account_that_is_signed_out_by_nobody_is_found() {
    let ops = || vec![sign_in(0, 0, "a"), unknown(1, 40_000)];
    assert_eq!(broken(&of(ops())), [Invariant::SignedIn]);
    let (loss, kill) = ((What::Loss, 20_000, 21_000), (What::Kill(2), 10_000, 11_000));
    // Who made it has it still, and puts it back.
    assert_eq!(broken(&with(&[loss], of(ops()))), [Invariant::SignedIn]);
    assert_eq!(broken(&with(&[kill], of(ops()))), [Invariant::SignedIn]);
    assert_eq!(broken(&with(&[kill, loss], of(ops()))), nothing());
    assert_eq!(broken(&with(&[(What::Loss, 39_000, 39_500)], of(ops()))), nothing());
    assert_eq!(broken(&with(&[(What::Eviction, 20_000, 21_000)], of(ops()))), nothing());
    // Whoever made it has started since an earlier sign-out, which Redis has just lost.
    let again = || vec![sign_out(0, 1_000), sign_in(0, 10_000, "a"), unknown(1, 40_000)];
    let (forgets, started) = ((What::Flush, 9_000, 12_000), |replica| (What::Kill(replica), 5_000, 6_000));
    assert_eq!(broken(&with(&[forgets, started(0)], of(again()))), nothing());
    assert_eq!(broken(&with(&[forgets, started(1)], of(again()))), [Invariant::SignedIn]);
    assert_eq!(broken(&with(&[started(0)], of(again()))), [Invariant::SignedIn]);
    // Somebody tried to sign it out, and nobody knows what came of it.
    let mut tried = ops();
    tried.push(refused(Kind::SignOut, 2, 30_000, 503));
    assert_eq!(broken(&with(&[(What::Redis, 29_000, 31_000)], of(tried))), nothing());
}

#[test]
fn a_listing_that_leaves_somebody_out_is_found() {
    let ops = |complete| vec![sign_in(0, 0, "a"), list(1, 40_000, &[], complete)];
    assert_eq!(broken(&of(ops(true))), [Invariant::Listing]);
    assert_eq!(broken(&of(ops(false))), nothing());
    assert_eq!(broken(&with(&[(What::Redis, 39_000, 39_100)], of(ops(true)))), nothing());
}

#[test]
fn a_refresh_token_that_is_sent_twice_is_found() {
    let sent = |times: &[(Millis, bool)]| {
        let family = Family { sid: "a".to_owned(), account: 0, redemptions: times.to_vec() };
        History { families: vec![family], ..of(vec![sign_in(0, 0, "a")]) }
    };
    let once = sent(&[(10_000, false), (20_000, false)]);
    assert_eq!(broken(&once), nothing());
    let twice = || sent(&[(10_000, false), (20_000, false), (30_000, true)]);
    assert_eq!(broken(&twice()), [Invariant::Revoked]);
    // Killed with the successor in its hands, or long after.
    assert_eq!(broken(&with(&[(What::Kill(1), 20_100, 21_000)], twice())), nothing());
    assert_eq!(broken(&with(&[(What::Kill(1), 26_000, 27_000)], twice())), [Invariant::Revoked]);
    // Redis was away all the time between: it could not be stored.
    assert_eq!(broken(&with(&[(What::Redis, 20_000, 25_500), (What::Kill(1), 26_000, 27_000)], twice())), nothing());
    // What Redis lost is put back, if somebody is left.
    assert_eq!(broken(&with(&[(What::Loss, 26_000, 27_000)], twice())), [Invariant::Revoked]);
    assert_eq!(broken(&with(&[(What::Kill(1), 25_500, 25_800), (What::Loss, 26_000, 27_000)], twice())), nothing());
    // Standing still for a while does not excuse it; for longer than anybody waits does.
    assert_eq!(broken(&with(&[(What::Stop(1), 19_900, 26_000)], twice())), [Invariant::Revoked]);
    let late = sent(&[(20_000, false), (40_000, true)]);
    assert_eq!(broken(&with(&[(What::Stop(1), 20_100, 37_000)], late)), nothing());
    // An eviction excuses what comes while it is being sent, and no more.
    let soon = sent(&[(20_000, false), (20_300, true)]);
    assert_eq!(broken(&with(&[(What::Eviction, 19_000, 20_200)], soon)), nothing());
    assert_eq!(broken(&with(&[(What::Eviction, 19_000, 20_200)], twice())), [Invariant::Revoked]);
}

#[test]
fn a_failure_that_nothing_excuses_is_found() {
    for kind in [APP, Kind::Obo { forced: false }, SILENT, Kind::SignIn, Kind::SignOut, Kind::Leave, Kind::List] {
        for status in [400, 500, 502, 503, 504] {
            assert_eq!(broken(&of(vec![refused(kind, 0, 30_000, status)])), [Invariant::Status], "{kind:?} {status}");
        }
        let gone = || op(kind, 0, 30_000, Outcome::Nothing("reset".to_owned()));
        assert_eq!(broken(&of(vec![gone()])), [Invariant::Status], "{kind:?}");
        assert_eq!(broken(&with(&[(What::Kill(0), 30_050, 31_000)], of(vec![gone()]))), nothing(), "{kind:?}");
        let away = |begin| with(&[(What::Redis, begin, begin + 1_000)], of(vec![refused(kind, 0, 30_000, 503)]));
        // A token that the authority can give is given without Redis.
        let expected = if matches!(kind, Kind::App { .. } | Kind::Obo { .. }) { vec![Invariant::Status] } else { nothing() };
        assert_eq!(broken(&away(28_000)), expected, "{kind:?}");
        assert_eq!(broken(&away(20_000)), [Invariant::Status], "{kind:?}: it works again, and is not used");
        let elsewhere = with(&[(What::Path(1), 29_000, 30_500)], of(vec![refused(kind, 0, 30_000, 503)]));
        assert_eq!(broken(&elsewhere), [Invariant::Status], "{kind:?}: its own way is well");
    }
    // Another replica may stand still with the turn.
    let stopped = with(&[(What::Stop(1), 20_000, 25_000)], of(vec![refused(SILENT, 0, 30_000, 503)]));
    assert_eq!(broken(&stopped), nothing());
}

#[test]
fn too_many_calls_are_found() {
    let called = |key: &Key, times: &[Millis], mut history: History| {
        history.calls = times.iter().map(|at| Call { at: *at, key: key.clone() }).collect();
        history
    };
    let often: Vec<_> = (0..12).map(|number| number * 500).collect();
    let seldom: Vec<_> = (0..10).map(|number| number * 10_000).collect();
    for key in [Key::App("orders.read".to_owned()), Key::Obo(0)] {
        assert_eq!(broken(&called(&key, &seldom, of(Vec::new()))), nothing(), "{key:?}");
        let asked = called(&key, &often, of(Vec::new()));
        assert_eq!(broken(&asked), [Invariant::Calls], "{key:?}");
        // Each replica on its own while Redis is away, but no more than that.
        let away = [(What::Redis, 0, 6_000)];
        assert_eq!(broken(&with(&away, called(&key, &often[..7], of(Vec::new())))), nothing(), "{key:?}");
    }
    let forced = (0..12).map(|number| op(Kind::App { forced: true }, 0, number * 500, Outcome::Token(token("", number * 500))));
    let key = Key::App("orders.read".to_owned());
    assert_eq!(broken(&called(&key, &often, of(forced.collect()))), nothing());
    let refreshes: Vec<_> = (0..30).map(|number| number * 100).collect();
    let asked = called(&Key::Account(0), &refreshes, of(vec![sign_in(0, 0, "a")]));
    assert_eq!(broken(&asked), [Invariant::Calls]);
}

#[test]
fn what_is_not_bounded_and_what_has_no_end_is_found() {
    let sample =
        |memory, descriptors| History { samples: vec![Sample { at: 5_000, replica: 0, memory, descriptors }], ..of(Vec::new()) };
    assert_eq!(broken(&sample(50 * MEBIBYTE, 50)), nothing());
    assert_eq!(broken(&sample(101 * MEBIBYTE, 50)), [Invariant::Resources]);
    assert_eq!(broken(&sample(50 * MEBIBYTE, 101)), [Invariant::Resources]);
    let store = |connections, keys, without_end: &[&str]| {
        let without_end = without_end.iter().map(|name| (*name).to_owned()).collect();
        History { stores: vec![Store { at: 5_000, connections, keys, without_end }], ..of(Vec::new()) }
    };
    assert_eq!(broken(&store(12, 50, &[])), nothing());
    assert_eq!(broken(&store(13, 50, &[])), [Invariant::Resources]);
    assert_eq!(broken(&store(12, 51, &[])), [Invariant::Resources]);
    assert_eq!(broken(&store(12, 50, &["tokend:x"])), [Invariant::Ends]);
}

#[test]
fn a_seed_decides_the_requests_and_the_faults() {
    for topology in Topology::ALL {
        assert_eq!(Topology::named(topology.name()), Some(topology));
        let plan = |seed| Plan {
            topology,
            seed,
            length: Duration::from_secs(60),
            replicas: 3,
            accounts: 8,
            workers: 4,
            calm: (1_000, 5_000),
            longest: Duration::from_secs(5),
            recheck: Duration::from_secs(5),
            deadline: Duration::from_millis(100),
            command: "",
            lifetime: 20,
            skew: 0,
            only: None,
        };
        let told = |seed| {
            let rounds: Vec<_> = plan(seed).rounds().take(50).map(|round| format!("{round:?}")).collect();
            let steps = (0..4).flat_map(|worker| plan(seed).steps(worker).take(200)).map(|step| format!("{step:?}"));
            (rounds, steps.collect::<Vec<_>>())
        };
        assert_eq!(told(7), told(7));
        assert_ne!(told(7).0, told(8).0);
        assert_ne!(told(7).1, told(8).1);
    }
    assert_eq!(Topology::Cluster.deed("Migrate"), Some(Deed::Migrate));
    assert_eq!(Topology::Cluster.deed("Cut"), None);
}
