//! Where an authority is asked for what: by its address and its region, by its metadata document, or as is said by hand.

use std::sync::Arc;

use url::Url;

use super::answer::AuthorityError;
use super::cloud;
use super::profile::Endpoints;
use super::region::{OwnRegion, Region};
use super::server::{Authority, TokenVersion};
use crate::telemetry::Context;
use crate::token::Tenant;

// === impl Authority ===

impl Authority {
    /// Where the endpoints for a tenant are known from: what is said by hand is said of the authority's own.
    fn endpoints(&self, tenant: Option<&Tenant>) -> Endpoints {
        match (&self.given, tenant) {
            (Some(_), None) => Endpoints::Discovered,
            _ => self.profile().endpoints,
        }
    }

    /// The token endpoint of its region, for what an app asks for itself (AUT-8); `None`: there is no region, or it is not known.
    pub fn regional_token_endpoint(&self, tenant: Option<&Tenant>) -> Option<Url> {
        let region = self.region.name().filter(|_| !tenant.or(self.tenant()).is_some_and(Tenant::is_any))?;
        let mut url = self.derived(tenant, "token")?;
        let host = cloud::regional(url.host_str()?, region);
        url.set_host(Some(&host)).ok()?;
        Some(url)
    }

    /// The process's own region, if it is what this authority waits for.
    pub fn own_region(&self) -> Option<&OwnRegion> {
        match &self.region {
            Region::Own(own) => Some(own),
            Region::None | Region::Named(_) => None,
        }
    }

    /// The token endpoint for a tenant; `by_tls`: the one where the client's certificate is asked for (RFC 8705 §5).
    ///
    /// # Errors
    /// The metadata document cannot be had or names none.
    pub async fn token_endpoint(
        self: &Arc<Self>,
        tenant: Option<&Tenant>,
        by_tls: bool,
        context: Context,
    ) -> Result<Url, AuthorityError> {
        match self.endpoints(tenant) {
            Endpoints::Derived => self.derived(tenant, "token").ok_or(AuthorityError::Invalid("the token endpoint is no URL")),
            Endpoints::Discovered => {
                let document = self.document(TokenVersion::Current, context).await?;
                let named = document.metadata.endpoints(by_tls).token_endpoint.as_deref();
                self.named(named, "the metadata document has no usable `token_endpoint`")
            }
        }
    }

    /// The authorization endpoint for a tenant.
    ///
    /// # Errors
    /// The metadata document cannot be had or names none.
    pub async fn authorization_endpoint(
        self: &Arc<Self>,
        tenant: Option<&Tenant>,
        context: Context,
    ) -> Result<Url, AuthorityError> {
        match self.endpoints(tenant) {
            Endpoints::Derived => {
                self.derived(tenant, "authorize").ok_or(AuthorityError::Invalid("the authorization endpoint is no URL"))
            }
            Endpoints::Discovered => {
                let document = self.document(TokenVersion::Current, context).await?;
                self.named(
                    document.metadata.authorization_endpoint.as_deref(),
                    "the metadata document has no usable `authorization_endpoint`",
                )
            }
        }
    }

    /// Where browsers are sent to sign a user out (RP-Initiated Logout 1.0 §2); `None`: there is no such place.
    ///
    /// # Errors
    /// The metadata document cannot be had, or names one that is none.
    pub async fn end_session_endpoint(self: &Arc<Self>, context: Context) -> Result<Option<Url>, AuthorityError> {
        match self.endpoints(None) {
            Endpoints::Derived => {
                self.derived(None, "logout").map(Some).ok_or(AuthorityError::Invalid("the end-session endpoint is no URL"))
            }
            Endpoints::Discovered => {
                let document = self.document(TokenVersion::Current, context).await?;
                let named = document.metadata.end_session_endpoint.as_deref();
                let otherwise = "the metadata document has no usable `end_session_endpoint`";
                named.map(|endpoint| self.named(Some(endpoint), otherwise)).transpose()
            }
        }
    }

    /// The device authorization endpoint for a tenant (RFC 8628 §3.1); `None`: the authority names none. `by_tls`: the one where
    /// the client's certificate is asked for (RFC 8705 §5).
    ///
    /// # Errors
    /// The metadata document cannot be had, or what it names is no URL that may be called.
    pub async fn device_endpoint(
        self: &Arc<Self>,
        tenant: Option<&Tenant>,
        by_tls: bool,
        context: Context,
    ) -> Result<Option<Url>, AuthorityError> {
        if !self.profile().has_devices {
            return Ok(None);
        }
        let endpoint = match self.endpoints(tenant) {
            Endpoints::Derived => {
                self.derived(tenant, "devicecode").ok_or(AuthorityError::Invalid("the device endpoint is no URL"))
            }
            Endpoints::Discovered => {
                let document = self.document(TokenVersion::Current, context).await?;
                let endpoints = document.metadata.endpoints(by_tls);
                let Some(named) = endpoints.device_authorization_endpoint.as_deref() else { return Ok(None) };
                self.named(Some(named), "the metadata document has no usable `device_authorization_endpoint`")
            }
        };
        endpoint.map(Some)
    }

    /// The authorization endpoint for a tenant, where it is known without a document.
    pub fn derived_authorization_endpoint(&self, tenant: Option<&Tenant>) -> Option<Url> {
        (self.endpoints(tenant) == Endpoints::Derived).then(|| self.derived(tenant, "authorize")).flatten()
    }

    fn derived(&self, tenant: Option<&Tenant>, endpoint: &str) -> Option<Url> {
        Url::parse(&format!("{}/oauth2/v2.0/{endpoint}", self.address.base(tenant))).ok()
    }

    pub(super) fn named(&self, endpoint: Option<&str>, otherwise: &'static str) -> Result<Url, AuthorityError> {
        endpoint.and_then(|text| Url::parse(text).ok()).filter(|url| self.may_call(url)).ok_or(AuthorityError::Invalid(otherwise))
    }
}
