//! One authorization server: its documents, its keys and its endpoints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::Semaphore;
use url::Url;

use super::answer::{self, AuthorityError};
use super::cloud;
use super::document::{MetadataDocument, shown};
use super::fetched::Fetched;
use super::jwks::{Keys, SignedToken, Signer};
use super::key_access::{FileState, KeyAccess};
use super::look::ReplyLook;
use super::metrics::Metrics;
use super::profile::Profile;
use super::record::{CallRecord, EndedCall, Record};
use super::region::{OwnRegion, Region};
use super::settings::{Address, AssertionAudience, CallSettings, Settings, is_loopback};
use crate::clock::Clock;
use crate::oauth::Metadata;
use crate::reload::Reloads;
use crate::tasks::Tasks;
use crate::telemetry::Context;
use crate::token::{Matching, Tenant};
use crate::transport::{Door, Outgoing, Over};

/// How old a metadata document may be before it is fetched again in the background.
const METADATA_AGE: Duration = Duration::from_secs(3600);

/// What documents and key sets (RFC 7517 §8.5.2) may be. The API server of a Kubernetes has its keys as the latter alone, and
/// answers 406 to whoever does not take it.
const DOCUMENTS: &str = "application/json, application/jwk-set+json";

/// One authorization server.
#[derive(Debug)]
pub struct Authority {
    /// Where it is.
    pub address: Address,
    /// How client assertions name it.
    pub assertion_audience: AssertionAudience,
    pub(super) door: Door,
    pub(super) calls: CallSettings,
    pub(super) permits: Semaphore,
    /// What is said of it by hand, in place of a document.
    pub(super) given: Option<Arc<MetadataDocument>>,
    pub(super) region: Region,
    published: Published,
    /// What it publishes of the keys that are an app's own, by the app's client id: no more than there are apps.
    of_clients: Mutex<HashMap<Arc<str>, Arc<Published>>>,
    /// How its keys are had, where it is no app's authority.
    access: KeyAccess,
    pub(super) clock: Clock,
    tasks: Tasks,
    pub(super) record: Record,
}

/// Which key set verifies a token: Entra's v1 tokens are signed by keys whose `issuer` is the v1 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenVersion {
    /// Entra v2 tokens and every OIDC issuer.
    Current,
    /// Entra v1 tokens.
    V1,
}

/// What an authority publishes about its tokens, or about those of one client.
#[derive(Debug)]
struct Published {
    client: Option<Arc<str>>,
    current: VersionPublished,
    v1: VersionPublished,
}

/// What is published about tokens of one version.
#[derive(Debug)]
struct VersionPublished {
    metadata: Fetched<MetadataDocument>,
    keys: Keys,
}

// === impl Published ===

impl Published {
    fn new(authority: &Address, client: Option<Arc<str>>) -> Self {
        let of_version =
            || VersionPublished { metadata: Fetched::new("metadata"), keys: Keys::new(authority.to_string(), client.clone()) };
        Self { current: of_version(), v1: of_version(), client }
    }

    fn of(&self, version: TokenVersion) -> &VersionPublished {
        match version {
            TokenVersion::Current => &self.current,
            TokenVersion::V1 => &self.v1,
        }
    }
}

// === impl Authority ===

impl Authority {
    /// Makes an authority; nothing is asked of it until somebody needs something. `own` is the process's own region.
    pub fn new(
        settings: &Settings,
        own: Option<&OwnRegion>,
        calls: CallSettings,
        door: Door,
        parts: (Clock, Tasks, Metrics),
    ) -> Arc<Self> {
        let given = settings.metadata.as_ref().map(|given| Arc::new(MetadataDocument::new(given.document())));
        Arc::new(Self {
            assertion_audience: settings.assertion_audience,
            region: Region::of(settings.region.as_ref(), own),
            given,
            ..Self::keyed(&settings.address, calls, door, parts)
        })
    }

    /// Makes an issuer that is no app's authority: its keys are all that is ever asked of it.
    pub fn of_keys(
        address: &Address,
        access: KeyAccess,
        calls: CallSettings,
        door: Door,
        parts: (Clock, Tasks, Metrics),
    ) -> Arc<Self> {
        Arc::new(Self { access, ..Self::keyed(address, calls, door, parts) })
    }

    fn keyed(address: &Address, calls: CallSettings, door: Door, (clock, tasks, metrics): (Clock, Tasks, Metrics)) -> Self {
        door.count_replaced(metrics.replaced.clone());
        Self {
            address: address.clone(),
            assertion_audience: AssertionAudience::default(),
            door,
            permits: Semaphore::new(calls.concurrency),
            calls,
            given: None,
            region: Region::None,
            published: Published::new(address, None),
            of_clients: Mutex::default(),
            access: KeyAccess::default(),
            record: Record::new(metrics, clock.clone()),
            clock,
            tasks,
        }
    }

