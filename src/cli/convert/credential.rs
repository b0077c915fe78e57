//! Which credential the app proves itself by: the first of Microsoft's list that is here, and what has to be put in place for it.
//! Nothing that is a secret is read, only whether it is there.

use super::given::{ConfiguredValue, SidecarConfig};
use super::page::scalar;
use crate::finding::{Complaint, Findings};

/// The names of `SourceType`; the place of each is its number.
const SOURCES: [&str; 14] = [
    "Certificate",
    "KeyVault",
    "Base64Encoded",
    "Path",
    "StoreWithThumbprint",
    "StoreWithDistinguishedName",
    "ClientSecret",
    "SignedAssertionFromManagedIdentity",
    "SignedAssertionFilePath",
    "SignedAssertionFromVault",
    "AutoDecryptKeys",
    "CustomSignedAssertion",
    "ManagedCertificate",
    "StoreWithSubjectName",
];

/// Those that go on as they are, without anybody who makes another file of them.
const READY: [&str; 3] = ["Path", "ClientSecret", "SignedAssertionFilePath"];

/// Where the webhook of workload identity puts the token.
const WORKLOAD_TOKEN: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
const SECRET_FILE: &str = "/run/secrets/client-secret";
const PEM_FILE: &str = "/run/secrets/client.pem";
const PFX_FILE: &str = "/run/secrets/client.pfx";
const PASSWORD_FILE: &str = "/run/secrets/client.password";

/// The members that may hold what proves the app, and so are never read.
const SECRETS: [&str; 4] = ["ClientSecret", "Base64EncodedValue", "CertificatePassword", "CustomSignedAssertionProviderData"];

/// What stands below `credential`.
pub(super) struct ChosenCredential {
    /// What to know and to do about it, a comment each.
    pub(super) comments: Vec<String>,
    /// The one member, as YAML.
    pub(super) yaml: String,
    /// The variable that it names, if it does.
    pub(super) variable: Option<String>,
}

/// One entry of Microsoft's list.
struct ListedCredential {
    path: String,
    source: &'static str,
    place: String,
}

/// Chooses, and says of the others that they were not chosen.
pub(super) fn choose(config: &SidecarConfig, findings: &mut Findings) -> ChosenCredential {
    let listed = listed(config, findings);
    // Microsoft's sidecar takes the first that loads. Which of them would load here nobody knows; one that needs no work is likely
    // to.
    let chosen = listed.iter().position(|one| READY.contains(&one.source)).or((!listed.is_empty()).then_some(0));
    let Some(one) = chosen.and_then(|chosen| listed.get(chosen)) else { return unlisted(config) };
    let mut credential = with_chain(converted(config, one, findings), config, findings);
    for other in listed.iter().filter(|other| other.path != one.path) {
        let said = "an app of tokend has one credential, and Microsoft's sidecar takes the first that loads";
        credential.comments.push(format!("{} ({}) was not chosen: {said}.", other.place, other.source));
        config.below(&other.path).for_each(|value| {
            value.used();
        });
    }
    // What the chosen one does not need is said beside the app, and so is what is misspelt; a secret that it does not need is moot.
    for member in SECRETS {
        config.take(&format!("{}:{member}", one.path));
    }
    credential
}

/// All that are listed and not to be skipped.
fn listed(config: &SidecarConfig, findings: &mut Findings) -> Vec<ListedCredential> {
    let mut found = Vec::new();
    let list =
        ["AzureAd:ClientCredentials", "AzureAd:ClientCertificates"].into_iter().find(|path| !config.children(path).is_empty());
    for index in list.iter().flat_map(|list| config.children(list)) {
        let path = format!("{}:{index}", list.unwrap_or_default());
        let skipped = config.switch(&format!("{path}:Skip"), findings).is_some_and(|(_, skip)| skip);
        let Some((value, text)) = config.text(&format!("{path}:SourceType")) else {
            if let Some(first) = config.below(&path).next() {
                let remedy = format!("write `SourceType` beside it, one of: {}", SOURCES.join(", "));
                first.wrong(Complaint::new("the credential that it belongs to has no `SourceType`", remedy), findings);
            }
            continue;
        };
        let named = SOURCES.into_iter().find(|source| source.eq_ignore_ascii_case(text));
        let source = named.or_else(|| text.parse().ok().and_then(|number: usize| SOURCES.get(number).copied()));
        let Some(source) = source else {
            let remedy = format!("write one of: {}", SOURCES.join(", "));
            value.wrong(Complaint::new("there is no source of credentials of this name", remedy), findings);
            continue;
        };
        if skipped {
            config.below(&path).for_each(|value| {
                value.used();
            });
        } else {
            found.push(ListedCredential { path, source, place: value.place() });
        }
    }
    found
}

