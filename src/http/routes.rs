//! THE table of routes. The router, the names of requests in logs and spans, and the API document are made from it;
//! `tests/table.rs` holds them to it.

use super::dialect::Dialect;
use super::doors::{accounts, msi, oauth2, rest};
use super::members::{Member, MemberSet};
pub(super) use super::route::{BodyKind, Gives, Operation, Path, ProofPlace, Route, RouteMethod, Spelling};
use super::rows;
use crate::flow::Flow;

const TOKENS: &str = "tokens";
const SIGN_IN: &str = "sign-in";
const ACCOUNTS: &str = "accounts";
const OAUTH2: &str = "oauth2";
const IDENTITY: &str = "managed identity";

/// A path that no route has.
const UNMATCHED: Path = Path::rest("unmatched");

/// Two routes have each of these.
const OBO: Path = Path::rest("/obo").of_flow(Flow::OnBehalfOf);
const ACCOUNT: Path = Path::rest("/accounts/{home_account_id}");

/// All routes of the token listener.
pub(super) static ROUTES: [Route; 29] = [
    Route {
        path: Path::rest("/client-credentials").of_flow(Flow::ClientCredentials),
        method: RouteMethod::Post,
        body: BodyKind::Json(
            "ClientCredentialsRequest",
            "What `/client-credentials` takes. `scopes` or `api` is needed, unless `audience` or `resource` is given.",
        ),
        bearer: false,
        takes: MemberSet::CACHED,
        door: rest::client_credentials,
        operation: Operation {
            id: "client_credentials",
            tag: TOKENS,
            summary: "A token for the app itself.",
            description: None,
            gives: Gives::Token,
        },
    },
    Route {
        path: OBO,
        method: RouteMethod::Post,
        body: BodyKind::Json(
            "OnBehalfOfRequest",
            "What `/obo` takes. `scopes` or `api` is needed, unless `audience` or `resource` is given.",
        ),
        bearer: true,
        takes: MemberSet::CACHED.and(&[
            Member::SubjectTokenType,
            Member::RequestedTokenType,
            Member::Assertion,
            Member::AssertionType,
            Member::Session,
        ]),
        door: rest::on_behalf_of,
        operation: Operation {
            id: "obo",
            tag: TOKENS,
            summary: "A token on behalf of the user whose token comes as `Authorization: Bearer`, or whose SAML assertion in the body.",
            description: Some(
                "An assertion is judged by the authority alone; it is refused here if it is not well-formed, not of the type that is \
                 named, or has ended. With `session` a user's token begins a long-running session, which always asks the \
                 authority; without one the session goes on: from the cache, else by its refresh token.",
            ),
            gives: Gives::Token,
        },
    },
    Route {
        path: Path::rest("/auth-code/url").of_flow(Flow::AuthCode),
        method: RouteMethod::Post,
        body: BodyKind::Json("AuthCodeUrlRequest", "What `/auth-code/url` takes. `redirect_uri` is needed."),
        bearer: false,
        takes: MemberSet::SIGN_IN.and(&[
            Member::Prompt,
            Member::LoginHint,
            Member::DomainHint,
            Member::ExtraScopesToConsent,
            Member::ResponseType,
            Member::ResponseMode,
            Member::State,
        ]),
        door: rest::auth_code_url,
        operation: Operation {
            id: "auth_code_url",
            tag: SIGN_IN,
            summary: "The URL at which a user signs in, with PKCE, state and nonce.",
            description: Some(
                "tokend keeps nothing: the caller stores the answer in the browser's server-side session, and compares `state` \
                 with what comes back.",
            ),
            gives: Gives::Url,
        },
    },
    Route {
        path: Path::rest("/auth-code").of_flow(Flow::AuthCode),
        method: RouteMethod::Post,
        body: BodyKind::Json("AuthCodeRequest", "What `/auth-code` takes. `code` and `redirect_uri` are needed."),
        bearer: false,
        takes: MemberSet::SIGN_IN.and(&[Member::Code, Member::CodeVerifier, Member::Iss]),
        door: rest::auth_code,
        operation: Operation {
            id: "auth_code",
            tag: SIGN_IN,
            summary: "Redeems an authorization code: a token and the account that signed in.",
            description: None,
            gives: Gives::Token,
        },
    },
    Route {
        path: Path::rest("/silent").of_flow(Flow::Silent),
        method: RouteMethod::Post,
        body: BodyKind::Json(
            "SilentRequest",
            "What `/silent` takes. `account` is needed, and `scopes` or `api` at Entra-style authorities.",
        ),
        bearer: false,
        takes: MemberSet::CACHED.and(&[Member::Account, Member::Policy]),
        door: rest::silent,
        operation: Operation {
            id: "silent",
            tag: TOKENS,
            summary: "A token for a user who signed in before: from the cache, else by the account's refresh token.",
            description: None,
            gives: Gives::Token,
        },
    },
    Route {
        path: Path::rest("/refresh-token").of_flow(Flow::RefreshToken),
        method: RouteMethod::Post,
        body: BodyKind::Json(
            "RefreshTokenRequest",
            "What `/refresh-token` takes. `refresh_token` is needed, and `scopes` or `api` at Entra-style authorities.",
        ),
        bearer: false,
        takes: MemberSet::COMMON.and(&[Member::RefreshToken]),
        door: rest::refresh_token,
        operation: Operation {
            id: "refresh_token",
            tag: SIGN_IN,
            summary: "Signs a user in by the refresh token that another library got: a token and the account.",
            description: Some(
                "For moving to tokend. Served for apps with `refresh_token: true`. The refresh token is redeemed once and neither \
                 kept nor answered; what the authority gives for it renews the account's tokens from now on. Where refresh \
                 tokens are good for one use, the same one is refused for 15 minutes.",
            ),
            gives: Gives::Token,
        },
    },
    Route {
        path: Path::rest("/username-password").of_flow(Flow::UsernamePassword),
        method: RouteMethod::Post,
        body: BodyKind::Json(
            "UsernamePasswordRequest",
            "What `/username-password` takes. `username` and `password` are needed, and `scopes` or `api` at Entra-style authorities.",
        ),
        bearer: false,
        takes: MemberSet::COMMON.and(&[Member::Username, Member::Password]),
        door: rest::username_password,
        operation: Operation {
            id: "username_password",
            tag: SIGN_IN,
            summary: "Signs a user in by name and password: a token and the account.",
            description: Some(
                "For tests and for devices without a browser; better flows exist for everything else. Served for apps with \
                 `username_password: true`. After five wrong passwords of one user in five minutes it is 429.",
            ),
            gives: Gives::Token,
        },
    },
    Route {
        path: Path::rest("/accounts"),
        method: RouteMethod::Get,
        body: BodyKind::Empty,
        bearer: false,
        takes: MemberSet::of(&[Member::App, Member::Cursor, Member::Limit]),
        door: accounts::list,
        operation: Operation {
            id: "list_accounts",
            tag: ACCOUNTS,
            summary: "The accounts that are signed in at an app, a page at a time.",
            description: Some(
                "An account that signs in or out while the listing goes on may be listed or not; one that is renewed meanwhile \
                 may be listed twice.",
            ),
            gives: Gives::Accounts,
        },
    },
    Route {
        path: ACCOUNT,
        method: RouteMethod::Get,
        body: BodyKind::Empty,
        bearer: false,
        takes: MemberSet::of(&[Member::App]),
        door: accounts::one,
        operation: Operation {
            id: "get_account",
            tag: ACCOUNTS,
            summary: "One account.",
            description: None,
            gives: Gives::Account,
        },
    },
    Route {
        path: ACCOUNT,
        method: RouteMethod::Delete,
        body: BodyKind::Empty,
        bearer: false,
        takes: MemberSet::of(&[Member::App]),
        door: accounts::sign_out,
        operation: Operation {
            id: "sign_out",
            tag: ACCOUNTS,
            summary: "Signs an account out: every token of it is gone from every replica. Nothing is revoked at the authority.",
            description: None,
            gives: Gives::Nothing,
        },
    },
    Route {
        path: Path::rest("/sign-out/url"),
        method: RouteMethod::Post,
        body: BodyKind::Json("SignOutUrlRequest", "What `/sign-out/url` takes. Nothing is needed, where one app can be meant."),
        bearer: false,
        takes: MemberSet::of(&[
            Member::App,
            Member::PostLogoutRedirectUri,
            Member::State,
            Member::Account,
            Member::LogoutHint,
            Member::IdTokenHint,
        ]),
        door: rest::sign_out_url,
        operation: Operation {
            id: "sign_out_url",
            tag: ACCOUNTS,
            summary: "The URL at which a user signs out at the authority (RP-Initiated Logout 1.0).",
            description: Some(
                "With `account`, that is signed out here as well, as by `DELETE /accounts/{home_account_id}`. Without a place to sign \
                 out at, as some issuers are: 403, and nothing is done.",
            ),
            gives: Gives::SignOutUrl,
        },
    },
    Route {
        path: Path::oauth2("/oauth2/token"),
        method: RouteMethod::Post,
        body: BodyKind::Form("OAuthTokenRequest", "What `/oauth2/token` takes (RFC 6749 §4). Other parameters are ignored."),
        bearer: false,
        takes: MemberSet::PROOFS.and(&[
            Member::GrantType,
            Member::Scope,
            Member::Code,
            Member::RedirectUri,
            Member::CodeVerifier,
            Member::DeviceCode,
            Member::RefreshToken,
            Member::Username,
            Member::Password,
            Member::Assertion,
            Member::RequestedTokenUse,
            Member::SubjectToken,
            Member::SubjectTokenType,
            Member::RequestedTokenType,
            Member::Audience,
            Member::Resource,
            Member::Api,
            Member::Tenant,
            Member::Claims,
            Member::ForceRefresh,
            Member::Policy,
            Member::Session,
            Member::ActorToken,
            Member::AuthorizationDetails,
            Member::RequestObject,
            Member::ReqCnf,
            Member::TokenType,
        ]),
        door: oauth2::token,
        operation: Operation {
            id: "oauth2_token",
            tag: OAUTH2,
            summary: "A token, for clients that speak OAuth 2.0 (RFC 6749).",
            description: Some(
                "Grants: `client_credentials`, `authorization_code`, `refresh_token`, `password`, \
                 `urn:ietf:params:oauth:grant-type:jwt-bearer`, `urn:ietf:params:oauth:grant-type:saml2-bearer`, \
                 `urn:ietf:params:oauth:grant-type:token-exchange` and `urn:ietf:params:oauth:grant-type:device_code`. A refresh \
                 token is a handle of tokend's own. Served where `doors` has `oauth2`.",
            ),
            gives: Gives::OAuthToken,
        },
    },
    Route {
        path: Path::oauth2("/oauth2/revoke"),
        method: RouteMethod::Post,
        body: BodyKind::Form("RevocationRequest", "What `/oauth2/revoke` takes (RFC 7009 §2.1)."),
        bearer: false,
        takes: MemberSet::PROOFS.and(&[Member::TheToken, Member::TokenTypeHint]),
        door: oauth2::revoke,
        operation: Operation {
            id: "oauth2_revoke",
            tag: OAUTH2,
            summary: "Signs out the account that a handle stands for (RFC 7009).",
            description: Some("Anything else than a handle of this caller changes nothing, and is answered alike."),
            gives: Gives::Revocation,
        },
    },
    Route {
        path: Path::oauth2("/introspect"),
        method: RouteMethod::Post,
        body: BodyKind::Form("IntrospectionRequest", "What `/introspect` takes (RFC 7662 §2.1)."),
        bearer: false,
        takes: MemberSet::PROOFS.and(&[Member::TheToken, Member::TokenTypeHint]),
        door: oauth2::introspect,
        operation: Operation {
            id: "introspect",
            tag: OAUTH2,
            summary: "Whether an app accepts a token, and its claims (RFC 7662).",
            description: Some("Judged as `apps.*.inbound` says. tokend knows no revocation: a token is active until its end."),
            gives: Gives::Introspection,
        },
    },
    Route {
        path: Path { proof: ProofPlace::Open, ..Path::oauth2("/.well-known/oauth-authorization-server/{app}") },
        method: RouteMethod::Get,
        body: BodyKind::Query,
        bearer: false,
        takes: MemberSet::of(&[]),
        door: oauth2::metadata,
        operation: Operation {
            id: "oauth2_metadata",
            tag: OAUTH2,
            summary: "What clients need to know of this server (RFC 8414).",
            description: Some("Served where `public_url` is configured."),
            gives: Gives::ServerMetadata,
        },
    },
    Route {
        path: Path::msi("/msi/token", Dialect::AppService, ProofPlace::IdentityHeader),
        method: RouteMethod::Get,
        body: BodyKind::Query,
        bearer: false,
        takes: MemberSet::of(&[
            Member::ApiVersion,
            Member::Resource,
            Member::ClientId,
            Member::MiResId,
            Member::MsiResId,
            Member::ObjectId,
            Member::PrincipalId,
            Member::TokenSha256ToRefresh,
        ]),
        door: msi::app_service,
        operation: Operation {
            id: "msi_token",
            tag: IDENTITY,
            summary: "A token for the app itself, as Azure App Service gives managed identities theirs.",
            description: Some("For SDKs that find `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`. Served where `doors` has `msi`."),
            gives: Gives::ManagedIdentity,
        },
    },
    Route {
        path: Path::msi(IMDS, Dialect::Imds, ProofPlace::Named),
        method: RouteMethod::Get,
        body: BodyKind::Query,
        bearer: false,
        takes: MemberSet::IMDS,
        door: msi::imds,
        operation: Operation {
            id: "imds_token",
            tag: IDENTITY,
            summary: "A token for the app itself, as the instance metadata service gives managed identities theirs.",
            description: Some("Served where `msi.imds` is configured. No secret is possible here."),
            gives: Gives::InstanceMetadata,
        },
    },
    Route {
        path: Path::msi(IMDS_SLASH, Dialect::Imds, ProofPlace::Named),
        method: RouteMethod::Get,
        body: BodyKind::Query,
        bearer: false,
        takes: MemberSet::IMDS,
        door: msi::imds,
        operation: Operation {
            id: "imds_token_slash",
            tag: IDENTITY,
            summary: "As without the slash, which some clients add.",
            description: None,
            gives: Gives::InstanceMetadata,
        },
    },
    Route {
        path: Path::rest("/device-code").of_flow(Flow::DeviceCode),
        method: RouteMethod::Post,
        body: BodyKind::Json(
            "DeviceCodeRequest",
            "What `/device-code` takes. `scopes` or `api` is needed at Entra-style authorities.",
        ),
        bearer: false,
        takes: MemberSet::COMMON,
        door: rest::device_code,
        operation: Operation {
            id: "device_code",
            tag: SIGN_IN,
            summary: "Begins a sign-in on another device (RFC 8628): a code, and the page where its user enters it.",
            description: None,
            gives: Gives::DeviceAuthorization,
        },
    },
    Route {
        path: Path::rest("/device-code/poll").of_flow(Flow::DeviceCode),
        method: RouteMethod::Post,
        body: BodyKind::Json("DevicePollRequest", "What `/device-code/poll` takes. `device_code` is needed."),
        bearer: false,
        takes: MemberSet::of(&[Member::App, Member::DeviceCode]),
        door: rest::device_poll,
        operation: Operation {
            id: "device_code_poll",
            tag: SIGN_IN,
            summary: "Asks what became of a sign-in on another device: a token and the account that signed in.",
            description: Some(
                "Until the user has signed in it is 400 with `error` `authorization_pending`; a poll before `interval` is over is \
                 `slow_down`, which makes the interval five seconds longer. `expired_token` and `access_denied` end it. A token \
                 that the caller did not receive is there until the code ends.",
            ),
            gives: Gives::Token,
        },
    },
    Route {
        path: Path::oauth2("/oauth2/device_authorization").of_flow(Flow::DeviceCode),
        method: RouteMethod::Post,
        body: BodyKind::Form(
            "OAuthDeviceRequest",
            "What `/oauth2/device_authorization` takes (RFC 8628 §3.1). Other parameters are ignored.",
        ),
        bearer: false,
        takes: MemberSet::PROOFS.and(&[
            Member::Scope,
            Member::Audience,
            Member::Resource,
            Member::Api,
            Member::Tenant,
            Member::Claims,
            Member::Policy,
            Member::AuthorizationDetails,
            Member::RequestObject,
        ]),
        door: oauth2::device_authorization,
        operation: Operation {
            id: "oauth2_device_authorization",
            tag: OAUTH2,
            summary: "Begins a sign-in on another device, for clients that speak OAuth 2.0 (RFC 8628).",
            description: Some("The token endpoint is polled with its `device_code`."),
            gives: Gives::OAuthDeviceAuthorization,
        },
    },
    Route {
        path: OBO,
        method: RouteMethod::Delete,
        body: BodyKind::Json("EndSessionRequest", "What `DELETE /obo` takes. `session` is needed."),
        bearer: false,
        takes: MemberSet::of(&[Member::App, Member::Session]),
        door: rest::end_session,
        operation: Operation {
            id: "end_session",
            tag: TOKENS,
            summary: "Ends a long-running on-behalf-of session. Nothing is revoked at the authority.",
            description: Some("A session that nobody knows has ended. Its key stands in the body: it is a secret."),
            gives: Gives::SessionEnd,
        },
    },
    rows::AUTH_REQUEST,
    rows::HEADER_GET,
    rows::HEADER_POST,
    rows::WITHOUT_USER_GET,
    rows::WITHOUT_USER_POST,
    rows::VALIDATE,
    rows::HEALTH,
];

