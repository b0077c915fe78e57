//! What of Microsoft's configuration has no place in tokend's, and why. What is not listed is named all the same.

const DOWNSTREAM: &str = "it is for /DownstreamApi, which tokend does not serve";
const PER_REQUEST: &str = "tokend takes it with a request only";
const POP: &str = "tokend answers and judges bearer tokens only";
const AGENTS: &str = "agent identities are not served yet";
const CACHE: &str = "tokend has one cache, bounded in bytes: cache.memory.max_bytes, and cache.redis for several replicas";
const USER_FLOWS: &str =
    "write `authority: https://HOST/TENANT/POLICY` for user flows of Azure AD B2C, and the other policies in `policies`";
const DECRYPTION: &str = "tokend takes no encrypted tokens: have the registration's token encryption switched off";
const LISTENER_TLS: &str =
    "TLS of the listener is `tls.cert` and `tls.key`, PEM files without a password; on loopback none is needed";
const LIMITS: &str = "tokend's bounds are below `limits`, and have defaults";
const HOSTING: &str = "it is about the .NET host, which tokend has not";
const TELEMETRY: &str = "tokend has metrics at `admin_listen`, and traces by OTLP: `otlp.endpoint`";

/// Paths in lower case, `*` for any name, with all below them; the first that fits counts. What is said of each completes the
/// sentence "NAME is not converted: …".
const REASONS: &[(&str, &str)] = &[
    ("azuread:authority", "Instance and TenantId are there, and count alone, as at Microsoft's sidecar"),
    ("azuread:azureregion", "only the one tenant of an Entra authority has regional endpoints"),
    ("azuread:sendx5c", "only a certificate has a chain, and the credential is another one"),
    ("azuread:extraqueryparameters", "tokend adds nothing to its calls of the authority"),
    ("azuread:apphometenantid", "tokend asks the tenant of `authority`"),
    (
        "azuread:allowwebapitobeauthorizedbyacl",
        "it makes no difference: /Validate takes an app's token without roles, and on behalf of \
                                               somebody there has to be a user",
    ),
    ("azuread:enablepiilogging", "tokend never logs who a user is"),
    ("azuread:tokendecryptioncredentials", DECRYPTION),
    ("azuread:tokendecryptioncertificates", DECRYPTION),
    ("azuread:domain", "tokend needs no domain beside the tenant"),
    ("azuread:signupsigninpolicyid", USER_FLOWS),
    ("azuread:editprofilepolicyid", USER_FLOWS),
    ("azuread:resetpasswordpolicyid", USER_FLOWS),
    ("azuread:withspaauthcode", "there is no code for a browser"),
    ("azuread:userassignedmanagedidentityclientid", "managed identities are no credential of this release"),
    ("azuread:usefastunboundedcache", CACHE),
    ("azuread:partitionapptokencachebyaudience", CACHE),
    ("azuread:legacycachecompatibilityenabled", CACHE),
    ("azuread:callbackpath", "no browser signs in at a sidecar"),
    ("azuread:signedoutcallbackpath", "no browser signs in at a sidecar"),
    ("azuread:clientsecret", "ClientCredentials are there, and count alone"),
    ("azuread:clientcertificates", "ClientCredentials are there, and count alone"),
    (
        "azuread:clientcredentials:*:tokenexchangeurl",
        "the audience is in the token that the file has: say it where that is projected",
    ),
    ("azuread:clientcredentials:*:tokenexchangeauthority", "the token that the file has goes to the app's own authority"),
    ("azuread:clientcredentials:*:algorithm", "tokend chooses the algorithm"),
    ("azuread:clientcredentials:*:useboundcredential", POP),
    ("azuread:clientcredentials", "it is no part of what the chosen credential needs"),
    ("downstreamapis:*:relativepath", DOWNSTREAM),
    ("downstreamapis:*:httpmethod", DOWNSTREAM),
    ("downstreamapis:*:acceptheader", DOWNSTREAM),
    ("downstreamapis:*:contenttype", DOWNSTREAM),
    ("downstreamapis:*:extraheaderparameters", DOWNSTREAM),
    ("downstreamapis:*:extraqueryparameters", DOWNSTREAM),
    ("downstreamapis:*:protocolscheme", POP),
    (
        "downstreamapis:*:acquiretokenoptions:authenticationoptionsname",
        "all apis are of the app that section AzureAd says; further \
                                                                       apps stand below `apps`, and `apis.*.app` names one",
    ),
    ("downstreamapis:*:acquiretokenoptions:correlationid", "tokend gives each request an id of its own"),
    ("downstreamapis:*:acquiretokenoptions:claims", PER_REQUEST),
    ("downstreamapis:*:acquiretokenoptions:forcerefresh", PER_REQUEST),
    (
        "downstreamapis:*:acquiretokenoptions:longrunningwebapisessionkey",
        "sessions are begun and continued by `session` at POST /obo of \
                                                                          tokend's own API",
    ),
    ("downstreamapis:*:acquiretokenoptions:fmipath", AGENTS),
    ("downstreamapis:*:acquiretokenoptions:poppublickey", POP),
    ("downstreamapis:*:acquiretokenoptions:popclaim", POP),
    ("downstreamapis:*:acquiretokenoptions:managedidentity", "managed identities are no credential of this release"),
    ("downstreamapis:*:acquiretokenoptions:userflow", USER_FLOWS),
    ("downstreamapis:*:acquiretokenoptions", "tokend adds nothing to its calls of the authority"),
    ("sidecar:allowoverrides:calldownstreamapi", DOWNSTREAM),
    ("sidecar:allowoverrides:calldownstreamapiunauthenticated", DOWNSTREAM),
    ("sidecar:allowoutboundredirects", DOWNSTREAM),
    ("sidecar:popvalidation", POP),
    ("logging:loglevel", "tokend has one level for all of its log: log.level"),
    ("logging", "tokend writes JSON lines, or text for people: log.format"),
    ("kestrel:endpoints:*:certificate", LISTENER_TLS),
    ("kestrel:certificates", LISTENER_TLS),
    ("kestrel:limits", LIMITS),
    ("kestrel", "it is about the .NET host's listener"),
    ("https_ports", LISTENER_TLS),
    ("http_ports", "other settings say where to listen"),
    ("urls", "other settings say where to listen"),
    ("environment", "tokend has no environments, and refuses callers from elsewhere in all of them"),
    ("forwardedheaders_enabled", "tokend never believes forwarded headers"),
    ("contentroot", HOSTING),
    ("applicationname", HOSTING),
    ("version", HOSTING),
    ("running_in_container", HOSTING),
    ("use_polling_file_watcher", HOSTING),
    ("gcserver", HOSTING),
    ("applicationinsights", TELEMETRY),
    ("applicationinsights_connection_string", TELEMETRY),
    ("applicationinsights:connectionstring", TELEMETRY),
    ("tokencache", "Microsoft's sidecar never read it; with tokend it is cache.redis that replicas share"),
    ("http_proxy", "tokend's calls are https: HTTPS_PROXY counts"),
    ("https_proxy", "tokend heeds this variable too: leave it in its environment, or write outbound.proxy"),
    ("no_proxy", "tokend heeds this variable too: leave it in its environment, or write outbound.no_proxy"),
    ("ssl_cert_file", "tokend heeds this variable too: leave it in its environment"),
    ("ssl_cert_dir", "tokend heeds this variable too: leave it in its environment"),
    ("azure_tenant_id", "the app is written out, and these variables are not asked"),
    ("azure_client_id", "the app is written out, and these variables are not asked"),
    ("azure_authority_host", "the app is written out, and these variables are not asked"),
    ("azure_federated_token_file", "the credential that was chosen is another one"),
];

