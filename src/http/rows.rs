//! Rows of the table of routes that belong to clients of other programs: proxies that ask whether a request may pass, and clients
//! of Microsoft's sidecar. `routes` has the table.

use super::doors::{auth_request, ms_sidecar};
use super::members::MemberSet;
use super::route::{BodyKind, Gives, Operation, Path, Route, RouteMethod};
use crate::flow::Flow;

const PROXIES: &str = "proxies";
const SIDECAR: &str = "Microsoft's sidecar";

/// Two routes have each of these.
const HEADER: Path = Path::ms_sidecar("/AuthorizationHeader/{apiName}").of_flow(Flow::OnBehalfOf);
const HEADER_WITHOUT_USER: Path =
    Path::ms_sidecar("/AuthorizationHeaderUnauthenticated/{apiName}").of_flow(Flow::ClientCredentials);

/// A sub-request of a proxy.
pub(super) const AUTH_REQUEST: Route = Route {
    path: Path::auth_request("/auth/{api}"),
    method: RouteMethod::Any,
    body: BodyKind::Unread,
    bearer: true,
    takes: MemberSet::of(&[]),
    door: auth_request::ask,
    operation: Operation {
        id: "auth_request",
        tag: PROXIES,
        summary: "Whether a request may pass, and the `Authorization` that it goes on with, for a proxy that asks by a sub-request.",
        description: Some(
            "Any method, here and on every path below; query and body are not looked at. The api says whose token it is, and which \
             headers have the user's claims. Served where `doors` has `auth_request`, for apis whose `doors` have it.",
        ),
        gives: Gives::Passage,
    },
};

/// A token for a user, as a header.
pub(super) const HEADER_GET: Route = header(
    HEADER,
    RouteMethod::Get,
    "ms_authorization_header",
    "The `Authorization` header of an api for the user whose token comes, for clients of Microsoft's sidecar.",
);
/// As [`HEADER_GET`].
pub(super) const HEADER_POST: Route =
    header(HEADER, RouteMethod::Post, "ms_authorization_header_post", "As with GET, for clients that post.");
/// The app's own token, as a header.
pub(super) const WITHOUT_USER_GET: Route = header(
    HEADER_WITHOUT_USER,
    RouteMethod::Get,
    "ms_authorization_header_unauthenticated",
    "The `Authorization` header of an api for the app itself, for clients of Microsoft's sidecar.",
);
/// As [`WITHOUT_USER_GET`].
pub(super) const WITHOUT_USER_POST: Route = header(
    HEADER_WITHOUT_USER,
    RouteMethod::Post,
    "ms_authorization_header_unauthenticated_post",
    "As with GET, for clients that post.",
);

/// What a token says.
pub(super) const VALIDATE: Route = Route {
    path: Path::ms_sidecar("/Validate"),
    method: RouteMethod::Get,
    body: BodyKind::Unread,
    bearer: true,
    takes: MemberSet::of(&[]),
    door: ms_sidecar::validate,
    operation: Operation {
        id: "ms_validate",
        tag: SIDECAR,
        summary: "The claims of the token that comes, if the app of `ms_sidecar` accepts it, be it a user's or an app's.",
        description: None,
        gives: Gives::Validation,
    },
};

/// Whether tokend is there.
pub(super) const HEALTH: Route = Route {
    path: Path::health("/healthz"),
    method: RouteMethod::Get,
    body: BodyKind::Unread,
    bearer: false,
    takes: MemberSet::of(&[]),
    door: ms_sidecar::health,
    operation: Operation {
        id: "ms_healthz",
        tag: SIDECAR,
        summary: "Whether tokend is there, for clients of Microsoft's sidecar. Probes ask the admin listener.",
        description: None,
        gives: Gives::Health,
    },
};

const fn header(path: Path, method: RouteMethod, id: &'static str, summary: &'static str) -> Route {
    let user = path.bears_user();
    Route {
        path,
        method,
        body: BodyKind::Sidecar,
        bearer: user,
        takes: MemberSet::of(&[]),
        door: if user { ms_sidecar::header } else { ms_sidecar::header_without_user },
        operation: Operation {
            id,
            tag: SIDECAR,
            summary,
            description: Some(
                "Paths, apis and parameters are taken in any case. Served where `doors` has `ms_sidecar`, for apis whose `doors` have it.",
            ),
            gives: Gives::AuthorizationHeader,
        },
    }
}
