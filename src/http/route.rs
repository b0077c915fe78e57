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
    /// What else is there beside the template.
    pub(super) spelling: Spelling,
    /// Whether Host, Origin and forwarded headers are judged, and the id that the request names. A proxy's sub-request carries its
    /// client's.
    pub(super) judged: bool,
    /// Whether it is answered whatever `limits` say, since nothing is done for it.
    pub(super) unlimited: bool,
    /// Whether a body is left unread: it belongs to another request.
    pub(super) leaves_body: bool,
    /// Where the caller's proof stands.
    pub(super) proof: ProofPlace,
    /// How answers look.
    pub(super) dialect: Dialect,
    /// The door that it belongs to.
    pub(super) door: ClientDoor,
    /// The flow that is asked there, for the log; none where several are, or none is.
    pub(super) flow: Option<Flow>,
}

/// Which paths a template stands for beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// None.
    Exact,
    /// Those in another case.
    AnyCase,
    /// Every path below it.
    Below,
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
    /// None is looked at, for clients post what they would to a token endpoint. What Microsoft's sidecar takes stands in the query.
    Sidecar,
    /// Neither body nor query is looked at: they are those of another request.
    Unread,
}

/// The methods that routes are asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteMethod {
    Get,
    Post,
    Delete,
    /// Whatever comes: it is that of another request.
    Any,
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
    /// A proxy's request may pass.
    Passage,
    /// A token as Microsoft's sidecar gives it.
    AuthorizationHeader,
    /// The claims of a token.
    Validation,
    /// Nothing but a word.
    Health,
}

// === impl Path ===

impl Path {
    /// A path of tokend's own REST API.
    pub(super) const fn rest(template: &'static str) -> Self {
        let (proof, dialect, door) = (ProofPlace::Header, Dialect::Problem, ClientDoor::Rest);
        let spelling = Spelling::Exact;
        Self { template, spelling, judged: true, unlimited: false, leaves_body: false, proof, dialect, door, flow: None }
    }

    /// A path for proxies that ask whether a request may pass.
    pub(super) const fn auth_request(template: &'static str) -> Self {
        let (dialect, door) = (Dialect::AuthRequest, ClientDoor::AuthRequest);
        Self { spelling: Spelling::Below, judged: false, leaves_body: true, dialect, door, ..Self::rest(template) }
    }

    /// A path for clients of Microsoft's sidecar.
    pub(super) const fn ms_sidecar(template: &'static str) -> Self {
        let (dialect, door) = (Dialect::MsSidecar, ClientDoor::MsSidecar);
        Self { spelling: Spelling::AnyCase, leaves_body: true, dialect, door, ..Self::rest(template) }
    }

    /// Where such clients ask whether tokend is there.
    pub(super) const fn health(template: &'static str) -> Self {
        Self { judged: false, unlimited: true, proof: ProofPlace::Open, ..Self::ms_sidecar(template) }
    }

    /// Whether the flow that is asked there is one for a user whose token comes.
    pub(super) const fn bears_user(&self) -> bool {
        matches!(self.flow, Some(Flow::OnBehalfOf))
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
        let fixed = self.fixed();
        let Some((start, segment)) = path.split_at_checked(fixed.len()) else { return false };
        let is_its = match self.spelling {
            Spelling::AnyCase => start.eq_ignore_ascii_case(fixed),
            Spelling::Exact | Spelling::Below => start == fixed,
        };
        let is_segment = match (self.parameter(), self.spelling) {
            (None, _) => segment.is_empty(),
            // The router takes an empty one here, if more comes.
            (Some(_), Spelling::Below) => !segment.is_empty(),
            (Some(_), _) => !segment.is_empty() && !segment.contains('/'),
        };
        is_its && is_segment
    }

    /// What comes before its parameter, or all of it.
    fn fixed(&self) -> &'static str {
        self.template.split_once('{').map_or(self.template, |(before, _)| before)
    }

    /// The path that the router knows, of one that is spelled in another case; `None`: it is that one.
    pub(super) fn respelled(&self, path: &str) -> Option<String> {
        let fixed = self.fixed();
        let (start, segment) = path.split_at_checked(fixed.len())?;
        (self.spelling == Spelling::AnyCase && start != fixed).then(|| format!("{fixed}{segment}"))
    }
}

// === impl RouteMethod ===

impl RouteMethod {
    /// For the router; `None`: every method.
    pub(super) fn filter(self) -> Option<MethodFilter> {
        match self {
            Self::Get => Some(MethodFilter::GET),
            Self::Post => Some(MethodFilter::POST),
            Self::Delete => Some(MethodFilter::DELETE),
            Self::Any => None,
        }
    }

    /// For the API document.
    pub(super) fn documented(self) -> HttpMethod {
        match self {
            Self::Get | Self::Any => HttpMethod::Get,
            Self::Post => HttpMethod::Post,
            Self::Delete => HttpMethod::Delete,
        }
    }
}