/// What is said of everything else.
const UNKNOWN: &str = "nothing that is known of Microsoft's sidecar has this name";
const FOREIGN_VARIABLE: &str = "it is no variable of the sidecar's";

/// Names that the tables here do not have, beside those of tests.
const FURTHER_NAMES: [&str; 41] = [
    "Instance",
    "TenantId",
    "ClientId",
    "Audience",
    "Audiences",
    "Scopes",
    "ClientCapabilities",
    "SourceType",
    "KeyVaultUrl",
    "KeyVaultCertificateName",
    "CertificateDiskPath",
    "CertificatePassword",
    "Base64EncodedValue",
    "CertificateStorePath",
    "CertificateThumbprint",
    "CertificateDistinguishedName",
    "CertificateSubjectName",
    "ManagedIdentityClientId",
    "SignedAssertionFileDiskPath",
    "SignedAssertionFilePath",
    "DecryptKeysAuthenticationOptions",
    "CustomSignedAssertionProviderName",
    "CustomSignedAssertionProviderData",
    "Skip",
    "RequestAppToken",
    "BaseUrl",
    "Tenant",
    "UserAssignedClientId",
    "ExtraParameters",
    "ExtraHeadersParameters",
    "GetAuthorizationHeader",
    "GetAuthorizationHeaderUnauthenticated",
    "ValidatePresentClaims",
    "AcceptUnsignedQueryParameters",
    "SignedHttpRequestLifetime",
    "ClaimsToValidateWhenPresent",
    "AllowedHosts",
    "Default",
    "Url",
    "AZURE_FEDERATED_TOKEN_FILE",
    "ApplicationInsights",
];

/// Whether a name is one of Microsoft's, which may be shown however long it is.
pub(super) fn is_known_name(name: &str) -> bool {
    let name = name.strip_prefix("ASPNETCORE_").or_else(|| name.strip_prefix("DOTNET_")).unwrap_or(name);
    let is_in_paths = REASONS.iter().flat_map(|(path, _)| path.split(':')).any(|part| part.eq_ignore_ascii_case(name));
    is_in_paths || FURTHER_NAMES.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Why nothing was made of a value, by its path in lower case.
pub(super) fn reason(key: &str, is_variable: bool) -> &'static str {
    let fits = |pattern: &str| {
        let mut names = key.split(':');
        pattern.split(':').all(|part| names.next().is_some_and(|name| part == "*" || part == name))
    };
    let found = REASONS.iter().find(|(pattern, _)| fits(pattern)).map(|(_, reason)| *reason);
    found.unwrap_or(if is_variable && !key.contains(':') { FOREIGN_VARIABLE } else { UNKNOWN })
}
