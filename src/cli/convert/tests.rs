//! What becomes of each part of Microsoft's configuration, and what is said where nothing does.

use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{InputText, SidecarTexts, convert};

/// Texts as files of these names.
fn texts(appsettings: Option<&str>, env: Option<&str>) -> SidecarTexts {
    let input = |name: &str, text: &str| InputText { name: name.to_owned(), text: text.to_owned() };
    SidecarTexts {
        env: env.map(|text| input("sidecar.env", text)),
        appsettings: appsettings.map(|text| input("appsettings.json", text)),
    }
}

/// The YAML that comes out, as text and read.
fn good(appsettings: Option<&str>, env: Option<&str>) -> (String, Value) {
    let (text, findings) = convert(&texts(appsettings, env));
    let text = text.unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(findings.is_empty(), "{findings:#?}\n{text}");
    let tree = yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (text, tree)
}

/// As [`good`], of an environment file with the usual app and these lines.
fn env(lines: &str) -> (String, Value) {
    let usual = "AzureAd__TenantId=contoso.example\nAzureAd__ClientId=app-1\n\
                 AzureAd__ClientCredentials__0__SourceType=SignedAssertionFilePath\n";
    good(None, Some(&format!("{usual}{lines}")))
}

/// As [`env`], with another credential.
fn credential(lines: &str) -> (String, Value) {
    good(None, Some(&format!("AzureAd__TenantId=contoso.example\nAzureAd__ClientId=app-1\n{lines}")))
}