const IMDS: &str = "/metadata/identity/oauth2/token";
const IMDS_SLASH: &str = "/metadata/identity/oauth2/token/";

// === impl Path ===

impl Path {
    /// The path that a request names, by the very text that the router matches.
    pub(super) fn of(path: &str) -> Self {
        ROUTES.iter().map(|route| route.path).find(|known| known.matches(path)).unwrap_or(UNMATCHED)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::members::{Member, MemberKind, read};
    use super::{BodyKind, Path, ROUTES, UNMATCHED};
    use crate::caller::Beyond;
    use crate::flow::Common;

    /// What a caller with `callers.*.apis` may name: it says nothing of what a token is good for.
    const FOR_APIS: [&str; 29] = [
        "app",
        "api",
        "tenant",
        "policy",
        "claims",
        "force_refresh",
        "access_token_sha256",
        "account",
        "session",
        "redirect_uri",
        "prompt",
        "login_hint",
        "domain_hint",
        "response_type",
        "response_mode",
        "state",
        "nonce",
        "code",
        "code_verifier",
        "device_code",
        "iss",
        "refresh_token",
        "username",
        "password",
        "assertion",
        "assertion_type",
        "post_logout_redirect_uri",
        "logout_hint",
        "id_token_hint",
    ];

    #[test]
    fn every_row_is_another_route_and_its_path_is_known_before_it_is_routed() {
        let names: BTreeSet<_> = ROUTES.iter().map(|route| (route.path.template, format!("{:?}", route.method))).collect();
        let ids: BTreeSet<_> = ROUTES.iter().map(|route| route.operation.id).collect();
        assert_eq!((names.len(), ids.len()), (ROUTES.len(), ROUTES.len()));
        for route in &ROUTES {
            let path = route.path.template.replace(['{', '}'], "");
            let known = Path::of(&path);
            assert_eq!(format!("{known:?}"), format!("{:?}", route.path));
            assert_eq!(known.parameter().is_some(), path != route.path.template);
        }
        assert_eq!(Path::of("/").template, UNMATCHED.template);
    }

    #[test]
    fn members_stand_where_their_route_reads_them() {
        for route in &ROUTES {
            for member in route.takes.iter() {
                let described = match route.body {
                    BodyKind::Json(..) => member.in_body(),
                    BodyKind::Form(..) => member.in_form(),
                    BodyKind::Empty | BodyKind::Query | BodyKind::Sidecar | BodyKind::Unread => member.in_query(),
                };
                assert!(described.is_some(), "{}: {}", route.operation.id, member.name());
            }
        }
        let counts: Vec<_> = ROUTES.iter().map(|route| route.takes.iter().count()).collect();
        assert_eq!(counts, [10, 15, 18, 14, 12, 9, 10, 3, 1, 1, 6, 31, 6, 6, 0, 8, 6, 6, 8, 2, 13, 2, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn every_member_of_a_body_may_be_null_on_every_route_that_has_one() {
        for route in ROUTES.iter().filter(|route| matches!(route.body, BodyKind::Json(..))) {
            for member in Member::ALL.iter().filter(|member| member.in_body().is_some()) {
                let body = format!("{{\"{}\":null}}", member.name());
                let members = read::read(body.as_bytes(), route.takes);
                assert!(members.is_ok_and(|members| members.beyond == Beyond::Nothing), "null is as good as absent: {body}");
            }
        }
    }

    #[test]
    fn a_caller_with_apis_may_name_what_says_nothing_of_the_tokens_worth() {
        for route in ROUTES.iter().filter(|route| matches!(route.body, BodyKind::Json(..))) {
            for member in route.takes.iter() {
                let value = if member.kind() == MemberKind::Flag { "true" } else { "\"x\"" };
                let body = format!("{{\"{}\":{value}}}", member.name());
                let expected = if FOR_APIS.contains(&member.name()) { Beyond::Nothing } else { Beyond::Member(member.name()) };
                assert_eq!(read::read(body.as_bytes(), route.takes).ok().unwrap().beyond, expected, "{body}");
            }
        }
        // Whoever makes a request otherwise has looked at nothing.
        assert_eq!(Common::default().beyond, Beyond::Unknown);
    }
}
