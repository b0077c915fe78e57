//! What a flow makes of a request, for the spine that carries it out: whose token it is, how it is found, and what is sent for it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, Either, Ready};

use super::app::App;
use super::catalogue::Flow;
use super::handle::WantedHandle;
use super::issue::Expected;
use super::members::ClaimsMember;
use super::refusal::Refusal;
use super::request::{Call, Common, OnBehalfOf, Outcome, Redeem};
use super::state::FlowState;
use crate::cache::Bypass;
use crate::caller::Caller;
use crate::inbound::SamlAssertion;
use crate::oauth::{Claims, Form, SamlVersion};
use crate::secret::Secret;
use crate::source::ClientProof;
use crate::token::{FlightKey, HoldKey, Lane, Partition, PartitionOwner, Scopes, SpaceId, Tenant, TokenDigest, TokenKey, Variant};

/// Who asks, and which app.
pub(super) struct Asker<'a> {
    pub(super) state: &'a Arc<FlowState>,
    pub(super) app: &'a Arc<App>,
    pub(super) caller: Caller,
    pub(super) call: Call,
}

/// What comes of a request: it is known at once where memory has the token. Everything else is on the heap, so that what a hit
/// makes and moves is small.
pub(super) type Working<'a> = Either<Ready<Outcome>, BoxFuture<'a, Outcome>>;

/// A plan, or what has to be waited for first.
#[expect(clippy::large_enum_variant, reason = "a hit allocates nothing")]
pub(super) enum Planning<'a> {
    /// All that decides it was at hand.
    Done(Plan<'a>),
    /// The refresh handle has to be opened, which says what is asked for.
    Opens(Asker<'a>, &'a Redeem<'a>),
    /// The user's token has to be verified.
    Waits(BoxFuture<'a, Result<Plan<'a>, Refusal>>),
}

/// What becomes of a request.
#[expect(clippy::large_enum_variant, reason = "a hit allocates nothing")]
pub(super) enum Plan<'a> {
    /// It is answered from the cache, or else for all who want the same.
    Cached(CachedPlan<'a>),
    /// What it brings is sent once.
    Once(Box<OncePlan>),
    /// A long-running session begins with what it brings.
    Start(Box<StartPlan>),
}

/// A token that may be kept and shared. It borrows from its request: a hit costs no copy.
pub(super) struct CachedPlan<'a> {
    pub(super) flow: Flow,
    pub(super) app: &'a Arc<App>,
    pub(super) call: Call,
    /// Who asks.
    pub(super) asker: Caller,
    /// Whose account it is, if it is a user's.
    pub(super) owner: Caller,
    /// Whether the caller may have a token for its api only: one that is good for more is neither served nor kept.
    pub(super) bound: bool,
    pub(super) key: TokenKey<'a>,
    /// Whether it is a user's, who can sign out.
    pub(super) owned: bool,
    /// In whose accounts it is looked for, where it may be in those of several.
    pub(super) search: Option<AccountSearch<'a>>,
    /// The tenant that is asked, where it is not the authority's own, and the inbound token that is exchanged.
    pub(super) tenant: Option<Tenant>,
    pub(super) assertion: Option<TokenDigest>,
    pub(super) scopes: &'a Scopes,
    pub(super) common: &'a Common<'a>,
    pub(super) claims: ClaimsMember,
    pub(super) bypass: Bypass,
    /// What the request's texts weigh that work for it keeps, in bytes, its scopes aside.
    pub(super) carried: usize,
    pub(super) grant: CachedGrant<'a>,
}

/// What is sent if the cache has nothing: it is written only then.
pub(super) enum CachedGrant<'a> {
    /// The app's own.
    ClientCredentials,
    /// The user's token, and what is known of the user.
    OnBehalfOf { request: &'a OnBehalfOf<'a>, bearer: &'a str, user: Arc<Claims> },
    /// An assertion in place of the user's token.
    Saml(Box<SamlGrant<'a>>),
    /// The account's refresh token, which is looked up.
    RefreshToken,
    /// The refresh token of a session, which is looked up there.
    Session(SpaceId),
}

/// An assertion that is sent, which nobody here can verify.
pub(super) struct SamlGrant<'a> {
    pub(super) request: &'a OnBehalfOf<'a>,
    pub(super) assertion: SamlAssertion<'a>,
    pub(super) version: SamlVersion,
}

/// The owners who may have an account.
pub(super) struct AccountSearch<'a> {
    pub(super) account: &'a str,
    /// The caller itself first.
    pub(super) owners: Vec<Caller>,
}

/// What is done where the cache has nothing, with all that it needs to run without its request.
pub(super) enum Work {
    /// A grant is sent that is at hand.
    Grant { form: Form, expected: Expected },
    /// The account's refresh token is looked up and sent.
    Refresh(Refresh),
}