    /// Follows the files that its keys are had by.
    pub fn watch_keys(&self, reloads: &Reloads) {
        self.access.watch(reloads);
    }

    /// The files that its keys are had by.
    pub fn key_files(&self) -> impl Iterator<Item = FileState> {
        self.access.states()
    }

    /// When it last did what it was asked, and when it last did not.
    pub fn record(&self) -> CallRecord {
        self.record.last()
    }

    /// How its calls are bounded.
    pub fn calls(&self) -> &CallSettings {
        &self.calls
    }

    /// How long one call may take with its repetition (`authority.timeout`).
    pub fn timeout(&self) -> Duration {
        self.calls.timeout
    }

    /// How a client assertion names it: as its issuer, or by the endpoint that takes it (ASN-4).
    pub fn audience_of_assertions<'a>(&'a self, endpoint: &'a Url) -> &'a str {
        let is_named = self.profile().assertion_names_issuer && self.assertion_audience == AssertionAudience::Issuer;
        self.address.issuer().filter(|_| is_named).unwrap_or(endpoint.as_str())
    }

    /// How its scopes are compared.
    pub fn matching(&self) -> Matching {
        self.profile().matching
    }

    /// What its kind does in its own way.
    pub fn profile(&self) -> &'static Profile {
        self.address.profile()
    }

    /// What keys name it by: the issuer that is configured, or the host. The policies of one tenant have one name.
    pub fn canonical(&self) -> String {
        match (self.address.issuer(), self.address.name_below_host()) {
            (Some(issuer), _) => issuer.to_owned(),
            (None, Some(below)) => format!("{}/{below}", self.environment()),
            (None, None) => self.environment(),
        }
    }

    /// What accounts call it: its host, by the first of its names.
    pub fn environment(&self) -> String {
        let host = self.address.host();
        if self.profile().aliases { cloud::canonical(&host).to_owned() } else { host }
    }

    /// The tenant of its address, where it has tenants.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.address.tenant()
    }

    /// The id of the own tenant: from the address, or from the issuer of the metadata where the address has a domain name. `None`:
    /// the authority has no tenant of its own.
    ///
    /// # Errors
    /// The metadata cannot be had, or its issuer is no tenant's.
    pub async fn own_tenant_id(self: &Arc<Self>, context: Context) -> Result<Option<String>, AuthorityError> {
        match self.tenant() {
            None => Ok(None),
            Some(tenant) if tenant.is_any() => Ok(None),
            Some(tenant) if tenant.is_guid() => Ok(Some(tenant.to_string())),
            Some(_) => {
                let document = self.document(TokenVersion::Current, context).await?;
                let id = document.issuer_form()?.own().map(str::to_owned);
                id.map(Some).ok_or(AuthorityError::Invalid("the `issuer` of the metadata document has no tenant's id in it"))
            }
        }
    }

    /// The metadata document about tokens of one version.
    ///
    /// # Errors
    /// It cannot be had, or, at an OIDC issuer, it is another issuer's (AUT-6).
    pub async fn document(
        self: &Arc<Self>,
        version: TokenVersion,
        context: Context,
    ) -> Result<Arc<MetadataDocument>, AuthorityError> {
        // Most often it is there, and then nothing has to be made for its fetch.
        match self.known_document(version) {
            Some(document) => Ok(document),
            None => self.document_of(&self.published, version, context).await,
        }
    }

    /// The metadata document for tokens of this version, if it is at hand. Nothing here waits.
    pub fn known_document(&self, version: TokenVersion) -> Option<Arc<MetadataDocument>> {
        if self.given.is_some() {
            return self.given.clone();
        }
        self.published.of(version).metadata.fresh(&self.clock, METADATA_AGE)
    }

    async fn document_of(
        self: &Arc<Self>,
        published: &Published,
        version: TokenVersion,
        context: Context,
    ) -> Result<Arc<MetadataDocument>, AuthorityError> {
        if let Some(given) = &self.given {
            return Ok(Arc::clone(given));
        }
        let (this, client) = (Arc::clone(self), published.client.clone());
        let fetch = Box::pin(async move { this.fetch_metadata(version, client.as_deref(), context).await });
        published.of(version).metadata.get(&self.clock, &self.tasks, METADATA_AGE, fetch).await
    }

    async fn fetch_metadata(
        &self,
        version: TokenVersion,
        client: Option<&str>,
        context: Context,
    ) -> Result<MetadataDocument, AuthorityError> {
        let place = match version {
            TokenVersion::Current => self.profile().documents,
            TokenVersion::V1 => "",
        };
        let mut url = Url::parse(&format!("{}/{place}.well-known/openid-configuration", self.address.base(None))).ok();
        if let (Some(url), Some(client)) = (&mut url, client) {
            url.query_pairs_mut().append_pair("appid", client);
        }
        let metadata: Metadata = self.fetch(url, "discovery", context).await?;
        // OpenID Connect Discovery §4.3: another issuer's document would hand our secret to that issuer's endpoints.
        if let Some(configured) = self.address.issuer() {
            match metadata.issuer.as_deref() {
                Some(said) if said == configured => {}
                Some(said) => return Err(AuthorityError::OtherIssuer { said: shown(said).into(), configured: configured.into() }),
                None => return Err(AuthorityError::Invalid("the metadata document has no `issuer`")),
            }
        }
        Ok(MetadataDocument::new(metadata))
    }

    /// Fetches a JSON document, a second time over a new connection if there was no answer over a kept one.
    async fn fetch<T: serde::de::DeserializeOwned>(
        &self,
        url: Option<Url>,
        purpose: &str,
        context: Context,
    ) -> Result<T, AuthorityError> {
        let url =
            url.filter(|url| self.may_call(url)).ok_or(AuthorityError::Invalid("an endpoint is no URL that may be called"))?;
        match self.fetch_once(&url, purpose, context.clone(), 0, Over::Kept).await {
            Err(AuthorityError::Broken(_) | AuthorityError::TimedOut) => {
                self.fetch_once(&url, purpose, context, 1, Over::Fresh).await
            }
            outcome => outcome,
        }
    }

    async fn fetch_once<T: serde::de::DeserializeOwned>(
        &self,
        url: &Url,
        purpose: &str,
        context: Context,
        resend: i64,
        over: Over,
    ) -> Result<T, AuthorityError> {
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(DOCUMENTS))]);
        if let Some(authorization) = self.access.authorization().await {
            headers.insert(AUTHORIZATION, authorization);
        }
        let outgoing = Outgoing { method: Method::GET, url, headers, body: None, until: None, over, purpose };
        let (started, span) = (self.clock.precise(), outgoing.span(&context, resend));
        let reply = self.door.send_in(&span, context.clone(), outgoing, self.calls.half()).await;
        let look = ReplyLook::at(&reply, url);
        let result = answer::document(reply, self.clock.wall()).map_err(|failure| match &look {
            Some(look) => look.named(failure, (url, purpose), &[]),
            None => failure,
        });
        let took = self.clock.precise().saturating_sub(started);
        self.record.ended(&EndedCall { purpose, url, context: &context, span: &span, took }, result.as_ref().err());
        result
    }

    /// Endpoints that a document names are held to the rule for the address itself: https, or http where that was allowed.
    pub(super) fn may_call(&self, url: &Url) -> bool {
        url.scheme() == "https" || (url.scheme() == "http" && self.address.url().scheme() == "http" && is_loopback(url))
    }

    /// Who signed a token for a client, fetching the keys if none of them can be the one and they were not asked for lately. Keys
    /// that are the client's own are asked for where no other key can be the one.
    ///
    /// # Errors
    /// The keys cannot be had.
    pub async fn signer(
        self: &Arc<Self>,
        version: TokenVersion,
        client_id: &str,
        signed: &SignedToken<'_>,
        context: Context,
    ) -> Result<Signer, AuthorityError> {
        if let Some(signer) = self.access.signer(signed, &self.clock).await {
            return Ok(signer);
        }
        let signer = self.signer_of(&self.published, version, signed, context.clone()).await?;
        if !matches!(signer, Signer::Unpublished) || !self.profile().keys_by_app {
            return Ok(signer);
        }
        let own = self.published_for(client_id);
        match self.signer_of(&own, version, signed, context).await {
            // An authority that has nothing to say about one app has no key of its own for it.
            Err(AuthorityError::Invalid(_) | AuthorityError::Strange(_)) => Ok(signer),
            outcome => outcome,
        }
    }

    async fn signer_of(
        self: &Arc<Self>,
        published: &Published,
        version: TokenVersion,
        signed: &SignedToken<'_>,
        context: Context,
    ) -> Result<Signer, AuthorityError> {
        let (this, client) = (Arc::clone(self), published.client.clone());
        let fetch = Box::pin(async move {
            let own = client.as_deref().map(|client| this.published_for(client));
            let published = own.as_deref().unwrap_or(&this.published);
            let url = match this.access.url() {
                Some(url) => url.clone(),
                None => {
                    let document = this.document_of(published, version, context.clone()).await?;
                    this.named(document.metadata.jwks_uri.as_deref(), "the metadata document has no usable `jwks_uri`")?
                }
            };
            this.fetch(Some(url), "keys", context).await
        });
        published.of(version).keys.signer(signed, &self.clock, &self.tasks, fetch).await
    }

    fn published_for(&self, client_id: &str) -> Arc<Published> {
        let mut of_clients = self.of_clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(published) = of_clients.get(client_id) {
            return Arc::clone(published);
        }
        let client: Arc<str> = client_id.into();
        let published = Arc::new(Published::new(&self.address, Some(Arc::clone(&client))));
        of_clients.insert(client, Arc::clone(&published));
        published
    }
}
