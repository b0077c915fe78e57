//! What an app's entry says of its authority beside its address: a region, and what its metadata would say.

use std::collections::BTreeMap;

use url::Url;

use super::raw;
use super::report::Report;
use super::scalar::{List, Text};
use super::shape::join;
use crate::authority::{Address, GivenMetadata, RegionName, RegionSource, RegionWish};
use crate::finding::Complaint;
use crate::token::Tenant;

/// Where a platform says in which region it runs a process.
const REGION_NAME: &str = "REGION_NAME";

/// Where the metadata of Azure's machines is, and the variable that names another place.
const METADATA: (&str, &str) = ("http://169.254.169.254", "AZURE_POD_IDENTITY_AUTHORITY_HOST");

/// Reads `apps.*.region`.
pub(super) fn region(
    path: &str,
    raw: Option<Text>,
    address: Option<&Address>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Option<RegionWish> {
    const REMEDY: &str = "write the name of a region, such as westeurope ([a-z0-9]{1,64}), or auto";
    let Text(text) = raw?;
    if let Some(address) = address
        && !address.profile().regions
    {
        let reason = format!("there are no regional endpoints at {}", address.profile().title);
        report.error(path, Complaint::new(reason, "remove it"));
        return None;
    }
    if let Some(tenant) = address.and_then(Address::tenant).filter(|tenant| tenant.is_any()) {
        let reason = format!("regional endpoints are one tenant's, and the app's authority is `{tenant}`");
        report.error(path, Complaint::new(reason, "name one tenant in `authority`, or remove it"));
        return None;
    }
    if text == "auto" {
        return source(environment, report).map(RegionWish::Auto);
    }
    let name = RegionName::parse(&text).ok_or_else(|| Complaint::new("it is no name of a region", REMEDY));
    report.take(path, name).map(RegionWish::Named)
}

fn source(environment: &BTreeMap<String, String>, report: &mut Report<'_>) -> Option<RegionSource> {
    let (usual, variable) = METADATA;
    let get = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let place = get(variable).unwrap_or(usual);
    match Url::parse(place).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        Some(metadata) => Some(RegionSource { environment: get(REGION_NAME).map(str::to_owned), metadata }),
        None => {
            report.warning_at(variable, Complaint::new("it is no http or https URL", "set it to scheme and host, or unset it"));
            None
        }
    }
}

/// Reads `apps.*.authority_metadata`.
pub(super) fn metadata(
    path: &str,
    raw: Option<raw::AuthorityMetadata>,
    address: Option<&Address>,
    report: &mut Report<'_>,
) -> Option<GivenMetadata> {
    let raw = raw?;
    let at = |member: &str| join(path, member);
    let insecure_http = address.is_some_and(|address| address.url().scheme() == "http");
    let url = |member: &str, raw: Option<Text>, report: &mut Report<'_>| {
        let url = Address::endpoint(&raw?.0, insecure_http);
        report.take(&at(member), url).map(String::from)
    };
    let authorization_endpoint = url("authorization_endpoint", raw.authorization_endpoint, report);
    let token_endpoint = url("token_endpoint", raw.token_endpoint, report);
    let jwks_uri = url("jwks_uri", raw.jwks_uri, report);
    let device_authorization_endpoint = url("device_authorization_endpoint", raw.device_authorization_endpoint, report);
    let end_session_endpoint = url("end_session_endpoint", raw.end_session_endpoint, report);
    let userinfo_endpoint = url("userinfo_endpoint", raw.userinfo_endpoint, report);
    let pushed = raw.pushed_authorization_request_endpoint;
    let pushed_authorization_request_endpoint = url("pushed_authorization_request_endpoint", pushed, report);
    let listed = |member: &str, raw: Option<List>, report: &mut Report<'_>| {
        let list: Vec<String> = raw?.0.into_iter().flatten().collect();
        if list.iter().any(|text| text.is_empty() || text.contains(char::is_whitespace)) {
            report.error(&at(member), Complaint::new("an entry is empty or has spaces", "write one entry each: [a, b]"));
        }
        Some(list).filter(|list| !list.is_empty())
    };
    let methods = raw.token_endpoint_auth_methods_supported;
    let algorithms = raw.token_endpoint_auth_signing_alg_values_supported;
    let metadata = GivenMetadata {
        issuer: raw.issuer.map(|text| text.0),
        access_token_issuer: raw.access_token_issuer.map(|text| text.0),
        authorization_endpoint,
        token_endpoint,
        jwks_uri,
        device_authorization_endpoint,
        end_session_endpoint,
        userinfo_endpoint,
        pushed_authorization_request_endpoint,
        require_pushed_authorization_requests: raw.require_pushed_authorization_requests.is_some_and(|scalar| scalar.0),
        token_endpoint_auth_methods_supported: listed("token_endpoint_auth_methods_supported", methods, report),
        token_endpoint_auth_signing_alg_values_supported: listed(
            "token_endpoint_auth_signing_alg_values_supported",
            algorithms,
            report,
        ),
    };
    for (member, is_there) in [("issuer", metadata.issuer.is_some()), ("token_endpoint", metadata.token_endpoint.is_some())] {
        if !is_there {
            let reason = format!("no document is asked for, and nothing says the `{member}`");
            report
                .missing(&at(member), Complaint::new(reason, "write it as the authority's metadata document has it (RFC 8414 §2)"));
        }
    }
    if let (Some(said), Some(configured)) = (&metadata.issuer, address.and_then(Address::issuer))
        && said != configured
    {
        let problem = Complaint::new("it is another one than the app's `issuer`", "write them alike, letter by letter");
        report.error(&at("issuer"), problem);
    }
    Some(metadata)
}

/// A member that contradicts another one of an app's.
pub(super) fn judge(path: &str, address: &Address, has: (bool, bool), tenants: &[Tenant], report: &mut Report<'_>) {
    let (has_region, has_metadata) = has;
    if has_region && has_metadata {
        let reason = "`authority_metadata` says where the token endpoint is, and a region is another place";
        report.error(&join(path, "region"), Complaint::new(reason, "remove one of the two"));
    }
    if has_metadata && address.tenant().is_some_and(|tenant| tenant.is_any() || !tenants.is_empty()) {
        let reason = "it is one tenant's, and requests of this app go to several";
        report.error(&join(path, "authority_metadata"), Complaint::new(reason, "define one app for each tenant, or remove it"));
    }
    if has_metadata && address.policy().is_some() {
        let reason = "each policy has metadata of its own";
        report.error(&join(path, "authority_metadata"), Complaint::new(reason, "remove it"));
    }
}