/// What a refresh token is asked for.
#[derive(Debug)]
pub(super) struct Refresh {
    /// Where the sign-in is.
    pub(super) space: SpaceId,
    /// Whether that is a session's.
    pub(super) of_session: bool,
    pub(super) scopes: Scopes,
    pub(super) tenant: Option<Tenant>,
    pub(super) claims: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) resource: Option<String>,
}

/// A grant that is sent once, with all that it needs to run without its request.
pub(super) struct OncePlan {
    pub(super) flow: Flow,
    pub(super) app: Arc<App>,
    pub(super) call: Call,
    /// Whose account it will be.
    pub(super) owner: Caller,
    /// Whether the caller may have a token for its api only.
    pub(super) bound: bool,
    pub(super) tenant: Option<Tenant>,
    pub(super) scopes: Scopes,
    pub(super) variant: Variant,
    /// Two redemptions of one grant at the same time are one call, if one caller asks for the same in every respect.
    pub(super) flight: FlightKey,
    /// What is sent.
    pub(super) form: Form,
    /// What the id token that comes back has to be.
    pub(super) id_token: ExpectedIdToken,
    /// Whether it says what is asked for: an answer without `scope` has granted that (RFC 6749 §5.1).
    pub(super) sends_scope: bool,
    /// As whom it is sent.
    pub(super) client: ClientProof,
    /// Whether the issuer is asked whose the answer is where that names nobody.
    pub(super) asks_whose: bool,
    /// What may be tried a few times only.
    pub(super) tried: Option<TriedGrant>,
    /// What it keeps of the request, in bytes.
    pub(super) carried: usize,
    /// The refresh handle that its answer shall have.
    pub(super) handle: Option<WantedHandle>,
}

/// What may be tried a few times only, and what its tries are counted by, within an app.
#[derive(Clone, Copy)]
pub(super) enum TriedGrant {
    /// A password, by its user: it must not be guessed.
    Password(HoldKey),
    /// A token that is good for one use, by itself: a second use may be taken for a theft (RFC 9700 §4.14.2).
    SingleUse(HoldKey),
}

/// A long-running session that begins, with all that it needs to run without its request.
pub(super) struct StartPlan {
    pub(super) app: Arc<App>,
    pub(super) call: Call,
    /// Whose session it will be.
    pub(super) owner: Caller,
    /// Whether the caller may have a token for its api only.
    pub(super) bound: bool,
    /// Where it will be, and first of all.
    pub(super) place: SessionPlace,
    /// Where else the caller may have one of this key: under its former names.
    pub(super) former: Vec<SessionPlace>,
    /// What it is continued by, and whether that was made here, so that nothing stands there.
    pub(super) key: Secret,
    pub(super) is_new: bool,
    pub(super) tenant: Option<Tenant>,
    pub(super) scopes: Scopes,
    pub(super) variant: Variant,
    /// What backs off together when starts fail.
    pub(super) lane: Lane,
    pub(super) challenge: u64,
    /// Two starts at the same time are one call, if one caller asks for the same in every respect.
    pub(super) flight: FlightKey,
    /// What is sent.
    pub(super) form: Form,
    pub(super) expected: Expected,
    /// What it keeps of the request, in bytes.
    pub(super) carried: usize,
    /// The refresh handle that its answer shall have.
    pub(super) handle: Option<WantedHandle>,
}

/// Where a session is, and whose it may be.
#[derive(Clone, Copy)]
pub(super) struct SessionPlace {
    pub(super) space: SpaceId,
    pub(super) partition: Partition,
    /// The account that the user's token names.
    pub(super) user: Partition,
}

/// What the id token of an answer has to be.
pub(super) enum ExpectedIdToken {
    /// It is there, and has this `nonce` if one was given.
    Needed { nonce: Option<String> },
    /// If it is there it is verified, and no nonce was given.
    Optional,
}

// === impl CachedPlan ===

impl CachedPlan<'_> {
    /// Whether an assertion stands for the user.
    pub(super) fn is_asserted(&self) -> bool {
        matches!(self.grant, CachedGrant::Saml(_))
    }

    /// Turns to the account of this owner.
    pub(super) fn look_at(&mut self, owner: Caller, account: &str) {
        if self.owner != owner {
            self.owner = owner;
            self.key.partition = partition_of(self.app, owner, account);
        }
    }

    /// The flow whose facts hold for what is sent: a session that goes on sends its refresh token.
    pub(super) fn sends(&self) -> Flow {
        if matches!(self.grant, CachedGrant::Session(_)) { Flow::Silent } else { self.flow }
    }
}

/// Where an owner has an account.
pub(super) fn partition_of(app: &App, owner: Caller, account: &str) -> Partition {
    app.space_of(owner).partition(PartitionOwner::Account(account))
}
