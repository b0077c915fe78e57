//! An app, built once: everything a request needs of it is looked up, hashed and counted from here.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use ::http::HeaderName;

use super::metrics::AppMetrics;
use super::refusal::{Refusal, RefusalKind};
use super::settings::{ApiDoor, ApiIdentity, ApiSettings, AppSettings, DeviceClient, RefreshTokens, SessionAsk};
use super::spine::evidence::{Ledger, NO_CREDENTIAL};
use crate::authority::{Authority, IssuerRule, TokenVersion};
use crate::caller::{self, Caller};
use crate::credential::Credential;
use crate::inbound::{Inbound, Issuers, Policy};
use crate::oauth::ClientInfo;
use crate::source::{ClientProof, TokenClient};
use crate::token::{CredentialName, KeySpace, Partition, PartitionOwner, PolicyName, Scopes, Tenant, Turn, UsualVariant};

/// A client registration that tokend acts as.
#[derive(Debug)]
pub struct App {
    /// Its name in requests.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// Where it is registered.
    pub authority: Arc<Authority>,
    /// How it proves itself.
    pub credential: Arc<Credential>,
    /// Where its tokens come from: the two together.
    pub(super) source: TokenClient,
    /// Whose tokens it accepts; without, `/obo` is refused.
    pub(super) guard: Option<InboundGuard>,
    /// Verifies id tokens.
    pub(super) verifier: Arc<Inbound>,
    pub(super) tenants: Vec<Tenant>,
    /// This app at the other policies that requests may name (`apps.*.policies`).
    pub(super) policies: Vec<Arc<App>>,
    pub(super) managed_identity_ids: Vec<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) offline_access: bool,
    /// Whether its authorization requests are pushed also where nothing asks for that.
    pub(super) pushes_requests: bool,
    /// Whether it has no credential.
    is_public: bool,
    /// Whether refresh tokens that somebody else got, and users' passwords, are sent for it.
    pub(super) refresh_token: bool,
    pub(super) username_password: bool,
    /// As which client it polls for device codes.
    pub(super) device_client: ClientProof,
    /// How a session asks for its refresh token, where that has to be said.
    pub(super) session_ask: Option<SessionAsk>,
    /// The client's: what is remembered of failures, and its own tokens.
    pub(super) space: KeySpace,
    /// Where the accounts are that are nobody's: those of its tenant.
    accounts: KeySpace,
    /// The part of it that each caller's accounts have for themselves, and those that they had under former names.
    owned: Vec<KeySpace>,
    pub(super) app_partition: Partition,
    /// What most of its tokens have in their keys beside partition and scopes.
    pub(super) usual: UsualVariant,
    pub(super) refresh_tokens: RefreshTokens,
    pub(super) metrics: AppMetrics,
    /// The version of the credential that the other replicas need not be told of.
    pub(super) told: AtomicU64,
    /// What its tenants said of the credential, and of the app as a public client.
    ledger: Ledger,
    public_ledger: Ledger,
    /// Whether its file is being read because another replica told of a new one.
    pub(super) reading: AtomicBool,
    /// Its name, as it travels with its calls.
    pub(super) label: Arc<str>,
    canonical: String,
    own_tenant: OnceLock<Option<String>>,
}

/// Who judges inbound tokens for an app.
#[derive(Debug)]
pub(super) struct InboundGuard {
    pub(super) policy: Policy,
}

/// A named downstream API.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) app: Option<String>,
    pub(super) scopes: Scopes,
    pub(super) audience: Option<String>,
    pub(super) resource: Option<String>,
    /// The doors that serve it, of those that serve apis only where they say so.
    pub(super) doors: Vec<ApiDoor>,
    pub(super) identity: ApiIdentity,
    pub(super) exchange: bool,
    /// Headers for a proxy, each with the claim that it has.
    pub(super) identity_headers: Vec<(HeaderName, String)>,
    /// Whether a request with a user's token, and one without, may override what is asked for.
    pub(super) overrides: bool,
    pub(super) app_overrides: bool,
    /// Whether a request without a user may have an app token for it.
    pub(super) app_token: bool,
}

// === impl Api ===

