//! What a route is: where it is, what it takes, what makes a call of the flows of it, and what the API document says. `routes` has
//! the table of them.

use axum::routing::MethodFilter;
use utoipa::openapi::HttpMethod;

use super::dialect::Dialect;
use super::doors::DoorFn;
use super::members::MemberSet;
use super::settings::ClientDoor;
use crate::flow::Flow;

/// One route.
pub(super) struct Route {
    /// Where it is.
    pub(super) path: Path,
    /// What it is asked by.
    pub(super) method: RouteMethod,
    /// What its body is.
    pub(super) body: BodyKind,
    /// Whether it reads the user's token, from `Authorization`.
    pub(super) bearer: bool,
    /// The members that it takes: of the body, or of the query where it takes no body.
    pub(super) takes: MemberSet,
    /// What makes a call of the flows out of them.
    pub(super) door: DoorFn,
    /// What the API document says of it.
    pub(super) operation: Operation,
}

/// A path, and what holds for every method on it, so that it is known before a request is routed. Logs and spans have the template,
/// never the path itself, which is the caller's text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// The template; a parameter is its last segment.
    pub(super) template: &'static str,
    /// Whether Host, Origin and forwarded headers are judged. A proxy's sub-request would carry its client's.
    pub(super) judged: bool,
    /// Where the caller's proof stands.
    pub(super) proof: ProofPlace,
    /// How answers look.
    pub(super) dialect: Dialect,
    /// The door that it belongs to.
    pub(super) door: ClientDoor,
    /// The flow that is asked there, for the log; none where several are, or none is.
    pub(super) flow: Option<Flow>,
}

/// Where a request shows who its caller is, beside what its connection proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProofPlace {
    /// In the head, as `X-Tokend-Token`: `caller.rs` asks before the body is read.
    Header,
    /// There, as the password of `Authorization: Basic`, or in the form (RFC 6749 §2.3.1).
    Form,
    /// In the head, as `X-IDENTITY-HEADER`.
    IdentityHeader,
    /// Nowhere: such clients can send nothing, and the configuration says who they are.
    Named,
    /// Nobody is asked: what is answered is no secret.
    Open,
}

/// What a route's body is.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyKind {
    /// A JSON object of the members; its schema, and what that says.
    Json(&'static str, &'static str),
    /// A form of the members (RFC 6749 §4), which may have others too; its schema, and what that says.
    Form(&'static str, &'static str),
    /// There is none, and the members stand in the query.
    Empty,
    /// There is none, and the members stand in the query, which may have others too.
    Query,
}

/// The methods that routes are asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteMethod {
    Get,
    Post,
    Delete,
}

/// What the API document says of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// Its id.
    pub(super) id: &'static str,
    /// Its group.
    pub(super) tag: &'static str,
    /// What it gives, in one sentence.
    pub(super) summary: &'static str,
    /// What else has to be known.
    pub(super) description: Option<&'static str>,
    /// How it succeeds.
    pub(super) gives: Gives,
}

/// What a route gives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    Token,
    Url,
    SignOutUrl,
    Accounts,
    Account,
    Nothing,
    /// A session that has ended.
    SessionEnd,
    /// RFC 6749 §5.1.
    OAuthToken,
    /// RFC 8628 §3.2.
    DeviceAuthorization,
    /// RFC 8628 §3.2, and nothing else.
    OAuthDeviceAuthorization,
    /// RFC 7662 §2.2.
    Introspection,
    /// RFC 7009 §2.2.
    Revocation,
    /// RFC 8414 §3.2.
    ServerMetadata,
    /// A managed identity's token, as App Service gives it.
    ManagedIdentity,
    /// A managed identity's token, as the instance metadata service gives it.
    InstanceMetadata,
}

// === impl Path ===

impl Path {
    /// A path of tokend's own REST API.
    pub(super) const fn rest(template: &'static str) -> Self {
        let (proof, dialect, door) = (ProofPlace::Header, Dialect::Problem, ClientDoor::Rest);
        Self { template, judged: true, proof, dialect, door, flow: None }
    }

    /// A path for clients that speak OAuth 2.0.
    pub(super) const fn oauth2(template: &'static str) -> Self {
        Self { proof: ProofPlace::Form, dialect: Dialect::OAuth, door: ClientDoor::OAuth2, ..Self::rest(template) }
    }

    /// A path for clients that ask for a managed identity's tokens.
    pub(super) const fn msi(template: &'static str, dialect: Dialect, proof: ProofPlace) -> Self {
        Self { proof, dialect, door: ClientDoor::Msi, ..Self::rest(template) }.of_flow(Flow::ClientCredentials)
    }

    /// This path, where a flow is asked.
    pub(super) const fn of_flow(self, flow: Flow) -> Self {
        Self { flow: Some(flow), ..self }
    }

    /// Whether it is the instance metadata service's, of which clients have an address of their own.
    pub(super) fn is_imds(&self) -> bool {
        self.dialect == Dialect::Imds
    }

    /// What it calls its last segment, where that is a parameter.
    pub(super) fn parameter(&self) -> Option<&'static str> {
        self.template.split_once('{').and_then(|(_, name)| name.strip_suffix('}'))
    }

    /// As the router does: a parameter, which is the template's end, is one segment that is not empty, not decoded yet.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self.template.split_once('{') {
            None => self.template == path,
            Some((before, _)) => path.strip_prefix(before).is_some_and(|segment| !segment.is_empty() && !segment.contains('/')),
        }
    }
}

// === impl RouteMethod ===

impl RouteMethod {
    /// For the router.
    pub(super) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    /// For the API document.
    pub(super) fn documented(self) -> HttpMethod {
        match self {
            Self::Get => HttpMethod::Get,
            Self::Post => HttpMethod::Post,
            Self::Delete => HttpMethod::Delete,
        }
    }
}