/// Where there is no list.
fn unlisted(config: &SidecarConfig) -> ChosenCredential {
    if let Some(secret) = config.take("AzureAd:ClientSecret") {
        return client_secret(secret);
    }
    ChosenCredential {
        comments: vec![format!(
            "To do: there are no AzureAd:ClientCredentials, and an app of tokend has one credential. Put the client secret into \
             this file, or write `certificate` or `federated_token` in its place."
        )],
        yaml: format!("secret: {{file: {SECRET_FILE}}}"),
        variable: None,
    }
}

fn converted(config: &SidecarConfig, one: &ListedCredential, findings: &mut Findings) -> ChosenCredential {
    let at = |member: &str| format!("{}:{member}", one.path);
    let pem = |do_what: &str| ChosenCredential {
        comments: vec![format!("To do: {} is {}. {do_what}", one.place, one.source)],
        yaml: format!("certificate: {{file: {PEM_FILE}}}"),
        variable: None,
    };
    const AS_PEM: &str = "put the private key and the certificate, as PEM, into this file";
    match one.source {
        "ClientSecret" => match config.take(&at("ClientSecret")) {
            Some(secret) => client_secret(secret),
            None => ChosenCredential {
                comments: vec![format!("To do: {} has no ClientSecret beside it. Put it into this file.", one.place)],
                yaml: format!("secret: {{file: {SECRET_FILE}}}"),
                variable: None,
            },
        },
        "SignedAssertionFilePath" => federated(config, one),
        "Path" => match config.text(&at("CertificateDiskPath")) {
            Some((value, path)) => on_disk(value, path, config.take(&at("CertificatePassword"))),
            None => {
                let problem =
                    Complaint::new("the credential that it belongs to has no `CertificateDiskPath`", "write it beside it");
                if let Some((value, _)) = config.text(&at("SourceType")) {
                    value.wrong(problem, findings);
                }
                pem(&format!("Then {AS_PEM}."))
            }
        },
        "Base64Encoded" => {
            let value = config.take(&at("Base64EncodedValue"));
            let place = value.map_or_else(|| "Base64EncodedValue".to_owned(), ConfiguredValue::place);
            let comment = format!("To do: put {place} into this file as it is: PKCS#12 in base64 is read, too.");
            pfx(PFX_FILE, vec![comment], config.take(&at("CertificatePassword")))
        }
        "KeyVault" => {
            for member in ["KeyVaultUrl", "KeyVaultCertificateName"] {
                config.take(&at(member));
            }
            pem(&format!(
                "tokend reads no key vault: have the Secrets Store CSI driver, or whatever brings secrets to this machine, \
                 {AS_PEM}; it is followed when it changes."
            ))
        }
        "StoreWithThumbprint" | "StoreWithDistinguishedName" | "StoreWithSubjectName" => {
            for member in
                ["CertificateStorePath", "CertificateThumbprint", "CertificateDistinguishedName", "CertificateSubjectName"]
            {
                config.take(&at(member));
            }
            pem(&format!("tokend reads no certificate store: export the certificate with its key, and {AS_PEM}."))
        }
        "SignedAssertionFromManagedIdentity" => {
            config.take(&at("ManagedIdentityClientId"));
            ChosenCredential {
                comments: vec![format!(
                    "To do: {} is SignedAssertionFromManagedIdentity, and managed identities are no credential of this release. In \
                     Kubernetes, workload identity needs none: give the registration a federated credential for the service \
                     account, and have its token projected into this file. Elsewhere use a certificate.",
                    one.place
                )],
                yaml: format!("federated_token: {{file: {}}}", scalar(&workload_token(config))),
                variable: None,
            }
        }
        _ => {
            config.take(&at("CustomSignedAssertionProviderName"));
            pem(&format!("tokend has nothing like it: use a certificate, and {AS_PEM}, or name another credential."))
        }
    }
}