impl From<&ApiSettings> for Api {
    fn from(settings: &ApiSettings) -> Self {
        let ApiSettings { app, scopes, audience, resource, doors, .. } = settings.clone();
        let header = |(name, claim): &(String, String)| Some((HeaderName::try_from(name).ok()?, claim.clone()));
        Self {
            app,
            scopes,
            audience,
            resource,
            doors,
            identity: settings.identity,
            exchange: settings.exchange,
            identity_headers: settings.identity_headers.iter().filter_map(header).collect(),
            overrides: settings.overrides,
            app_overrides: settings.app_overrides,
            app_token: settings.app_token,
        }
    }
}

// === impl App ===

impl App {
    /// Builds an app over its source; `callers` are those that accounts may belong to.
    pub fn new(
        settings: &AppSettings,
        callers: &[caller::Settings],
        source: TokenClient,
        verifier: Arc<Inbound>,
        metrics: AppMetrics,
    ) -> Self {
        let (authority, credential) = (Arc::clone(&source.authority), Arc::clone(&source.credential));
        let canonical = authority.canonical();
        let tenant = authority.tenant().map(Tenant::to_string).unwrap_or_default();
        let space = KeySpace::new(&canonical, &settings.client_id);
        let accounts = space.of_tenant(&tenant);
        let profile = authority.profile();
        let capabilities = if profile.capabilities { settings.client_capabilities.clone() } else { Vec::new() };
        let guard = settings.inbound.as_ref().map(|inbound| {
            let issuers = match profile.issuers {
                IssuerRule::PerTenant => Issuers::PerTenant(inbound.tenants.clone()),
                IssuerRule::Configured => Issuers::One(canonical.clone()),
                IssuerRule::Published => Issuers::Published(authority.address.policy().cloned()),
            };
            InboundGuard { policy: Policy::new(inbound, &settings.client_id, issuers, profile.access_tokens) }
        });
        let is_public = credential.is_public();
        Self {
            name: settings.name.clone(),
            label: settings.name.as_str().into(),
            client_id: settings.client_id.clone(),
            told: AtomicU64::new(credential.version()),
            ledger: Ledger::default(),
            public_ledger: Ledger::default(),
            reading: AtomicBool::new(false),
            credential,
            source,
            guard,
            verifier,
            tenants: settings.tenants.clone(),
            policies: Vec::new(),
            managed_identity_ids: settings.managed_identity_ids.clone(),
            app_partition: space.partition(PartitionOwner::App(&tenant)),
            usual: UsualVariant::new(tenant, capabilities.clone())
                .with_policy(authority.address.policy().map(PolicyName::to_string)),
            refresh_tokens: settings.refresh_tokens,
            owned: caller::kept_names(callers).map(|name| accounts.of_caller(name)).collect(),
            accounts,
            space,
            capabilities,
            offline_access: settings.offline_access,
            pushes_requests: settings.pushes_requests,
            is_public,
            refresh_token: settings.refresh_token,
            username_password: settings.username_password,
            device_client: match settings.device_client {
                DeviceClient::Public => ClientProof::Public,
                DeviceClient::Confidential => ClientProof::Usual,
            },
            session_ask: settings.session_ask,
            metrics,
            canonical,
            own_tenant: OnceLock::new(),
            authority,
        }
    }

    /// This app, which requests may name these policies of: the same app at each of them.
    #[must_use]
    pub fn with_policies(self, others: Vec<Arc<Self>>) -> Self {
        Self { policies: others, ..self }
    }

    /// The authorities of all policies of the app; where it has none, its authority.
    pub fn authorities(&self) -> impl Iterator<Item = &Arc<Authority>> {
        std::iter::once(&self.authority).chain(self.policies.iter().map(|app| &app.authority))
    }

    /// The policy that it asks, where its authority has policies.
    pub(super) fn policy(&self) -> Option<&PolicyName> {
        self.authority.address.policy()
    }

    /// Whether an id token that came straight from the token endpoint is of the app's own authority, as far as that is known now.
    pub(super) fn is_its_issuer(&self, issuer: Option<&str>) -> bool {
        match self.authority.profile().issuers {
            IssuerRule::Configured => issuer == self.authority.address.issuer(),
            IssuerRule::Published => {
                let document = self.authority.known_document(TokenVersion::Current);
                document.is_none_or(|document| document.issuer().ok() == issuer)
            }
            IssuerRule::PerTenant => true,
        }
    }

