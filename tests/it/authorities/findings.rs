//! What the configuration is told about an authority that cannot work as it is written.

use std::collections::BTreeMap;

use tokend::config::{Format, parse};

/// The findings about an app with these members, as `key: reason`.
fn found(members: &str) -> Vec<String> {
    let yaml = format!("apps: {{a: {{client_id: c, credential: {{secret: {{file: /s}}}}, {members}}}}}\n");
    let (_, findings) = parse(&yaml, Format::Yaml, "t.yaml", &BTreeMap::new());
    findings.iter().map(|finding| format!("{}: {} {}", finding.key, finding.reason, finding.remedy)).collect()
}

fn told(members: &str, key: &str, word: &str) {
    let found = found(members);
    assert!(found.iter().any(|one| one.starts_with(&format!("{key}: ")) && one.contains(word)), "{members}: {found:#?}");
}

const ENTRA: &str = "authority: \"https://login.microsoftonline.com/contoso.com\"";
const CIAM: &str = "authority: \"https://contoso.ciamlogin.com\"";
const B2C: &str = "authority: \"https://contoso.b2clogin.com/contoso.com/susi\"";
const ADFS: &str = "authority: \"https://fs.contoso.com/adfs\"";
const OIDC: &str = "issuer: \"https://id.example\"";

#[test]
fn what_is_right_has_no_finding() {
    for right in [
        format!("{ENTRA}, region: westeurope"),
        format!("{ENTRA}, region: auto"),
        CIAM.to_owned(),
        format!("{B2C}, policies: [edit, B2C_1_reset]"),
        ADFS.to_owned(),
        format!("{OIDC}, par: true"),
        "authority: \"https://id.contoso.com/contoso.com/susi\", kind: b2c".to_owned(),
    ] {
        assert_eq!(found(&right), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn aut_1_kinds_that_do_not_fit_are_named() {
    told("authority: \"https://h.com/dstsv2/contoso.com\"", "apps.a.authority", "dSTS");
    told("authority: \"https://contoso.b2clogin.com/contoso.com\"", "apps.a.authority", "one policy");
    told(&format!("{OIDC}, kind: entra"), "apps.a.kind", "one kind");
    told(&format!("{ENTRA}, kind: azure"), "apps.a.kind", "adfs");
    told("authority: \"https://fs.contoso.com/adfs\", kind: entra", "apps.a.authority", "another kind");
}

#[test]
fn aut_10_members_of_another_kind_are_named() {
    for place in [CIAM, ENTRA, ADFS, OIDC] {
        told(&format!("{place}, policies: [edit]"), "apps.a.policies", "no policies");
    }
    for bad in ["a/b", "..", "a.b", "''"] {
        told(&format!("{B2C}, policies: [{bad}]"), "apps.a.policies[0]", "policy");
    }
    told(&format!("{B2C}, policies: [SUSI]"), "apps.a.policies[0]", "before");
    for place in [B2C, ADFS, OIDC] {
        told(&format!("{place}, tenants: [contoso.com]"), "apps.a.tenants", "no tenants");
    }
    told(&format!("{CIAM}, username_password: true"), "apps.a.username_password", "no passwords");
    told(&format!("{B2C}, inbound: {{audiences: [x]}}"), "apps.a.inbound.scopes", "scopes");
    told(&format!("{ENTRA}, par: true"), "apps.a.par", "no effect");
    told(&format!("{ADFS}, inbound: {{scopes: [x]}}"), "apps.a.inbound.audiences", "audiences");
}

#[test]
fn aut_8_a_region_is_one_tenants_of_entra() {
    for place in [CIAM, B2C, ADFS, OIDC] {
        told(&format!("{place}, region: westeurope"), "apps.a.region", "no regional endpoints");
    }
    for many in ["common", "organizations"] {
        let authority = format!("authority: \"https://login.microsoftonline.com/{many}\", inbound: {{tenants: '*'}}");
        told(&format!("{authority}, region: westeurope"), "apps.a.region", "one tenant's");
    }
    for bad in ["West Europe", "west.europe", "evil.example/", "''"] {
        told(&format!("{ENTRA}, region: \"{bad}\""), "apps.a.region", "region");
    }
}

#[test]
fn metadata_by_hand_is_whole_and_of_one_authority() {
    let given = |place: &str, members: &str| format!("{place}, authority_metadata: {{{members}}}");
    let whole = "issuer: \"https://id.example\", token_endpoint: \"https://id.example/token\"";
    assert_eq!(found(&given(OIDC, whole)), Vec::<String>::new());
    told(&given(OIDC, "token_endpoint: \"https://id.example/token\""), "apps.a.authority_metadata.issuer", "issuer");
    told(&given(OIDC, "issuer: \"https://id.example\""), "apps.a.authority_metadata.token_endpoint", "token_endpoint");
    told(&given(OIDC, "issuer: \"https://other.example\""), "apps.a.authority_metadata.issuer", "another one");
    let http = "issuer: \"https://id.example\", token_endpoint: \"http://id.example/token\"";
    told(&given(OIDC, http), "apps.a.authority_metadata.token_endpoint", "http");
    told(&given(OIDC, &format!("{whole}, tokens: x")), "apps.a.authority_metadata.tokens", "");
    told(&given(B2C, whole), "apps.a.authority_metadata", "each policy");
    told(&given(&format!("{ENTRA}, region: westeurope"), whole), "apps.a.region", "authority_metadata");
    told(&given(&format!("{ENTRA}, tenants: [fabrikam.com]"), whole), "apps.a.authority_metadata", "several");
}