/// The errors, as they are shown.
fn bad(appsettings: Option<&str>, env: Option<&str>) -> String {
    let (text, findings) = convert(&texts(appsettings, env));
    assert!(text.is_none() && findings.has_errors(), "{text:?}");
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// A text without the line breaks and the marks of its comments.
fn flowing(text: &str) -> String {
    text.lines().map(|line| line.trim_start().trim_start_matches("# ")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_environment_stands_over_the_file_whatever_the_case_of_names() {
    let file = r#"{ // as the image has it
        "AzureAd": {"Instance": "https://login.example/", "TenantId": "common", "ClientId": "of-the-file",
            "ClientCredentials": [{"SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath": "/tokens/a"}],},
        "DownstreamApis": {"Graph": {"Scopes": ["a/.default", "b"], "RequestAppToken": true}},
        "Urls": "http://localhost:1000"
    }"#;
    let env = "ASPNETCORE_URLS=http://localhost:2000\nAZUREAD__TENANTID=contoso.example\nazuread__clientid=of-the-environment\n\
               DownstreamApis__graph__Scopes__1=c/.default\n";
    let (_, tree) = good(Some(file), Some(env));
    let app = &tree["apps"]["default"];
    assert_eq!(app["authority"], "https://login.example/contoso.example");
    assert_eq!(app["client_id"], "of-the-environment");
    assert_eq!(app["credential"], json!({"federated_token": {"file": "/tokens/a"}}));
    assert_eq!(tree["apis"]["graph"]["scopes"], json!(["a/.default", "c/.default"]), "lists are merged by index, as in .NET");
    assert_eq!(tree["listen"], "localhost:1000", "what the host reads first is weaker than the file");
    assert_eq!(good(Some(&file.replace("\"Urls\"", "\"Other\"")), Some(env)).1["listen"], "localhost:2000");
}

#[test]
fn bad_input_is_placed() {
    for (appsettings, env, said) in [
        (Some("{\"AzureAd\": "), None, "error: appsettings.json: line 1, column 13: the file ends"),
        (
            Some("{\"AzureAd\": {\"ClientId\": \"a\",\n\"clientid\": \"b\"}}"),
            None,
            "error: appsettings.json: line 2, column 13: AzureAd:clientid: it stands there before, in line 1",
        ),
        (
            None,
            Some("AzureAd__ClientId=a\nAZUREAD__CLIENTID=a\n"),
            "error: sidecar.env: line 2: AZUREAD__CLIENTID: it stands there",
        ),
        (None, Some("AzureAd__ClientId\n"), "error: sidecar.env: line 1: there is no `=`"),
        (None, Some("AzureAd__TenantId=t\n"), "error: sidecar.env: AzureAd:ClientId: there is no client id"),
        (Some("{}"), Some("AzureAd__ClientId=a\n"), "error: appsettings.json, sidecar.env: AzureAd:TenantId: there is no tenant"),
        (
            None,
            Some("AzureAd__ClientId=a\nAzureAd__TenantId=t\nDownstreamApis__x__RequestAppToken=maybe"),
            "error: sidecar.env: line 3: DownstreamApis__x__RequestAppToken: it is neither true nor false",
        ),
        (
            None,
            Some("AzureAd__ClientId=a\nAzureAd__TenantId=t\nAzureAd__ClientCredentials__0__SourceType=Canary\n"),
            "error: sidecar.env: line 3: AzureAd__ClientCredentials__0__SourceType: there is no source of credentials",
        ),
        (
            None,
            Some("AzureAd__ClientId=a\nAzureAd__TenantId=t\nAzureAd__ClientCredentials__0__ClientSecret=Canary\n"),
            "line 3: AzureAd__ClientCredentials__0__ClientSecret: the credential that it belongs to has no `SourceType`",
        ),
        (
            None,
            Some("AzureAd__ClientId=a\nAzureAd__TenantId=t\nASPNETCORE_URLS=http://h:port"),
            "error: sidecar.env: line 3: ASPNETCORE_URLS: its port is no number",
        ),
    ] {
        let text = bad(appsettings, env);
        assert!(text.contains(said), "{said:?} is not in {text}");
        assert!(text.contains("\n  remedy: ") && !text.contains("Canary"), "{text}");
    }
}

#[test]
fn what_cannot_be_the_result_is_said_of_the_result() {
    let (text, findings) = convert(&texts(None, Some("AzureAd__ClientId=a\nAzureAd__TenantId=a/b\n")));
    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(text.is_some() && findings.has_errors(), "{shown:?}");
    assert!(shown.iter().any(|finding| finding.contains("tokend.yaml: apps.default.authority: ")), "{shown:?}");
}

#[test]
fn an_authority_may_be_one_text() {
    for (authority, key, value) in [
        ("https://login.example/contoso.example/v2.0", "authority", "https://login.example/contoso.example"),
        ("https://contoso.ciamlogin.com/", "authority", "https://contoso.ciamlogin.com/contoso.onmicrosoft.com"),
        ("https://id.example/realms/shop", "issuer", "https://id.example/realms/shop"),
    ] {
        let lines = format!("AzureAd__ClientId=a\nAzureAd__Authority={authority}\nAzureAd__ClientCredentials__0__SourceType=8\n");
        let (_, tree) = good(None, Some(&lines));
        assert_eq!(tree["apps"]["default"][key], value, "{authority}");
    }
    let (text, tree) = env("AzureAd__Authority=https://other.example/t\n");
    assert_eq!(tree["apps"]["default"]["authority"], "https://login.microsoftonline.com/contoso.example");
    assert!(flowing(&text).contains("AzureAd__Authority (sidecar.env, line 4) is not converted: Instance and TenantId"), "{text}");
}

#[test]
fn whose_tokens_are_taken() {
    let (_, tree) = env("");
    assert_eq!(tree["apps"]["default"]["inbound"], json!({"audiences": ["api://app-1", "app-1"]}));
    let (_, tree) = env("AzureAd__Audience=api://orders\nAzureAd__Audiences__0=api://more\nAzureAd__Scopes=read write\n");
    let inbound = json!({"audiences": ["api://more", "api://orders"], "scopes": ["read", "write"]});
    assert_eq!(tree["apps"]["default"]["inbound"], inbound);
    let lines = "AzureAd__ClientId=app-1\nAzureAd__TenantId=Organizations\nAzureAd__ClientCapabilities__0=cp1\n\
                 AzureAd__ClientCredentials__0__SourceType=8\n";
    let (_, tree) = good(None, Some(lines));
    assert_eq!(tree["apps"]["default"]["inbound"]["tenants"], "*");
    assert_eq!(tree["apps"]["default"]["client_capabilities"], json!(["cp1"]));
}

#[test]
fn each_source_of_credentials_becomes_one_that_is_here() {
    let token = "/var/run/secrets/azure/tokens/azure-identity-token";
    for (source, more, yaml) in [
        ("SignedAssertionFilePath", "", json!({"federated_token": {"file": token}})),
        ("8", "AZURE_FEDERATED_TOKEN_FILE=/t", json!({"federated_token": {"file": "/t"}})),
        ("signedassertionfilepath", "P__SignedAssertionFileDiskPath=/d", json!({"federated_token": {"file": "/d"}})),
        ("SignedAssertionFilePath", "P__SignedAssertionFilePath=/wrong", json!({"federated_token": {"file": "/wrong"}})),
        ("SignedAssertionFromManagedIdentity", "P__ManagedIdentityClientId=m", json!({"federated_token": {"file": token}})),
        ("ClientSecret", "P__ClientSecret=s", json!({"secret": {"env": "AzureAd__ClientCredentials__0__ClientSecret"}})),
        ("6", "", json!({"secret": {"file": "/run/secrets/client-secret"}})),
        ("Path", "P__CertificateDiskPath=/c/app.pfx", json!({"pfx": {"file": "/c/app.pfx"}})),
        (
            "Path",
            "P__CertificateDiskPath=/c/app.pfx\nP__CertificatePassword=p\nAzureAd__SendX5C=true",
            json!({"pfx": {"file": "/c/app.pfx", "x5c": true,
                "password": {"env": "AzureAd__ClientCredentials__0__CertificatePassword"}}}),
        ),
        ("Path", "P__CertificateDiskPath=/c/app.PEM", json!({"certificate": {"file": "/c/app.PEM"}})),
        ("Path", "P__CertificateDiskPath=/c/app", json!({"pfx": {"file": "/c/app"}})),
        ("Base64Encoded", "P__Base64EncodedValue=cGZ4", json!({"pfx": {"file": "/run/secrets/client.pfx"}})),
        ("KeyVault", "P__KeyVaultUrl=https://v.example", json!({"certificate": {"file": "/run/secrets/client.pem"}})),
        ("StoreWithThumbprint", "P__CertificateThumbprint=x", json!({"certificate": {"file": "/run/secrets/client.pem"}})),
        ("StoreWithSubjectName", "", json!({"certificate": {"file": "/run/secrets/client.pem"}})),
        ("SignedAssertionFromVault", "", json!({"certificate": {"file": "/run/secrets/client.pem"}})),
        ("CustomSignedAssertion", "", json!({"certificate": {"file": "/run/secrets/client.pem"}})),
    ] {
        let entry = "AzureAd__ClientCredentials__0";
        let (text, tree) = credential(&format!("{entry}__SourceType={source}\n{}\n", more.replace("P__", &format!("{entry}__"))));
        assert_eq!(tree["apps"]["default"]["credential"], yaml, "{source} {more}");
        assert!(flowing(&text).contains("AzureAd__ClientCredentials__0__"), "it is said what it was: {text}");
    }
    let (text, tree) = credential("AzureAd__ClientSecret=x\n");
    assert_eq!(tree["apps"]["default"]["credential"], json!({"secret": {"env": "AzureAd__ClientSecret"}}), "{text}");
    let (text, _) = credential("");
    assert!(flowing(&text).contains("To do: there are no AzureAd:ClientCredentials"), "{text}");
}

#[test]
fn of_several_credentials_one_is_chosen_and_all_are_named() {
    let entry = "AzureAd__ClientCredentials__";
    let (text, tree) = credential(&format!(
        "{entry}0__SourceType=SignedAssertionFromManagedIdentity\n{entry}1__SourceType=ClientSecret\n{entry}1__ClientSecret=x\n\
         {entry}2__SourceType=KeyVault\n{entry}2__Skip=true\n{entry}10__SourceType=Path\n{entry}10__CertificateDiskPath=/c.pem\n"
    ));
    assert!(tree["apps"]["default"]["credential"]["secret"].is_object(), "{text}");
    let text = flowing(&text);
    for place in
        ["0__SourceType (sidecar.env, line 3) (SignedAssertionFromManagedIdentity)", "10__SourceType (sidecar.env, line 8) (Path)"]
    {
        assert!(text.contains(&format!("{entry}{place} was not chosen")), "{place}: {text}");
    }
}

#[test]
fn apis_have_tokends_names_and_rights() {
    let (text, tree) =
        env("DownstreamApis__Graph__Scopes__0=User.Read\nDownstreamApis__my_api__Scopes=a b\nDownstreamApis__my.api__Scopes=c\n\
         DownstreamApis__Graph__BaseUrl=https://graph.example/v1.0\nDownstreamApis___x__Scopes=d\n\
         DownstreamApis__my_api__RequestAppToken=TRUE\nDownstreamApis__my_api__ProtocolScheme=bearer\n");
    let apis = &tree["apis"];
    let usual = json!({"app": "default", "scopes": ["User.Read"], "doors": ["ms_sidecar"], "overrides": true,
        "base_url": "https://graph.example/v1.0"});
    assert_eq!(apis["graph"], usual);
    let app_token = json!({"app": "default", "scopes": ["a", "b"], "doors": ["ms_sidecar"], "app_token": true, "overrides": true});
    assert_eq!(
        [&apis["my-api"], &apis["my-api-2"]].map(|api| api.get("app_token").is_some()).iter().filter(|has| **has).count(),
        1
    );
    assert!(apis.as_object().is_some_and(|apis| apis.values().any(|api| *api == app_token)), "{apis}");
    assert!(apis["x"].is_object(), "{apis}");
    let flow = flowing(&text);
    assert!(flow.contains("Was Graph: clients may write its name in any case."), "{text}");
    assert!(flow.contains("To do: was my_api.") && !flow.contains("ProtocolScheme"), "{text}");
    assert_eq!(tree["ms_sidecar"], json!({"app": "default", "unauthenticated": "anyone"}));
    assert_eq!(tree["doors"], json!(["ms_sidecar"]));
}

#[test]
fn overrides_are_as_they_were() {
    let api = "DownstreamApis__a__Scopes__0=x/.default\nSidecar__AllowOverrides__";
    let (_, tree) = env(&format!("{api}GetAuthorizationHeader=false\n"));
    assert_eq!(tree["apis"]["a"], json!({"app": "default", "scopes": ["x/.default"], "doors": ["ms_sidecar"]}));
    assert_eq!(tree["ms_sidecar"], json!({"app": "default"}), "nobody gets an app's token");
    let (_, tree) = env(&format!("{api}GetAuthorizationHeaderUnauthenticated=true\n"));
    let all = json!({"app": "default", "scopes": ["x/.default"], "doors": ["ms_sidecar"], "app_token": true, "overrides": true,
        "app_overrides": true});
    assert_eq!(tree["apis"]["a"], all);
    assert_eq!(tree["ms_sidecar"]["unauthenticated"], "anyone");
}

#[test]
fn an_api_of_another_tenant_has_an_app_of_its_own_or_names_it() {
    let (text, tree) = env("DownstreamApis__A__Scopes__0=x/.default\nDownstreamApis__A__RequestAppToken=true\n\
         DownstreamApis__A__AcquireTokenOptions__Tenant=fabrikam.example\nDownstreamApis__B__Scopes__0=y\n\
         DownstreamApis__B__AcquireTokenOptions__Tenant=fabrikam.example\nDownstreamApis__C__Scopes__0=y\n\
         DownstreamApis__C__AcquireTokenOptions__Tenant=Contoso.example\n");
    let app = &tree["apps"]["default-a"];
    assert_eq!(app["authority"], "https://login.microsoftonline.com/fabrikam.example", "{text}");
    assert_eq!((&app["client_id"], &app["credential"]), (&json!("app-1"), &tree["apps"]["default"]["credential"]));
    assert_eq!(
        [&tree["apis"]["a"]["app"], &tree["apis"]["b"]["app"], &tree["apis"]["c"]["app"]],
        ["default-a", "default", "default"]
    );
    assert_eq!(tree["apps"]["default"]["tenants"], json!(["fabrikam.example"]));
}

#[test]
fn an_api_without_scopes_is_shown_and_not_in_force() {
    let (text, tree) = env("DownstreamApis__a__BaseUrl=https://a.example\n");
    assert_eq!(tree["apis"], json!({}));
    assert!(text.contains("\n  # a:\n  #   app: default\n"), "{text}");
}

#[test]
fn it_listens_where_it_was_told_to_on_loopback() {
    for (lines, listen) in [
        ("", json!("localhost:8080")),
        ("ASPNETCORE_HTTP_PORTS=5000;5001", json!(["localhost:5000", "localhost:5001"])),
        ("ASPNETCORE_URLS=http://+:5178", json!("localhost:5178")),
        ("ASPNETCORE_URLS=http://localhost:5178;http://127.0.0.1:5178", json!("localhost:5178")),
        ("URLS=http://127.0.0.1:1\nASPNETCORE_URLS=http://127.0.0.1:2", json!("127.0.0.1:1")),
        ("Kestrel__Endpoints__Http__Url=http://127.0.0.1:5000\nURLS=http://127.0.0.1:1", json!("127.0.0.1:5000")),
        ("DOTNET_URLS=http://127.0.0.1:1\nASPNETCORE_URLS=http://127.0.0.1:2", json!("127.0.0.1:1")),
    ] {
        assert_eq!(env(lines).1["listen"], listen, "{lines}");
    }
    let (text, tree) = env("ASPNETCORE_URLS=https://+:8651");
    assert_eq!((&tree["listen"], &tree["admin_listen"]), (&json!("localhost:8651"), &json!("127.0.0.1:8652")));
    assert!(flowing(&text).contains("ASPNETCORE_URLS (sidecar.env, line 4) was https."), "{text}");
}

#[test]
fn logs_and_hosts() {
    let (text, tree) =
        env("Logging__LogLevel__Default=Warning\nLogging__LogLevel__Microsoft=Debug\nAllowedHosts=localhost;sidecar\n");
    assert_eq!((&tree["log"], &tree["hosts"]), (&json!({"level": "warn"}), &json!(["sidecar"])));
    assert!(
        flowing(&text).contains("Logging__LogLevel__Microsoft (sidecar.env, line 5) is not converted: tokend has one level"),
        "{text}"
    );
    let (text, tree) = env("AllowedHosts=*\nLogging__LogLevel__Default=Information\n");
    assert_eq!((tree.get("log"), tree.get("hosts")), (None, None));
    assert!(flowing(&text).contains("AllowedHosts (sidecar.env, line 4) is not converted where it has `*`"), "{text}");
}

#[test]
fn what_is_not_converted_is_named_with_its_reason() {
    let (text, tree) = env(
        "AzureAd__AzureRegion=West Europe\nAzureAd__SendX5C=true\nAzureAd__Unheard=x\nSidecar__PopValidation__ValidateQ=true\n\
         DownstreamApis__a__Scopes=b\nDownstreamApis__a__RelativePath=/me\nDownstreamApis__a__AcquireTokenOptions__FmiPath=x\n\
         DownstreamApis__a__ExtraHeaderParameters__X-Own=x\nTZ=UTC\nApplicationInsights__ConnectionString=x\neyJhbGciOi=x\n\
         DownstreamApis__a__ProtocolScheme=MTLS_POP\nAzureAd__ClientCredentials__0__TokenExchangeUrl=x\n",
    );
    assert_eq!(tree["apps"]["default"]["region"], "westeurope");
    let text = flowing(&text);
    for (name, reason) in [
        ("AzureAd__SendX5C (sidecar.env, line 5)", "only a certificate"),
        ("AzureAd__Unheard (sidecar.env, line 6)", "nothing that is known"),
        ("Sidecar__PopValidation__ValidateQ (sidecar.env, line 7)", "bearer tokens only"),
        ("DownstreamApis__a__RelativePath (sidecar.env, line 9)", "/DownstreamApi"),
        ("DownstreamApis__a__ExtraHeaderParameters__X-Own (sidecar.env, line 11)", "/DownstreamApi"),
        ("DownstreamApis__a__AcquireTokenOptions__FmiPath (sidecar.env, line 10)", "agent identities"),
        ("TZ (sidecar.env, line 12)", "no variable of the sidecar's"),
        ("ApplicationInsights__ConnectionString (sidecar.env, line 13)", "OTLP"),
        ("(name not shown) (sidecar.env, line 14)", "no variable of the sidecar's"),
        ("DownstreamApis__a__ProtocolScheme (sidecar.env, line 15)", "bearer tokens only"),
        ("AzureAd__ClientCredentials__0__TokenExchangeUrl (sidecar.env, line 16)", "the audience is in the token"),
    ] {
        let found = text.split(name).nth(1).unwrap_or_else(|| panic!("{name} is not in {text}"));
        let sentence = found.split(". ").next().unwrap_or_default();
        assert!(sentence.contains("not converted: ") && sentence.contains(reason), "{name}: {sentence}");
    }
}

/// Where a secret may stand, `I` for an index and `N` for a name.
const SECRET_PLACES: [&str; 16] = [
    "AzureAd:ClientCredentials:I:ClientSecret",
    "AzureAd:ClientCredentials:I:Base64EncodedValue",
    "AzureAd:ClientCredentials:I:CertificatePassword",
    "AzureAd:ClientCredentials:I:CustomSignedAssertionProviderData:N",
    "AzureAd:ClientCertificates:I:CertificatePassword",
    "AzureAd:TokenDecryptionCredentials:I:ClientSecret",
    "AzureAd:TokenDecryptionCredentials:I:Base64EncodedValue",
    "AzureAd:TokenDecryptionCredentials:I:CertificatePassword",
    "AzureAd:ClientSecret",
    "AzureAd:ExtraQueryParameters:N",
    "DownstreamApis:N:ExtraHeaderParameters:N",
    "DownstreamApis:N:ExtraQueryParameters:N",
    "DownstreamApis:N:AcquireTokenOptions:ExtraParameters:N",
    "Kestrel:Certificates:Default:Password",
    "ApplicationInsights:ConnectionString",
    "N:N",
];

const CANARY: &str = "Canary8Q~of+a/secret";

/// A configuration with a canary in some of these places: in the file, in the environment, or in both; and with a fault or none.
fn with_canaries() -> impl Strategy<Value = (String, String, bool)> {
    let place = prop_oneof![(0..SECRET_PLACES.len()).prop_map(|index| SECRET_PLACES.get(index).copied().unwrap_or_default())];
    let source = prop_oneof![
        Just("ClientSecret"),
        Just("Base64Encoded"),
        Just("Path"),
        Just("KeyVault"),
        Just("CustomSignedAssertion"),
        Just(CANARY),
        Just("SignedAssertionFilePath"),
        Just("14"),
        Just("")
    ];
    let secrets = prop::collection::btree_map((place, 0..3_u8, "[a-z]{1,8}"), prop::bool::ANY, 1..8);
    (secrets, source, 0..4_u8, prop::bool::ANY).prop_map(|(secrets, source, fault, has_client)| {
        let (mut file, mut env) = (Vec::new(), Vec::new());
        if has_client {
            file.push("\"AzureAd:ClientId\": \"a\", \"AzureAd:TenantId\": \"t\"".to_owned());
        }
        if !source.is_empty() {
            file.push(format!("\"AzureAd:ClientCredentials:0:SourceType\": \"{source}\""));
        }
        for ((place, index, name), is_variable) in secrets {
            let path = place.replace(":I:", &format!(":{index}:")).replace(":N", &format!(":{name}")).replacen(
                "N:",
                &format!("{name}:"),
                1,
            );
            if is_variable {
                env.push(format!("{}={CANARY}", path.replace(':', "__")));
            } else {
                file.push(format!("\"{path}\": \"{CANARY}\""));
            }
        }
        let broken = [
            String::new(),
            format!(", \"x\": {CANARY}"),
            format!(", \"{CANARY}\": \"x\", \"y\" \"{CANARY}\""),
            format!("}} {CANARY}"),
        ];
        let broken = broken.get(usize::from(fault)).cloned().unwrap_or_default();
        (format!("{{{}{broken}}}", file.join(", ")), env.join("\n"), fault == 0)
    })
}

proptest! {
    #[test]
    fn no_secret_comes_out((file, env, is_sound) in with_canaries()) {
        let texts = texts(Some(&file), Some(&env));
        let (text, findings) = convert(&texts);
        prop_assert!(is_sound || text.is_none(), "a file that is broken is converted: {file}");
        let told: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        let shown = text.unwrap_or_default() + &told;
        prop_assert!(!shown.contains("Canary8Q") && !shown.contains("secret\""), "{shown}");
    }
}
