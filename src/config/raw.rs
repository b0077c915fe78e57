//! The shapes of a configuration as it is written: every member may be absent, and no other member may be there.
//!
//! None of them has `Debug`: an inline secret is still a plain text here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::scalar::{Later, List, Mode, Scalar, Size, Text, Unauthenticated};
use crate::authority::{AssertionAudience, AuthorityKind};
use crate::caller::AccountRights;
use crate::credential::{SecretMethod, SigningAlgorithm};
use crate::flow::{ApiIdentity, DeviceClient, RefreshTokens, SessionAsk};
use crate::listen::ClientCertificates;
use crate::telemetry::{Format, Level};

/// A map of apps or apis; `None` where one was refused or has no member.
pub(super) type Entries<T> = BTreeMap<String, Option<T>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    pub(super) listen: Option<List>,
    pub(super) listen_mode: Option<Scalar<Mode>>,
    pub(super) admin_listen: Option<List>,
    pub(super) hosts: Option<List>,
    pub(super) tls: Option<Tls>,
    pub(super) doors: Option<List>,
    pub(super) public_url: Option<Text>,
    pub(super) msi: Option<Msi>,
    pub(super) ms_sidecar: Option<MsSidecar>,
    pub(super) apps: Option<Entries<App>>,
    pub(super) apis: Option<Entries<Api>>,
    pub(super) callers: Option<Vec<Option<Caller>>>,
    pub(super) cache: Option<Cache>,
    pub(super) refresh_handles: Option<RefreshHandles>,
    pub(super) authority: Option<Calls>,
    pub(super) outbound: Option<Outbound>,
    pub(super) limits: Option<Limits>,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) log: Option<Log>,
    pub(super) otlp: Option<Otlp>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: Option<RawPlace>,
    pub(super) key: Option<RawPlace>,
    pub(super) client_ca: Option<RawPlace>,
    pub(super) client_certificates: Option<Scalar<ClientCertificates>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Msi {
    pub(super) secret: Option<RawPlace>,
    pub(super) imds: Option<Imds>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MsSidecar {
    pub(super) app: Option<Text>,
    pub(super) unauthenticated: Option<Scalar<Unauthenticated>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Imds {
    pub(super) apps: Option<List>,
    pub(super) caller: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub(super) authority: Option<Text>,
    pub(super) issuer: Option<Text>,
    pub(super) kind: Option<Scalar<AuthorityKind>>,
    pub(super) policies: Option<List>,
    pub(super) region: Option<Text>,
    pub(super) authority_metadata: Option<AuthorityMetadata>,
    pub(super) par: Option<Scalar<bool>>,
    pub(super) client_id: Option<Text>,
    pub(super) credential: Option<Credential>,
    pub(super) inbound: Option<Inbound>,
    pub(super) tenants: Option<List>,
    pub(super) client_capabilities: Option<List>,
    pub(super) ca_file: Option<Text>,
    pub(super) insecure_http: Option<Scalar<bool>>,
    pub(super) assertion_audience: Option<Scalar<AssertionAudience>>,
    pub(super) offline_access: Option<Scalar<bool>>,
    pub(super) refresh_tokens: Option<Scalar<RefreshTokens>>,
    pub(super) managed_identity_ids: Option<List>,
    pub(super) refresh_token: Option<Scalar<bool>>,
    pub(super) username_password: Option<Scalar<bool>>,
    pub(super) device_code: Option<DeviceCode>,
    pub(super) session: Option<Session>,
}

/// RFC 8414 §2, as far as tokend reads it, and AD FS's `access_token_issuer`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorityMetadata {
    pub(super) issuer: Option<Text>,
    pub(super) access_token_issuer: Option<Text>,
    pub(super) authorization_endpoint: Option<Text>,
    pub(super) token_endpoint: Option<Text>,
    pub(super) jwks_uri: Option<Text>,
    pub(super) device_authorization_endpoint: Option<Text>,
    pub(super) end_session_endpoint: Option<Text>,
    pub(super) userinfo_endpoint: Option<Text>,
    pub(super) pushed_authorization_request_endpoint: Option<Text>,
    pub(super) require_pushed_authorization_requests: Option<Scalar<bool>>,
    pub(super) token_endpoint_auth_methods_supported: Option<List>,
    pub(super) token_endpoint_auth_signing_alg_values_supported: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceCode {
    pub(super) client: Option<Scalar<DeviceClient>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    pub(super) ask: Option<Scalar<SessionAsk>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) secret: Option<ClientSecret>,
    pub(super) certificate: Option<Certificate>,
    pub(super) pfx: Option<Pfx>,
    pub(super) private_key: Option<PrivateKey>,
    pub(super) tls_certificate: Option<TlsCertificate>,
    pub(super) federated_token: Option<RawPlace>,
    pub(super) public: Option<Scalar<bool>>,
    pub(super) managed_identity: Option<Later>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlace {
    pub(super) file: Option<Text>,
    pub(super) env: Option<Text>,
    pub(super) inline: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientSecret {
    pub(super) file: Option<Text>,
    pub(super) env: Option<Text>,
    pub(super) inline: Option<Text>,
    pub(super) method: Option<Scalar<SecretMethod>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) file: Option<Text>,
    pub(super) env: Option<Text>,
    pub(super) inline: Option<Text>,
    pub(super) key_file: Option<Text>,
    pub(super) password: Option<RawPlace>,
    pub(super) x5c: Option<Scalar<bool>>,
    pub(super) sha1: Option<Scalar<bool>>,
    pub(super) kid: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pfx {
    pub(super) file: Option<Text>,
    pub(super) env: Option<Text>,
    pub(super) inline: Option<Text>,
    pub(super) password: Option<RawPlace>,
    pub(super) x5c: Option<Scalar<bool>>,
    pub(super) sha1: Option<Scalar<bool>>,
    pub(super) kid: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateKey {
    pub(super) file: Option<Text>,
    pub(super) env: Option<Text>,
    pub(super) inline: Option<Text>,
    pub(super) kid: Option<Text>,
    pub(super) alg: Option<Scalar<SigningAlgorithm>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsCertificate {
    pub(super) file: Option<Text>,
    pub(super) env: Option<Text>,
    pub(super) inline: Option<Text>,
    pub(super) key_file: Option<Text>,
    pub(super) password: Option<RawPlace>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inbound {
    pub(super) audiences: Option<List>,
    pub(super) scopes: Option<List>,
    pub(super) tenants: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    pub(super) app: Option<Text>,
    pub(super) scopes: Option<List>,
    pub(super) audience: Option<Text>,
    pub(super) resource: Option<Text>,
    pub(super) doors: Option<List>,
    pub(super) identity: Option<Scalar<ApiIdentity>>,
    pub(super) exchange: Option<Scalar<bool>>,
    pub(super) identity_headers: Option<Entries<Text>>,
    pub(super) base_url: Option<Text>,
    pub(super) overrides: Option<Scalar<bool>>,
    pub(super) app_overrides: Option<Scalar<bool>>,
    pub(super) app_token: Option<Scalar<bool>>,
}

/// `None` in the list stands where an entry was refused, so that the others keep their numbers.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    pub(super) name: Option<Text>,
    pub(super) former_names: Option<List>,
    pub(super) token: Option<RawPlace>,
    pub(super) jwt: Option<CallerJwt>,
    pub(super) certificate: Option<CallerCertificate>,
    pub(super) peer: Option<CallerPeer>,
    pub(super) listener: Option<Text>,
    pub(super) apps: Option<List>,
    pub(super) apis: Option<List>,
    pub(super) flows: Option<List>,
    pub(super) doors: Option<List>,
    pub(super) accounts: Option<Scalar<AccountRights>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshHandles {
    pub(super) lifetime: Option<Scalar<Duration>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerJwt {
    pub(super) issuer: Option<Text>,
    pub(super) audience: Option<Text>,
    pub(super) subjects: Option<List>,
    pub(super) ca_file: Option<Text>,
    pub(super) jwks: Option<RawPlace>,
    pub(super) jwks_uri: Option<Text>,
    pub(super) discovery_token: Option<RawPlace>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerCertificate {
    pub(super) spiffe_ids: Option<List>,
    pub(super) dns_names: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerPeer {
    pub(super) uid: Option<Scalar<u64>>,
    pub(super) gid: Option<Scalar<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    pub(super) memory: Option<Memory>,
    pub(super) recheck: Option<Scalar<Duration>>,
    pub(super) redis: Option<Redis>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redis {
    pub(super) url: Option<Text>,
    pub(super) sentinel: Option<Sentinel>,
    pub(super) cluster: Option<Cluster>,
    pub(super) username: Option<Text>,
    pub(super) password: Option<RawPlace>,
    pub(super) ca_file: Option<Text>,
    pub(super) client_cert: Option<Text>,
    pub(super) client_key: Option<Text>,
    pub(super) key_prefix: Option<Text>,
    pub(super) encryption: Option<Encryption>,
    pub(super) timeout: Option<Scalar<Duration>>,
    pub(super) write_timeout: Option<Scalar<Duration>>,
    pub(super) wait_replicas: Option<Scalar<u64>>,
    pub(super) wait_timeout: Option<Scalar<Duration>>,
    pub(super) write_version: Option<Scalar<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sentinel {
    pub(super) master: Option<Text>,
    pub(super) urls: Option<List>,
    pub(super) username: Option<Text>,
    pub(super) password: Option<RawPlace>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    pub(super) urls: Option<List>,
    pub(super) node_names: Option<Entries<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encryption {
    pub(super) key_ring: Option<RawPlace>,
    pub(super) plaintext: Option<Scalar<bool>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) max_bytes: Option<Scalar<Size>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calls {
    pub(super) connect_timeout: Option<Scalar<Duration>>,
    pub(super) timeout: Option<Scalar<Duration>>,
    pub(super) concurrency: Option<Scalar<u64>>,
    pub(super) retry_delay: Option<Scalar<Duration>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outbound {
    pub(super) proxy: Option<Text>,
    pub(super) no_proxy: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) body: Option<Scalar<Size>>,
    pub(super) header: Option<Scalar<Size>>,
    pub(super) heads: Option<Scalar<Size>>,
    pub(super) inflight: Option<Scalar<Size>>,
    pub(super) flights: Option<Scalar<Size>>,
    pub(super) queue: Option<Scalar<Size>>,
    pub(super) concurrency: Option<Scalar<u64>>,
    pub(super) request_timeout: Option<Scalar<Duration>>,
    pub(super) keep_alive: Option<Scalar<Duration>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shutdown {
    pub(super) delay: Option<Scalar<Duration>>,
    pub(super) grace: Option<Scalar<Duration>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Scalar<Level>>,
    pub(super) format: Option<Scalar<Format>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Otlp {
    pub(super) endpoint: Option<Text>,
    pub(super) sample_ratio: Option<Scalar<f64>>,
    pub(super) headers: Option<RawPlace>,
}
