//! Configurations of Microsoft's sidecar, as a file and as an environment: what is made of them is YAML with tokend's keys,
//! whatever the texts have in them, and no secret is told.

use std::collections::BTreeMap;

use tokend::cli::convert::{InputText, SidecarTexts, convert};
use tokend::config::{Format, parse};

use super::holds;
use crate::bench::Ready;

/// It stands where a secret belongs, beside all that an input says.
const CANARY: &str = "Canary/of+a=secret";

const SAMPLES: [&str; 3] = ["kubernetes.env", "appsettings.json", "compose.env"];

pub(super) fn ready() -> Ready {
    let takes = |input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
        let named = |name: &str, text: String| Some(InputText { name: name.to_owned(), text });
        let secret = format!(
            "AzureAd__ClientId=a\nAzureAd__TenantId=b\nAzureAd__ClientSecret={CANARY}\n\
             AzureAd__ClientCredentials__0__CertificatePassword={CANARY}\n"
        );
        for texts in [
            SidecarTexts { appsettings: named("a.json", text.to_owned()), env: named("a.env", secret.clone()) },
            SidecarTexts { appsettings: None, env: named("a.env", format!("{text}\n{secret}")) },
            SidecarTexts { appsettings: None, env: named("a.env", text.to_owned()) },
        ] {
            judge(&texts)?;
        }
        Ok(())
    };
    let read = |name: &str| {
        let path = format!("{}/tests/fixtures/entra-sidecar/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).expect("a sample")
    };
    Ready { seeds: SAMPLES.map(read).to_vec(), takes: Box::new(takes) }
}

fn judge(texts: &SidecarTexts) -> Result<(), String> {
    let (made, findings) = convert(texts);
    let shown: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    holds(made.is_some() || findings.has_errors(), || "there is neither a text nor an error".to_owned())?;
    holds(!shown.contains(CANARY), || format!("a finding tells a secret: {shown}"))?;
    let Some(made) = made else { return Ok(()) };
    holds(!made.contains(CANARY), || format!("a secret is in what was made:\n{made}"))?;
    // What stands in the texts is a value or a comment there: never a key, and nothing that YAML trips over.
    let (_, findings) = parse(&made, Format::Yaml, "made.yaml", &BTreeMap::new());
    let is_whole = findings.iter().all(|finding| !finding.key.starts_with("line ") && !finding.reason.contains("not known"));
    holds(is_whole, || format!("what was made is no configuration: {findings:?}\n{made}"))
}