/// A secret that stands in the file goes to a file of its own; one that is a variable stays one.
fn client_secret(secret: &ConfiguredValue) -> ChosenCredential {
    match secret.variable() {
        Some(variable) => ChosenCredential {
            comments: vec![format!(
                "To do: leave the variable {} in tokend's environment, with the secret as it is. A file, {{file: {SECRET_FILE}}}, \
                 is followed when it changes; a variable is not.",
                secret.name()
            )],
            yaml: format!("secret: {{env: {}}}", scalar(variable)),
            variable: Some(variable.to_owned()),
        },
        None => ChosenCredential {
            comments: vec![format!("To do: put the value of {} into this file, alone, and take it out of there.", secret.place())],
            yaml: format!("secret: {{file: {SECRET_FILE}}}"),
            variable: None,
        },
    }
}

fn federated(config: &SidecarConfig, one: &ListedCredential) -> ChosenCredential {
    let at = |member: &str| format!("{}:{member}", one.path);
    let mut comments = vec![format!("{} is a workload's own token: no secret at all.", one.place)];
    let misspelt = config.text(&at("SignedAssertionFilePath"));
    if let Some((value, _)) = misspelt {
        comments.push(format!(
            "{} is nothing that Microsoft's sidecar reads: there it is SignedAssertionFileDiskPath, else \
             AZURE_FEDERATED_TOKEN_FILE.",
            value.place()
        ));
    }
    let said = [config.text(&at("SignedAssertionFileDiskPath")), config.text("AZURE_FEDERATED_TOKEN_FILE"), misspelt];
    let file = said.into_iter().flatten().next().map(|(_, file)| file.to_owned()).unwrap_or_else(|| {
        comments.push("It does not say which file: this is where the webhook of workload identity puts it.".to_owned());
        WORKLOAD_TOKEN.to_owned()
    });
    ChosenCredential { comments, yaml: format!("federated_token: {{file: {}}}", scalar(&file)), variable: None }
}

fn workload_token(config: &SidecarConfig) -> String {
    config.text("AZURE_FEDERATED_TOKEN_FILE").map_or(WORKLOAD_TOKEN, |(_, file)| file).to_owned()
}

/// A certificate with its key on disk, as PEM or as PKCS#12.
fn on_disk(value: &ConfiguredValue, path: &str, password: Option<&ConfiguredValue>) -> ChosenCredential {
    let what = if path.to_ascii_lowercase().ends_with(".pem") { "PEM" } else { "PKCS#12" };
    let mut comments = vec![format!("{}: key and certificate as {what}, followed when the file changes.", value.place())];
    if !path.starts_with('/') {
        comments.push("The path is relative to where tokend is started: write the whole of it.".to_owned());
    }
    if what == "PKCS#12" {
        return pfx(path, comments, password);
    }
    ChosenCredential { comments, yaml: format!("certificate: {{file: {}}}", scalar(path)), variable: None }
}

/// A certificate with its key as PKCS#12. A password that stands in the file goes to a file of its own; one that is a variable
/// stays one.
fn pfx(path: &str, mut comments: Vec<String>, password: Option<&ConfiguredValue>) -> ChosenCredential {
    let file = scalar(path);
    let Some(password) = password else {
        return ChosenCredential { comments, yaml: format!("pfx: {{file: {file}}}"), variable: None };
    };
    let (said, place, variable) = match password.variable() {
        Some(variable) => (
            format!("To do: leave the variable {} in tokend's environment, with the password as it is.", password.name()),
            format!("{{env: {}}}", scalar(variable)),
            Some(variable.to_owned()),
        ),
        None => (
            format!("To do: put the value of {} into {PASSWORD_FILE}, alone, and take it out of there.", password.place()),
            format!("{{file: {PASSWORD_FILE}}}"),
            None,
        ),
    };
    comments.push(said);
    ChosenCredential { comments, yaml: format!("pfx: {{file: {file}, password: {place}}}"), variable }
}

/// Has the chain sent where it is to be, and there is one.
fn with_chain(mut credential: ChosenCredential, config: &SidecarConfig, findings: &mut Findings) -> ChosenCredential {
    let has_chain = ["certificate: ", "pfx: "].iter().any(|kind| credential.yaml.starts_with(kind));
    if has_chain
        && config.switch("AzureAd:SendX5C", findings).is_some_and(|(_, on)| on)
        && let Some(members) = credential.yaml.strip_suffix('}')
    {
        credential.yaml = format!("{members}, x5c: true}}");
    }
    credential
}