    /// The name at home of a user of whom `client_info` says it: it has the policy in it where the user is a policy's.
    pub(super) fn home_of(&self, info: &ClientInfo) -> String {
        let uid = self.policy().map_or_else(|| info.uid.clone(), |policy| policy.user(&info.uid));
        format!("{uid}.{}", info.utid)
    }

    /// The refusal of what its authority does not have.
    pub(super) fn no_such_flow(&self, what: &str) -> Refusal {
        let detail = format!("there is no {what} at {}: name an app at another authority", self.authority.profile().title);
        Refusal::new(Turn::Rights, RefusalKind::FlowNotAvailable, detail)
    }

    /// What flows need that prove the app to its authority.
    ///
    /// # Errors
    /// The app has no credential.
    pub(super) fn has_credential(&self) -> Result<(), Refusal> {
        if self.is_public {
            let detail = "this app has no credential (`credential.public`), and this flow needs one: name another app";
            return Err(Refusal::new(Turn::Rights, RefusalKind::FlowNotAvailable, detail));
        }
        Ok(())
    }

    /// What keys call a tenant that a request names; `None` is the authority's own.
    pub(super) fn tenant_name<'a>(&'a self, named: Option<&'a Tenant>) -> &'a str {
        named.or(self.authority.tenant()).map_or("", Tenant::as_str)
    }

    /// Whether its requests may go to several tenants.
    pub(super) fn is_in_many_tenants(&self) -> bool {
        self.authority.tenant().is_some_and(|own| own.is_any() || !self.tenants.is_empty())
    }

    /// What replicas call its credential among themselves.
    pub(super) fn credential_name(&self) -> CredentialName {
        CredentialName::of(&[b"credential", self.canonical.as_bytes(), self.client_id.as_bytes(), self.name.as_bytes()])
    }

    /// What its tenants said of it with this version of its credential.
    pub(super) fn ledger(&self, version: u64) -> &Ledger {
        if version == NO_CREDENTIAL { &self.public_ledger } else { &self.ledger }
    }

    /// Where the accounts of an owner are, or those that are nobody's.
    pub(super) fn space_of(&self, owner: Caller) -> &KeySpace {
        owner.index().and_then(|index| self.owned.get(index)).unwrap_or(&self.accounts)
    }

    /// What accounts call its environment.
    pub(super) fn environment(&self) -> String {
        self.authority.environment()
    }

    /// What keys and holds name its authority by.
    pub(super) fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The id of its authority's own tenant, if it was learnt already whether there is one.
    pub(super) fn known_own_tenant(&self) -> Option<Option<&str>> {
        self.own_tenant.get().map(Option::as_deref)
    }

    /// The id of its authority's own tenant, learnt once.
    pub(super) async fn own_tenant(
        &self,
        context: crate::telemetry::Context,
    ) -> Result<Option<&str>, crate::authority::AuthorityError> {
        if let Some(known) = self.known_own_tenant() {
            return Ok(known);
        }
        let id = self.authority.own_tenant_id(context).await?;
        Ok(self.own_tenant.get_or_init(|| id).as_deref())
    }

    /// The tenant that a request names: `None` for the authority's own.
    ///
    /// # Errors
    /// It is no tenant's name (400), the authority has none (400), or the app does not list it (403).
    pub(super) fn tenant(&self, named: Option<&str>) -> Result<Option<Tenant>, Refusal> {
        let Some(named) = named else { return Ok(None) };
        let Some(own) = self.authority.tenant() else {
            let title = self.authority.profile().title;
            return Err(Refusal::member(format!("`tenant` has no meaning at {title}: leave it out")));
        };
        let tenant = Tenant::parse(named)
            .ok_or_else(|| Refusal::member("`tenant` is no tenant id and no domain name: write one of [A-Za-z0-9.-]{1,253}"))?;
        if tenant == *own {
            Ok(None)
        } else if self.tenants.contains(&tenant) {
            Ok(Some(tenant))
        } else {
            let detail = "this `tenant` is not one that the app lists: add it to `apps.*.tenants`";
            Err(Refusal::new(Turn::Rights, RefusalKind::TenantNotAllowed, detail))
        }
    }
}
