//! Proxies of others before tokend's `/auth/{api}`, by the configurations that `docs/proxies.md` shows: nginx, Envoy, Traefik and
//! Caddy.
//!
//! Each stands between a client that sends whatever bytes it is told to, and an application that keeps what it got.

mod api;
#[path = "../../it/tls/authority.rs"]
#[expect(dead_code, reason = "the tests of the listener use the rest of it")]
mod authority;
mod cases;
mod proofs;
mod proxy;
mod stage;
mod wire;

/// The tests that every proxy has to pass, in a module of its name.
macro_rules! pass {
    ($module:ident, $proxy:ident) => {
        mod $module {
            use super::proxy::Proxy;
            use super::stage::on;
            use super::{cases, proofs};

            pass! {
                $proxy:
                cases::the_token_and_the_identity_arrive
                cases::no_bearer_is_401_with_the_challenge
                cases::other_schemes_and_two_bearers_are_refused
                cases::a_missing_scope_is_403_with_the_challenge
                cases::what_the_proxy_may_not_have_is_403
                cases::throttling_is_429_with_its_time
                cases::an_authority_that_is_away_is_503
                cases::without_tokend_nobody_passes
                cases::long_tokens_pass
                cases::a_long_body_arrives_whole_and_tokend_does_not_wait_for_it
                cases::what_an_outsider_says_it_is_counts_for_nothing
                cases::a_header_that_has_no_claim_arrives_as_nobodys
                cases::a_connection_header_takes_nothing_away
                cases::preflights_are_answered_by_the_proxy
                cases::old_clients_are_served
                cases::head_and_options_pass
                cases::an_upgrade_passes
                cases::what_is_only_judged_keeps_its_token
                cases::a_long_path_arrives_whole
                proofs::each_proof_of_the_page_is_one
            }
        }
    };
    ($proxy:ident: $($place:ident::$case:ident)+) => {
        $(
            #[test]
            fn $case() {
                on(Proxy::$proxy, $place::$case);
            }
        )+
    };
}

pass!(nginx, Nginx);
pass!(envoy, Envoy);
pass!(traefik, Traefik);
pass!(caddy, Caddy);

/// As many a configuration has it: all that the client sent goes to tokend too, the length of its body included, over HTTP/1.0.
#[test]
fn nginx_with_the_clients_headers_is_answered_without_a_wait() {
    stage::on(proxy::Proxy::Nginx, cases::a_length_without_a_body_is_not_waited_for);
}
