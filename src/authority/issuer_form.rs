//! What the tokens of an Entra cloud carry as their issuer: two forms around the tenant's id.

/// The v2 and the v1 form, as what stands before the tenant and after it.
#[derive(Clone, Debug)]
pub struct IssuerForms([(String, &'static str); 2]);

// === impl IssuerForms ===

impl IssuerForms {
    /// The forms of a cloud whose v2 and v1 tokens are issued below these URLs, which end in no slash.
    pub fn new(v2: &str, v1: &str) -> Self {
        Self([(format!("{v2}/"), "/v2.0"), (format!("{v1}/"), "/")])
    }

    /// What stands for the tenant in an issuer; `None`: the issuer has neither form.
    pub fn tenant_in<'a>(&self, issuer: &'a str) -> Option<&'a str> {
        let inside =
            |(before, after): &(String, &str)| issuer.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after));
        self.0.iter().find_map(inside)
    }
}
